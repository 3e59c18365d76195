//! Who may deliver events: the hook that a link made, about projects inside the linked group. What is refused leaves no
//! message, and what is no business of the link reaches no issue.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gitlab_jira::demo::world::World;
use gitlab_jira::operate::{Command, CredentialChoice};
use reqwest::{Client, Response};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::clock::SystemClock;
use standins::gitlab::{Delivery, Role, Tier, UserHandle, Version, commit, merge_request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::refused;
use crate::stage::Stage;

/// The largest body that a Lambda takes.
const LARGEST: usize = 6 * 1024 * 1024;

/// Nesting that overflows the stack of a parser that recurses.
const DEEP: usize = 100_000;

/// What a hook may lack where GitLab is read.
const LACKING: [&str; 10] = [
    "/object_attributes/title",
    "/object_attributes/description",
    "/object_attributes/state",
    "/object_attributes/source_branch",
    "/object_attributes/target_branch",
    "/object_attributes/ref",
    "/object_attributes/sha",
    "/object_attributes/status",
    "/object_attributes/active",
    "/status",
];

const OTHER_PROJECT: &str = "This hook speaks for another project.";

const SHA: &str = "9f1c2d3e4b5a69788796a5b4c3d2e1f009182736";

/// Sends a delivery as it is, and keeps the answer's text.
async fn post(delivery: &Delivery) -> Response {
    let request = Client::new().post(delivery.url()).headers(delivery.headers().clone());
    request.body(delivery.body().to_vec()).send().await.unwrap()
}

/// A linked group whose project was pushed to, with the deliveries of that held back.
async fn held_push(stage: &Stage) -> Delivery {
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    held.take().pop().unwrap()
}

async fn of(version: Version) -> Stage {
    Stage::of(version, Arc::new(SystemClock)).await
}

/// Nothing is on the queue, and nothing was sent to Jira.
async fn nothing_came_of_it(world: &World, case: &str) {
    world.settled().await.unwrap();
    let status = world.command(Command::Status).await.unwrap();
    let depth = json!({"ready": 0, "delayed": 0, "in_flight": 0, "dead": 0});
    assert_eq!(status["queues"]["events"], depth, "{case}");
    assert!(world.site.issue("PAY-1").commits.is_empty(), "{case}");
}

#[tokio::test]
async fn deliveries_to_no_hook_are_not_found() {
    let stage = Stage::new().await;
    let delivery = held_push(&stage).await;
    let id = stage.link["subscription"].as_str().unwrap();
    for other in [
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "garbage",
        "0",
        "..%2f..%2fetc",
        "%00",
        "%ff",
        "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
        &format!("{id}0"),
        &"1".repeat(5_000),
    ] {
        let url = delivery.url().replace(id, other);
        refused(post(&delivery.clone().to(&url)).await, 404, other).await;
    }
    for query in ["?project=1", "?project=abc", "?project=-1", "?project=99999999999999999999", "?project="] {
        let url = format!("{}{query}", delivery.url());
        refused(post(&delivery.clone().to(&url)).await, 404, query).await;
    }
    nothing_came_of_it(&stage.world, "no such hook").await;
}

#[tokio::test]
async fn a_body_for_no_hook_is_not_waited_for() {
    let stage = Stage::new().await;
    let address = stage.world.base_url().strip_prefix("http://").unwrap();
    let mut stranger = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /webhooks/gitlab/01ARZ3NDEKTSV4RRFFQ69G5FAV HTTP/1.1\r\nhost: {address}\r\n\
         content-length: {LARGEST}\r\n\r\n{{"
    );
    stranger.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(10), stranger.read_exact(&mut answer)).await;
    read.expect("an answer without the body").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
}

#[tokio::test]
async fn a_hook_that_signs_is_authenticated_by_its_signature_alone() {
    let stage = Stage::new().await;
    let other_group = stage.world.gitlab.group("other", Tier::Premium);
    other_group.grant(&stage.ada, Role::Owner);
    let other_project = other_group.project("api").acting_as(&stage.ada);
    stage.world.link("other", &stage.token).await.unwrap();
    let delivery = held_push(&stage).await;
    let held = stage.world.gitlab.hold_deliveries();
    other_project.push("PAY-1-y", [commit("PAY-1 y").adds("a", 1)]).await;
    let stranger = held.take().pop().unwrap();
    drop(held);

    let good = || delivery.clone();
    let unsigned = || {
        let bare = good().without_header("webhook-signature");
        bare.without_header("webhook-id").without_header("webhook-timestamp")
    };
    let signature = delivery.header("webhook-signature").unwrap();
    let longer = String::from_utf8(delivery.body().to_vec()).unwrap() + " ";
    let edited = String::from_utf8(delivery.body().to_vec()).unwrap().replace("PAY-1", "PAY-2");
    let cases = [
        ("no credentials", unsigned().without_header("x-gitlab-token")),
        ("a wrong token", unsigned().with_header("x-gitlab-token", "wrong")),
        ("an empty token", unsigned().with_header("x-gitlab-token", "")),
        ("the right token without a signature", unsigned()),
        ("the right token and no signature's text", good().without_header("webhook-signature")),
        ("an empty signature", good().with_header("webhook-signature", "")),
        (
            "another version's signature",
            good().with_header("webhook-signature", &signature.replace("v1,", "v1a,")),
        ),
        ("half a signature", good().with_header("webhook-signature", &signature[..20])),
        ("an edited body", good().with_body(edited)),
        ("a longer body", good().with_body(longer)),
        ("no body", good().with_body("")),
        ("another id", good().with_header("webhook-id", "another")),
        ("another time", good().with_header("webhook-timestamp", "1")),
        ("a time in words", good().with_header("webhook-timestamp", "now")),
        ("no time", good().without_header("webhook-timestamp")),
        ("another hook's delivery", stranger.to(delivery.url())),
    ];
    for (case, delivery) in cases {
        refused(post(&delivery).await, 401, case).await;
    }
    nothing_came_of_it(&stage.world, "none is authentic").await;
    // The signature covers what is said; the token adds nothing to it.
    assert_eq!(post(&good().with_header("x-gitlab-token", "wrong")).await.status(), 200);
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-1").commits.len(), 1);
}

#[tokio::test]
async fn old_signatures_and_those_of_tomorrow_are_refused() {
    let stage = Stage::new().await;
    let gitlab = &stage.world.gitlab;
    let (off, now) = (Duration::from_secs(400), gitlab.now());
    gitlab.set_now(now - off);
    let old = held_push(&stage).await;
    gitlab.set_now(now + off);
    let early = held_push(&stage).await;
    for (case, delivery) in [("old", old), ("early", early)] {
        refused(post(&delivery).await, 401, case).await;
    }
    nothing_came_of_it(&stage.world, "stale").await;
}

#[tokio::test]
async fn a_hook_that_does_not_sign_is_authenticated_by_its_token() {
    let stage = of(Version::V17_3).await;
    let delivery = held_push(&stage).await;
    let token = delivery.header("x-gitlab-token").unwrap().to_owned();
    let forged = || {
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
        let signed =
            delivery.clone().with_header("webhook-id", "1").with_header("webhook-timestamp", &timestamp);
        signed.with_header("webhook-signature", &format!("v1,{}", STANDARD.encode([0; 32])))
    };
    let cases = [
        ("no token", delivery.clone().without_header("x-gitlab-token")),
        ("a wrong token", delivery.clone().with_header("x-gitlab-token", "wrong")),
        ("the beginning of the token", delivery.clone().with_header("x-gitlab-token", &token[..63])),
        ("more than the token", delivery.clone().with_header("x-gitlab-token", &format!("{token}0"))),
        ("the token in capitals", delivery.clone().with_header("x-gitlab-token", &token.to_uppercase())),
        ("a signature by nobody beside the token", forged()),
    ];
    for (case, delivery) in cases {
        refused(post(&delivery).await, 401, case).await;
    }
    nothing_came_of_it(&stage.world, "none is authentic").await;
    assert_eq!(post(&delivery).await.status(), 200);
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-1").commits.len(), 1);
}

/// A link whose hook somebody makes by hand: the test holds its secrets.
pub struct Manual {
    pub url: String,
    pub token: String,
    signing_token: String,
}

impl Manual {
    pub async fn link(
        world: &World,
        group: &str,
        token: &SecretString,
        credential: CredentialChoice,
    ) -> Self {
        let Command::GroupLink(mut link) = world.link_command(group, token, credential) else {
            unreachable!("it links")
        };
        link.no_hook = true;
        let answer = world.command(Command::GroupLink(link)).await.unwrap();
        let text = |place: &str| answer.pointer(place).unwrap().as_str().unwrap().to_owned();
        Self {
            url: text("/webhook_url"),
            token: text("/secrets/token"),
            signing_token: text("/secrets/signing_token"),
        }
    }

    pub async fn tell(&self, body: impl Into<reqwest::Body>) -> Response {
        let request = Client::new().post(&self.url).header("x-gitlab-token", &self.token);
        request.header("content-type", "application/json").body(body).send().await.unwrap()
    }

    async fn tell_signed(&self, body: &str) -> Response {
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let key = STANDARD.decode(self.signing_token.trim_start_matches("whsec_")).unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
        let signature = aws_lc_rs::hmac::sign(&key, format!("id.{timestamp}.{body}").as_bytes());
        let request = Client::new()
            .post(&self.url)
            .header("webhook-id", "id")
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", format!("v1,{}", STANDARD.encode(signature)));
        request.body(body.to_owned()).send().await.unwrap()
    }
}

/// A world whose group `acme` is linked with a hook made by hand.
async fn by_hand(credential: CredentialChoice) -> (World, Manual, UserHandle) {
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    world.install().await.unwrap();
    world.site.add_issue_range("PAY", 1..=9);
    let ada = world.gitlab.user("ada");
    world.gitlab.group("acme", Tier::Premium).grant(&ada, Role::Owner);
    let manual = Manual::link(&world, "acme", &ada.token(&["api"]), credential).await;
    world.site.forget_calls();
    (world, manual, ada)
}

fn push_of(project: u64, path: &str, message: &str) -> Value {
    json!({
        "object_kind": "push", "before": SHA, "after": SHA, "ref": "refs/heads/main", "project_id": project,
        "project": {"id": project, "name": "p", "web_url": format!("https://gitlab.example/{path}"), "path_with_namespace": path},
        "commits": [{
            "id": SHA, "message": message, "timestamp": "2026-01-05T10:00:00+01:00", "url": format!("https://gitlab.example/{path}/-/commit/{SHA}"),
            "author": {"name": "Ada", "email": "ada@example.com"}, "added": ["a"], "modified": [], "removed": [],
        }],
        "total_commits_count": 1,
    })
}

/// The token alone is not enough once the hook has shown that it signs.
#[tokio::test]
async fn once_a_hook_has_signed_it_has_to() {
    let (_world, manual, _) = by_hand(CredentialChoice::None).await;
    let body = json!({"object_kind": "note"}).to_string();
    assert_eq!(manual.tell(body.clone()).await.status(), 200);
    assert_eq!(manual.tell_signed(&body).await.status(), 200);
    refused(manual.tell(body.clone()).await, 401, "the token alone").await;
    assert_eq!(manual.tell_signed(&body).await.status(), 200);
}

#[tokio::test]
async fn bodies_that_are_no_events_lead_to_nothing() {
    let (world, manual, _) = by_hand(CredentialChoice::None).await;
    let deep = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
    let deep_object = format!("{}1{}", "{\"name\":".repeat(DEEP), "}".repeat(DEEP));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("no JSON", b"object_kind=push".to_vec()),
        ("null", b"null".to_vec()),
        ("a number", b"7".to_vec()),
        ("cut off", b"{\"object_kind\":\"push\",".to_vec()),
        ("not UTF-8", b"\xff\xfe".to_vec()),
        ("not UTF-8 inside", b"{\"object_kind\":\"push\",\"ref\":\"refs/heads/\xff\"}".to_vec()),
        ("a kind of another type", b"{\"object_kind\":7}".to_vec()),
        ("two kinds", b"{\"object_kind\":\"push\",\"object_kind\":\"note\"}".to_vec()),
        ("deep", deep.clone().into_bytes()),
        ("deep where it matters", format!("{{\"object_kind\":\"push\",\"commits\":{deep}}}").into_bytes()),
        ("deep objects", format!("{{\"object_kind\":\"push\",\"project\":{deep_object}}}").into_bytes()),
        (
            "deep reviewers",
            format!("{{\"object_kind\":\"merge_request\",\"reviewers\":[{{\"x\":{deep}}}]}}").into_bytes(),
        ),
        ("as large as it may be", vec![b' '; LARGEST]),
    ];
    // GitLab disables hooks that are answered 4xx.
    for (case, body) in cases {
        assert_eq!(manual.tell(body).await.status(), 200, "{case}");
    }
    refused(manual.tell(vec![b' '; LARGEST + 1]).await, 413, "too large").await;
    // What nobody reads may be as deep as it likes.
    let unread = format!("{{\"object_kind\":\"note\",\"x\":{deep}}}");
    assert_eq!(manual.tell(unread).await.status(), 200);
    nothing_came_of_it(&world, "no events").await;
}

