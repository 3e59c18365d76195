//! Jira's toolchain: looking for linked groups and their projects, and associating one with a Jira project; and strangers
//! who try to do the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gitlab_jira::demo::world::World;
use gitlab_jira::operate::{Command, CredentialChoice};
use reqwest::{Client, Response};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::clock::SystemClock;
use shared::domain::HoldReason;
use shared::jwt::qsh::{CONTEXT_QSH, query_string_hash};
use shared::store::backoffs::{Backoff, BackoffScope};
use standins::gitlab::{Fault, GitlabStandin, GroupHandle, Role, Tier, UserHandle, Version, commit};
use standins::jira::{Signature, SiteHandle};

use crate::hostile::refused;
use crate::stage::link_elsewhere;

const PROJECTS: &str = "GET /groups/:id/projects";
const ASSOCIATE: &str = "/repositories/associate";
const SEARCH: [&str; 2] = ["/workspaces/search", "/repositories/search"];

/// An installed site, and Ada with groups of her own.
struct Toolchain {
    world: World,
    ada: UserHandle,
    token: SecretString,
}

impl Toolchain {
    async fn new() -> Self {
        let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
        world.install().await.unwrap();
        world.site.add_issue_range("PAY", 1..=5);
        let ada = world.gitlab.user("ada");
        let token = ada.token(&["api"]);
        Self { world, ada, token }
    }

    /// A group of Ada's with these projects.
    fn group(&self, path: &str, projects: &[&str]) -> GroupHandle {
        let group = self.world.gitlab.group(path, Tier::Premium);
        group.grant(&self.ada, Role::Owner);
        for project in projects {
            group.project(project);
        }
        group
    }

    /// Links a group, read with Ada's own token, which sees more than the group.
    async fn link(&self, path: &str) {
        self.link_with(path, CredentialChoice::Given).await;
    }

    async fn link_with(&self, path: &str, credential: CredentialChoice) {
        let command = self.world.link_command(path, &self.token, credential);
        self.world.command(command).await.unwrap();
    }

    fn site(&self) -> &SiteHandle {
        &self.world.site
    }

    async fn workspaces(&self, words: &str) -> Vec<String> {
        let found = self.site().search_workspaces(words, 1, 20).await.unwrap();
        names(&found)
    }

    async fn repositories(&self, words: &str) -> Vec<String> {
        let found = self.site().search_repositories(words, 1, 20, None).await.unwrap();
        names(&found)
    }
}

fn names(found: &[Value]) -> Vec<String> {
    found.iter().map(|found| found["name"].as_str().unwrap().to_owned()).collect()
}

/// S30, and what comes before it: the search that offers the id.
#[tokio::test]
async fn s30_projects_of_a_linked_group_and_its_subgroups_are_found_and_associated() {
    let toolchain = Toolchain::new().await;
    let acme = toolchain.group("acme", &["api"]);
    let web = acme.subgroup("shop").project("web").with_avatar("https://gitlab.example/web.png");
    acme.project("old").archive(true);
    let outside = toolchain.group("private", &["secret"]).project("secret");
    toolchain.link("acme").await;
    let site = toolchain.site();

    let workspace = json!({"id": acme.id().to_string(), "name": "acme"});
    let found = site.search_workspaces("ACM", 1, 20).await.unwrap();
    let listed = json!({"id": workspace["id"], "name": "acme", "canCreateContainer": false});
    assert_eq!(found, [listed]);
    assert_eq!(toolchain.workspaces("private").await, Vec::<String>::new());
    let found = site.search_repositories("we", 1, 20, None).await.unwrap();
    let id = web.id().to_string();
    assert_eq!(found, [json!({"id": id, "name": "Web", "workspace": workspace})]);
    assert_eq!(toolchain.repositories("").await, ["Api", "Web"]);
    let of = async |workspace| site.search_repositories("", 1, 20, Some(workspace)).await.unwrap().len();
    assert_eq!([of(&acme.id().to_string()).await, of("1").await, of("acme").await], [2, 0, 0]);

    let associated = site.associate_repository(&id).await.unwrap().unwrap();
    assert_eq!(associated["url"], web.web_url());
    assert_eq!(
        (&associated["name"], &associated["avatarUrl"]),
        (&json!("Web"), &json!("https://gitlab.example/web.png"))
    );
    for unknown in
        [&outside.id().to_string(), "999999", &format!("0{id}"), &format!("abcd1234-{id}"), "x", "-"]
    {
        assert_eq!(site.associate_repository(unknown).await.unwrap(), None, "{unknown}");
    }

    // Paths change, and ids do not.
    acme.rename("renamed");
    assert_eq!(site.associate_repository(&id).await.unwrap().unwrap()["url"], web.web_url());
    acme.rename("acme");

    // It is the repository that events bring.
    web.acting_as(&toolchain.ada).push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    toolchain.world.settled().await.unwrap();
    let calls = site.recorded();
    let sent = calls.iter().find_map(|call| call.body["repositories"][0]["id"].as_str());
    assert_eq!(sent, Some(id.as_str()));
}

