//! The stand-in itself: its server, and what a test may arrange that is no part of any project.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::gate::{ApiCall, Fault};
use super::hooks::{HeldDeliveries, SentDelivery, Trigger};
use super::shared::Shared;
use super::state::{Hook, HookLog, HookOwner, HookSettings, Tier, World};
use super::story::{GroupHandle, UserHandle, ensure_group, ensure_user};
use super::{Version, clock, rest};

/// A GitLab instance on a port of its own. It stops when the last clone is dropped.
#[derive(Clone)]
pub struct GitlabStandin {
    shared: Arc<Shared>,
    server: Arc<Server>,
}

struct Server {
    url: String,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl GitlabStandin {
    /// Starts an empty instance on `127.0.0.1` and any free port.
    ///
    /// # Errors
    /// If no port can be had or no HTTP client can be built.
    pub async fn start(version: Version) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port for GitLab")?;
        let url = format!("http://{}", listener.local_addr()?);
        // As GitLab: no redirect is followed, and no proxy of the environment stands between.
        let http =
            reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let shared = Shared::new(World::new(version, url.clone()), http);
        let router = rest::router(&shared);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the GitLab stand-in stopped");
            }
        });
        Ok(GitlabStandin { shared, server: Arc::new(Server { url, task }) })
    }

    /// Base address, `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.server.url
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The version it imitates.
    pub fn version(&self) -> Version {
        self.shared.world().version
    }

    /// The group with this full path, made if need be, with its ancestors and without telling any hook.
    /// The tier is set for the whole tree it belongs to, because GitLab sells it per top-level group.
    pub fn group(&self, full_path: &str, tier: Tier) -> GroupHandle {
        let mut world = self.shared.world();
        let id = ensure_group(&mut world, full_path);
        let root = world.lineage(id).last().map_or(id, |root| root.id);
        if let Some(root) = world.groups.get_mut(&root) {
            root.tier = tier;
        }
        GroupHandle::new(&self.shared, id)
    }

    /// The user with this name, made if need be. The e-mail address is `<name>@example.com`, not public.
    pub fn user(&self, username: &str) -> UserHandle {
        let id = ensure_user(&mut self.shared.world(), username);
        UserHandle::new(&self.shared, id)
    }

    /// A personal access token that does not expire.
    pub fn token(&self, user: &UserHandle, scopes: &[&str]) -> SecretString {
        user.token(scopes)
    }

    /// Makes a token stop working, as its owner would on the web page.
    pub fn revoke(&self, token: &SecretString) {
        let mut world = self.shared.world();
        if let Some(token) = world.tokens.values_mut().find(|known| known.secret == token.expose_secret()) {
            token.revoked = true;
        }
    }

    /// Sets the first day on which a token no longer works.
    pub fn expire(&self, token: &SecretString, day: time::Date) {
        let mut world = self.shared.world();
        if let Some(token) = world.tokens.values_mut().find(|known| known.secret == token.expose_secret()) {
            token.expires_on = Some(day);
        }
    }

    /// Sets the day on which a token no longer works, from today on.
    pub fn expire_in(&self, token: &SecretString, days: i64) {
        self.expire(token, (self.now() + time::Duration::days(days)).date());
    }

    /// The instance's own time.
    pub fn now(&self) -> OffsetDateTime {
        self.shared.world().clock.peek()
    }

    /// Lets time pass: hooks recover, tokens expire, what follows is newer.
    pub fn advance(&self, by: time::Duration) {
        self.shared.world().clock.advance(by);
    }

    /// Sets the clock, for events that lie in the past.
    pub fn set_now(&self, to: OffsetDateTime) {
        self.shared.world().clock.set(to);
    }

    /// API calls per route, `GET /projects/:id`, refused ones included.
    pub fn call_counts(&self) -> BTreeMap<String, u64> {
        self.shared.gate.counts()
    }

    /// How often one route was called.
    pub fn calls_to(&self, route: &str) -> u64 {
        self.call_counts().get(route).copied().unwrap_or_default()
    }

    /// Every API call so far, oldest first.
    pub fn calls(&self) -> Vec<ApiCall> {
        self.shared.gate.calls()
    }

    /// Allows each credential `max` calls per `window` to paths that begin so (without `/api/v4`).
    pub fn limit_calls(&self, path_prefix: &str, max: u64, window: Duration) {
        self.shared.gate.limit(path_prefix, max, window);
    }

    /// Lifts every limit on calls.
    pub fn lift_limits(&self) {
        self.shared.gate.clear_limits();
    }

    /// Injects a fault. Faults are tried in the order in which they were injected.
    pub fn inject(&self, fault: Fault) {
        self.shared.gate.inject(fault);
    }

    /// Removes all injected faults.
    pub fn clear_faults(&self) {
        self.shared.gate.clear_faults();
    }

    /// From now on deliveries wait in the returned value until the test sends them.
    pub fn hold_deliveries(&self) -> HeldDeliveries {
        self.shared.held().get_or_insert_default();
        HeldDeliveries { shared: Arc::clone(&self.shared) }
    }

    /// What all hooks that exist delivered in the last seven days, oldest first.
    pub fn sent_deliveries(&self) -> Vec<SentDelivery> {
        let world = self.shared.world();
        let mut log: Vec<_> = world.hooks.values().flat_map(|hook| &hook.log).collect();
        log.sort_by_key(|entry| entry.at);
        let sent = |entry: &HookLog| SentDelivery {
            at: clock::rest(entry.at),
            event: entry.trigger.header(),
            status: entry.response_status.clone(),
        };
        log.into_iter().map(sent).collect()
    }

    /// Whether failing hooks are disabled, as on GitLab.com (on by default; self-managed instances have it
    /// off unless they choose otherwise).
    pub fn auto_disable_hooks(&self, on: bool) {
        self.shared.world().auto_disable_hooks = on;
    }

    /// Makes every hook of groups and projects what it is after so many deliveries that failed in a row: from 4 on GitLab
    /// disables it for a while, from 40 on until a test delivery succeeds.
    pub fn fail_hooks(&self, failures: u32) {
        let mut world = self.shared.world();
        let now = world.clock.peek();
        for hook in world.hooks.values_mut() {
            hook.fail(failures, now);
        }
    }

    /// How many hooks of groups and projects deliver to URLs that begin so.
    pub fn hooks_to(&self, url: &str) -> usize {
        self.shared.world().hooks.values().filter(|hook| hook.settings.url.starts_with(url)).count()
    }

    /// Adds a system hook for pushes, tag pushes and merge requests of the whole instance.
    pub fn system_hook(&self, url: &str, token: &SecretString) {
        let mut world = self.shared.world();
        let (id, created_at) = (world.fresh_id(), world.now());
        let mut settings = HookSettings::new(url);
        settings.token = Some(token.expose_secret().to_owned());
        settings.triggers = BTreeSet::from([Trigger::Push, Trigger::TagPush, Trigger::MergeRequest]);
        let hook = Hook::new(id, HookOwner::Instance, settings, created_at);
        world.hooks.insert(id, hook);
    }
}
