//! How calls are addressed and signed through each connection, and what Jira's statuses become. Case ids are those of the
//! acceptance list.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::scripted_server::{Request as Received, Response, ScriptedServer};
use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::clock::stopped::StoppedClock;
use crate::jira::answer::RateLimitReason;
use crate::jira::error::MAX_ANSWER;
use crate::jwt::symmetric::Qsh;
use crate::jwt::unverified::Unverified;
use crate::outbound::{HostGuard, RedirectRule, outbound_client};

const SECRET: &str = "planted-shared-secret";
const CLIENT_SECRET: &str = "planted-client-secret";

fn http() -> reqwest::Client {
    let guard = HostGuard::parse("127.0.0.1").expect("a list");
    outbound_client(&guard, RedirectRule::None, None).expect("a client")
}

fn connect(base_url: Url) -> JiraClient {
    let authentication =
        Authentication::Connect { app_key: "app.key".to_owned(), shared_secret: SecretString::from(SECRET) };
    JiraClient::new(http(), StoppedClock::new(), base_url, authentication)
}

fn oauth(server: &ScriptedServer, clock: Arc<StoppedClock>) -> JiraClient {
    let authentication = Authentication::OauthCredentials {
        api_url: server.url(),
        cloud_id: "cloud-1".to_owned(),
        client_id: "client-1".to_owned(),
        client_secret: SecretString::from(CLIENT_SECRET),
        tokens: AccessTokens::default(),
    };
    JiraClient::new(http(), clock, server.url(), authentication)
}

/// A gateway that gives out `token-1`, `token-2` and so on, and answers everything else as `script` says.
fn gateway(script: impl Fn(&Received) -> Response + Send + Sync + 'static) -> ScriptedServer {
    let count = AtomicUsize::new(0);
    ScriptedServer::start(move |request| {
        if request.target == "/oauth/token" {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            Response::json(200, &json!({"access_token": format!("token-{number}"), "expires_in": 3600}))
        } else {
            script(request)
        }
    })
}

fn accepts(_: &Received) -> Response {
    Response::json(202, &json!({}))
}

/// What Jira would check: the token is signed with the shared secret, for this very request.
fn assert_signed(request: &Received) {
    let token = request.header("authorization").strip_prefix("JWT ").expect("a JWT");
    let (path, query) = request
        .target
        .split_once('?')
        .map_or((request.target.as_str(), None), |(path, query)| (path, Some(query)));
    let signed = Request { method: &request.method, path, query };
    let token = Unverified::parse(token).expect("well formed");
    let claims = symmetric::verify(
        &token,
        &SecretString::from(SECRET),
        &Qsh::Request(signed),
        StoppedClock::new().now(),
    )
    .expect("signed for this request");
    assert_eq!(claims.client_key, "app.key");
}

/// C52.
#[tokio::test]
async fn connect_calls_the_site_with_a_token_for_each_request() {
    let server = ScriptedServer::start(accepts);
    let client = connect(server.url());
    for api in Api::ALL {
        client.submit(api, &json!({"some": "body"})).await.expect("accepted");
    }
    assert_eq!(
        server.lines(),
        [
            "POST /rest/devinfo/0.10/bulk",
            "POST /rest/builds/0.1/bulk",
            "POST /rest/deployments/0.1/bulk",
            "POST /rest/featureflags/0.1/bulk",
        ]
    );
    for request in server.requests() {
        assert_signed(&request);
        assert_eq!(request.header("content-type"), "application/json");
        assert_eq!(request.header("accept"), "application/json");
        assert_eq!(request.json(), json!({"some": "body"}));
    }
}

/// As in C53: what a base URL has of a path is kept, and is no part of what is signed.
#[tokio::test]
async fn a_base_url_keeps_its_path() {
    let server = ScriptedServer::start(accepts);
    let client = connect(server.url().join("/ex/jira/cloud-xyz").expect("a URL"));
    client.submit(Api::DevInfo, &json!({})).await.expect("accepted");
    let mut request = server.requests().remove(0);
    assert_eq!(request.target, "/ex/jira/cloud-xyz/rest/devinfo/0.10/bulk");
    request.target = request.target.replace("/ex/jira/cloud-xyz", "");
    assert_signed(&request);
}

