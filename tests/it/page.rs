//! The page that links groups, through its API and from every host: what a person does on it, and what nobody else may.

use std::sync::Arc;

use gitlab_jira::demo::world::{ADMINISTRATOR, World};
use gitlab_jira::operate::Command;
use gitlab_jira::page;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use shared::clock::SystemClock;
use shared::domain::ConnectionKind;
use standins::gitlab::{
    Fault, GroupHandle, ProjectHandle, Role, Tier, UserHandle, Version, commit, merge_request,
};
use standins::jira::{ForgeInstallation, SiteHandle, User};

/// Where the page runs, and so how its calls reach the bundle.
enum Host {
    Connect,
    Forge(ForgeInstallation),
    Local { url: String, http: reqwest::Client },
}

/// A page that is open for somebody.
struct Page {
    world: World,
    host: Host,
    account: String,
}

struct Reply {
    status: u16,
    body: Value,
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

impl Page {
    async fn connect() -> Self {
        let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
        world.install().await.unwrap();
        Self { world, host: Host::Connect, account: ADMINISTRATOR.to_owned() }
    }

    async fn forge() -> Self {
        let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
        let installation = world.install_forge_app().await.unwrap();
        Self { world, host: Host::Forge(installation), account: ADMINISTRATOR.to_owned() }
    }

