//! What goes over the wire, and how a test holds deliveries back and sends them itself.

use axum::http::StatusCode;
use secrecy::SecretString;
use serde_json::json;

use super::{Receiver, Role, Scene, Version};
use crate::gitlab::{commit, merge_request};

const SIGNING_TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[tokio::test]
async fn headers_depend_on_the_version() {
    for (version, uuid, key, signed) in [
        (Version::V15_7, false, false, false),
        (Version::V17_3, true, false, false),
        (Version::V19_1, true, true, true),
    ] {
        let scene = Scene::new(version).await;
        let receiver = Receiver::start().await;
        scene.hook(&receiver, json!({ "signing_token": SIGNING_TOKEN })).await;
        scene.project.create_branch("PAY-1").await;
        let sent = receiver.only();
        assert_eq!(sent.event(), "Push Hook");
        assert_eq!(sent.header("user-agent").unwrap(), format!("GitLab/{}", version.number()));
        assert_eq!(sent.header("x-gitlab-instance"), Some(scene.gitlab.url()));
        assert_eq!(sent.header("x-gitlab-token"), Some("in the clear"));
        assert!(sent.header("x-gitlab-event-uuid").is_some());
        assert_eq!(sent.header("x-gitlab-webhook-uuid").is_some(), uuid, "{version:?}");
        assert_eq!(sent.header("idempotency-key").is_some(), key, "{version:?}");
        assert_eq!(sent.header("webhook-signature").is_some(), signed, "{version:?}");
    }
}

#[tokio::test]
async fn the_signature_covers_the_bytes_that_arrive() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = Receiver::start().await;
    scene.hook(&receiver, json!({ "signing_token": SIGNING_TOKEN })).await;
    scene.project.push("PAY-1", [commit("PAY-1 Grüße")]).await;
    let sent = receiver.only();
    let key = crate::gitlab::hooks::signature::key(SIGNING_TOKEN).unwrap();
    let (id, at) = (sent.header("webhook-id").unwrap(), sent.header("webhook-timestamp").unwrap());
    let expected = crate::gitlab::hooks::signature::sign(&key, id, at, &sent.bytes);
    assert_eq!(sent.header("webhook-signature"), Some(expected.as_str()));
    assert_eq!(sent.header("idempotency-key"), Some(id));
}

#[tokio::test]
async fn an_event_triggers_project_and_group_hooks() {
    let scene = Scene::new(Version::V19_1).await;
    let (own, groups) = (scene.listen().await, Receiver::start().await);
    for group in ["/groups/acme%2Fpayments", "/groups/acme"] {
        let owner = if group.ends_with("acme") {
            scene.gitlab.group("acme", super::Tier::Premium).grant(&scene.ada, Role::Owner);
            group
        } else {
            group
        };
        let made = scene.api.post(&format!("{owner}/hooks"), json!({ "url": groups.url })).await;
        assert_eq!(made.status, StatusCode::CREATED);
    }
    scene.project.create_branch("PAY-1").await;
    let delivered = groups.take();
    let own = own.only();
    assert_eq!(delivered.len(), 2, "the group's hook and its parent's");
    assert_eq!(delivered[0].header("x-gitlab-event-uuid"), own.header("x-gitlab-event-uuid"), "one event");
    assert_ne!(
        delivered[0].header("idempotency-key"),
        delivered[1].header("idempotency-key"),
        "three deliveries"
    );

    scene.gitlab.group("elsewhere", super::Tier::Premium).project("x").create_branch("PAY-1").await;
    assert!(groups.take().is_empty(), "other groups are not their business");
}

#[tokio::test]
async fn hooks_are_triggered_by_the_events_they_are_set_to() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = Receiver::start().await;
    let wish = json!({ "url": receiver.url, "push_events": false, "tag_push_events": true });
    scene.api.post(&scene.project_path("/hooks"), wish).await;
    scene.project.create_branch("PAY-1").await;
    assert!(receiver.take().is_empty());
    scene.project.push_tag("v1", "main").await;
    let tag = receiver.only();
    assert_eq!((tag.event(), &tag.body["object_kind"]), ("Tag Push Hook", &json!("tag_push")));
    assert_eq!((&tag.body["ref"], &tag.body["commits"]), (&json!("refs/tags/v1"), &json!([])));
}

