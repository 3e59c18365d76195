//! Whatever comes in, nothing panics: any request to any route is answered without a 5xx, and any text to any parser
//! with a value or an error.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Uri};
use gitlab_jira::demo::world::World;
use gitlab_jira::operate::{Command, CredentialChoice};
use gitlab_jira::settings::Settings;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use shared::bundle::{FUNCTIONS, Trigger};
use shared::clock::{SystemClock, Timestamp};
use shared::domain::{IssueKeys, SubscriptionId};
use shared::gitlab::signature::{SignedHeaders, verify_signature, verify_token};
use shared::gitlab::{date, hooks, version};
use shared::jira::answer::Answer;
use shared::jwt::key_id::KeyId;
use shared::jwt::unverified::Unverified;
use shared::outbound::HostGuard;
use shared::queue::Received;
use shared::queue::disposition::Message;
use shared::sync::message::EventMessage;
use standins::gitlab::{Role, Tier, Version};
use standins::jira::LifecycleCall;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::hostile::webhook::Manual;

/// Names that a body, an answer or a message of the real services has.
const NAMES: [&str; 40] = [
    "object_kind",
    "event_name",
    "project",
    "object_attributes",
    "project_id",
    "id",
    "iid",
    "ref",
    "before",
    "after",
    "commits",
    "message",
    "title",
    "description",
    "changes",
    "previous",
    "reviewers",
    "state",
    "status",
    "tag",
    "sha",
    "deployment_id",
    "environment",
    "web_url",
    "path_with_namespace",
    "timestamp",
    "author",
    "merge_request",
    "source_branch",
    "target_branch",
    "active",
    "name",
    "updated_at",
    "clientKey",
    "sharedSecret",
    "baseUrl",
    "failedDevinfoEntities",
    "rejectedBuilds",
    "unknownIssueKeys",
    "body",
];

/// Texts that mean something somewhere.
const WORDS: [&str; 16] = [
    "push",
    "merge_request",
    "pipeline",
    "deployment",
    "feature_flag",
    "note",
    "refs/heads/PAY-1",
    "refs/tags/v1",
    "0000000000000000000000000000000000000000",
    "9f1c2d3e4b5a69788796a5b4c3d2e1f009182736",
    "2026-01-05T10:00:00Z",
    "2016-12-01 13:11:10 UTC",
    "acme/api",
    "https://gitlab.example/acme/api",
    "opened",
    "success",
];

/// Headers that are read somewhere.
const HEADERS: [&str; 12] = [
    "authorization",
    "content-type",
    "content-length",
    "x-gitlab-token",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "idempotency-key",
    "origin",
    "host",
    "accept",
    "x-forwarded-for",
];

/// Few, because each case of a route is a whole request.
fn few() -> Config {
    Config { cases: 64, failure_persistence: None, ..Config::default() }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![select(&WORDS[..]).prop_map(str::to_owned), any::<String>()]
}

/// Any JSON, mostly under names that mean something.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 8, |inner| {
        let name = prop_oneof![4 => select(&NAMES[..]).prop_map(str::to_owned), 1 => any::<String>()];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name, inner), 0..8)
                .prop_map(|fields| Value::from(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A body that reaches the parsers of one kind of event: whole where it counts, anything elsewhere.
fn hook_body() -> impl Strategy<Value = Value> {
    let kind = select(&WORDS[..6]);
    (kind, any_json(), any_json(), any_json(), any::<u64>()).prop_map(
        |(kind, attributes, commits, odd, id)| {
            let mut body = json!({
                "object_kind": kind, "ref": "refs/heads/PAY-1-x", "before": WORDS[9], "after": WORDS[9],
                "project": {"id": id, "web_url": WORDS[13], "path_with_namespace": "acme/api"},
                "object_attributes": attributes, "commits": commits, "deployment_id": id, "status": "success",
                "environment": "e", "odd": odd,
            });
            if let (Some(body), Some(odd)) = (body.as_object_mut(), odd.as_object()) {
                body.extend(odd.clone());
            }
            body
        },
    )
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..512),
        any_json().prop_map(|value| value.to_string().into_bytes()),
        hook_body().prop_map(|value| value.to_string().into_bytes()),
    ]
}

/// Bytes as a path or query may hold them: as they are where a URI allows it, else escaped, sometimes wrongly.
fn uri_part() -> impl Strategy<Value = String> {
    let escaped = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
    prop_oneof![
        "[!-~]{0,60}",
        vec(any::<u8>(), 0..20).prop_map(escaped),
        "(jwt|project|issue_key)=[!-~]{0,30}"
    ]
}

