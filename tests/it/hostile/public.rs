//! What is open to everyone: the descriptor, the picture, the id of the OAuth application, and every path there is not.

use std::sync::Arc;

use axum::http::Method;
use gitlab_jira::demo::world::World;
use serde_json::{Value, json};
use shared::bundle::{FUNCTIONS, Trigger};
use shared::clock::SystemClock;
use shared::config::{Identity, Variables};
use standins::gitlab::Version;

use super::{Fortress, refused};

/// GitLab.com, where the proxy of GitLab's own listing is.
const PROXY: &str = "https://gitlab.com";

/// Answers for `OAUTH_APPLICATION_ID` and CORS: status, body, and the three headers.
async fn application_id(
    world: &World,
    method: Method,
    origin: Option<&str>,
) -> (u16, String, [Option<String>; 3]) {
    let url = format!("{}/oauth_application_id", world.connect_base_url());
    let mut request = reqwest::Client::new().request(method, url);
    if let Some(origin) = origin {
        request = request.header("origin", origin).header("access-control-request-method", "GET");
    }
    let answer = request.send().await.unwrap();
    let headers =
        ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-credentials"];
    let headers =
        headers.map(|name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()));
    (answer.status().as_u16(), answer.text().await.unwrap(), headers)
}

async fn world(variables: &[(&str, &str)]) -> World {
    World::start_with(Version::V19_1, Arc::new(SystemClock), variables).await.unwrap()
}

/// S22, S23; S25 and S26 ask the same of pages that are not part of this bundle yet.
#[tokio::test]
async fn s22_s23_the_application_id_is_shown_and_the_proxys_pages_may_read_it() {
    let world = world(&[("OAUTH_APPLICATION_ID", "123456"), ("PROXY_URL", PROXY)]).await;
    let id = json!({"application_id": "123456"}).to_string();
    assert_eq!(application_id(&world, Method::GET, None).await, (200, id.clone(), [None, None, None]));
    let allowed = [Some(PROXY.to_owned()), Some("GET, OPTIONS".to_owned()), None];
    assert_eq!(application_id(&world, Method::GET, Some(PROXY)).await, (200, id, allowed.clone()));
    assert_eq!(application_id(&world, Method::OPTIONS, Some(PROXY)).await, (200, String::new(), allowed));
}

/// S23, S26: byte for byte, or not at all.
#[tokio::test]
async fn s23_other_origins_may_not_read_it() {
    let proxied = world(&[("OAUTH_APPLICATION_ID", "123456"), ("PROXY_URL", PROXY)]).await;
    let bare = world(&[("OAUTH_APPLICATION_ID", "123456")]).await;
    for origin in [
        "https://evil.example",
        "https://gitlab.com/",
        "https://gitlab.com.evil.example",
        "https://evil-gitlab.com",
        "http://gitlab.com",
        "https://gitlab.com:8443",
        "https://GITLAB.com",
        "null",
        "*",
        "",
    ] {
        for method in [Method::GET, Method::OPTIONS] {
            let (_, _, headers) = application_id(&proxied, method.clone(), Some(origin)).await;
            assert_eq!(headers, [None, None, None], "{origin}");
        }
    }
    for method in [Method::GET, Method::OPTIONS] {
        let (_, _, headers) = application_id(&bare, method, Some(PROXY)).await;
        assert_eq!(headers, [None, None, None], "no proxy is configured");
    }
}

/// S24.
#[tokio::test]
async fn s24_without_an_application_there_is_nothing() {
    let world = world(&[("OAUTH_APPLICATION_ID", "")]).await;
    assert_eq!(application_id(&world, Method::GET, None).await, (404, String::new(), [None, None, None]));
}

fn identity(base_url: &str) -> Identity {
    let source = |name: &str| (name == "BASE_URL").then(|| base_url.to_owned());
    let mut variables = Variables::new(&source);
    let identity = Identity::read(&mut variables);
    variables.finish(identity).unwrap()
}