#[tokio::test]
async fn unknown_kinds_and_incomplete_events_are_accepted_and_ignored() {
    let (world, manual, _) = by_hand(CredentialChoice::None).await;
    for body in [
        json!({}),
        json!({"object_kind": "note", "object_attributes": {"note": "PAY-1"}}),
        json!({"object_kind": "made_up_in_2030", "project": {"id": 1}, "title": "PAY-1"}),
        json!({"object_kind": "", "event_name": "project_create"}),
        json!({"object_kind": "push"}),
        json!({"object_kind": "push", "ref": "refs/tags/PAY-1", "before": SHA, "after": SHA}),
        json!({"object_kind": "push", "ref": "refs/heads/PAY-1", "before": "x", "after": "y"}),
        json!({"object_kind": "merge_request", "object_attributes": {"title": "PAY-1"}}),
        json!({"object_kind": "pipeline", "object_attributes": {"ref": "PAY-1"}}),
        json!({"object_kind": "deployment", "ref": "PAY-1"}),
        json!({"object_kind": "feature_flag", "object_attributes": {"description": "PAY-1"}}),
    ] {
        let answer = manual.tell(body.to_string()).await;
        assert_eq!(answer.status(), 200, "{body}");
        let text = answer.text().await.unwrap();
        assert!(text.ends_with('.') && text != "Accepted.", "{body}: {text}");
    }
    nothing_came_of_it(&world, "nothing to do").await;
}