struct Surface {
    runtime: Runtime,
    world: World,
    manual: Manual,
    router: Router,
}

impl Surface {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let (world, manual) = runtime.block_on(async {
            let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
            world.install().await.unwrap();
            let ada = world.gitlab.user("ada");
            world.gitlab.group("acme", Tier::Premium).grant(&ada, Role::Owner);
            let manual = Manual::link(&world, "acme", &ada.token(&["api"]), CredentialChoice::None).await;
            // What arbitrary events would tell Jira is no concern of this test.
            world.stop_pump();
            (world, manual)
        });
        let router = world.local.router().unwrap();
        Self { runtime, world, manual, router }
    }

    fn webhook_path(&self) -> &str {
        self.manual.url.strip_prefix(self.world.base_url()).unwrap()
    }

    fn status(&self, request: Request<Body>) -> u16 {
        self.runtime.block_on(self.router.clone().oneshot(request)).unwrap().status().as_u16()
    }
}

#[test]
fn no_request_to_any_route_is_answered_5xx() {
    let surface = Surface::new();
    let mut paths: Vec<String> = FUNCTIONS
        .iter()
        .flat_map(|function| match function.trigger {
            Trigger::Http(routes) => routes,
            Trigger::Queue(_) | Trigger::Schedule(_) => &[],
        })
        .map(|route| route.path.replace("{subscription}", "01ARZ3NDEKTSV4RRFFQ69G5FAV"))
        .collect();
    paths.extend([surface.webhook_path().to_owned(), "/webhooks/gitlab/".to_owned(), "/healthz".to_owned()]);
    let header = (select(&HEADERS[..]), vec(any::<u8>(), 0..64));
    let methods = select(&["GET", "POST", "OPTIONS", "PUT", "DELETE", "HEAD"][..]);
    let target = (select(paths), prop_oneof![4 => Just(String::new()), 1 => uri_part()], uri_part());
    proptest!(few(), |(method in methods, (path, more, query) in target, headers in vec(header, 0..6), body in any_body())| {
        let Ok(uri) = format!("{path}{more}?{query}").parse::<Uri>() else {
            return Ok(());
        };
        let mut request = Request::builder().method(method).uri(uri).body(Body::from(body)).unwrap();
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        prop_assert!(surface.status(request) < 500);
    });
}

#[test]
fn no_body_of_an_authenticated_hook_is_answered_5xx() {
    let surface = Surface::new();
    let accepted = std::cell::Cell::new(0);
    proptest!(Config { cases: 256, ..few() }, |(body in hook_body(), key in "[ -~]{0,300}")| {
        let request = Request::post(surface.webhook_path())
            .header("x-gitlab-token", &surface.manual.token)
            .header("idempotency-key", key)
            .body(Body::from(body.to_string()));
        let status = surface.status(request.unwrap());
        prop_assert!(matches!(status, 200 | 400), "{status}");
        accepted.set(accepted.get() + u32::from(status == 200));
    });
    assert!(accepted.get() > 20, "the bodies are not so odd that nothing of them is read");
}

/// The same, for what Atlassian signed: the signature does not cover the body.
#[test]
fn no_body_of_an_authenticated_tenant_is_answered_5xx() {
    let surface = Surface::new();
    let count = std::cell::Cell::new(0_u32);
    let call = |number: u32| -> LifecycleCall {
        surface.world.site.lifecycle_call("installed").unwrap().claim("jti", number)
    };
    let urls = prop_oneof![
        any::<String>(),
        "https?://[ -~]{0,40}",
        "https://[a-z.@:/?#\\\\]{0,20}\\.atlassian\\.net[ -~]{0,10}"
    ];
    proptest!(few(), |(base_url in urls, display_url in any_json(), secret in any_json(), name in text())| {
        count.set(count.get() + 1);
        let call = call(count.get());
        let mut body = call.body().clone();
        body["baseUrl"] = base_url.into();
        body["displayUrl"] = display_url;
        body["sharedSecret"] = secret;
        body[name] = json!(1);
        let path = call.url().strip_prefix(surface.world.base_url()).unwrap().to_owned();
        let request = Request::post(path).header("authorization", format!("JWT {}", call.token()));
        let status = surface.status(request.body(Body::from(body.to_string())).unwrap());
        prop_assert!(matches!(status, 200 | 401 | 422), "{status}");
    });
}