#[tokio::test]
async fn pages_go_through_all_links_and_neither_overlap_nor_shift() {
    let toolchain = Toolchain::new().await;
    toolchain.group("acme", &["a1", "a2", "a3"]);
    toolchain.group("acme/shop", &["shop1"]);
    toolchain.group("empty", &[]);
    toolchain.group("beta", &["b1", "b2"]);
    for group in ["acme/shop", "beta", "empty", "acme"] {
        toolchain.link(group).await;
    }
    let site = toolchain.site();
    let page = async |number, limit| {
        let found = site.search_repositories("", number, limit, None).await.unwrap();
        names(&found)
    };
    // In the order of links; a group in a linked group is searched with that one only.
    let all = page(1, 20).await;
    assert_eq!(all, ["B1", "B2", "A1", "A2", "A3", "Shop1"]);
    for limit in 1..=7 {
        let mut paged = Vec::new();
        for number in 1..=7 {
            paged.extend(page(number, limit).await);
        }
        assert_eq!(paged, all, "{limit} at a time");
    }
    let workspaces = site.search_workspaces("", 2, 3).await.unwrap();
    assert_eq!(names(&workspaces), ["acme"]);

    // A page costs a call for each link before its end, and at most two more.
    let before = toolchain.world.gitlab.calls_to(PROJECTS);
    assert_eq!(page(2, 4).await, ["A3", "Shop1"]);
    assert!(toolchain.world.gitlab.calls_to(PROJECTS) - before <= 3 + 2);
    let before = toolchain.world.gitlab.calls_to(PROJECTS);
    assert_eq!(page(1_000_000, 20).await, Vec::<String>::new());
    assert_eq!(toolchain.world.gitlab.calls_to(PROJECTS), before, "nobody turns pages for so long");
}

/// Ids are unique within an instance only.
#[tokio::test]
async fn each_instance_has_ids_of_its_own() {
    let toolchain = Toolchain::new().await;
    let acme = toolchain.group("acme", &["api"]);
    toolchain.link("acme").await;
    let second = GitlabStandin::start(Version::V17_3).await.unwrap();
    let other = link_elsewhere(&toolchain.world, &second, "other", "tool").await;
    let site = toolchain.site();

    let found = site.search_repositories("", 1, 20, None).await.unwrap();
    assert_eq!(names(&found), ["Api", "Tool"]);
    let [api, tool] = [0, 1].map(|place: usize| found[place]["id"].as_str().unwrap().to_owned());
    assert_eq!(api, acme.project("api").id().to_string());
    let bare = other.project("tool").id().to_string();
    assert!(tool.ends_with(&format!("-{bare}")), "{tool}");
    let workspace = found[1]["workspace"]["id"].as_str().unwrap();
    let inside = site.search_repositories("", 1, 20, Some(workspace)).await.unwrap();
    assert_eq!(names(&inside), ["Tool"]);

    for (id, url) in [(&api, toolchain.world.gitlab.url()), (&tool, second.url())] {
        let associated = site.associate_repository(id).await.unwrap().unwrap();
        assert!(associated["url"].as_str().unwrap().starts_with(url), "{associated}");
    }
    let of_first = site.associate_repository(&bare).await.unwrap();
    assert!(of_first.is_none_or(|project| project["name"] != "Tool"), "without its prefix it is another's");
}

/// Without a token the names of a link's projects are not known.
#[tokio::test]
async fn a_link_without_a_token_is_a_workspace_without_repositories() {
    let toolchain = Toolchain::new().await;
    let acme = toolchain.group("acme", &["api"]);
    toolchain.link_with("acme", CredentialChoice::None).await;
    assert_eq!(toolchain.workspaces("").await, ["acme"]);
    assert_eq!(toolchain.repositories("").await, Vec::<String>::new());
    let id = acme.project("api").id().to_string();
    assert_eq!(toolchain.site().associate_repository(&id).await.unwrap(), None);
}

