use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::{BUILDS, DEV_INFO, FLAGS, Installed, answer_of};
use crate::jira::provider::samples::{build, dev_info, flag, with};
use crate::jira::{Api, FailureRule};

#[tokio::test]
async fn injected_statuses_have_the_shape_of_the_api() {
    let world = Installed::start().await;
    world.site.fail(FailureRule::rate_limit("jira-burst-based", 7).times(2));
    let response = world.call(Method::POST, DEV_INFO, Some(&dev_info())).await;
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(response.headers()["ratelimit-reason"], "jira-burst-based");
    let (status, body) = answer_of(response).await;
    assert!(status == 429 && body["errorMessages"][0]["message"].is_string());
    let (status, body) = world.post(BUILDS, &json!({ "builds": [build(1, &["PAY-1"])] })).await;
    assert!(status == 429 && body[0]["message"].is_string());
    assert_eq!(world.post(DEV_INFO, &dev_info()).await.0, 202);
    assert_eq!(world.site.calls().answered(Api::DevInfo, 429), 1);

    for status in [400, 401, 403, 413, 500, 502, 503] {
        world.site.fail(FailureRule::status(status).on(Api::FeatureFlags).retry_after(1).times(1));
        let response =
            world.call(Method::POST, FLAGS, Some(&json!({ "flags": [flag("1", &["PAY-1"])] }))).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (status, &"1".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn connections_drop_and_answers_get_lost() {
    let world = Installed::start().await;
    world.site.fail(FailureRule::drop_connection().times(1));
    assert!(world.try_call(Method::POST, DEV_INFO, Some(&dev_info())).await.is_err());
    assert!(world.site.issue("PAY-1").is_empty());
    world.site.fail(FailureRule::lose_answer().times(1));
    assert!(world.try_call(Method::POST, DEV_INFO, Some(&dev_info())).await.is_err());
    assert_eq!(world.site.issue("PAY-1").commits.len(), 1);
    assert_eq!(world.site.calls().answered(Api::DevInfo, 0), 2);
    assert_eq!(world.post(DEV_INFO, &dev_info()).await.0, 202);
}

#[tokio::test]
async fn answers_can_be_slow() {
    let world = Installed::start().await;
    world.site.fail(FailureRule::slow(Duration::from_millis(80)));
    let start = Instant::now();
    assert_eq!(world.post(DEV_INFO, &dev_info()).await.0, 202);
    assert!(start.elapsed() >= Duration::from_millis(80));
    world.site.clear_failures();
}

#[tokio::test]
async fn entities_make_a_call_fail() {
    let world = Installed::start().await;
    let builds = |numbers: &[i64]| {
        let builds: Vec<_> = numbers.iter().map(|number| build(*number, &["PAY-1"])).collect();
        json!({ "builds": builds })
    };
    world.site.fail(FailureRule::more_entities_than(2).on(Api::Builds));
    world.site.fail(FailureRule::refuse_entity("7-abc/2", "a field is wrong"));
    world.site.fail(FailureRule::reject_entity("7-abc/3", "not today"));
    let (status, body) = world.post(BUILDS, &builds(&[1, 2, 3])).await;
    assert_eq!((status, &body[0]["message"]), (413, &json!("Data is too large")));
    let (status, body) = world.post(BUILDS, &builds(&[1, 2])).await;
    assert_eq!((status, &body[0]["message"]), (400, &json!("a field is wrong")));
    let (status, body) = world.post(BUILDS, &builds(&[1, 3])).await;
    assert_eq!((status, body["acceptedBuilds"].as_array().unwrap().len()), (202, 1));
    assert_eq!(body["rejectedBuilds"][0]["errors"][0]["message"], "not today");
    let statuses: Vec<_> = world.site.recorded().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [413, 400, 202]);
}

#[tokio::test]
async fn a_renamed_site_redirects_everything() {
    let world = Installed::start().await;
    let old = world.site.base_url();
    world.site.rename_to("renamed").await.unwrap();
    assert_eq!(world.jira.site("renamed").await.unwrap().cloud_id(), world.site.cloud_id());
    let new = world.site.base_url();
    assert_ne!(old, new);
    for (method, path) in
        [(Method::POST, DEV_INFO), (Method::GET, "/status"), (Method::GET, "/_edge/tenant_info")]
    {
        let response = world.http.request(method, format!("{old}{path}")).send().await.unwrap();
        assert_eq!(response.status(), 302);
        assert_eq!(response.headers()["location"].to_str().unwrap(), format!("{new}{path}"));
    }
    assert_eq!(world.post(DEV_INFO, &dev_info()).await.0, 202);
    // A client that follows redirects turns the POST into a GET.
    assert_eq!(world.get(DEV_INFO).await.0, 405);
    world.site.redeliver_installed().await.unwrap();
    assert_eq!(world.app.received()[1].body["baseUrl"], json!(new));
}

#[tokio::test]
async fn a_suspended_site_answers_503_on_every_connection() {
    let world = Installed::start().await;
    let token = world.site.forge_system_token("app", &[Api::DevInfo], Duration::from_secs(60));
    world.site.suspend();
    assert_eq!(world.post(DEV_INFO, &dev_info()).await.0, 503);
    assert_eq!(world.get("/status").await.0, 503);
    let url = format!("{}/ex/jira/{}{DEV_INFO}", world.jira.api_url(), world.site.cloud_id());
    assert_eq!(world.http.post(url).bearer_auth(token).json(&dev_info()).send().await.unwrap().status(), 503);
    world.site.resume();
    assert_eq!(world.get("/status").await.0, 200);
}

#[tokio::test]
async fn bad_bodies_are_refused_before_they_are_read_further() {
    let world = Installed::start().await;
    let send = async |body: Vec<u8>, kind: &str, target: &str| {
        let token = world.token("POST", target);
        let request = world.http.post(format!("{}{target}", world.site.base_url())).body(body);
        let request = request.header("content-type", kind).header("authorization", format!("JWT {token}"));
        answer_of(request.send().await.unwrap()).await
    };
    let json_type = "application/json";
    let (status, body) = send(b"{".to_vec(), json_type, DEV_INFO).await;
    assert!(
        status == 400 && body["errorMessages"][0]["message"].as_str().unwrap().starts_with("malformed JSON")
    );
    let (status, body) = send(b"{".to_vec(), json_type, BUILDS).await;
    assert!(status == 400 && body[0]["errorTraceId"].is_string());
    assert_eq!(send(dev_info().to_string().into_bytes(), "text/plain", DEV_INFO).await.0, 415);
    let filler = " ".repeat(6 * 1024 * 1024);
    assert_eq!(send(filler.into_bytes(), json_type, DEV_INFO).await.0, 413);
    assert!(world.site.recorded().is_empty());

    let emoji = with(dev_info(), "/repositories/0/commits/0/message", json!("\u{1f680}"));
    assert_eq!(world.post(DEV_INFO, &emoji).await.0, 400);
    let emoji = with(build(1, &["PAY-1"]), "/displayName", json!("\u{1f680}"));
    assert_eq!(world.post(BUILDS, &json!({ "builds": [emoji] })).await.0, 400);
    let properties = json!({ "builds": [build(1, &["PAY-1"])], "properties": { "_a": "b" } });
    assert_eq!(world.post(BUILDS, &properties).await.0, 400);
    assert!(world.site.issue("PAY-1").is_empty());
}