/// What a bundle that has just started answers: the memory of a running one may be a minute old.
async fn answer_of_a_new_process(world: &World, manual: &Manual, body: &Value) -> (u16, String) {
    let path = manual.url.strip_prefix(world.base_url()).unwrap();
    let request =
        Request::post(path).header("x-gitlab-token", &manual.token).body(Body::from(body.to_string()));
    let answer = world.local.router().unwrap().oneshot(request.unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let text = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

/// With a token GitLab says where a project is, whatever the hook says.
#[tokio::test]
async fn with_a_token_gitlab_says_which_projects_are_outside_the_group() {
    let (world, manual, ada) = by_hand(CredentialChoice::Given).await;
    let elsewhere = world.gitlab.group("elsewhere", Tier::Premium);
    elsewhere.grant(&ada, Role::Owner);
    let secret = elsewhere.project("secret").id();
    world.gitlab.group("acme", Tier::Premium).project("api");
    for (case, project, path) in [
        ("it says so itself", secret, "elsewhere/secret"),
        ("another's number under our path", secret + 1_000, "acme/api"),
    ] {
        let body = push_of(project, path, "PAY-1 x");
        assert_eq!(manual.tell(body.to_string()).await.status(), 200, "{case}");
        nothing_came_of_it(&world, case).await;
        let (status, text) = answer_of_a_new_process(&world, &manual, &body).await;
        assert_eq!((status, text.as_str()), (200, "The project is outside the linked group."), "{case}");
    }
    let lie = push_of(elsewhere.project("other").id(), "acme/api", "PAY-1 x");
    assert_eq!(manual.tell(lie.to_string()).await.status(), 200);
    nothing_came_of_it(&world, "our path, another's project").await;
    assert_eq!(world.site.recorded().len(), 0);
}

/// Without a token all there is to go by is what the hook says, and it has proved to be ours.
#[tokio::test]
async fn without_a_token_the_path_says_which_projects_are_outside_the_group() {
    let (world, manual, _) = by_hand(CredentialChoice::None).await;
    let paths = ["elsewhere/api", "acme-evil/api", "acme", "ACME/api", "elsewhere/acme/api", "/acme/api", ""];
    for (project, path) in (1_000_000..).zip(paths) {
        let body = push_of(project, path, "PAY-1 x");
        assert_eq!(manual.tell(body.to_string()).await.status(), 200, "{path}");
        nothing_came_of_it(&world, path).await;
        let (status, text) = answer_of_a_new_process(&world, &manual, &body).await;
        assert_eq!((status, text.as_str()), (200, "The project is outside the linked group."), "{path}");
    }
    assert_eq!(world.site.recorded().len(), 0);
    let inside = push_of(2_000_000, "acme/deep/inside/api", "PAY-1 x");
    assert_eq!(manual.tell(inside.to_string()).await.status(), 200);
    world.settled().await.unwrap();
    assert_eq!(world.site.issue("PAY-1").commits.len(), 1);
}

/// R02: what identifies an object is enough where GitLab is read.
#[tokio::test]
async fn fields_that_a_read_tells_may_be_missing_from_a_hook() {
    let stage = Stage::new().await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("feature", [commit("PAY-1 x").adds("a", 1)]).await;
    stage.api.open_merge_request(merge_request("feature", "PAY-2 Feature")).await;
    stage.api.start_pipeline("feature").await.status("success").await;
    stage.api.deploy("production", "feature").status("success").await;
    stage.api.feature_flag("new-ui").describe("PAY-3").toggle(true).await;
    let deliveries = held.take();
    drop(held);
    for delivery in deliveries {
        let mut body = delivery.json();
        for field in LACKING {
            body.pointer_mut(field).into_iter().for_each(|field| *field = Value::Null);
        }
        if body["object_kind"] == "deployment" {
            (body["environment"], body["ref"]) = (Value::Null, Value::Null);
        }
        assert_eq!(delivery.saying(body.to_string()).send().await.unwrap(), 200);
    }
    stage.settled().await;
    let (of_request, of_flag) = (stage.world.site.issue("PAY-2"), stage.world.site.issue("PAY-3"));
    let counts = [of_request.pull_requests.len(), of_request.builds.len(), of_flag.flags.len()];
    assert_eq!(counts, [1; 3]);
    assert_eq!(stage.world.site.issue("PAY-1").deployments.len(), 1);
    assert_eq!(of_request.pull_requests[0].status, "OPEN");
}

/// A commit that does not say what it is may name any issue, and so may one that a list may leave out.
#[tokio::test]
async fn commits_that_a_hook_garbles_are_listed() {
    let garble: [fn(&mut Value); 3] = [
        |body| body["commits"][0]["message"] = Value::Null,
        |body| body["commits"][0]["id"] = json!(7),
        |body| body["total_commits_count"] = Value::Null,
    ];
    for (case, garble) in garble.into_iter().enumerate() {
        let stage = Stage::new().await;
        let held = stage.world.gitlab.hold_deliveries();
        let commits = (1..=22).map(|number| commit(&format!("PAY-{number} x")).adds("a", 1));
        // A hook lists the newest 20 of them.
        let pushed = if case == 2 { commits.collect::<Vec<_>>() } else { commits.take(1).collect() };
        stage.api.push("feature", pushed).await;
        let delivery = held.take().remove(0);
        let mut body = delivery.json();
        garble(&mut body);
        assert_eq!(delivery.saying(body.to_string()).send().await.unwrap(), 200);
        stage.settled().await;
        assert_eq!(stage.world.site.issue("PAY-1").commits.len(), 1, "case {case}");
    }
}

/// Where it can't be read, such a hook is worth nothing.
#[tokio::test]
async fn without_a_token_a_hook_says_what_it_is_about() {
    let (world, manual, _) = by_hand(CredentialChoice::None).await;
    let project = push_of(2_000_000, "acme/api", "no key")["project"].take();
    let body = json!({
        "object_kind": "merge_request", "project": project, "changes": {},
        "object_attributes": {
            "id": 900, "iid": 7, "title": null, "description": "PAY-1", "state": "opened", "source_branch": "s",
            "target_branch": "main", "source_project_id": 2_000_000, "target_project_id": 2_000_000,
        },
    });
    let answer = manual.tell(body.to_string()).await;
    assert_eq!(answer.text().await.unwrap(), "The event does not say what it is about.");
    nothing_came_of_it(&world, "its title is not known").await;
}

/// What a hook does not list only a token could tell of.
#[tokio::test]
async fn a_push_whose_commits_are_not_listed_names_the_missing_token() {
    let (_world, manual, _) = by_hand(CredentialChoice::None).await;
    let mut body = push_of(2_000_000, "acme/api", "no key");
    let answer = manual.tell(body.to_string()).await;
    assert_eq!(answer.text().await.unwrap(), "No issue keys.");
    (body["commits"], body["total_commits_count"]) = (json!([]), json!(0));
    body["before"] = json!("0f1c2d3e4b5a69788796a5b4c3d2e1f009182736");
    let answer = manual.tell(body.to_string()).await;
    assert_eq!(answer.text().await.unwrap(), "The link has no token to read this with.");
}

/// GitLab's Free tier has no group hooks: each project has one of its own, and it speaks for no other.
#[tokio::test]
async fn a_project_hook_is_accepted_for_its_project_only() {
    let stage = of(Version::V17_3).await;
    let free = stage.world.gitlab.group("free", Tier::Free);
    free.grant(&stage.ada, Role::Owner);
    let (api, web) = (free.project("api").acting_as(&stage.ada), free.project("web").acting_as(&stage.ada));
    let link = stage.world.link("free", &stage.token).await.unwrap();
    assert_eq!(link["hook_kind"], "project", "{link}");
    let held = stage.world.gitlab.hold_deliveries();
    api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    let delivery = held.take().pop().unwrap();
    drop(held);

    let mut body = delivery.json();
    body["project"]["id"] = json!(web.id());
    // GitLab disables hooks that are answered 4xx.
    let other = post(&delivery.clone().with_body(body.to_string())).await;
    assert_eq!(other.status(), 200);
    assert_eq!(other.text().await.unwrap(), OTHER_PROJECT);
    body["project_id"] = json!(web.id());
    let other = post(&delivery.clone().with_body(body.to_string())).await;
    assert_eq!(other.status(), 200);
    assert_eq!(other.text().await.unwrap(), OTHER_PROJECT);
    assert!(stage.explains("PAY-1", "other_project").await);
    let own = format!("project={}", api.id());
    assert!(delivery.url().ends_with(&own), "{}", delivery.url());
    for (case, query, status) in [
        ("the other project's address", format!("project={}", web.id()), 401),
        ("the group's address", String::new(), 401),
        ("an unknown project's address", "project=424242".to_owned(), 404),
    ] {
        let url = delivery.url().replace(&own, &query);
        refused(post(&delivery.clone().to(&url)).await, status, case).await;
    }
    nothing_came_of_it(&stage.world, "other projects").await;
    assert_eq!(post(&delivery).await.status(), 200);
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-1").commits.len(), 1);
}

#[tokio::test]
async fn a_repeated_delivery_is_processed_once_and_a_refused_one_is_not_remembered() {
    let stage = Stage::new().await;
    let delivery = held_push(&stage).await;
    let tampered = delivery.clone().with_body("{}");
    refused(post(&tampered).await, 401, "a stranger with the same key").await;
    for expected in ["Accepted."; 3] {
        let answer = post(&delivery).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), expected);
    }
    // A key that GitLab would not make is not kept, and costs nothing.
    let odd = delivery.clone().with_header("idempotency-key", &"k".repeat(10_000));
    for _ in 0..2 {
        assert_eq!(post(&odd).await.text().await.unwrap(), "Accepted.");
    }
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-1").commits.len(), 1);
}

/// T7: a deleted branch leads to a call when its name has a key, and never for a group that is not linked.
#[tokio::test]
async fn t7_only_branches_with_a_key_and_a_link_are_deleted_in_jira() {
    let stage = Stage::new().await;
    for branch in ["PAY-1-x", "no-key"] {
        stage.api.push(branch, [commit("x").adds("a", 1)]).await;
    }
    let unlinked = stage.world.gitlab.group("unlinked", Tier::Premium).project("api").acting_as(&stage.ada);
    unlinked.push("PAY-2-x", [commit("x").adds("a", 1)]).await;
    stage.settled().await;
    stage.world.site.forget_calls();
    let deletions = || stage.world.site.calls().with_method(standins::jira::Api::DevInfo, "DELETE");
    stage.api.delete_branch("no-key").await;
    unlinked.delete_branch("PAY-2-x").await;
    stage.settled().await;
    assert_eq!(deletions(), 0);
    stage.api.delete_branch("PAY-1-x").await;
    stage.settled().await;
    assert_eq!(deletions(), 1);
    assert!(stage.world.site.issue("PAY-1").branches.is_empty());
}
