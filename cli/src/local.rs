//! The bundle on a data directory: embedded table and queues, a key file, all functions behind one router, and a pump in
//! place of each event source mapping. The directory belongs to one process at a time.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use backfill::Backfill;
use fs4::fs_std::FileExt as _;
use housekeeping::{Housekeeping, LinkUpkeep};
use oauth_application_id::OauthApplicationId;
use shared::bundle::{BACKFILL_QUEUE, EVENTS_QUEUE, HOUSEKEEPING};
use shared::clock::SharedClock;
use shared::config::{ForgeFunction, PageFunction};
use shared::envelope::{Envelope, KeyFile};
use shared::http::measured;
use shared::page::PageApi;
use shared::queue::SharedQueue;
use shared::queue::embedded::{EmbeddedQueue, EmbeddedQueues};
use shared::queue::worker::{Batch, Deadline, Handler};
use shared::services::{Queues, Services};
use shared::store::Store;
use shared::store::embedded::EmbeddedEngine;
use shared::telemetry::with_causes;
use sync::EventSync;
use tokio::task::JoinHandle;

use crate::forge_manifest::{Remotes, Setup};
use crate::operate::{MasterKey, Operator};
use crate::pump::Pump;
use crate::settings::Settings;

/// Name of the table in the embedded engine.
const TABLE: &str = "gitlab-for-jira";

/// Files of the data directory.
const STATE: &str = "state.sqlite";
const QUEUES: &str = "queues.sqlite";
const KEY: &str = "key";

/// How often expired items are removed.
const SWEEP: Duration = Duration::from_secs(3600);

/// The bundle in one process.
#[derive(Debug)]
pub struct Local {
    /// The operator commands on it.
    pub operator: Arc<Operator>,
    /// The events queue.
    pub events: Arc<EmbeddedQueue>,
    /// The queue of steps.
    pub backfill: Arc<EmbeddedQueue>,
    settings: Settings,
    services: Services,
    engine: EmbeddedEngine,
    sync: EventSync,
    steps: Backfill,
    housekeeping: (LinkUpkeep, Housekeeping),
    page: PageFunction,
    // Held as long as the process owns the directory.
    _lock: File,
}

impl Local {
    /// Opens `directory`, making it if need be.
    ///
    /// # Errors
    /// When another process owns it, or something in it can't be read.
    pub async fn open(settings: Settings, directory: &Path, clock: SharedClock) -> anyhow::Result<Self> {
        let lock = lock(directory)?;
        let is_new = !directory.join(STATE).exists() && !directory.join(KEY).exists();
        for name in [STATE, QUEUES] {
            keep_private(&directory.join(name))?;
        }
        let engine = EmbeddedEngine::open(&directory.join(STATE)).context("the state can't be opened")?;
        let store = Store::new(engine.client(), TABLE, clock.clone());
        store.create_table().await.context("the state table can't be made")?;
        let queues = EmbeddedQueues::open(&directory.join(QUEUES), clock.clone())
            .context("the queues can't be opened")?;
        let (events, backfill) = (queues.queue(EVENTS_QUEUE), queues.queue(BACKFILL_QUEUE));
        let queues = Queues { events: events.clone(), backfill: backfill.clone() };
        let key = KeyFile::open_or_create(&directory.join(KEY)).context("the key file can't be opened")?;
        if is_new {
            // Whoever mistyped the directory learns it here.
            tracing::info!(directory = %directory.display(), "made a new bundle with a new key");
        }
        let key = Arc::new(key);
        let envelope = Arc::new(Envelope::new(key.clone()));
        let services = Services::embedded(store.clone(), envelope, queues, clock.clone());
        let page = settings.function(PageFunction::read)?;
        let PageApi { linking, application_id, .. } = services.page_api(&page)?;
        let operator = Arc::new(Operator {
            store,
            linking,
            application_id,
            page_sessions: Arc::default(),
            queues: BTreeMap::from([
                (EVENTS_QUEUE, events.clone() as SharedQueue),
                (BACKFILL_QUEUE, backfill.clone() as SharedQueue),
            ]),
            clock,
            base_url: settings.lifecycle.identity.base_url.clone(),
            allowed_jira_sites: settings.allowed_jira_sites.clone().into(),
            forge: Setup {
                app_id: settings.forge.app_id.clone(),
                bundle: String::new(),
                remotes: Some(Remotes::all_at(&settings.lifecycle.identity.base_url)),
            },
            key: Some(Arc::new(MasterKey::new(key))),
        });
        let sync = sync::build(&services, &settings.function(sync::Config::read)?)?;
        let steps = backfill::build(&services, &settings.function(backfill::Config::read)?)?;
        let housekeeping = housekeeping::build(&services, &settings.function(housekeeping::Config::read)?)?;
        Ok(Self {
            operator,
            events,
            backfill,
            settings,
            services,
            engine,
            sync,
            steps,
            housekeeping,
            page,
            _lock: lock,
        })
    }

