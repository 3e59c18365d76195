//! What becomes of entities when Jira takes, refuses, limits or does not answer them. Jira is a script, the store is the
//! embedded engine in memory, and time passes when a test says so. How calls are signed is tested beside the client.

mod backoffs;
mod batches;
mod deletions;
mod probing;
mod projects;
mod workers;

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use std::time::Duration;

use super::*;
use crate::clock::stopped::StoppedClock;
use crate::domain::SiteCondition;
use crate::domain::{
    Connection, EntityKind, Installation, InstallationId, IssueKeys, SiteId, Subscription, SubscriptionId,
    SubscriptionState,
};
use crate::gitlab::model;
use crate::jira::client::Authentication;
use crate::jira::client::scripted_server::{Request, Response, ScriptedServer};
use crate::jira::connections::AccessTokens;
use crate::outbound::{HostGuard, RedirectRule, outbound_client};
use crate::store::embedded::EmbeddedEngine;
use crate::store::tests::removal::link;
use crate::sync::entity::{Content, Entity, Link};
use crate::sync::transform::Source;

/// A site whose Jira answers by a script.
struct World {
    server: ScriptedServer,
    store: Store,
    clock: Arc<StoppedClock>,
    client: JiraClient,
    site: SiteId,
}

impl World {
    async fn new(script: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let server = ScriptedServer::start(script);
        let (store, clock, site) = a_site().await;
        let client = client(server.url(), Arc::clone(&clock));
        Self { server, store, clock, client, site }
    }

    async fn submitter(&self) -> Submitter<'_> {
        let site = self.site().await;
        let deadline = Deadline::after(Duration::from_secs(120));
        Submitter::new(&self.client, &self.store, &*self.clock, site, deadline)
            .await
            .expect("the store works")
    }

    /// Delivers a batch as `sync` does: with what the store remembers, and nothing else.
    async fn submit(&self, entities: Vec<Entity>) -> Vec<Submitted> {
        let mut submitter = self.submitter().await;
        let before = self.server.requests().len();
        let delivered = submitter.submit(pending(entities)).await.expect("the store works");
        let made = self.server.requests().len() - before;
        assert_eq!(usize::try_from(submitter.calls).expect("few"), made, "every call is counted");
        delivered
    }

    /// What became of one entity.
    async fn submit_one(&self, entity: Entity) -> SubmitOutcome {
        self.submit(vec![entity]).await.remove(0).outcome
    }

    async fn site(&self) -> Site {
        self.store.site(self.site).await.expect("the store works").expect("it was stored")
    }

    async fn condition(&self) -> SiteCondition {
        self.site().await.state.condition
    }

    async fn backoff(&self, scope: &BackoffScope) -> Option<Backoff> {
        self.store.backoff(scope).await.expect("the store works")
    }

    fn of_api(&self, api: Api) -> BackoffScope {
        BackoffScope::Api(self.site, api)
    }

    fn of_site(&self) -> BackoffScope {
        BackoffScope::Site(self.site)
    }

    /// Now, so many seconds later.
    fn in_seconds(&self, seconds: u64) -> Timestamp {
        self.clock.now().after(Duration::from_secs(seconds))
    }
}

/// A store with one site in it.
async fn a_site() -> (Store, Arc<StoppedClock>, SiteId) {
    let (clock, engine) = (StoppedClock::new(), EmbeddedEngine::memory().expect("an engine"));
    let store = Store::new(engine.client(), "state", Arc::clone(&clock) as _);
    store.create_table().await.expect("a table");
    let site = Site::new("https://jira.example", clock.now());
    // It is never opened: the client has its secret already.
    let sealed =
        json!({"v": 1, "key": "AAAA", "nonce": "AAAAAAAAAAAAAAAA", "data": "AAAAAAAAAAAAAAAAAAAAAAAA"});
    let installation = Installation {
        id: InstallationId::generate(),
        site: site.id,
        connection: Connection::OauthCredentials {
            client_id: "client-1".to_owned(),
            client_secret: serde_json::from_value(sealed).expect("a sealed secret"),
        },
        installed_at: clock.now(),
    };
    store.create_site(&site, &installation).await.expect("stored");
    let link = Subscription { id: link_id(), state: SubscriptionState::Active, ..link(site.id) };
    store.create_subscription(&link).await.expect("stored");
    (store, clock, site.id)
}

fn http() -> reqwest::Client {
    let guard = HostGuard::parse("127.0.0.1").expect("a list");
    outbound_client(&guard, RedirectRule::None, None).expect("a client")
}

fn client(base_url: Url, clock: Arc<StoppedClock>) -> JiraClient {
    JiraClient::new(http(), clock, base_url, connect_access())
}

