//! Merge requests, in payloads and in the API.

use axum::http::StatusCode;
use serde_json::json;

use super::{Scene, Version};
use crate::gitlab::{MergeRequestHandle, commit, merge_request};

async fn opened(scene: &Scene) -> MergeRequestHandle {
    scene
        .project
        .push("PAY-7", [commit("PAY-7 one").file("a.rs", 2, 1), commit("PAY-7 two").adds("b.rs", 4)])
        .await;
    let bob = scene.gitlab.user("bob");
    scene
        .project
        .open_merge_request(merge_request("PAY-7", "PAY-7 Retry").describe("why").reviewer(&bob))
        .await
}

#[tokio::test]
async fn a_merge_request_from_opening_to_merging() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = scene.listen().await;
    let request = opened(&scene).await;
    request.update("PAY-7 Retry twice", "why not").await;
    request.set_draft(true).await;
    request.set_draft(false).await;
    request.comment("nice").await;
    request.close().await;
    request.reopen().await;
    request.merge().await;

    let delivered = receiver.take();
    let names: Vec<String> = delivered
        .iter()
        .map(|sent| {
            format!(
                "{} {}",
                sent.event(),
                sent.body["object_attributes"]["action"].as_str().unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            "Push Hook ",
            "Merge Request Hook open",
            "Merge Request Hook update",
            "Merge Request Hook update",
            "Merge Request Hook update",
            "Note Hook create",
            "Merge Request Hook close",
            "Merge Request Hook reopen",
            "Push Hook ",
            "Merge Request Hook merge",
        ]
    );
    let edit = &delivered[2].body;
    assert_eq!(
        edit["changes"]["title"],
        json!({ "previous": "PAY-7 Retry", "current": "PAY-7 Retry twice" })
    );
    assert_eq!(edit["user"]["email"], "[REDACTED]");
    assert!(edit["object_attributes"]["last_edited_at"].is_string());
    assert_eq!(delivered[3].body["object_attributes"]["draft"], true);
    assert_eq!(delivered[3].body["changes"]["draft"], json!({ "previous": false, "current": true }));
    assert_eq!(delivered[9].body["object_attributes"]["state"], "merged");

    let read = scene.api.get(&scene.project_path(&format!("/merge_requests/{}", request.iid()))).await.body;
    assert_eq!((&read["state"], &read["user_notes_count"]), (&json!("merged"), &json!(1)));
    assert_eq!(read["merge_commit_sha"], json!(scene.project.head("main").unwrap()));
    assert_eq!(read["references"]["full"], "acme/payments/api!1");
}

#[tokio::test]
async fn a_push_to_the_source_updates_the_merge_request() {
    let scene = Scene::new(Version::V19_1).await;
    let request = opened(&scene).await;
    let receiver = scene.listen().await;
    let pushed = scene.project.push("PAY-7", [commit("PAY-7 three")]).await;
    let delivered = receiver.take();
    let attributes = &delivered[1].body["object_attributes"];
    assert_eq!((&attributes["action"], &attributes["oldrev"]), (&json!("update"), &json!(pushed.before)));
    assert_eq!(attributes["last_commit"]["id"], json!(pushed.after));
    let commits =
        scene.api.get(&scene.project_path(&format!("/merge_requests/{}/commits", request.iid()))).await;
    assert_eq!(commits.texts("title"), ["PAY-7 three", "PAY-7 two", "PAY-7 one"]);
}

#[tokio::test]
async fn approvals_are_single_until_they_are_enough() {
    let scene = Scene::new(Version::V19_1).await;
    let request = opened(&scene).await;
    let (bob, eve) = (scene.gitlab.user("bob"), scene.gitlab.user("eve"));
    request.require_approvals(2);
    let receiver = scene.listen().await;
    request.approve_by(&bob).await;
    request.approve_by(&eve).await;
    request.unapprove_by(&eve).await;
    request.unapprove_by(&bob).await;
    request.request_changes_by(&bob).await;
    let delivered = receiver.take();
    let actions: Vec<_> = delivered.iter().map(|sent| &sent.body["object_attributes"]["action"]).collect();
    assert_eq!(actions, ["approval", "approved", "unapproved", "unapproval", "update"]);
    assert_eq!(delivered[0].body["user"]["username"], "bob");

    request.approve_by(&eve).await;
    let path = scene.project_path(&format!("/merge_requests/{}", request.iid()));
    let approvals = scene.api.get(&format!("{path}/approvals")).await.body;
    assert_eq!((&approvals["approved"], &approvals["approvals_left"]), (&json!(false), &json!(1)));
    assert_eq!(approvals["approved_by"][0]["user"]["username"], "eve");
    let reviewers = scene.api.get(&format!("{path}/reviewers")).await.body;
    assert_eq!(
        (&reviewers[0]["user"]["username"], &reviewers[0]["state"]),
        (&json!("bob"), &json!("requested_changes"))
    );
}