/// Jira waits a few seconds only: what one GitLab has is shown while another is slow.
#[tokio::test]
async fn a_gitlab_that_does_not_answer_costs_its_own_projects() {
    let toolchain = Toolchain::new().await;
    let acme = toolchain.group("acme", &["api"]);
    toolchain.link("acme").await;
    let slow = GitlabStandin::start(Version::V19_1).await.unwrap();
    link_elsewhere(&toolchain.world, &slow, "slow", "tool").await;
    slow.inject(Fault::slow(Duration::from_secs(60)));
    let began = Instant::now();
    assert_eq!(toolchain.repositories("").await, ["Api"]);
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());

    // What could be there is not said to be missing; what GitLab refuses for good is.
    let site = toolchain.site();
    toolchain.world.gitlab.inject(Fault::status(503));
    slow.clear_faults();
    assert_eq!(toolchain.repositories("").await, ["Tool"]);
    slow.inject(Fault::status(500));
    let id = acme.project("api").id().to_string();
    let nothing = site.search_repositories("", 1, 20, None).await.unwrap_err().to_string();
    assert!(nothing.contains("503"), "{nothing}");
    let nothing = site.associate_repository(&id).await.unwrap_err().to_string();
    assert!(nothing.contains("503"), "{nothing}");
    for gitlab in [&toolchain.world.gitlab, &slow] {
        gitlab.clear_faults();
        gitlab.inject(Fault::status(401));
    }
    assert_eq!(toolchain.repositories("").await, Vec::<String>::new());
    assert_eq!(site.associate_repository(&id).await.unwrap(), None);
}

/// A limit that events ran into holds for people, too.
#[tokio::test]
async fn a_token_that_backs_off_is_left_alone() {
    let toolchain = Toolchain::new().await;
    toolchain.group("acme", &["api"]);
    toolchain.link("acme").await;
    let world = &toolchain.world;
    let links = world.command(Command::GroupList { site: None }).await.unwrap();
    let link = links["groups"][0]["id"].as_str().unwrap().to_owned();
    let scope = BackoffScope::Gitlab(world.gitlab.url().to_owned(), link);
    let store = &world.local.operator.store;
    let now = world.local.operator.clock.now();
    let reason = HoldReason::GitlabRateLimited;
    let until = now.after(Duration::from_secs(60));
    let backoff = Backoff { until, consecutive_failures: 1, since: now, reason };
    store.begin_backoff(&scope, &backoff).await.unwrap();
    let before = world.gitlab.calls().len();
    let nothing = toolchain.site().search_repositories("", 1, 20, None).await.unwrap_err().to_string();
    assert!(nothing.contains("503"), "{nothing}");
    assert_eq!(world.gitlab.calls().len(), before);
    store.end_backoff(&scope).await.unwrap();
    assert_eq!(toolchain.repositories("").await, ["Api"]);
}

/// Asks as `site` would, with another token.
async fn ask(world: &World, path: &str, token: Option<&str>) -> Response {
    let url = format!("{}{path}", world.connect_base_url());
    let http = Client::new();
    let request =
        if path.starts_with(ASSOCIATE) { http.post(url).json(&json!({"id": "1"})) } else { http.get(url) };
    let request = match token {
        Some(token) => request.header("authorization", format!("JWT {token}")),
        None => request,
    };
    request.send().await.unwrap()
}

/// S30 without a token of the tenant.
#[tokio::test]
async fn s30_strangers_learn_nothing() {
    let toolchain = Toolchain::new().await;
    toolchain.group("acme", &["api"]);
    toolchain.link("acme").await;
    let world = &toolchain.world;
    let other = world.jira.site("other").await.unwrap();
    other.install(&world.connect_base_url()).await.unwrap();
    let (_, others_secret) = other.app_credentials().unwrap();
    let before = world.gitlab.calls().len();
    for path in [SEARCH[0], SEARCH[1], ASSOCIATE] {
        let method = if path == ASSOCIATE { "POST" } else { "GET" };
        let token = || world.site.token_for(method, path).unwrap();
        let others = Signature::Hmac(others_secret.clone().into_bytes());
        refused(ask(world, path, None).await, 403, path).await;
        for (case, token) in [
            ("another tenant's secret", token().signed_with(others)),
            ("another tenant's name", token().claim("iss", other.client_key())),
            ("an unknown tenant", token().claim("iss", "nobody")),
            ("expired", token().expiring_in(-60)),
            ("no end", token().claim("exp", Value::Null)),
            ("alg none", token().algorithm("none").signed_with(Signature::Empty)),
            ("oversized", token().claim("context", "x".repeat(9_000))),
        ] {
            let token = token.compact();
            let case = format!("{path}: {case}");
            refused(ask(world, path, Some(&token)).await, 403, &case).await;
            refused(ask(world, &format!("{path}?jwt={token}"), None).await, 403, &case).await;
        }
    }
    assert_eq!(world.gitlab.calls().len(), before, "nobody calls GitLab for a stranger");

    // Another site has its own links, and these are none of them.
    assert_eq!(other.search_workspaces("", 1, 20).await.unwrap(), Vec::<Value>::new());
    assert_eq!(other.search_repositories("", 1, 20, None).await.unwrap(), Vec::<Value>::new());
    let id = world.gitlab.group("acme", Tier::Premium).project("api").id().to_string();
    assert_eq!(other.associate_repository(&id).await.unwrap(), None);
    assert_eq!(world.gitlab.calls().len(), before);
}

