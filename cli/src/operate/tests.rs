//! The operator commands against stand-ins of Jira and GitLab: what each answers, what it refuses and how, and that a
//! refusal leaves nothing behind.

mod explain;
mod forge;
mod key;
mod link;
mod render;
mod renew;
mod site;
mod unlink;

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::Value;
use shared::bundle::{BACKFILL_QUEUE, EVENTS_QUEUE};
use shared::clock::{SharedClock, SystemClock};
use shared::domain::{Site, Subscription};
use shared::envelope::{Envelope, KeyFile};
use shared::gitlab::client::GitlabHttp;
use shared::jira::connections::{AccessTokens, Connections};
use shared::linking::Linking;
use shared::outbound::{HostGuard, RedirectRule, outbound_client};
use shared::queue::SharedQueue;
use shared::queue::embedded::EmbeddedQueues;
use shared::store::Store;
use shared::store::embedded::EmbeddedEngine;
use standins::gitlab::{GitlabStandin, GroupHandle, Role, Tier, UserHandle, Version};
use standins::jira::{Api, JiraStandin, SiteHandle};
use tempfile::TempDir;

use super::{Command, CredentialChoice, GroupLink, Hidden, MasterKey, Operator, Refusal};
use crate::forge_manifest::{Remotes, Setup};

/// Where the stand-ins' hooks would deliver to; nobody listens there.
const BASE_URL: &str = "https://gitlab-jira.example.com";

const APIS: [Api; 4] = [Api::DevInfo, Api::Builds, Api::Deployments, Api::FeatureFlags];

/// An operator beside a Jira with the site `acme` and a GitLab with the group `acme`, its Owner Ada, and a project.
struct Bench {
    jira: JiraStandin,
    site: SiteHandle,
    gitlab: GitlabStandin,
    group: GroupHandle,
    ada: UserHandle,
    operator: Operator,
    queue: SharedQueue,
    _engine: EmbeddedEngine,
    directory: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Version::V19_1, Tier::Premium, "http://127.0.0.1").await
    }

    async fn with(version: Version, tier: Tier, private_hosts: &str) -> Self {
        let jira = JiraStandin::start().await.unwrap();
        let site = jira.site("acme").await.unwrap();
        let gitlab = GitlabStandin::start(version).await.unwrap();
        let group = gitlab.group("acme", tier);
        let ada = gitlab.user("ada");
        group.grant(&ada, Role::Owner);
        group.project("api");
        let clock: SharedClock = Arc::new(SystemClock);
        let engine = EmbeddedEngine::memory().unwrap();
        let store = Store::new(engine.client(), "state", clock.clone());
        store.create_table().await.unwrap();
        let queues = EmbeddedQueues::memory(clock.clone()).unwrap();
        let queue: SharedQueue = queues.queue(EVENTS_QUEUE);
        let steps: SharedQueue = queues.queue(BACKFILL_QUEUE);
        let directory = tempfile::tempdir().unwrap();
        let key = Arc::new(KeyFile::open_or_create(&directory.path().join("key")).unwrap());
        let envelope = Arc::new(Envelope::new(key.clone()));
        let guard = HostGuard::parse(private_hosts).unwrap();
        let linking = Linking {
            store: store.clone(),
            connections: connections(&jira, &guard, &envelope, &clock),
            envelope,
            gitlab: GitlabHttp {
                reads: outbound_client(&guard, RedirectRule::SameOriginGet, None).unwrap(),
                writes: outbound_client(&guard, RedirectRule::None, None).unwrap(),
            },
            guard,
            queues: vec![queue.clone()],
            steps: steps.clone(),
            clock: clock.clone(),
            webhook_base_url: BASE_URL.to_owned(),
            gitlab_url: gitlab.url().parse().unwrap(),
        };
        let operator = Operator {
            store,
            linking,
            queues: BTreeMap::from([(EVENTS_QUEUE, queue.clone()), (BACKFILL_QUEUE, steps)]),
            clock,
            base_url: BASE_URL.to_owned(),
            allowed_jira_sites: Arc::new([]),
            forge: Setup { app_id: None, bundle: String::new(), remotes: Some(Remotes::all_at(BASE_URL)) },
            key: Some(Arc::new(MasterKey::new(key))),
            application_id: None,
            page_sessions: Arc::default(),
        };
        Self { jira, site, gitlab, group, ada, operator, queue, _engine: engine, directory }
    }

    fn host(&self) -> String {
        self.site.base_url().split_once("://").unwrap().1.to_owned()
    }

    async fn run(&self, command: Command) -> Result<Value, Refusal> {
        self.operator.run(command).await.map(|answer| answer.json())
    }

    async fn done(&self, command: Command) -> Value {
        self.run(command).await.unwrap()
    }

    #[track_caller]
    fn refused(answer: Result<Value, Refusal>) -> String {
        answer.expect_err("refused").sentence
    }

    /// Opens the OAuth-credentials connection.
    async fn add_site(&self) -> Value {
        let (id, secret) = self.site.add_oauth_credentials(&APIS);
        self.done(site_add(&self.host(), &id, &secret)).await
    }

    fn link(&self, token: &SecretString) -> GroupLink {
        GroupLink {
            site: self.host(),
            group: "acme".to_owned(),
            gitlab_url: Some(self.gitlab.url().to_owned()),
            gitlab_token: Hidden(token.clone()),
            no_hook: false,
            project_keys: Vec::new(),
            history: false,
            credential: CredentialChoice::Auto,
        }
    }

    /// A link with Ada's token.
    fn adas(&self) -> GroupLink {
        self.link(&self.ada.token(&["api"]))
    }

    async fn stored_site(&self) -> Site {
        self.operator.store.sites().await.unwrap().remove(0)
    }

    async fn stored_links(&self) -> Vec<Subscription> {
        let mut links = Vec::new();
        for site in self.operator.store.sites().await.unwrap() {
            links.extend(self.operator.store.subscriptions(site.id).await.unwrap());
        }
        links
    }
}

fn connections(
    jira: &JiraStandin,
    guard: &HostGuard,
    envelope: &Arc<Envelope>,
    clock: &SharedClock,
) -> Connections {
    Connections {
        http: outbound_client(guard, RedirectRule::None, None).unwrap(),
        guard: guard.clone(),
        envelope: envelope.clone(),
        clock: clock.clone(),
        app_key: String::new(),
        api_url: jira.api_url().parse().unwrap(),
        tokens: AccessTokens::default(),
    }
}

fn site_add(site: &str, client_id: &str, client_secret: &str) -> Command {
    Command::SiteAdd {
        site: site.to_owned(),
        client_id: client_id.to_owned(),
        client_secret: Hidden(SecretString::from(client_secret)),
    }
}

fn unlink(subscription: &Value) -> Command {
    Command::GroupUnlink {
        subscription: subscription.as_str().unwrap().to_owned(),
        keep_jira_data: false,
        gitlab_token: None,
    }
}