/// N2, and section 2.1 of what GitLab's own app says of itself.
#[test]
fn n2_the_descriptor_names_the_app_after_its_host() {
    insta::assert_json_snapshot!(descriptor::descriptor(&identity("https://gitlab.example.com")));
    let long = identity(&format!("https://{}.example.com", "a".repeat(60)));
    let key = descriptor::descriptor(&long)["key"].as_str().unwrap().to_owned();
    assert_eq!(key.len(), 64);
}

/// Jira calls what the descriptor names, so all of it has to be there.
#[tokio::test]
async fn every_url_of_the_descriptor_answers() {
    let fortress = Fortress::new().await;
    let base = fortress.world.connect_base_url();
    let url = format!("{base}/app_descriptor.json");
    let descriptor: Value = fortress.http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(descriptor["baseUrl"], base);
    assert!(descriptor["key"].as_str().unwrap().len() <= 64);
    for (event, path) in descriptor["lifecycle"].as_object().unwrap() {
        let path = path.as_str().unwrap();
        assert!(path.starts_with('/'), "{event}: lifecycle paths are below baseUrl");
        assert_eq!(
            fortress.http.post(format!("{base}{path}")).send().await.unwrap().status(),
            401,
            "{event}"
        );
    }
    let mut ours = Vec::new();
    urls(&descriptor, fortress.world.base_url(), &mut ours);
    assert!(ours.len() >= 6, "{ours:?}");
    for url in ours.iter().filter(|url| **url != base) {
        let got = fortress.http.get(url).send().await.unwrap().status();
        // Of an action that changes something.
        let status = if got == 405 { fortress.http.post(url).send().await.unwrap().status() } else { got };
        assert!(matches!(status.as_u16(), 200 | 403), "{url}: {status}");
    }
}

/// All texts of a JSON value that begin with `prefix`.
fn urls(value: &Value, prefix: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with(prefix) => found.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| urls(value, prefix, found)),
        Value::Object(fields) => fields.values().for_each(|value| urls(value, prefix, found)),
        _ => {}
    }
}

/// The routes of the table, and no others.
#[tokio::test]
async fn other_methods_and_other_paths_are_not_there() {
    let fortress = Fortress::new().await;
    let routes: Vec<_> = FUNCTIONS
        .iter()
        .flat_map(|function| match function.trigger {
            Trigger::Http(routes) => routes.to_vec(),
            Trigger::Queue(_) | Trigger::Schedule(_) => Vec::new(),
        })
        .collect();
    for route in &routes {
        let path = route.path.replace("{subscription}", "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HACK"] {
            let known = routes.iter().any(|other| other.path == route.path && other.method == method);
            if !known {
                let url = format!("{}{path}", fortress.world.base_url());
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let answer = fortress.http.request(method.clone(), url).send().await.unwrap();
                fortress.holds(answer, 405, &format!("{method} {path}")).await;
            }
        }
    }
    for path in [
        "/",
        "/-/jira_connect",
        "/-/jira_connect/",
        "/-/jira_connect/events/installed/",
        "/-/jira_connect/events/enabled",
        "/-/jira_connect/EVENTS/installed",
        "//-/jira_connect/events/installed",
        "/webhooks/gitlab",
        "/webhooks/gitlab/",
        "/webhooks/gitlab/01ARZ3NDEKTSV4RRFFQ69G5FAV/x",
        "/status",
        "/control.sock",
        "/%2e%2e/key",
        "/.env",
    ] {
        for method in [Method::GET, Method::POST] {
            let url = format!("{}{path}", fortress.world.base_url());
            let answer = fortress.http.request(method, url).send().await.unwrap();
            fortress.holds(answer, 404, path).await;
        }
    }
    let health = fortress.http.get(format!("{}/healthz", fortress.world.base_url())).send().await.unwrap();
    assert_eq!(health.status(), 200);
    refused(fortress.http.post(health.url().clone()).send().await.unwrap(), 405, "/healthz").await;
}
