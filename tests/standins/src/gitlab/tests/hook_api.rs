//! Hooks as the API knows them: making, changing, history, test and resend.

use axum::http::StatusCode;
use serde_json::json;

use super::{Receiver, Scene, Version};

const SIGNING_TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[tokio::test]
async fn secrets_are_write_only() {
    let scene = Scene::new(Version::V19_1).await;
    let wish = json!({ "url": "https://gitlab-jira.example/hook", "token": "t0p", "signing_token": SIGNING_TOKEN, "push_events": false, "pipeline_events": true });
    let made = scene.api.post(&scene.group_path("/hooks"), wish).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(
        (&made.body["token_present"], &made.body["signing_token_present"]),
        (&json!(true), &json!(true))
    );
    assert_eq!((&made.body["push_events"], &made.body["pipeline_events"]), (&json!(false), &json!(true)));
    assert_eq!(made.body["alert_status"], "executable");
    let text = made.body.to_string();
    assert!(!text.contains("t0p") && !text.contains("whsec_"), "{text}");

    let path = scene.group_path(&format!("/hooks/{}", made.body["id"]));
    let changed =
        scene.api.put(&path, json!({ "url": "https://gitlab-jira.example/other", "token": "" })).await;
    assert_eq!((changed.status, &changed.body["token_present"]), (StatusCode::OK, &json!(false)));
    assert_eq!(scene.api.get(&path).await.body["url"], "https://gitlab-jira.example/other");
    assert_eq!(scene.api.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(scene.api.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn invalid_hooks_are_refused() {
    let scene = Scene::new(Version::V19_1).await;
    let path = scene.project_path("/hooks");
    let bad = StatusCode::BAD_REQUEST;
    let unfit = StatusCode::UNPROCESSABLE_ENTITY;
    for (wish, expected) in [
        (json!({}), bad),
        (json!({ "url": "ftp://x" }), unfit),
        (json!({ "url": "nonsense" }), unfit),
        (json!({ "url": "http://x/", "signing_token": "whsec_AAEC" }), unfit),
        (json!({ "url": "http://x/", "push_events": "maybe" }), bad),
        (json!({ "url": "http://x/", "branch_filter_strategy": "guess" }), bad),
        (
            json!({ "url": "http://x/", "branch_filter_strategy": "regex", "push_events_branch_filter": "(" }),
            unfit,
        ),
    ] {
        assert_eq!(scene.api.post(&path, wish.clone()).await.status, expected, "{wish}");
    }
    let id = scene.api.post(&path, json!({ "url": "http://x/" })).await.body["id"].clone();
    assert_eq!(scene.api.put(&format!("{path}/{id}"), json!({})).await.status, bad);
    for _ in 1..100 {
        scene.api.post(&path, json!({ "url": "http://x/" })).await;
    }
    assert_eq!(
        scene.api.post(&path, json!({ "url": "http://x/" })).await.status,
        unfit,
        "the hundred and first"
    );
}

#[tokio::test]
async fn old_versions_ignore_what_they_do_not_know() {
    let scene = Scene::new(Version::V17_3).await;
    let made = scene
        .api
        .post(&scene.project_path("/hooks"), json!({ "url": "http://x/", "signing_token": "nonsense" }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert!(made.body.get("signing_token_present").is_none());
    assert!(made.body.get("subgroup_events").is_none(), "project hooks have no group events");

    let scene = Scene::new(Version::V15_7).await;
    let wish = json!({ "url": "http://x/", "name": "n", "project_events": true });
    let made = scene.api.post(&scene.group_path("/hooks"), wish).await;
    assert!(made.body.get("name").is_none() && made.body.get("project_events").is_none());
    let hook = scene.group_path(&format!("/hooks/{}", made.body["id"]));
    assert_eq!(scene.api.get(&format!("{hook}/events")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        scene.api.post(&format!("{hook}/test/push_events"), json!({})).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn deliveries_are_remembered_without_secrets_for_a_week() {
    let scene = Scene::new(Version::V17_3).await;
    let receiver = Receiver::start().await;
    let id = scene.hook(&receiver, json!({})).await;
    scene.project.create_branch("PAY-1").await;
    receiver.answer(500);
    scene.project.create_branch("PAY-2").await;

    let path = scene.project_path(&format!("/hooks/{id}/events"));
    let events = scene.api.get(&path).await;
    assert_eq!(events.texts("response_status"), ["500", "200"], "newest first");
    assert_eq!(events.body[0]["trigger"], "push_hooks");
    assert_eq!(events.body[0]["request_headers"]["x-gitlab-token"], "[REDACTED]");
    assert_eq!(events.body[1]["request_data"]["ref"], "refs/heads/PAY-1");
    let failed = scene.api.get(&format!("{path}?status=server_failure")).await;
    assert_eq!(failed.texts("response_status"), ["500"]);
    let resend = scene.project_path(&format!("/hooks/{id}/events/{}/resend", events.body[0]["id"]));
    assert_eq!(scene.api.post(&resend, json!({})).await.status, StatusCode::NOT_FOUND, "came with 17.4");

    scene.gitlab.advance(time::Duration::days(8));
    scene.project.create_branch("PAY-3").await;
    assert_eq!(scene.api.get(&path).await.body.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_resend_keeps_its_idempotency_key() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = Receiver::start().await;
    let id = scene.hook(&receiver, json!({ "signing_token": SIGNING_TOKEN })).await;
    scene.project.create_branch("PAY-1").await;
    let first = receiver.only();
    let event =
        scene.api.get(&scene.project_path(&format!("/hooks/{id}/events"))).await.body[0]["id"].clone();
    let resend = scene.project_path(&format!("/hooks/{id}/events/{event}/resend"));

    scene.gitlab.advance(time::Duration::minutes(10));
    let answer = scene.api.post(&resend, json!({})).await;
    assert_eq!(answer.body, json!({ "response_status": 200 }));
    let second = receiver.only();
    assert_eq!(second.body, first.body);
    assert_eq!(second.header("idempotency-key"), first.header("idempotency-key"));
    assert_eq!(second.header("webhook-id"), first.header("idempotency-key"));
    assert_ne!(second.header("webhook-timestamp"), first.header("webhook-timestamp"));
    assert_ne!(second.header("webhook-signature"), first.header("webhook-signature"));

    for _ in 1..5 {
        assert_eq!(scene.api.post(&resend, json!({})).await.status, StatusCode::CREATED);
    }
    assert_eq!(scene.api.post(&resend, json!({})).await.status, StatusCode::TOO_MANY_REQUESTS);
    scene.gitlab.advance(time::Duration::minutes(1));
    assert_eq!(scene.api.post(&resend, json!({})).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_test_delivery_shows_the_newest_of_its_kind() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = Receiver::start().await;
    let id = scene.hook(&receiver, json!({})).await;
    let path = |trigger: &str| scene.project_path(&format!("/hooks/{id}/test/{trigger}"));

    assert_eq!(scene.api.post(&path("push_events"), json!({})).await.status, StatusCode::CREATED);
    assert_eq!(receiver.only().body["object_kind"], "push");
    assert_eq!(
        scene.api.post(&path("pipeline_events"), json!({})).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(scene.api.post(&path("lunch_events"), json!({})).await.status, StatusCode::BAD_REQUEST);
    receiver.answer(500);
    assert_eq!(
        scene.api.post(&path("push_events"), json!({})).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn a_failing_hook_is_temporarily_disabled_and_enabled_again() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = Receiver::start().await;
    let id = scene.hook(&receiver, json!({})).await;
    let path = scene.project_path(&format!("/hooks/{id}"));
    receiver.answer(503);
    for number in 0..4 {
        scene.project.create_branch(&format!("PAY-{number}")).await;
    }
    assert_eq!(receiver.take().len(), 4);
    assert_eq!(scene.api.get(&path).await.body["alert_status"], "temporarily_disabled");
    scene.project.create_branch("PAY-4").await;
    assert!(receiver.take().is_empty(), "it is temporarily disabled");

    scene.gitlab.advance(time::Duration::seconds(61));
    scene.project.create_branch("PAY-5").await;
    assert_eq!(receiver.take().len(), 1, "a minute later it is tried again");
    scene.gitlab.advance(time::Duration::seconds(61));
    scene.project.create_branch("PAY-6").await;
    assert!(receiver.take().is_empty(), "the second time it is disabled for longer");

    receiver.answer(200);
    scene.api.post(&format!("{path}/test/push_events"), json!({})).await;
    assert_eq!(scene.api.get(&path).await.body["alert_status"], "executable");
    receiver.take();
    scene.project.create_branch("PAY-7").await;
    assert_eq!(receiver.take().len(), 1);
}

#[tokio::test]
async fn forty_failures_disable_a_hook_unless_the_instance_disables_none() {
    let scene = Scene::new(Version::V17_3).await;
    let receiver = Receiver::start().await;
    let id = scene.hook(&receiver, json!({})).await;
    let path = scene.project_path(&format!("/hooks/{id}"));
    receiver.answer(500);
    for number in 0..40 {
        scene.gitlab.advance(time::Duration::days(2));
        scene.project.create_branch(&format!("PAY-{number}")).await;
    }
    assert_eq!(receiver.take().len(), 40);
    scene.gitlab.advance(time::Duration::days(30));
    assert_eq!(scene.api.get(&path).await.body["alert_status"], "disabled");

    scene.gitlab.auto_disable_hooks(false);
    assert_eq!(scene.api.get(&path).await.body["alert_status"], "executable");
    scene.project.create_branch("PAY-99").await;
    assert_eq!(receiver.take().len(), 1);
}