#[tokio::test]
async fn pushes_are_filtered_by_branch() {
    let scene = Scene::new(Version::V19_1).await;
    for (filter, strategy) in [("release/*", "wildcard"), ("^release/.$", "regex")] {
        let receiver = Receiver::start().await;
        let wish = json!({ "push_events_branch_filter": filter, "branch_filter_strategy": strategy });
        scene.hook(&receiver, wish).await;
        scene.project.create_branch(&format!("{strategy}/1")).await;
        assert!(receiver.take().is_empty());
        scene.project.push("release/1", [commit(strategy)]).await;
        assert_eq!(receiver.only().body["ref"], "refs/heads/release/1");
    }
}

#[tokio::test]
async fn held_deliveries_are_sent_as_the_test_says() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = scene.listen().await;
    let held = scene.gitlab.hold_deliveries();
    scene.project.create_branch("PAY-1").await;
    scene.project.create_branch("PAY-2").await;
    assert!(receiver.take().is_empty());
    let deliveries = held.take();
    assert_eq!(deliveries.len(), 2);
    assert_eq!(deliveries[0].json()["ref"], "refs/heads/PAY-1");

    deliveries[1].send().await.unwrap();
    deliveries[0].send().await.unwrap();
    deliveries[0].send().await.unwrap();
    let forged = deliveries[0].clone().with_body("{}").with_header("x-gitlab-event", "Tag Push Hook");
    forged.without_header("x-gitlab-token").send().await.unwrap();
    let events: Vec<_> = scene.gitlab.sent_deliveries().iter().map(|sent| sent.event).collect();
    assert_eq!(events, ["Push Hook"; 4], "as they were made");
    let arrived = receiver.take();
    let refs: Vec<_> = arrived.iter().map(|sent| sent.body["ref"].as_str()).collect();
    assert_eq!(refs, [Some("refs/heads/PAY-2"), Some("refs/heads/PAY-1"), Some("refs/heads/PAY-1"), None]);
    assert_eq!(arrived[1].header("idempotency-key"), arrived[2].header("idempotency-key"));
    assert_eq!((arrived[3].event(), arrived[3].header("x-gitlab-token")), ("Tag Push Hook", None));

    drop(held);
    scene.project.create_branch("PAY-3").await;
    assert_eq!(receiver.take().len(), 1, "automatic again");
}

#[tokio::test]
async fn a_dead_receiver_is_an_error_and_a_line_in_the_history() {
    let scene = Scene::new(Version::V19_1).await;
    let wish = json!({ "url": "http://127.0.0.1:9/hook" });
    let id = scene.api.post(&scene.project_path("/hooks"), wish).await.body["id"].clone();
    let held = scene.gitlab.hold_deliveries();
    scene.project.create_branch("PAY-1").await;
    assert!(held.take()[0].send().await.is_err());
    let events = scene.api.get(&scene.project_path(&format!("/hooks/{id}/events"))).await;
    assert_eq!(events.texts("response_status"), ["internal error"]);
    let sent = scene.gitlab.sent_deliveries();
    assert_eq!(
        sent.iter().map(|sent| (sent.event, sent.status.as_str())).collect::<Vec<_>>(),
        [("Push Hook", "internal error")]
    );
}

#[tokio::test]
async fn system_hooks_have_payloads_of_their_own_form() {
    let scene = Scene::new(Version::V17_3).await;
    let receiver = Receiver::start().await;
    scene.gitlab.system_hook(&receiver.url, &SecretString::from("s3cret"));
    scene.project.push("PAY-1", [commit("PAY-1")]).await;
    let push = receiver.only();
    assert_eq!((push.event(), &push.body["event_name"]), ("System Hook", &json!("push")));
    assert!(push.body.get("object_kind").is_none());
    scene.project.open_merge_request(merge_request("PAY-1", "PAY-1")).await;
    let opened = receiver.only();
    assert_eq!((opened.event(), &opened.body["event_type"]), ("System Hook", &json!("merge_request")));
    scene.project.start_pipeline("main").await;
    assert!(receiver.take().is_empty(), "pipelines trigger no system hooks");
}