/// C48, for ids that mean something in a URL.
#[tokio::test]
async fn an_id_is_one_segment_of_the_path() {
    let server = ScriptedServer::start(accepts);
    let client = connect(server.url());
    let segments = ["repository", "42", "branch", "a/b c?d#e%2F..é"];
    client.delete(Api::DevInfo, &segments, Some(7)).await.expect("removed");
    client.delete(Api::FeatureFlags, &["flag", "x/../y"], None).await.expect("removed");
    assert_eq!(
        server.lines(),
        [
            "DELETE /rest/devinfo/0.10/repository/42/branch/a%2Fb%20c%3Fd%23e%252F..%C3%A9?_updateSequenceId=7",
            "DELETE /rest/featureflags/0.1/flag/x%2F..%2Fy",
        ]
    );
    server.requests().iter().for_each(assert_signed);
}

#[tokio::test]
async fn a_404_says_that_there_is_no_such_api() {
    let client = connect(ScriptedServer::start(|_| Response::new(404, "")).url());
    let deleted = client.delete(Api::Builds, &["pipelines", "p", "builds", "1"], None).await;
    assert!(matches!(deleted, Err(JiraError::NotFound)), "{deleted:?}");
    let error = client.delete_by_properties(Api::Builds, &[("link", "x")]).await.expect_err("no such API");
    assert!(matches!(error, JiraError::NotFound), "{error:?}");
}

#[tokio::test]
async fn properties_are_encoded_and_all_of_them_sent() {
    let server = ScriptedServer::start(accepts);
    let client = connect(server.url());
    client
        .delete_by_properties(Api::Builds, &[("link", "a&b=c"), ("projectId", "é")])
        .await
        .expect("removed");
    assert_eq!(server.lines(), ["DELETE /rest/builds/0.1/bulkByProperties?link=a%26b%3Dc&projectId=%C3%A9"]);
    server.requests().iter().for_each(assert_signed);
}

#[tokio::test]
async fn credentials_call_the_gateway_with_one_token_for_many_calls() {
    let server = gateway(accepts);
    let client = oauth(&server, StoppedClock::new());
    for api in Api::ALL {
        client.submit(api, &json!({})).await.expect("accepted");
    }
    client.delete(Api::DevInfo, &["repository", "42"], Some(7)).await.expect("removed");
    client.check().await.expect("allowed");
    assert_eq!(
        server.lines(),
        [
            "POST /oauth/token",
            "POST /jira/devinfo/0.1/cloud/cloud-1/bulk",
            "POST /jira/builds/0.1/cloud/cloud-1/bulk",
            "POST /jira/deployments/0.1/cloud/cloud-1/bulk",
            "POST /jira/featureflags/0.1/cloud/cloud-1/bulk",
            "DELETE /jira/devinfo/0.1/cloud/cloud-1/repository/42?_updateSequenceId=7",
            "GET /jira/devinfo/0.1/cloud/cloud-1/existsByProperties?check=1",
        ]
    );
    let requests = server.requests();
    assert_eq!(
        requests[0].json(),
        json!({"audience": "api.atlassian.com", "grant_type": "client_credentials",
               "client_id": "client-1", "client_secret": CLIENT_SECRET})
    );
    assert!(requests[1..].iter().all(|request| request.header("authorization") == "Bearer token-1"));
}

fn forge(server: &ScriptedServer, clock: Arc<StoppedClock>, settles_in: Duration) -> JiraClient {
    let authentication = Authentication::Forge {
        api_url: server.url(),
        cloud_id: "cloud-xyz".to_owned(),
        token: SecretString::from("sys-token-123"),
        settled_at: clock.now().after(settles_in),
    };
    JiraClient::new(http(), clock, server.url(), authentication)
}

/// C53.
#[tokio::test]
async fn c53_forge_calls_the_sites_paths_on_the_gateway_with_its_token() {
    let server = ScriptedServer::start(accepts);
    let client = forge(&server, StoppedClock::new(), Duration::ZERO);
    client.submit(Api::DevInfo, &json!({})).await.expect("accepted");
    client.delete_by_properties(Api::Builds, &[("link", "x")]).await.expect("accepted");
    assert_eq!(client.has_project("ABC").await.expect("an answer"), Some(true));
    assert_eq!(
        server.lines(),
        [
            "POST /ex/jira/cloud-xyz/rest/devinfo/0.10/bulk",
            "DELETE /ex/jira/cloud-xyz/rest/builds/0.1/bulkByProperties?link=x",
            "GET /ex/jira/cloud-xyz/rest/api/3/project/ABC",
        ]
    );
    for request in server.requests() {
        assert_eq!(request.header("authorization"), "Bearer sys-token-123");
    }
}

