//! Pipelines, deployments and feature flags, in payloads and in the API.

use axum::http::StatusCode;
use serde_json::json;

use super::{Scene, Version};
use crate::gitlab::{commit, merge_request};

#[tokio::test]
async fn every_status_of_a_pipeline_triggers_hooks() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = scene.listen().await;
    let pipeline =
        scene.project.start_pipeline("main").await.with_job("test", "unit", "success").with_tests(7, 2, 1);
    pipeline.status("running").await;
    pipeline.status("success").await;
    let delivered = receiver.take();
    let states: Vec<_> = delivered.iter().map(|sent| &sent.body["object_attributes"]["status"]).collect();
    assert_eq!(states, ["pending", "running", "success"]);
    let last = &delivered[2].body;
    assert_eq!((&last["object_attributes"]["iid"], &last["builds"][0]["name"]), (&json!(1), &json!("unit")));
    assert_eq!(last["object_attributes"]["detailed_status"], "passed");
    assert!(last["object_attributes"].get("updated_at").is_none());

    let path = scene.project_path(&format!("/pipelines/{}", pipeline.id()));
    assert_eq!(scene.api.get(&path).await.body["status"], "success");
    let summary = scene.api.get(&format!("{path}/test_report_summary")).await.body;
    assert_eq!((&summary["total"]["count"], &summary["total"]["failed"]), (&json!(10), &json!(2)));
    assert_eq!(scene.api.get(&format!("{path}/jobs")).await.texts("name"), ["unit"]);
    assert_eq!(scene.api.get(&scene.project_path("/pipelines/1")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_merge_request_pipeline_has_two_refs() {
    let scene = Scene::new(Version::V19_1).await;
    scene.project.push("PAY-7", [commit("PAY-7")]).await;
    let request = scene.project.open_merge_request(merge_request("PAY-7", "PAY-7 Retry")).await;
    let receiver = scene.listen().await;
    let pipeline = request.start_pipeline().await;
    let delivered = receiver.only().body;
    assert_eq!(delivered["object_attributes"]["ref"], "PAY-7", "hooks name the source branch");
    assert_eq!(delivered["object_attributes"]["source"], "merge_request_event");
    assert_eq!(
        (&delivered["merge_request"]["iid"], delivered["merge_request"].get("description")),
        (&json!(1), None)
    );
    let read = scene.api.get(&scene.project_path(&format!("/pipelines/{}", pipeline.id()))).await.body;
    assert_eq!(read["ref"], "refs/merge-requests/1/head");
    let path = scene.project_path(&format!("/merge_requests/{}/pipelines", request.iid()));
    assert_eq!(scene.api.get(&path).await.body[0]["id"], json!(pipeline.id()));
    let read = scene.api.get(&scene.project_path("/merge_requests/1")).await.body;
    assert_eq!(read["head_pipeline"]["id"], json!(pipeline.id()));
}

#[tokio::test]
async fn pipelines_of_blocked_users_trigger_no_hook() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = scene.listen().await;
    let eve = scene.gitlab.user("eve");
    let pipeline = scene.project.acting_as(&eve).start_pipeline("main").await;
    assert_eq!(receiver.take().len(), 1);
    eve.block();
    pipeline.status("running").await;
    let pipeline =
        scene.project.acting_as(&eve).start_pipeline("main").await.with_job("test", "unit", "pending");
    pipeline.job_status("unit", "running").await;
    assert!(receiver.take().is_empty());
}

#[tokio::test]
async fn a_job_calls_its_pipeline_a_commit() {
    let scene = Scene::new(Version::V15_7).await;
    let pipeline = scene.project.start_pipeline("main").await.with_job("test", "unit", "pending");
    let receiver = scene.listen().await;
    pipeline.job_status("unit", "running").await;
    let delivered = receiver.only();
    assert_eq!((delivered.event(), &delivered.body["build_status"]), ("Job Hook", &json!("running")));
    assert_eq!(delivered.body["commit"]["id"], json!(pipeline.id()));
}

#[tokio::test]
async fn deployments_trigger_hooks_once_they_run() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = scene.listen().await;
    let deployment = scene.project.deploy("production", "main");
    deployment.status("blocked").await;
    assert!(receiver.take().is_empty(), "created and blocked are silent");
    deployment.status("running").await;
    deployment.status("success").await;
    let delivered = receiver.take();
    let states: Vec<_> = delivered.iter().map(|sent| &sent.body["status"]).collect();
    assert_eq!(states, ["running", "success"]);
    let body = &delivered[1].body;
    assert_eq!((delivered[1].event(), &body["deployment_id"]), ("Deployment Hook", &json!(deployment.id())));
    assert_eq!(body["environment_tier"], "production");
    assert!(body.get("ref").is_none() && body.get("sha").is_none() && body.get("iid").is_none());
    assert!(body["deployable_url"].as_str().unwrap().contains("/-/jobs/"));
    deployment.status("skipped").await;
    assert!(receiver.take().is_empty());

    let read = scene.api.get(&scene.project_path(&format!("/deployments/{}", deployment.id()))).await.body;
    assert_eq!((&read["iid"], &read["ref"]), (&json!(1), &json!("main")));
    assert!(read["deployable"]["pipeline"]["id"].is_u64());
    assert!(read["environment"].get("tier").is_none(), "the tier is the environment's own");
    let path = scene.project_path(&format!("/environments/{}", read["environment"]["id"]));
    assert_eq!(scene.api.get(&path).await.body["tier"], "production");
}