proptest! {
    #![proptest_config(Config { cases: 512, failure_persistence: None, ..Config::default() })]

    #[test]
    fn parsers_of_bodies_never_panic(bytes in any_body(), body in hook_body()) {
        let _ = hooks::parse(&bytes);
        let _ = hooks::parse(body.to_string().as_bytes());
        let _ = Answer::parse(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = serde_json::from_str::<Command>(&text);
        let received = Received { receipt: "1".to_owned(), group: String::new(), body: text.into_owned(), receives: 1 };
        prop_assert!(Message::<EventMessage>::read(&received).is_err());
    }

    #[test]
    fn answers_of_jira_never_panic(mut answer in any_json(), more in any_json()) {
        if let Some(fields) = answer.as_object_mut() {
            for name in ["failedDevinfoEntities", "rejectedBuilds", "rejectedDeployments", "failedFeatureFlags", "unknownAssociations"] {
                fields.insert(name.to_owned(), more.clone());
                let text = Value::from(fields.clone()).to_string();
                let _ = Answer::parse(text.as_bytes());
                fields.remove(name);
            }
        }
    }

    #[test]
    fn parsers_of_texts_never_panic(text in text(), other in text(), bytes in vec(any::<u8>(), 0..64)) {
        let _ = Unverified::parse(&text);
        let _ = Unverified::parse(&format!("{text}.{other}.{text}"));
        let _ = KeyId::parse(&text);
        let _ = (date::parse(&text), version::Version::parse(&text), text.parse::<SubscriptionId>());
        let guard = HostGuard::parse(&other).unwrap_or_default();
        let _ = guard.check(&text);
        let secret = SecretString::from(other.clone());
        let _ = verify_token(Some(&text), &secret);
        let headers = SignedHeaders { id: &text, timestamp: &other, signature: &text };
        prop_assert!(verify_signature(&headers, &bytes, &secret, Timestamp(i64::MIN)).is_err());
    }

    /// What was put on a queue comes back the same, and with a byte changed it is an error or another message.
    #[test]
    fn messages_survive_the_queue(body in hook_body(), key: Option<String>, position: prop::sample::Index, byte: u8, at: i64) {
        let Ok(delivery) = hooks::parse(body.to_string().as_bytes()) else { return Ok(()) };
        let id = SubscriptionId::generate();
        for message in EventMessage::split(id, Timestamp(at), key.as_deref(), delivery) {
            let text = message.outgoing(Timestamp(at)).unwrap().body;
            let received = |body: String| Received { receipt: String::new(), group: String::new(), body, receives: 1 };
            prop_assert_eq!(&Message::<EventMessage>::read(&received(text.clone())).unwrap(), &message);
            let mut bytes = text.into_bytes();
            let position = position.index(bytes.len());
            bytes[position] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = Message::<EventMessage>::read(&received(text));
            }
        }
    }

    #[test]
    fn keys_are_keys_and_few(texts in vec("([A-Z_0-9a-zé -]{0,12}[A-Z]{2}-[0-9]{1,3}){0,60}", 0..12)) {
        let keys = IssueKeys::extract(texts.iter().map(String::as_str));
        prop_assert!(keys.as_slice().len() <= 500);
        for key in keys.as_slice() {
            let again = IssueKeys::extract([key.as_str()]);
            prop_assert_eq!(again.as_slice(), std::slice::from_ref(key));
            prop_assert!(texts.iter().any(|text| text.contains(key.as_str())));
        }
    }

    #[test]
    fn variables_are_a_configuration_or_an_error(values in vec((select(&VARIABLES[..]), text()), 0..8)) {
        let source = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        if let Err(error) = Settings::read(&source) {
            prop_assert!(!error.problems.is_empty());
        }
    }
}

/// What the local process reads.
const VARIABLES: [&str; 11] = [
    "BASE_URL",
    "PROXY_URL",
    "ADDITIONAL_AUDIENCE_URL",
    "GITLAB_URL",
    "ATLASSIAN_API_URL",
    "INSTALL_KEYS_URL",
    "ALLOWED_PRIVATE_HOSTS",
    "ALLOWED_JIRA_SITES",
    "OAUTH_APPLICATION_ID",
    "HISTORY_REQUESTS_PER_MINUTE",
    "HISTORY_REQUESTS_PER_HOUR",
];