/// As with the link to create a branch: the hash is not demanded yet, because Jira's own is not proved.
#[tokio::test]
async fn a_token_of_another_page_of_the_same_tenant_may_search() {
    let toolchain = Toolchain::new().await;
    for qsh in [CONTEXT_QSH, &query_string_hash("GET", "/subscriptions", None)] {
        let token = toolchain.site().tenant_token(qsh).unwrap().compact();
        for (path, status) in [(SEARCH[0], 200), (SEARCH[1], 200), (ASSOCIATE, 404)] {
            let answer = ask(&toolchain.world, path, Some(&token)).await;
            assert_eq!(answer.status(), status, "{path}, {qsh}");
        }
    }
}

#[tokio::test]
async fn odd_parameters_and_bodies_are_answered_with_bounds() {
    let toolchain = Toolchain::new().await;
    toolchain.group("acme", &["api"]);
    toolchain.link("acme").await;
    let world = &toolchain.world;
    let long = format!("searchQuery={}", "x".repeat(30_000));
    for (query, found) in [
        ("page=0", 1),
        ("page=0&limit=0", 1),
        ("limit=1000000000", 1),
        ("limit=99999999999999999999999999", 1),
        ("page=-1&limit=-1", 1),
        ("page=x&limit=%00", 1),
        ("page=18446744073709551615&limit=18446744073709551615", 0),
        ("page=2", 0),
        ("searchQuery=%ff%00", 0),
        ("searchQuery=api&searchQuery=zzz&page=1&page=9", 1),
        ("searchQuery=%27%3B+DROP+TABLE--", 0),
        ("searchQuery=api%26per_page%3D1%26archived%3Dtrue", 0),
        ("workspaceId=..%2F..%2Fprojects", 0),
        ("&&&=&?", 1),
        (long.as_str(), 0),
    ] {
        let target = format!("{}?{query}", SEARCH[1]);
        let token = world.site.token_for("GET", &target).unwrap().compact();
        let answer = ask(world, &target, Some(&token)).await;
        assert_eq!(answer.status(), 200, "{query}");
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let answer: Value = answer.json().await.unwrap();
        let count = answer["repositories"].as_array().unwrap().len();
        assert_eq!(count, found, "{}", query.chars().take(80).collect::<String>());
    }
    // Nothing that somebody looks for adds a parameter to the call to GitLab.
    let calls = world.gitlab.calls();
    let searches: Vec<_> = calls.iter().filter(|call| call.target.contains("search=")).collect();
    assert!(
        !searches.is_empty() && searches.iter().all(|call| call.target.matches("per_page=").count() == 1)
    );

    let token = world.site.token_for("POST", ASSOCIATE).unwrap().compact();
    let url = format!("{}{ASSOCIATE}", world.connect_base_url());
    let too_long = format!(r#"{{"id": "{}"}}"#, "9".repeat(5_000));
    for (body, status) in [
        ("{}", 400),
        ("", 400),
        ("null", 400),
        (r#"{"id": null}"#, 400),
        (r#"{"id": {"id": 1}}"#, 400),
        ("id=1", 400),
        ("[[[[[[[[", 400),
        (r#"{"id": "../../user"}"#, 404),
        (r#"{"id": "99999999999999999999999999"}"#, 404),
        (r#"{"id": "0"}"#, 404),
        (too_long.as_str(), 413),
    ] {
        let request = Client::new().post(&url).header("authorization", format!("JWT {token}"));
        let answer = request.body(body.to_owned()).send().await.unwrap();
        assert_eq!(answer.status(), status, "{}", body.chars().take(80).collect::<String>());
    }
}

/// What is markup elsewhere is a text in JSON.
#[tokio::test]
async fn a_group_may_be_called_anything() {
    let toolchain = Toolchain::new().await;
    let odd = r#"<img src=x onerror="alert(1)">"#;
    toolchain.group(odd, &["<script>"]);
    toolchain.link(odd).await;
    assert_eq!(toolchain.workspaces("ONERROR").await, [odd]);
    let found = toolchain.site().search_repositories("", 1, 20, None).await.unwrap();
    assert_eq!(names(&found), ["<script>"]);
    assert_eq!(found[0]["workspace"]["name"], odd);
}
