//! Counting, injected faults and rate limits.

use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::{Scene, Version};
use crate::gitlab::Fault;

#[tokio::test]
async fn calls_are_counted_by_route() {
    let scene = Scene::new(Version::V19_1).await;
    scene.api.get(&scene.project_path("")).await;
    scene.api.get("/projects/acme%2Fpayments%2Fapi").await;
    scene.api.get("/projects/404").await;
    assert_eq!(scene.gitlab.calls_to("GET /projects/:id"), 3);
    assert_eq!(scene.gitlab.calls_to("GET /groups"), 0);
    let last = scene.gitlab.calls().pop().unwrap();
    assert_eq!((last.target.as_str(), last.status), ("/api/v4/projects/404", 404));
}

#[tokio::test]
async fn faults_apply_where_and_as_often_as_set() {
    let scene = Scene::new(Version::V19_1).await;
    scene.gitlab.inject(Fault::status(502).on("/projects").times(1));
    assert_eq!(scene.api.get("/user").await.status, StatusCode::OK);
    assert_eq!(scene.api.get(&scene.project_path("")).await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(scene.api.get(&scene.project_path("")).await.status, StatusCode::OK);

    scene.gitlab.inject(Fault::status(503).retry_after(Duration::from_secs(7)).method("GET"));
    let refused = scene.api.get("/user").await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "7"));
    assert_eq!(scene.api.get("/user").await.status, StatusCode::SERVICE_UNAVAILABLE, "until cleared");
    scene.gitlab.clear_faults();
    assert_eq!(scene.api.get("/user").await.status, StatusCode::OK);
}

#[tokio::test]
async fn answers_can_be_slow_or_missing() {
    let scene = Scene::new(Version::V19_1).await;
    scene.gitlab.inject(Fault::slow(Duration::from_millis(80)).times(1));
    let start = Instant::now();
    assert_eq!(scene.api.get("/user").await.status, StatusCode::OK);
    assert!(start.elapsed() >= Duration::from_millis(80));

    scene.gitlab.inject(Fault::dropped().times(1));
    let answer = scene.api.http.get(format!("{}/user", scene.api.base)).send().await;
    let broke = match answer {
        Err(_) => true,
        Ok(answer) => answer.bytes().await.is_err(),
    };
    assert!(broke, "the connection is cut");
}

#[tokio::test]
async fn too_many_calls_are_refused_for_a_while() {
    let scene = Scene::new(Version::V19_1).await;
    scene.gitlab.limit_calls("/groups", 2, Duration::from_millis(400));
    let first = scene.api.get("/groups").await;
    assert_eq!((first.header("ratelimit-limit"), first.header("ratelimit-remaining")), ("2", "1"));
    scene.api.get("/groups").await;
    let refused = scene.api.get("/groups").await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    assert_eq!(refused.header("ratelimit-observed"), "3");
    assert_eq!(scene.api.get("/user").await.status, StatusCode::OK, "other paths go on");
    let bob = scene.member("bob", super::Role::Reporter);
    assert_eq!(bob.get("/groups").await.status, StatusCode::OK, "so do other credentials");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(scene.api.get("/groups").await.status, StatusCode::OK);
}