#[tokio::test]
async fn old_versions_know_no_reviewers_and_older_dates() {
    let scene = Scene::new(Version::V15_7).await;
    let receiver = scene.listen().await;
    let request = opened(&scene).await;
    let path = scene.project_path(&format!("/merge_requests/{}/reviewers", request.iid()));
    assert_eq!(scene.api.get(&path).await.status, StatusCode::NOT_FOUND);
    let attributes = receiver.take().pop().unwrap().body["object_attributes"].clone();
    assert!(attributes["created_at"].as_str().unwrap().ends_with(" UTC"), "{attributes}");
    assert!(attributes.get("draft").is_none() && attributes.get("detailed_merge_status").is_none());

    let scene = Scene::new(Version::V17_3).await;
    let receiver = scene.listen().await;
    opened(&scene).await.update("t", "d").await;
    let attributes = receiver.take().pop().unwrap().body["object_attributes"].clone();
    assert!(attributes["created_at"].as_str().unwrap().ends_with('Z'));
    assert!(attributes["last_edited_at"].as_str().unwrap().ends_with(" UTC"));
}

#[tokio::test]
async fn lists_are_narrowed_and_ordered() {
    let scene = Scene::new(Version::V19_1).await;
    let first = opened(&scene).await;
    scene.project.create_branch("PAY-8").await;
    let middle = scene.gitlab.now() + time::Duration::milliseconds(500);
    scene.gitlab.advance(time::Duration::seconds(1));
    scene.project.open_merge_request(merge_request("PAY-8", "Fix").describe("see PAY-9").draft()).await;
    let path = |query: &str| scene.project_path(&format!("/merge_requests?{query}"));

    assert_eq!(scene.api.get(&path("")).await.texts("title"), ["Draft: Fix", "PAY-7 Retry"], "newest first");
    assert_eq!(scene.api.get(&path("order_by=created_at&sort=asc")).await.texts("title")[0], "PAY-7 Retry");
    assert_eq!(scene.api.get(&path("source_branch=PAY-7")).await.texts("title"), ["PAY-7 Retry"]);
    assert_eq!(
        scene.api.get(&path("search=pay-9&in=title,description")).await.texts("title"),
        ["Draft: Fix"]
    );
    assert!(scene.api.get(&path("search=pay-9&in=title")).await.texts("title").is_empty());
    let since = crate::gitlab::clock::rest(middle);
    assert_eq!(scene.api.get(&path(&format!("updated_after={since}"))).await.texts("title"), ["Draft: Fix"]);
    first.close().await;
    assert_eq!(scene.api.get(&path("state=opened")).await.texts("title"), ["Draft: Fix"]);
    assert_eq!(scene.api.get(&path("order_by=updated_at")).await.texts("title")[0], "PAY-7 Retry");
    for wrong in ["state=broken", "order_by=luck", "updated_after=soon"] {
        assert_eq!(scene.api.get(&path(wrong)).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(scene.api.get(&scene.project_path("/merge_requests/99")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn commits_and_deployments_know_their_merge_requests() {
    let scene = Scene::new(Version::V19_1).await;
    let request = opened(&scene).await;
    let head = scene.project.head("PAY-7").unwrap();
    let path = scene.project_path(&format!("/repository/commits/{head}/merge_requests"));
    assert_eq!(scene.api.get(&path).await.texts("title"), ["PAY-7 Retry"]);

    let early = scene.project.deploy("production", "main");
    early.status("success").await;
    request.merge().await;
    let later = scene.project.deploy("production", "main");
    let path = |id: u64| scene.project_path(&format!("/deployments/{id}/merge_requests"));
    assert!(scene.api.get(&path(early.id())).await.texts("title").is_empty());
    assert_eq!(scene.api.get(&path(later.id())).await.texts("title"), ["PAY-7 Retry"]);
}