fn connect_access() -> Authentication {
    Authentication::Connect {
        app_key: "app.key".to_owned(),
        shared_secret: SecretString::from("shared-secret"),
    }
}

fn accepted() -> Response {
    Response::json(202, &json!({}))
}

/// The id of the link that everything here comes through.
fn link_id() -> SubscriptionId {
    "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("an id")
}

fn source(project: u64) -> Source {
    let project = model::Project {
        id: project,
        name: format!("p{project}"),
        web_url: format!("https://gitlab.example.com/acme/p{project}"),
        path: format!("acme/p{project}"),
        ..model::Project::default()
    };
    let link = Link { subscription: link_id(), product: Arc::from("GitLab 19.1.0") };
    Source::new(project, link, "https://gitlab.example.com", 0)
}

/// When everything here is known to be true.
const KNOWN_AT: Timestamp = Timestamp(1_767_607_000_000);

fn raw_commit(number: usize, keys: &str) -> model::Commit {
    model::Commit {
        sha: sha(number),
        message: keys.to_owned(),
        keys: IssueKeys::extract([keys]),
        author: model::Person::default(),
        committed_at: None,
        web_url: format!("https://gitlab.example.com/acme/p42/-/commit/{number}"),
        merge: false,
        file_count: None,
        files: Vec::new(),
        parent: None,
    }
}

fn sha(number: usize) -> String {
    format!("{number:040}")
}

fn commit(number: usize) -> Entity {
    source(42).commit(&raw_commit(number, "PAY-1"), KNOWN_AT)
}

fn branch(name: &str) -> Entity {
    source(42).branch(name, &raw_commit(1, "PAY-1"), IssueKeys::extract(["PAY-1"]), KNOWN_AT)
}

/// An open merge request.
fn raw_merge_request(id: u64) -> model::MergeRequest {
    model::MergeRequest {
        id,
        iid: id,
        title: "PAY-1".to_owned(),
        keys: IssueKeys::extract(["PAY-1"]),
        state: "opened".to_owned(),
        reference: format!("acme/p42!{id}"),
        ..model::MergeRequest::default()
    }
}

fn merge_request(id: u64) -> Entity {
    source(42).merge_request(&raw_merge_request(id), KNOWN_AT, false)
}

fn build(project: u64, number: u64) -> Entity {
    let pipeline = model::Pipeline {
        id: number,
        iid: Some(number),
        git_ref: "main".to_owned(),
        status: "running".to_owned(),
        commit_keys: Some(IssueKeys::extract(["PAY-1"])),
        ..model::Pipeline::default()
    };
    source(project).build(&pipeline, KNOWN_AT, false).expect("it has a number")
}

fn deployment(number: u64) -> Entity {
    let environment =
        model::Environment { id: Some(3), name: "live".to_owned(), ..model::Environment::default() };
    let deployment = model::Deployment {
        id: number,
        iid: Some(number),
        status: "success".to_owned(),
        environment,
        keys: IssueKeys::extract(["PAY-1"]),
        ..model::Deployment::default()
    };
    source(42).deployment(&deployment, KNOWN_AT, false).expect("it has a number")
}

fn flag(number: u64) -> Entity {
    let flag = model::FeatureFlag {
        name: format!("flag-{number}"),
        keys: IssueKeys::extract(["PAY-1"]),
        ..model::FeatureFlag::default()
    };
    source(42).feature_flag(&flag, KNOWN_AT)
}

/// One of each kind, in the order in which they are sent.
fn one_of_each() -> Vec<Entity> {
    vec![commit(1), branch("PAY-1-x"), merge_request(7), build(42, 31), deployment(5), flag(800)]
}

fn pending(entities: Vec<Entity>) -> Vec<PendingEntity> {
    entities.into_iter().map(PendingEntity::from).collect()
}

/// What became of each entity, by its id.
fn outcomes(delivered: &[Submitted]) -> HashMap<String, SubmitOutcome> {
    delivered.iter().map(|one| (one.pending.entity.key.id.clone(), one.outcome.clone())).collect()
}

/// The ids of the commits in a call.
fn commits_of(request: &Request) -> Vec<String> {
    let body = request.json();
    let commits = body["repositories"][0]["commits"].as_array().cloned().unwrap_or_default();
    commits.iter().filter_map(|commit| commit["id"].as_str().map(str::to_owned)).collect()
}

/// Whether a body says `text` somewhere.
fn says(request: &Request, text: &str) -> bool {
    request.json().to_string().contains(text)
}

fn rejected(text: &str) -> SubmitOutcome {
    SubmitOutcome::Rejected(text.to_owned())
}
