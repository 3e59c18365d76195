//! How long `explain` takes on a site with 100,000 entries in its ledger and a link whose history went through 1,000
//! projects.

use std::sync::Arc;
use std::time::Instant;

use gitlab_jira::demo::world::World;
use gitlab_jira::operate::Command;
use shared::clock::{SystemClock, Timestamp};
use shared::domain::{
    EntityKey, EntityKind, HistoryKind, HistoryScope, HistorySlot, Project, ProjectHistory, SiteId,
    SubscriptionId,
};
use shared::history::control::default_depth;
use shared::store::Store;
use shared::store::ledger::LedgerEntry;
use shared::store::outcomes::{Outcome, Verdict};
use shared::sync::entity::EntityVersion;
use standins::gitlab::{Role, Tier, Version};

use super::{median, row};

const ENTRIES: usize = 100_000;

const PROJECTS: u64 = 1_000;

/// Things that name the issue.
const ON_ISSUE: u64 = 200;

/// Entries that are written at once.
const CHUNK: usize = 10_000;

const RUNS: usize = 9;

pub(crate) async fn run() {
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    world.install().await.unwrap();
    let ada = world.gitlab.user("ada");
    world.gitlab.group("acme", Tier::Premium).grant(&ada, Role::Owner);
    let link = world.link("acme", &ada.token(&["api"])).await.unwrap();
    let link: SubscriptionId = link["subscription"].as_str().unwrap().parse().unwrap();
    let store = &world.local.operator.store;
    let site = store.site_ids().await.unwrap()[0];
    fill_ledger(store, site).await;
    fill_history(&world, link).await;
    fill_outcomes(store, site, link).await;
    let mut took = Vec::new();
    for _ in 0..RUNS {
        let explain = Command::Explain { key: "PAY-1".to_owned(), project: Some("acme/p999".to_owned()) };
        let began = Instant::now();
        let explained = world.command(explain).await.unwrap();
        took.push(began.elapsed().as_secs_f64());
        assert_eq!(explained["sites"][0]["outcomes"].as_array().unwrap().len() as u64, ON_ISSUE);
    }
    row(
        &format!(
            "`explain` with {ENTRIES} entries in the ledger, {PROJECTS} projects and {ON_ISSUE} things on the issue"
        ),
        &format!("{:.2} s; the aim is 2 s", median(took)),
    );
}

async fn fill_ledger(store: &Store, site: SiteId) {
    let version = EntityVersion { known_at: Timestamp(1), changed_at: None, rank: 0, from_hook: false };
    for chunk in 0..ENTRIES / CHUNK {
        let entries = (0..CHUNK).map(|number| {
            let number = chunk * CHUNK + number;
            let project = (number as u64 % PROJECTS).to_string();
            let entity = EntityKey { kind: EntityKind::Commit, project, id: format!("{number:040x}") };
            (entity, LedgerEntry::from(version))
        });
        store.record_sent(site, entries.collect()).await.unwrap();
    }
}

async fn fill_history(world: &World, link: SubscriptionId) {
    let (store, now) = (&world.local.operator.store, world.local.operator.clock.now());
    let slot = HistorySlot::history(link);
    let subscription = store.subscription(link).await.unwrap().unwrap();
    let control = world.local.operator.linking.history();
    let plan = control.begin(&subscription, HistoryScope::Missing, default_depth(now)).await.unwrap();
    for id in 1..=PROJECTS {
        let project = Project { id, path: format!("acme/p{id}"), ..Project::default() };
        let project = ProjectHistory::new(HistoryKind::History, plan.id, project, now);
        store.begin_project_history(slot, &project).await.unwrap();
    }
}

async fn fill_outcomes(store: &Store, site: SiteId, link: SubscriptionId) {
    let outcomes = (0..ON_ISSUE).map(|number| {
        let entity =
            EntityKey { kind: EntityKind::Commit, project: number.to_string(), id: format!("{number:040x}") };
        let (label, verdict) = (format!("acme/p{number}@{number:08x}"), Verdict::Accepted { number: 1 });
        let outcome = Outcome { entity, link: Some(link), label, at: Timestamp(1), verdict, dropped_keys: 0 };
        (vec!["PAY-1".to_owned()], outcome)
    });
    store.record_outcomes(site, outcomes.collect()).await.unwrap();
}