#[tokio::test]
async fn a_deployment_from_outside_has_no_job() {
    let scene = Scene::new(Version::V15_7).await;
    scene.project.set_environment_url("eu", "https://eu.example.com");
    scene.project.set_environment_tier("eu", "staging");
    let receiver = scene.listen().await;
    let deployment = scene.project.deploy_externally("eu", "main");
    deployment.status("running").await;
    let delivered = receiver.only().body;
    assert_eq!((&delivered["deployable_id"], &delivered["deployable_url"]), (&json!(null), &json!(null)));
    assert_eq!(delivered["environment_external_url"], "https://eu.example.com");
    assert!(delivered["status_changed_at"].as_str().unwrap().ends_with(" +0200"), "{delivered}");
    assert!(delivered.get("environment_tier").is_none());
    let read = scene.api.get(&scene.project_path(&format!("/deployments/{}", deployment.id()))).await.body;
    assert_eq!(read["deployable"], json!(null));
}

#[tokio::test]
async fn deployments_are_narrowed_and_ordered() {
    let scene = Scene::new(Version::V19_1).await;
    let first = scene.project.deploy("production", "main");
    let second = scene.project.deploy("staging", "main");
    second.status("blocked").await;
    first.status("success").await;
    let path = |query: &str| scene.project_path(&format!("/deployments?{query}"));
    let ids = async |query: &str| -> Vec<u64> {
        let reply = scene.api.get(&path(query)).await;
        reply.body.as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids("").await, [first.id(), second.id()]);
    assert_eq!(ids("environment=staging").await, [second.id()]);
    assert_eq!(ids("status=blocked").await, [second.id()]);
    assert_eq!(
        ids("order_by=updated_at&updated_after=2001-01-01&sort=desc").await,
        [first.id(), second.id()]
    );
    let finished = "order_by=finished_at&finished_after=2001-01-01&status=success";
    assert_eq!(ids(finished).await, [first.id()]);
    for wrong in [
        "status=skipped",
        "updated_after=2001-01-01",
        "order_by=finished_at",
        "order_by=finished_at&finished_after=2001-01-01",
        "order_by=mood",
    ] {
        assert_eq!(scene.api.get(&path(wrong)).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let old = Scene::new(Version::V15_7).await;
    assert_eq!(
        old.api.get(&old.project_path("/deployments?status=blocked")).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
#[should_panic(expected = "no blocked deployments")]
async fn old_versions_block_no_deployments() {
    let scene = Scene::new(Version::V15_7).await;
    scene.project.deploy("production", "main").status("blocked").await;
}

#[tokio::test]
async fn only_switching_a_flag_triggers_hooks() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = scene.listen().await;
    let flag = scene.project.feature_flag("retry payments").describe("PAY-7").strategy(
        "gradualRolloutUserId",
        json!({ "percentage": "50" }),
        &["production", "staging"],
    );
    flag.toggle(false).await;
    assert!(receiver.take().is_empty(), "edits are silent, and so is a switch that changes nothing");
    flag.toggle(true).await;
    let delivered = receiver.only();
    assert_eq!(delivered.event(), "Feature Flag Hook");
    let expected =
        json!({ "id": flag.id(), "name": "retry payments", "description": "PAY-7", "active": true });
    assert_eq!(delivered.body["object_attributes"], expected);

    let read = scene.api.get(&scene.project_path("/feature_flags/retry%20payments")).await.body;
    assert!(read.get("id").is_none() && read.get("iid").is_none());
    assert_eq!(read["strategies"][0]["parameters"]["percentage"], "50");
    assert_eq!(read["strategies"][0]["scopes"][1]["environment_scope"], "staging");
    assert_eq!(scene.api.get(&scene.project_path("/feature_flags?scope=disabled")).await.body, json!([]));
    flag.delete();
    let gone = scene.api.get(&scene.project_path("/feature_flags/retry%20payments")).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pipelines_are_narrowed() {
    let scene = Scene::new(Version::V19_1).await;
    scene.project.create_branch("PAY-1").await;
    let first = scene.project.start_pipeline("main").await;
    let second = scene.project.start_pipeline("PAY-1").await;
    first.status("failed").await;
    let ids = async |query: &str| -> Vec<u64> {
        let reply = scene.api.get(&scene.project_path(&format!("/pipelines?{query}"))).await;
        reply.body.as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids("").await, [second.id(), first.id()]);
    assert_eq!(ids("order_by=updated_at").await, [first.id(), second.id()]);
    assert_eq!(ids("ref=PAY-1").await, [second.id()]);
    assert_eq!(ids("status=failed&sort=asc").await, [first.id()]);
}