    /// All HTTP functions, and `GET /healthz`.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub fn router(&self) -> anyhow::Result<Router> {
        let (services, settings) = (&self.services, &self.settings);
        let forge = settings.function(ForgeFunction::read)?;
        let functions = Router::new()
            .merge(descriptor::router(&settings.lifecycle.identity))
            .merge(installed::build(services, settings.function(installed::Config::read)?)?)
            .merge(uninstalled::build(services, &settings.function(uninstalled::Config::read)?)?)
            .merge(oauth_application_id::router(settings.function(OauthApplicationId::read)?))
            .merge(create_branch::build(services, settings.function(create_branch::Config::read)?))
            .merge(repository_search::build(services, &settings.function(repository_search::Config::read)?)?)
            .merge(forge_lifecycle::build(services, &forge)?)
            .merge(forge_token::build(services, &forge)?)
            .merge(self.one_key(subscriptions::build(services, &self.page)?))
            .merge(self.one_key(forge_page::build(services, &settings.function(forge_page::Config::read)?)?))
            .merge(webhook::build(services, &settings.function(webhook::Config::read)?));
        let prefix = settings.lifecycle.identity.path_prefix();
        let functions = measured(functions);
        let functions = if prefix.is_empty() { functions } else { Router::new().nest(&prefix, functions) };
        Ok(functions.route("/healthz", get(|| async { "ok" })))
    }

    /// `router`, whose requests and the rotation of the master key wait for one another: it seals secrets.
    fn one_key(&self, router: Router) -> Router {
        let key = self.operator.key.clone();
        router.layer(from_fn(move |request: Request, next: Next| {
            let key = key.clone();
            async move {
                let _no_rotation = match &key {
                    Some(key) => Some(key.commands.read().await),
                    None => None,
                };
                next.run(request).await
            }
        }))
    }

    /// What looks after the tokens and hooks of links.
    #[must_use]
    pub fn upkeep(&self) -> LinkUpkeep {
        self.housekeeping.0.clone()
    }

    /// Starts what runs by itself: the pumps of the queues, that of the events queue first, the removal of expired items,
    /// and what a schedule starts
    /// on AWS.
    #[must_use]
    pub fn start(&self) -> Vec<JoinHandle<()>> {
        let sync = self.sync.clone();
        let handler: Handler = Arc::new(move |batch: Batch| {
            let sync = sync.clone();
            Box::pin(async move { sync.handle(batch).await })
        });
        let pump = tokio::spawn(Pump::new(self.events.clone()).run(handler));
        let backfill = self.steps.clone();
        let handler: Handler = Arc::new(move |batch: Batch| {
            let backfill = backfill.clone();
            Box::pin(async move { backfill.handle(batch).await })
        });
        let steps = tokio::spawn(Pump::new(self.backfill.clone()).run(handler));
        let (engine, clock) = (self.engine.clone(), self.operator.clock.clone());
        let sweep = tokio::spawn(async move {
            loop {
                clock.sleep(SWEEP).await;
                let engine = engine.clone();
                match tokio::task::spawn_blocking(move || engine.sweep_ttl()).await {
                    Ok(Ok(removed)) => tracing::debug!(removed, "removed expired items"),
                    Ok(Err(error)) => tracing::warn!(%error, "could not remove expired items"),
                    Err(error) => tracing::warn!(%error, "removing expired items panicked"),
                }
            }
        });
        let (upkeep, housekeeping) = self.housekeeping.clone();
        let housekeeping = tokio::spawn(run_housekeeping(upkeep, housekeeping, self.operator.clock.clone()));
        vec![pump, steps, sweep, housekeeping]
    }
}

/// Refuses a directory that `serve` never made: most likely its name was mistyped, and a bundle made there would be empty.
///
/// # Errors
/// When it has no state or no key, or can't be read.
pub fn require_served(directory: &Path) -> anyhow::Result<()> {
    for name in [STATE, KEY] {
        let path = directory.join(name);
        let is_there = match path.try_exists() {
            // The path leads through a file.
            Err(error) if error.kind() == ErrorKind::NotADirectory => false,
            found => found.with_context(|| format!("{} can't be read", path.display()))?,
        };
        anyhow::ensure!(
            is_there,
            "{directory} is no bundle's data directory: there is no {path}. Give the right one (--data-dir or \
             GITLAB_JIRA_DATA_DIR), or start the bundle with `gitlab-jira serve --data-dir {directory}`.",
            directory = directory.display(),
            path = path.display(),
        );
    }
    Ok(())
}

fn lock(directory: &Path) -> anyhow::Result<File> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("{} can't be made", directory.display()))?;
    let path = directory.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} can't be opened", path.display()))?;
    let ours = lock.try_lock_exclusive().context("the lock can't be taken")?;
    anyhow::ensure!(
        ours,
        "another process owns {}: stop it first, or, if it is `gitlab-jira serve`, run the command again once it has started",
        directory.display()
    );
    Ok(lock)
}

/// SQLite gives the files that it makes beside a database the database's own mode. Those that are there keep theirs.
fn keep_private(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    for suffix in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        match std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = opened.with_context(|| format!("{} can't be opened", path.display()))?;
    Ok(file.set_permissions(std::fs::Permissions::from_mode(0o600))?)
}

/// Runs housekeeping, at once and then on its schedule.
async fn run_housekeeping(upkeep: LinkUpkeep, housekeeping: Housekeeping, clock: SharedClock) {
    loop {
        let run = async {
            upkeep.run(Deadline::after(HOUSEKEEPING)).await?;
            housekeeping.run().await
        };
        if let Err(error) = run.await {
            tracing::warn!(cause = with_causes(&error), "housekeeping failed");
        }
        clock.sleep(HOUSEKEEPING).await;
    }
}