#[tokio::test]
async fn refusals_of_a_new_forge_app_mean_nothing_yet() {
    for status in [401, 403] {
        let server = ScriptedServer::start(move |_| Response::json(status, &json!({})));
        let clock = StoppedClock::new();
        let client = forge(&server, clock.clone(), Duration::from_secs(600));
        assert!(matches!(client.check().await, Err(JiraError::PermissionsPropagating)), "{status}");
        clock.advance(Duration::from_secs(600));
        let refused = client.check().await;
        assert!(matches!(refused, Err(JiraError::Unauthorized | JiraError::Forbidden(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let (server, clock) = (gateway(accepts), StoppedClock::new());
    let client = oauth(&server, Arc::clone(&clock));
    for (pause, token) in [(0, "token-1"), (3_500, "token-1"), (60, "token-2")] {
        clock.advance(Duration::from_secs(pause));
        client.check().await.expect("allowed");
        let requests = server.requests();
        assert_eq!(requests[requests.len() - 1].header("authorization"), format!("Bearer {token}"));
    }
}

#[tokio::test]
async fn a_token_revoked_before_its_time_is_renewed_once() {
    let server = gateway(|request| match request.header("authorization") {
        "Bearer token-1" => Response::new(401, ""),
        _ => Response::json(202, &json!({})),
    });
    let client = oauth(&server, StoppedClock::new());
    client.submit(Api::Builds, &json!({"builds": []})).await.expect("accepted");
    client.submit(Api::Builds, &json!({"builds": []})).await.expect("accepted");
    let bulk = "POST /jira/builds/0.1/cloud/cloud-1/bulk";
    assert_eq!(server.lines(), ["POST /oauth/token", bulk, "POST /oauth/token", bulk, bulk]);
    assert_eq!(server.requests()[3].json(), json!({"builds": []}));
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_ends_it() {
    let server = gateway(|_| Response::new(401, ""));
    let error = oauth(&server, StoppedClock::new()).check().await.expect_err("refused");
    assert!(matches!(error, JiraError::Unauthorized), "{error:?}");
    assert_eq!(server.lines().len(), 4);
}

/// Whatever the token endpoint refuses is the credential, never the data of the call that needs the token.
#[tokio::test]
async fn a_credential_that_gives_no_token_is_refused() {
    for status in [400, 401, 403] {
        let server =
            ScriptedServer::start(move |_| Response::json(status, &json!({"error": "invalid_client"})));
        let error =
            oauth(&server, StoppedClock::new()).submit(Api::Builds, &json!({})).await.expect_err("refused");
        assert!(matches!(error, JiraError::Unauthorized), "{status}: {error:?}");
        assert!(server.lines().iter().all(|line| line == "POST /oauth/token"));
    }
}

/// Submits to a server that answers `response`, which must be an error.
async fn refusal_of(response: Response) -> JiraError {
    let server = ScriptedServer::start(move |_| response.clone());
    let error = connect(server.url()).submit(Api::Builds, &json!({})).await.expect_err("refused");
    assert_eq!(server.lines().len(), 1, "nothing is followed or repeated here");
    error
}

/// C7, C9, C10 and the other statuses.
#[tokio::test]
async fn statuses_and_what_they_mean() {
    for (status, body, text) in [
        (400, r#"[{"message":"X"},{"message":"Y"}]"#, "Jira refuses the data: X, Y"),
        (413, r#"{"errorMessages":["too big"]}"#, "Data too large: too big"),
        (413, r#"[{"message":"X"},{"message":"Y"}]"#, "Data too large: X, Y"),
        (401, "", "Jira refuses the credential"),
        (403, "", "the app does not support builds"),
        (404, "", "Jira does not know the site or the API"),
        (429, "", "Rate limit exceeded"),
        (500, "", "Service unavailable (500 Internal Server Error)"),
        (503, "", "Service unavailable (503 Service Unavailable)"),
        (405, "", "Jira's answer is not understood (405 Method Not Allowed)"),
    ] {
        assert_eq!(refusal_of(Response::new(status, body)).await.to_string(), text);
    }
}

#[tokio::test]
async fn a_redirect_means_that_the_site_was_renamed() {
    for status in [301, 302, 307, 308] {
        let error = refusal_of(Response::new(status, "").with("Location", "/elsewhere")).await;
        assert!(matches!(error, JiraError::Renamed), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn a_rate_limit_says_what_it_is_about_and_for_how_long() {
    for (name, reason) in [
        ("jira-burst-based", RateLimitReason::Burst),
        ("jira-per-issue-on-write", RateLimitReason::PerIssue),
        ("jira-quota-global-based", RateLimitReason::Quota),
        ("jira-quota-tenant-based", RateLimitReason::Quota),
        ("made-up", RateLimitReason::Burst),
    ] {
        let response = Response::new(429, "").with("RateLimit-Reason", name).with("Retry-After", "17");
        match refusal_of(response).await {
            JiraError::RateLimited { reason: read, retry_after } => {
                assert_eq!((read, retry_after), (reason, Some(Duration::from_secs(17))), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    for retry_after in ["", "soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"] {
        let error = refusal_of(Response::new(503, "").with("Retry-After", retry_after)).await;
        assert!(matches!(error, JiraError::Unavailable { retry_after: None, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_was_accepted_is_accepted_whatever_the_answer_says_besides() {
    let answers = |response: Response| async move {
        let server = ScriptedServer::start(move |_| response.clone());
        connect(server.url()).submit(Api::DevInfo, &json!({})).await
    };
    for body in ["", "{}", "<html>", "[1]"] {
        assert_eq!(answers(Response::new(202, body)).await.expect("accepted"), Answer::default(), "{body}");
    }
    let error = answers(Response::new(202, " ".repeat(MAX_ANSWER + 1))).await.expect_err("too large");
    assert!(matches!(error, JiraError::Unexpected(StatusCode::ACCEPTED)), "{error:?}");
}

#[tokio::test]
async fn a_timeout_is_not_a_refusal_and_names_no_address() {
    let slow = ScriptedServer::start(|_| accepts_late());
    let impatient =
        reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(50)).build().expect("one");
    let JiraClient { clock, base_url, authentication, .. } = connect(slow.url());
    let client = JiraClient::new(impatient, clock, base_url, authentication);
    let error = client.submit(Api::DevInfo, &json!({})).await.expect_err("too late");
    let JiraError::NoAnswer(source) = &error else { panic!("{error:?}") };
    assert!(source.is_timeout() && !source.is_connect());
    assert!(!format!("{error:?}").contains("devinfo"), "{error:?}");
}

fn accepts_late() -> Response {
    Response::json(202, &json!({})).after(Duration::from_millis(500))
}

#[tokio::test]
async fn a_project_is_there_or_not_or_can_not_be_asked_for() {
    let server = ScriptedServer::start(|request| match request.target.as_str() {
        "/rest/api/3/project/PAY" => Response::json(200, &json!({"key": "PAY"})),
        "/rest/api/3/project/UTF" => Response::new(404, ""),
        _ => Response::new(503, ""),
    });
    let client = connect(server.url());
    assert_eq!(client.has_project("PAY").await.expect("an answer"), Some(true));
    assert_eq!(client.has_project("UTF").await.expect("an answer"), Some(false));
    client.has_project("OPS").await.expect_err("an outage proves nothing");
    server.requests().iter().for_each(assert_signed);

    let server = gateway(accepts);
    assert_eq!(oauth(&server, StoppedClock::new()).has_project("PAY").await.expect("an answer"), None);
    assert_eq!(server.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_cloud_id_is_accepted_only_if_it_looks_like_one() {
    let cloud_id = |body: &str| {
        let body = body.to_owned();
        async move {
            let server = ScriptedServer::start(move |_| Response::new(200, body.clone()));
            let id = connect(server.url()).cloud_id().await;
            assert_eq!(server.lines(), ["GET /_edge/tenant_info"]);
            assert_eq!(server.requests()[0].header("authorization"), "", "nobody is told who asks");
            id
        }
    };
    assert_eq!(cloud_id(r#"{"cloudId":"1a2b-3c"}"#).await.expect("an id"), "1a2b-3c");
    for body in [r#"{"cloudId":"../x"}"#, r#"{"cloudId":""}"#, "{}", "<html>"] {
        cloud_id(body).await.expect_err(body);
    }
}

#[test]
fn no_secret_is_printed() {
    let server = ScriptedServer::start(accepts);
    let printed = format!("{:?} {:?}", connect(server.url()), oauth(&server, StoppedClock::new()));
    assert!(!printed.contains("planted"), "{printed}");
}

/// The credential `client-<number>` beside others of the process.
fn credential(server: &ScriptedServer, number: u32, tokens: &AccessTokens) -> JiraClient {
    let authentication = Authentication::OauthCredentials {
        api_url: server.url(),
        cloud_id: format!("cloud-{number}"),
        client_id: format!("client-{number}"),
        client_secret: SecretString::from(CLIENT_SECRET),
        tokens: tokens.clone(),
    };
    JiraClient::new(http(), StoppedClock::new(), server.url(), authentication)
}

/// Waits until the server has had so many requests.
async fn has_come(server: &ScriptedServer, requests: usize) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while server.requests().len() < requests {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("the requests come");
}

const AT_ONCE: Duration = Duration::from_secs(5);
const HANGS: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_credential_whose_token_does_not_come_holds_up_no_other() {
    let server = ScriptedServer::start(|request| {
        let token = Response::json(200, &json!({"access_token": "token", "expires_in": 3600}));
        match (request.target.as_str(), request.json()["client_id"] == json!("client-1")) {
            ("/oauth/token", true) => token.after(HANGS),
            ("/oauth/token", false) => token,
            _ => Response::json(202, &json!({})),
        }
    });
    let tokens = AccessTokens::default();
    let [hanging, with_token, without] = [1, 2, 3].map(|number| credential(&server, number, &tokens));
    with_token.check().await.expect("allowed");
    let waiting = tokio::spawn(async move { hanging.check().await });
    has_come(&server, 3).await;
    for client in [with_token, without] {
        let sent = tokio::time::timeout(AT_ONCE, client.submit(Api::Builds, &json!({}))).await;
        sent.expect("at once").expect("accepted");
    }
    assert!(!waiting.is_finished());
    waiting.abort();
}

/// Nor is a new token asked for twice that two calls need.
#[tokio::test]
async fn a_kept_token_is_used_while_another_is_asked_for() {
    let count = AtomicUsize::new(0);
    let server = ScriptedServer::start(move |request| match request.target.as_str() {
        "/oauth/token" => {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let token = json!({"access_token": format!("token-{number}"), "expires_in": 3600});
            let pause = if number == 1 { Duration::ZERO } else { Duration::from_secs(2) };
            Response::json(200, &token).after(pause)
        }
        target if target.contains("/builds/") && request.header("authorization") == "Bearer token-1" => {
            Response::new(401, "")
        }
        _ => accepts(request),
    });
    let client = credential(&server, 1, &AccessTokens::default());
    client.check().await.expect("allowed");
    let bodies = [json!({"builds": [1]}), json!({"builds": [2]})];
    let refused = bodies.map(|body| {
        let client = client.clone();
        tokio::spawn(async move { client.submit(Api::Builds, &body).await })
    });
    has_come(&server, 5).await;
    client.submit(Api::FeatureFlags, &json!({})).await.expect("accepted");
    assert!(refused.iter().all(|call| !call.is_finished()), "the flags did not wait for the new token");
    for call in refused {
        call.await.expect("no panic").expect("accepted");
    }
    let asked = server.lines().iter().filter(|line| *line == "POST /oauth/token").count();
    assert_eq!(asked, 2);
}

/// Each request would be in time by itself, and all of them take too long.
#[tokio::test]
async fn a_call_has_one_time_for_all_that_it_takes() {
    let pause = Duration::from_millis(400);
    let server = ScriptedServer::start(move |request| {
        let token = json!({"access_token": "token", "expires_in": 3600});
        let answer = if request.target == "/oauth/token" {
            Response::json(200, &token)
        } else {
            Response::new(401, "")
        };
        answer.after(pause)
    });
    let client = credential(&server, 1, &AccessTokens::default());
    let client = JiraClient { call_time: Duration::from_secs(1), ..client };
    let submitted = client.submit(Api::Builds, &json!({})).await;
    assert!(matches!(submitted, Err(JiraError::OutOfTime)), "{submitted:?}");
    let deleted = client.delete(Api::Builds, &["pipelines", "p", "builds", "1"], None).await;
    assert!(matches!(deleted, Err(JiraError::OutOfTime)), "{deleted:?}");
}

/// Nor does a call wait any longer for a token that another asks for.
#[tokio::test]
async fn a_call_does_not_outlast_its_time_behind_another_ones_token() {
    let server = ScriptedServer::start(|request| match request.target.as_str() {
        "/oauth/token" => Response::new(503, "").after(HANGS),
        _ => accepts(request),
    });
    let patient = credential(&server, 1, &AccessTokens::default());
    let hurried = JiraClient { call_time: Duration::from_millis(300), ..patient.clone() };
    let waiting = tokio::spawn(async move { patient.check().await });
    has_come(&server, 1).await;
    let submitted = tokio::time::timeout(AT_ONCE, hurried.submit(Api::Builds, &json!({}))).await;
    let submitted = submitted.expect("in its time");
    assert!(matches!(submitted, Err(JiraError::OutOfTime)), "{submitted:?}");
    assert_eq!(server.lines().len(), 1);
    waiting.abort();
}