    async fn local() -> Self {
        let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
        world.open_connection(ConnectionKind::OauthCredentials).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let operator = world.local.operator.clone();
        let router = page::router(operator.clone(), origin.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let invitation = operator.page_sessions.invite().unwrap();
        let entered = http().get(&invitation).send().await.unwrap();
        let cookie = entered.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        assert_eq!(http().get(&invitation).send().await.unwrap().status(), 403, "it works once");
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("cookie", cookie.parse().unwrap());
        let client = reqwest::Client::builder().default_headers(headers).build().unwrap();
        let document = client.get(format!("{origin}/page/")).send().await.unwrap();
        let url = document.url().to_string();
        assert!(document.text().await.unwrap().contains("hosts/local.js"));
        Self { world, host: Host::Local { url, http: client }, account: ADMINISTRATOR.to_owned() }
    }

    async fn ask(&self, request: Value) -> Reply {
        match &self.host {
            Host::Connect => {
                let token = self.world.site.context_token().unwrap().account(&self.account).compact();
                self.ask_with(Some(&token), request).await
            }
            Host::Forge(installation) => {
                let call = installation.page(&self.account, "/forge/page").unwrap();
                let answer = call.body(request).send().await.unwrap();
                Reply { status: answer.status, body: answer.body }
            }
            Host::Local { url, http } => {
                let answer = http.post(format!("{url}api")).json(&request).send().await.unwrap();
                let status = answer.status().as_u16();
                Reply { status, body: answer.json().await.unwrap_or_default() }
            }
        }
    }

    /// Through Connect, with this token.
    async fn ask_with(&self, token: Option<&str>, request: Value) -> Reply {
        let url = format!("{}/subscriptions/api", self.world.connect_base_url());
        let mut call = http().request(Method::POST, url).json(&request);
        if let Some(token) = token {
            call = call.header("authorization", format!("JWT {token}"));
        }
        let answer = call.send().await.unwrap();
        let status = answer.status().as_u16();
        Reply { status, body: answer.json().await.unwrap_or_default() }
    }

    /// What a request answers that is not refused.
    async fn done(&self, request: Value) -> Value {
        let asked = request.to_string();
        let Reply { status, body } = self.ask(request).await;
        assert_eq!(status, 200, "{asked}: {body}");
        body
    }

    /// The kind of refusal of a request, with its sentence.
    async fn refused(&self, request: Value) -> (u16, String, String) {
        let asked = request.to_string();
        let Reply { status, body } = self.ask(request).await;
        assert!(status >= 400, "{asked}: {body}");
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (status, text("cause"), text("error"))
    }

    /// Signs in as `user`, with the code entered by hand.
    async fn sign_in(&self, user: &UserHandle) -> String {
        let begun = self.done(json!({ "call": "sign_in", "gitlab": self.world.gitlab.url() })).await;
        let sign_in = begun["sign_in"].as_str().unwrap().to_owned();
        let code = self.authorized(user, &begun).await;
        let signed_in =
            self.done(json!({ "call": "confirm_sign_in", "sign_in": sign_in, "code": code })).await;
        assert_eq!((&signed_in["username"], &signed_in["by_oauth"]), (&json!(user.username()), &json!(true)));
        sign_in
    }

    /// The code that `user` is shown after authorizing what was begun.
    async fn authorized(&self, user: &UserHandle, begun: &Value) -> String {
        let returned = self.world.gitlab.authorize(user, begun["authorize_url"].as_str().unwrap()).unwrap();
        let page = http().get(&returned).send().await.unwrap();
        assert_eq!(page.status(), 200);
        let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.headers()["referrer-policy"], "no-referrer");
        assert_eq!(page.headers()["cache-control"], "no-store");
        let text = page.text().await.unwrap();
        let host = self.world.site.base_url().split_once("://").unwrap().1.to_owned();
        assert!(text.contains(&host) && text.contains(&format!("@{}", user.username())), "{text}");
        let again = http().get(&returned).send().await.unwrap().text().await.unwrap();
        assert!(again.contains("Not signed in"), "a code is exchanged once");
        text.split("data-code=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    async fn links(&self) -> Vec<Value> {
        self.done(json!({ "call": "overview" })).await["links"].as_array().unwrap().clone()
    }
}

/// Ada's group with a project that has history.
async fn payments(world: &World) -> (UserHandle, GroupHandle, ProjectHandle) {
    world.site.add_issue_range("PAY", 1..=50);
    let ada = world.gitlab.user("ada").with_public_email();
    let group = world.gitlab.group("acme/payments", Tier::Premium);
    group.grant(&ada, Role::Owner);
    let api = group.project("api").acting_as(&ada);
    api.push("main", [commit("Start").adds("README.md", 1)]).await;
    api.push("rounding", [commit("Round").adds("a.rs", 1)]).await;
    api.open_merge_request(merge_request("rounding", "PAY-3 Round, encoded as UTF-8")).await;
    (ada, group, api)
}

/// S2, S3, S6, S10, S12, S20: install, sign in, preview, link, first live event, unlink, data gone; from each host.
async fn story(page: Page) {
    let (ada, group, api) = payments(&page.world).await;
    let overview = page.done(json!({ "call": "overview" })).await;
    assert_eq!((&overview["site"]["condition"], &overview["links"]), (&json!("active"), &json!([])));
    let gitlab = &overview["gitlab"][0];
    assert_eq!((&gitlab["url"], &gitlab["has_application"]), (&json!(page.world.gitlab.url()), &json!(true)));

    let sign_in = page.sign_in(&ada).await;
    let groups = page.done(json!({ "call": "groups", "sign_in": sign_in, "search": "", "page": 1 })).await;
    let found = groups["groups"].as_array().unwrap().iter().find(|row| row["path"] == "acme/payments");
    assert_eq!(found.unwrap()["link"], Value::Null);

    let preview = page.done(json!({ "call": "preview", "sign_in": sign_in, "group": group.id() })).await;
    assert_eq!((&preview["projects"], &preview["hook"]), (&json!(1), &json!("group")));
    assert_eq!(preview["credentials"][0], json!({ "mode": "read" }));
    let known = if matches!(page.host, Host::Local { .. }) { Value::Null } else { json!(true) };
    let jira_projects = preview["jira_projects"].as_array().unwrap();
    let pay = jira_projects.iter().find(|project| project["key"] == "PAY").unwrap();
    assert_eq!((&pay["issues"], &pay["in_jira"]), (&json!(1), &known));
    if known == true {
        let utf = jira_projects.iter().find(|project| project["key"] == "UTF").unwrap();
        assert_eq!(utf["in_jira"], false);
    }

    let linked = page
        .done(json!({
            "call": "link", "sign_in": sign_in, "group": group.id(), "credential": "read", "project_keys": ["PAY"],
        }))
        .await;
    assert_eq!((&linked["path"], &linked["hook"]), (&json!("acme/payments"), &json!("group")));
    let links = page.links().await;
    assert_eq!((&links[0]["linked_by"], &links[0]["credential"]), (&json!("ada"), &json!("read")));
    assert_eq!((&links[0]["state"], &links[0]["attention"]), (&json!("active"), &json!([])));
    assert_eq!(links[0]["last_event"], Value::Null);

    api.push("PAY-7-retry", [commit("PAY-7 Retry").adds("b.rs", 1)]).await;
    page.world.settled().await.unwrap();
    assert_eq!(page.world.site.issue("PAY-7").branches.len(), 1);
    let last_event = page.links().await[0]["last_event"].clone();
    assert!(last_event.is_string(), "GitLab delivered the push");
    let status = page.world.command(Command::Status).await.unwrap();
    assert_eq!(status["events"][0]["last_event"], last_event);

    assert!(page.world.gitlab.has_oauth_token(&ada).unwrap());
    page.done(json!({ "call": "sign_out", "sign_in": sign_in })).await;
    assert!(!page.world.gitlab.has_oauth_token(&ada).unwrap(), "the token is revoked");
    let (status, cause, _) =
        page.refused(json!({ "call": "groups", "sign_in": sign_in, "search": "", "page": 1 })).await;
    assert_eq!((status, cause.as_str()), (409, "sign_in_ended"));

    let link = links[0]["id"].clone();
    let sign_in = page.sign_in(&ada).await;
    let unlinked = page.done(json!({ "call": "unlink", "link": link, "sign_in": sign_in })).await;
    assert_eq!((&unlinked["hooks_removed"], &unlinked["repositories_removed"]), (&json!(1), &json!(1)));
    assert!(page.world.site.issue("PAY-7").branches.is_empty(), "what was sent is deleted");
    assert!(page.links().await.is_empty());
}

#[tokio::test]
async fn a_group_is_linked_in_the_frame_of_a_connect_app() {
    story(Page::connect().await).await;
}

#[tokio::test]
async fn a_group_is_linked_in_the_forge_app() {
    story(Page::forge().await).await;
}

#[tokio::test]
async fn a_group_is_linked_on_the_local_page() {
    story(Page::local().await).await;
}

/// History starts by itself; the page shows how far it is, and controls it.
#[tokio::test]
async fn history_is_shown_and_controlled() {
    let page = Page::connect().await;
    let (ada, group, _) = payments(&page.world).await;
    let sign_in = page.sign_in(&ada).await;
    let link = json!({ "call": "link", "sign_in": sign_in, "group": group.id(), "credential": "read" });
    page.done(link).await;
    let ended = async || {
        for _ in 0..600 {
            let history = page.links().await[0]["history"].clone();
            if history["state"] != "running" {
                return history;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the history does not end");
    };
    let history = ended().await;
    assert_eq!(
        (&history["state"], &history["ended"], &history["total"]),
        (&json!("done"), &json!(1), &json!(1))
    );
    assert_eq!(
        (&history["keyed"], &history["sent"], &history["remedy"]),
        (&json!(1), &json!(1), &Value::Null)
    );
    assert_eq!(page.world.site.issue("PAY-3").pull_requests.len(), 1);

    let link = page.links().await[0]["id"].clone();
    let steer = |action: &str| json!({ "call": "history", "link": link, "action": action });
    let (status, cause, sentence) = page.refused(steer("pause")).await;
    assert_eq!((status, cause.as_str()), (422, "refused"), "it has ended: {sentence}");
    let again = page.done(steer("resync_everything")).await;
    assert_eq!(again["links"][0]["history"]["state"], "running");
    assert_eq!(ended().await["sent"], 1);
    page.world.gitlab.inject(Fault::status(401));
    page.done(steer("resync_missing")).await;
    let history = ended().await;
    assert_eq!((&history["state"], &history["cause"]), (&json!("failed"), &json!("token_refused")));
    assert!(history["remedy"].as_str().unwrap().contains("link the group again"), "{history}");
}

/// S2: Jira's frame gets the document, its own site alone may frame it, and its files are kept for ever.
#[tokio::test]
async fn the_document_is_for_its_own_site_alone() {
    let page = Page::connect().await;
    for module in ["postInstallPage", "configurePage"] {
        let url = page.world.site.page_url(module, ADMINISTRATOR).unwrap();
        let answer = http().get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{module}");
        let headers = answer.headers().clone();
        let policy = headers["content-security-policy"].to_str().unwrap();
        let ancestors = policy.split("frame-ancestors ").nth(1).unwrap();
        assert_eq!(ancestors, page.world.site.base_url());
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!headers.contains_key("x-frame-options"));
        assert_eq!(
            (&headers["referrer-policy"], &headers["cache-control"]),
            (&"no-referrer".parse().unwrap(), &"no-store".parse().unwrap())
        );
        let text = answer.text().await.unwrap();
        let script = text.split("type=\"module\" src=\"").nth(1).unwrap().split('"').next().unwrap();
        let script = http().get(format!("{}{script}", page.world.base_url())).send().await.unwrap();
        assert_eq!(
            (script.status(), &script.headers()["content-type"]),
            (StatusCode::OK, &"text/javascript; charset=utf-8".parse().unwrap())
        );
        assert!(script.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    }
    // A token of a script is none for the document, nor the other way round.
    let context = page.world.site.context_token().unwrap().account(ADMINISTRATOR).compact();
    let url = format!("{}/subscriptions?jwt={context}", page.world.connect_base_url());
    assert_eq!(http().get(&url).send().await.unwrap().status(), 403);
    let real =
        page.world.site.token_for("POST", "/subscriptions/api").unwrap().account(ADMINISTRATOR).compact();
    assert_eq!(page.ask_with(Some(&real), json!({ "call": "overview" })).await.status, 403);
}

/// S5, S7, S16: only an administrator of this very site is answered, and nothing changes.
#[tokio::test]
async fn only_administrators_of_the_site_are_answered() {
    let page = Page::connect().await;
    let other = page.world.jira.site("globex").await.unwrap();
    other.add_user(User::admin(ADMINISTRATOR, "Another administrator"));
    other.install(&page.world.connect_base_url()).await.unwrap();
    page.world.site.add_user(User::new("user", "A user").in_group("some-other-group"));
    let request = || json!({ "call": "overview" });
    let token = || page.world.site.context_token().unwrap().account(ADMINISTRATOR);
    for (what, token) in [
        ("expired", token().expiring_in(-60).compact()),
        ("another tenant's signature", {
            let (_, secret) = other.app_credentials().unwrap();
            token().signed_with(standins::jira::Signature::Hmac(secret.into_bytes())).compact()
        }),
        ("no algorithm", token().algorithm("none").signed_with(standins::jira::Signature::Empty).compact()),
        ("unknown tenant", token().claim("iss", "unknown").compact()),
        ("nothing", String::new()),
    ] {
        assert_eq!(page.ask_with(Some(&token), request()).await.status, 403, "{what}");
    }
    assert_eq!(page.ask_with(None, request()).await.status, 403);
    for account in [Some("user"), Some("nobody"), None] {
        let token = page.world.site.context_token().unwrap();
        let token = account.map_or(token.clone(), |account| token.account(account)).compact();
        let Reply { status, body } = page.ask_with(Some(&token), request()).await;
        assert_eq!((status, body["cause"].as_str()), (403, Some("not_administrator")), "{account:?}");
        assert!(body["error"].as_str().unwrap().contains("administrators"), "{body}");
    }
    // S17: where Jira does not answer for permissions, the groups decide.
    page.world.site.add_user(User::new("old", "By group").in_group("org-admins"));
    let token = page.world.site.context_token().unwrap().account("old").compact();
    assert_eq!(
        page.ask_with(Some(&token), request()).await.status,
        403,
        "Jira answers, so groups do not count"
    );
}

/// What belongs to another site, or to another person, is not there.
#[tokio::test]
async fn links_and_sign_ins_of_others_are_not_found() {
    let page = Page::connect().await;
    let (ada, group, _) = payments(&page.world).await;
    let sign_in = page.sign_in(&ada).await;
    let linked = page
        .done(json!({ "call": "link", "sign_in": sign_in, "group": group.id(), "credential": "none" }))
        .await;
    let other = page.world.jira.site("globex").await.unwrap();
    other.add_user(User::admin(ADMINISTRATOR, "Another administrator"));
    other.install(&page.world.connect_base_url()).await.unwrap();
    let elsewhere = ask_as(&page, &other, json!({ "call": "unlink", "link": linked["link"] })).await;
    assert_eq!((elsewhere.status, &elsewhere.body["cause"]), (404, &json!("not_found")));
    let keys = json!({ "call": "set_project_keys", "link": linked["link"], "project_keys": ["OPS"] });
    assert_eq!(ask_as(&page, &other, keys).await.status, 404);
    let history = json!({ "call": "history", "link": linked["link"], "action": "cancel" });
    assert_eq!(ask_as(&page, &other, history).await.status, 404);
    let groups = json!({ "call": "groups", "sign_in": sign_in, "search": "", "page": 1 });
    assert_eq!(ask_as(&page, &other, groups.clone()).await.status, 409);
    page.world.site.add_user(User::admin("second", "Second administrator"));
    let token = page.world.site.context_token().unwrap().account("second").compact();
    assert_eq!(page.ask_with(Some(&token), groups).await.status, 409, "a sign-in is one person's");
    assert_eq!(page.links().await.len(), 1);
}

async fn ask_as(page: &Page, site: &SiteHandle, request: Value) -> Reply {
    let token = site.context_token().unwrap().account(ADMINISTRATOR).compact();
    page.ask_with(Some(&token), request).await
}

/// Whoever sends their link to a stranger gets nothing: without the code that the stranger is shown, the token can't be
/// used, and guessing ends the sign-in.
#[tokio::test]
async fn a_sign_in_of_somebody_else_can_not_be_used() {
    let page = Page::connect().await;
    let (victim, group, _) = payments(&page.world).await;
    let begun = page.done(json!({ "call": "sign_in", "gitlab": page.world.gitlab.url() })).await;
    let sign_in = begun["sign_in"].clone();
    let code = page.authorized(&victim, &begun).await;
    for call in ["groups", "preview", "link"] {
        let request = match call {
            "groups" => json!({ "call": call, "sign_in": sign_in, "page": 1 }),
            "preview" => json!({ "call": call, "sign_in": sign_in, "group": group.id() }),
            _ => json!({ "call": call, "sign_in": sign_in, "group": group.id(), "credential": "none" }),
        };
        let (status, cause, _) = page.refused(request).await;
        assert_eq!((status, cause.as_str()), (409, "sign_in_ended"), "{call}");
    }
    for guess in ["", "AAAAAA", "000000", "code"] {
        let request = json!({ "call": "confirm_sign_in", "sign_in": sign_in, "code": guess });
        assert_eq!(page.refused(request).await.1, "wrong_code", "{guess}");
    }
    let request = json!({ "call": "confirm_sign_in", "sign_in": sign_in, "code": "ZZZZZZ" });
    assert_eq!(page.refused(request).await.1, "sign_in_ended");
    assert!(!page.world.gitlab.has_oauth_token(&victim).unwrap(), "its token is revoked");
    let request = json!({ "call": "confirm_sign_in", "sign_in": sign_in, "code": code });
    assert_eq!(page.refused(request).await.1, "sign_in_ended", "the right code comes too late");
    assert!(page.links().await.is_empty());
}

/// Callbacks of sign-ins that did not begin here, or were refused.
#[tokio::test]
async fn unexpected_oauth_callbacks_are_explained() {
    let page = Page::connect().await;
    let callback = format!("{}/oauth_callbacks", page.world.connect_base_url());
    let get = async |query: &str| http().get(format!("{callback}{query}")).send().await.unwrap();
    for query in
        ["", "?code=1", "?code=1&state=x", "?code=1&state=01ARZ3NDEKTSV4RRFFQ69G5FAV.00", "?state=.&error=x"]
    {
        let answer = get(query).await;
        assert_eq!(answer.status(), 200, "{query}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("not known any more") && !text.contains("data-code"), "{query}: {text}");
    }
    let begun = page.done(json!({ "call": "sign_in", "gitlab": page.world.gitlab.url() })).await;
    let url = reqwest::Url::parse(begun["authorize_url"].as_str().unwrap()).unwrap();
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let (id, _) = state.split_once('.').unwrap();
    let forged = get(&format!("?code=1&state={id}.{}", "0".repeat(64))).await.text().await.unwrap();
    assert!(forged.contains("not known any more"));
    let refused = get(&format!("?error=access_denied&state={state}")).await.text().await.unwrap();
    assert!(refused.contains("did not authorize"), "{refused}");
    let request = json!({ "call": "confirm_sign_in", "sign_in": begun["sign_in"], "code": "AAAAAA" });
    assert_eq!(page.refused(request).await.1, "sign_in_ended");
}

/// "Failed to update the GitLab instance" with its cause, before anything is kept.
#[tokio::test]
async fn another_gitlab_is_checked_before_it_is_kept() {
    let page = Page::connect().await;
    let second = standins::gitlab::GitlabStandin::start(Version::V17_3).await.unwrap();
    let overview = page.done(json!({ "call": "overview" })).await;
    let redirect_uri = overview["redirect_uri"].as_str().unwrap();
    let save = |url: &str, id: &str| json!({ "call": "save_gitlab", "gitlab": url, "application_id": id });
    let secret = second.confidential_application(redirect_uri);
    let gone = "http://127.0.0.1:1";
    for (url, id, says) in [
        (second.url(), "unknown", "does not know this application id"),
        (second.url(), secret.as_str(), "untick Confidential"),
        (second.url(), "", "application id"),
        (second.url(), "<script>", "letters and digits"),
        (gone, "1", "can't be reached"),
        ("http://10.0.0.1", "1", "must not be called"),
        ("ftp://gitlab.example.com", "1", "must not be called"),
        ("not a url", "1", "must not be called"),
    ] {
        let (status, _, sentence) = page.refused(save(url, id)).await;
        assert!(matches!(status, 422 | 503) && sentence.contains(says), "{url} {id}: {status} {sentence}");
    }
    let no_gitlab = page.world.site.base_url();
    assert!(page.refused(save(&no_gitlab, "1")).await.2.contains("404"));
    // What is not signed in to yet says what is missing.
    let (status, cause, _) = page.refused(json!({ "call": "sign_in", "gitlab": second.url() })).await;
    assert_eq!((status, cause.as_str()), (409, "application_missing"));

    let id = second.oauth_application(redirect_uri);
    let overview = page.done(save(second.url(), &id)).await;
    let kept = overview["gitlab"].as_array().unwrap().iter().find(|gitlab| gitlab["url"] == second.url());
    assert_eq!(kept.unwrap()["has_application"], true);
    let begun = page.done(json!({ "call": "sign_in", "gitlab": second.url() })).await;
    assert!(begun["authorize_url"].as_str().unwrap().starts_with(second.url()));
    // Of this site only.
    let other = page.world.jira.site("globex").await.unwrap();
    other.add_user(User::admin(ADMINISTRATOR, "Another administrator"));
    other.install(&page.world.connect_base_url()).await.unwrap();
    let elsewhere = ask_as(&page, &other, json!({ "call": "sign_in", "gitlab": second.url() })).await;
    assert_eq!(elsewhere.body["cause"], "application_missing");
    page.done(json!({ "call": "forget_gitlab", "gitlab": second.url() })).await;
    let (_, cause, _) = page.refused(json!({ "call": "sign_in", "gitlab": second.url() })).await;
    assert_eq!(cause, "application_missing");
}

/// Signing out does not stop what the page has begun.
#[tokio::test]
async fn signing_out_leaves_the_token_to_webhooks_that_are_being_made() {
    let page = Page::connect().await;
    let (_, group, api) = payments(&page.world).await;
    let linus = page.world.gitlab.user("linus");
    group.grant(&linus, Role::Maintainer);
    for number in 0..4 {
        group.project(&format!("service-{number}"));
    }
    let sign_in = page.sign_in(&linus).await;
    let slow = std::time::Duration::from_millis(500);
    page.world.gitlab.inject(Fault::slow(slow).on("/projects").method("POST"));
    page.done(json!({ "call": "link", "sign_in": sign_in, "group": group.id(), "credential": "none" })).await;
    page.done(json!({ "call": "sign_out", "sign_in": sign_in })).await;
    let hooks = async || {
        for _ in 0..600 {
            let hooks = page.links().await[0]["hooks"].clone();
            if hooks["is_running"] == false {
                return hooks;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("webhooks are not made");
    };
    let hooks = hooks().await;
    assert_eq!((&hooks["made"], &hooks["failed"]), (&json!(5), &json!(0)), "{hooks}");
    assert_eq!(page.links().await[0]["attention"], json!([]));
    api.push("PAY-7-retry", [commit("PAY-7 Retry").adds("b.rs", 1)]).await;
    page.world.settled().await.unwrap();
    assert_eq!(page.world.site.issue("PAY-7").branches.len(), 1);
}

/// S8, S13, S14: what GitLab's side does not allow, in a sentence with the remedy, with nothing made.
#[tokio::test]
async fn refusals_name_their_cause_and_remedy() {
    let page = Page::connect().await;
    let (ada, group, _) = payments(&page.world).await;
    let grace = page.world.gitlab.user("grace");
    group.grant(&grace, Role::Developer);
    let linus = page.world.gitlab.user("linus");
    group.grant(&linus, Role::Maintainer);

    let by_token =
        |token: &str| json!({ "call": "use_token", "gitlab": page.world.gitlab.url(), "token": token });
    assert!(page.refused(by_token("wrong")).await.2.contains("rejects the token"));
    let weak = page.world.gitlab.token(&ada, &["read_api"]);
    assert!(page.refused(by_token(weak.expose_secret())).await.2.contains("scope api"));
    let session = async |user: &UserHandle| {
        let token = page.world.gitlab.token(user, &["api"]);
        page.done(by_token(token.expose_secret())).await["sign_in"].clone()
    };
    let developer = session(&grace).await;
    let preview =
        |sign_in: &Value, group: u64| json!({ "call": "preview", "sign_in": sign_in, "group": group });
    assert!(page.refused(preview(&developer, group.id())).await.2.contains("Maintainer or Owner"));
    assert!(page.refused(preview(&developer, 999_999)).await.2.contains("404"));
    let link = |sign_in: &Value, credential: &str| json!({ "call": "link", "sign_in": sign_in, "group": group.id(), "credential": credential });
    assert!(page.refused(link(&developer, "none")).await.2.contains("Maintainer or Owner"));
    let maintainer = session(&linus).await;
    let seen = page.done(preview(&maintainer, group.id())).await;
    assert_eq!((&seen["hook"], &seen["is_owner"]), (&json!("projects_not_owner"), &json!(false)));
    assert!(seen["credentials"][0]["unavailable"].as_str().unwrap().contains("Owner"));
    assert!(page.refused(link(&maintainer, "read")).await.2.contains("not an Owner"));
    // What a person signed in with ends after two hours: it can't be kept.
    let oauth = json!(page.sign_in(&ada).await);
    assert!(page.refused(link(&oauth, "given")).await.2.contains("two hours"));
    page.world.gitlab.inject(Fault::status(500).method("POST").on(&format!("/groups/{}/hooks", group.id())));
    let (status, _, sentence) = page.refused(link(&oauth, "none")).await;
    assert!(status == 503 && sentence.contains("remove it under"), "{status} {sentence}");
    assert!(page.links().await.is_empty());
    for (request, status) in [
        (json!({ "call": "nothing" }), 400),
        (json!({ "call": "groups", "sign_in": "x", "page": 1 }), 400),
        (json!({ "call": "overview", "more": 1 }), 400),
        (json!([]), 400),
    ] {
        assert_eq!(page.refused(request).await.0, status);
    }
}

/// A token of somebody's own is kept when it is given for that, and checked before.
#[tokio::test]
async fn a_given_token_is_checked_and_kept() {
    let page = Page::connect().await;
    let (ada, group, api) = payments(&page.world).await;
    let sign_in = page.sign_in(&ada).await;
    let bot = page.world.gitlab.user("bot");
    let link = |token: &str| json!({ "call": "link", "sign_in": sign_in, "group": group.id(), "credential": "given", "token": token });
    let token = page.world.gitlab.token(&bot, &["read_api"]);
    let outside = page.refused(link(token.expose_secret())).await;
    assert!(outside.2.contains("404"), "{outside:?}");
    assert!(page.links().await.is_empty(), "nothing is left");
    group.grant(&bot, Role::Developer);
    page.done(link(token.expose_secret())).await;
    assert_eq!(page.links().await[0]["credential"], "given");
    page.done(json!({ "call": "sign_out", "sign_in": sign_in })).await;
    let deployment = api.deploy("production", "main");
    api.push("main", [commit("PAY-4 Ship").adds("c.rs", 1)]).await;
    deployment.status("success").await;
    page.world.settled().await.unwrap();
    assert_eq!(page.world.site.issue("PAY-4").commits.len(), 1);
}

/// Texts of others stay texts, and groups of one name are told apart.
#[tokio::test]
async fn groups_are_searched_paged_and_marked() {
    let page = Page::connect().await;
    let (ada, group, _) = payments(&page.world).await;
    let inner = page.world.gitlab.group("acme/payments/cards", Tier::Premium);
    inner.grant(&ada, Role::Owner);
    for number in 0..25 {
        let other = page.world.gitlab.group(&format!("team-{number:02}"), Tier::Premium);
        other.grant(&ada, Role::Maintainer);
    }
    let sign_in = page.sign_in(&ada).await;
    let groups = |search: &str, number: u32| json!({ "call": "groups", "sign_in": sign_in, "search": search, "page": number });
    let first = page.done(groups("", 1)).await;
    assert_eq!((first["groups"].as_array().unwrap().len(), &first["next"]), (20, &json!(2)));
    let second = page.done(groups("", 2)).await;
    assert_eq!((second["groups"].as_array().unwrap().len(), &second["next"]), (7, &Value::Null));
    assert_eq!(page.done(groups("te", 1)).await["total"], 27, "two characters search for nothing");
    let found = page.done(groups("team-1", 1)).await;
    assert_eq!(found["groups"].as_array().unwrap().len(), 10);
    page.done(json!({ "call": "link", "sign_in": sign_in, "group": group.id(), "credential": "none" })).await;
    let found = page.done(groups("cards", 1)).await;
    assert_eq!(found["groups"][0]["covered_by"], "acme/payments");
    let found = page.done(groups("payments", 1)).await;
    assert!(found["groups"][0]["link"].is_string());
    let preview = page.done(json!({ "call": "preview", "sign_in": sign_in, "group": inner.id() })).await;
    assert_eq!(preview["related"], json!([{ "path": "acme/payments", "is_above": true }]));
}

/// Which Jira projects a link sends to can be changed, and projects that Jira did not know are asked for again.
#[tokio::test]
async fn project_keys_are_let_through_as_chosen() {
    let page = Page::connect().await;
    let (ada, group, api) = payments(&page.world).await;
    let sign_in = page.sign_in(&ada).await;
    let linked = page
        .done(json!({ "call": "link", "sign_in": sign_in, "group": group.id(), "credential": "none" }))
        .await;
    api.push("main", [commit("Encoded as UTF-8").adds("d.rs", 1)]).await;
    page.world.settled().await.unwrap();
    let overview = page.done(json!({ "call": "overview" })).await;
    assert_eq!(overview["site"]["suppressed_projects"], json!(["UTF"]));
    let overview = page.done(json!({ "call": "recheck_projects" })).await;
    assert_eq!(overview["site"]["suppressed_projects"], json!([]));
    let set =
        |keys: Value| json!({ "call": "set_project_keys", "link": linked["link"], "project_keys": keys });
    assert!(page.refused(set(json!(["pay"]))).await.2.contains("capitals"));
    let overview = page.done(set(json!(["OPS"]))).await;
    assert_eq!(overview["links"][0]["project_keys"], json!(["OPS"]));
    api.push("PAY-9-x", [commit("PAY-9 x").adds("e.rs", 1)]).await;
    page.world.settled().await.unwrap();
    assert!(page.world.site.issue("PAY-9").branches.is_empty());
}
