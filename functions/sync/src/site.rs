//! The events of one site: enriched, filtered, compared with what was sent, delivered, and remembered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use shared::domain::{EntityKey, EntityKind};
use shared::domain::{KeyFilter, Site, SiteCondition, SiteId, Subscription, SubscriptionId};
use shared::jira::connections::ConnectionError;
use shared::queue::disposition::Disposition;
use shared::store::StoreError;
use shared::store::backoffs::BackoffScope;
use shared::store::ledger::LedgerEntry;
use shared::store::outcomes::{Outcome, Verdict};
use shared::sync::deliver::Submitter;
use shared::sync::entity::{Content, Entity, Freshness, Link};
use shared::sync::transform::Source;

use crate::EventSync;
use crate::batch::Event;
use crate::enrich::{self, Candidate, Enriched};
use crate::reader::GitlabReader;
use crate::settle::Settlement;

/// How long work for a site without an open connection rests before it is looked at again.
const NO_CONNECTION_BACKOFF: Duration = Duration::from_secs(900);

/// A branch made again at the head it was deleted with: within this time the hook is late, after it somebody restored the
/// branch. GitLab's own queues are seldom further behind.
const LATE_CREATION: Duration = Duration::from_secs(600);

/// What the messages of a batch ended with.
type Decided = Vec<(usize, Disposition)>;

/// An entity on its way, with the messages it came from.
#[derive(Debug)]
pub(crate) struct PendingEntity {
    pub(crate) entity: Entity,
    pub(crate) indices: Vec<usize>,
    pub(crate) deleted_head: Option<String>,
    push: Option<enrich::PushedHead>,
    /// Whether it is deleted only because its keys were filtered.
    filtered: bool,
}

impl EventSync {
    pub(crate) async fn site(&self, id: SiteId, events: Vec<Event>) -> Result<Decided, StoreError> {
        let indices: Vec<usize> = events.iter().map(|event| event.index).collect();
        let all = |disposition: &Disposition| {
            indices.iter().map(|index| (*index, disposition.clone())).collect::<Decided>()
        };
        let Some(site) = self.store.site(id).await? else {
            return Ok(all(&Disposition::Drop { reason: "The Jira site was removed.".to_owned() }));
        };
        // Looked at before anything is read: a site that rests for days must not cost GitLab a call.
        let backoff = self
            .store
            .backoff(&BackoffScope::Site(id))
            .await?
            .filter(|backoff| backoff.until > self.clock.now());
        if let Some(backoff) = backoff {
            return Ok(all(&Disposition::Wait { until: backoff.until, reason: backoff.reason }));
        }
        let client = match self.open_connection(&site).await? {
            Ok(client) => client,
            Err(disposition) => return Ok(all(&disposition)),
        };
        let mut settlement = Settlement::default();
        let enriched = self.enrich(&site, &events).await?;
        let pending = self.pending(enriched, &mut settlement);
        let pending = self.filter(&site, pending, &events, &mut settlement);
        let pending = self.fresh(&site, pending).await?;
        let mut origins: HashMap<EntityKey, (Vec<usize>, Option<String>)> = HashMap::new();
        let mut entities = Vec::with_capacity(pending.len());
        for entity_pending in pending {
            origins.insert(
                entity_pending.entity.key.clone(),
                (entity_pending.indices, entity_pending.deleted_head),
            );
            entities.push(entity_pending.entity);
        }
        let mut submitter = Submitter::new(&client, &self.store, self.clock.as_ref(), site).await?;
        let trace =
            |index: &usize| events.iter().find(|event| event.index == *index).map(|event| event.trace);
        let traces =
            origins.iter().map(|(key, (indices, _))| (key.clone(), indices.iter().filter_map(trace)));
        submitter.traces = traces.map(|(key, traces)| (key, traces.collect())).collect();
        let delivered = submitter.deliver(entities).await?;
        let site = submitter.site;
        tracing::info!(site.id = %id, jira.calls = submitter.calls, events = events.len(), entities = delivered.len(), "synced");
        settlement.add(&delivered, &origins, self.clock.now());
        self.store.record_sent(id, std::mem::take(&mut settlement.ledger)).await?;
        self.store.record_outcomes(id, std::mem::take(&mut settlement.outcomes)).await?;
        if let Err(error) = self.learn_projects(&site, &client, &delivered).await {
            tracing::warn!(%error, "could not note which projects Jira has");
        }
        Ok(settlement.decided)
    }

    async fn open_connection(
        &self,
        site: &Site,
    ) -> Result<Result<shared::jira::client::JiraClient, Disposition>, StoreError> {
        let wait = |reason: String| Disposition::Wait {
            until: self.clock.now().after(NO_CONNECTION_BACKOFF),
            reason,
        };
        if site.state.condition == SiteCondition::Switching {
            return Ok(Err(wait("Another connection is to write.".to_owned())));
        }
        let installation = match site.writer {
            Some(writer) => self.store.installation(site.id, writer).await?,
            None => None,
        };
        let Some(installation) = installation else {
            self.store.set_condition(site, SiteCondition::Uninstalled).await?;
            return Ok(Err(wait("No connection to the Jira site is open.".to_owned())));
        };
        match self.connections.open(site, &installation).await {
            Ok(client) => Ok(Ok(client)),
            Err(error) => {
                if matches!(error, ConnectionError::AwaitingToken) {
                    self.store.set_condition(site, SiteCondition::AwaitingToken).await?;
                }
                Ok(Err(wait(format!("{error}."))))
            }
        }
    }

    /// Reads what the hooks leave open, side by side for all projects of all links.
    async fn enrich(&self, site: &Site, events: &[Event]) -> Result<Vec<Enriched>, StoreError> {
        let mut subscriptions: BTreeMap<SubscriptionId, &Arc<Subscription>> = BTreeMap::new();
        let mut projects: BTreeMap<(SubscriptionId, u64), Vec<&Event>> = BTreeMap::new();
        for event in events {
            subscriptions.insert(event.subscription.id, &event.subscription);
            projects.entry((event.subscription.id, event.project.id)).or_default().push(event);
        }
        let mut readers: BTreeMap<SubscriptionId, Option<GitlabReader<'_>>> = BTreeMap::new();
        for (id, subscription) in &subscriptions {
            readers.insert(*id, self.reader(subscription).await?);
        }
        let sources: Vec<(SubscriptionId, Source, Vec<&Event>)> = projects
            .into_iter()
            .map(|((id, _), events)| (id, source(site, subscriptions[&id], &events), events))
            .collect();
        let tasks = sources
            .iter()
            .flat_map(|(id, source, events)| enrich::tasks(site.id, source, readers[id].as_ref(), events))
            .collect();
        Ok(enrich::run(tasks).await)
    }

    /// One entity_pending per entity: of several versions the newest, from all the messages that led to it.
    fn pending(&self, enriched: Vec<Enriched>, settlement: &mut Settlement) -> Vec<PendingEntity> {
        let mut pending: BTreeMap<EntityKey, PendingEntity> = BTreeMap::new();
        for Enriched { indices, entities } in enriched {
            match entities {
                Err(disposition) => settlement.decide(&indices, &disposition),
                Ok(candidates) => {
                    for Candidate { entity, push, deleted_head } in candidates {
                        let entity_pending = PendingEntity {
                            entity,
                            indices: indices.clone(),
                            deleted_head,
                            push,
                            filtered: false,
                        };
                        match pending.get_mut(&entity_pending.entity.key) {
                            Some(known) => known.merge(entity_pending),
                            None => {
                                pending.insert(entity_pending.entity.key.clone(), entity_pending);
                            }
                        }
                    }
                }
            }
        }
        pending.into_values().collect()
    }

    /// Takes away the keys that must not go on, and the entities that are left without any.
    fn filter(
        &self,
        site: &Site,
        pending: Vec<PendingEntity>,
        events: &[Event],
        settlement: &mut Settlement,
    ) -> Vec<PendingEntity> {
        let mut kept = Vec::with_capacity(pending.len());
        for mut entity_pending in pending {
            let subscription = events
                .iter()
                .find(|event| event.subscription.id == entity_pending.entity.link.subscription)
                .map(|event| &event.subscription);
            let allowed =
                subscription.map(|subscription| subscription.project_keys.as_slice()).unwrap_or_default();
            let filter = KeyFilter { allowed, suppressed: &site.suppressed_projects };
            let (keys, refused) = entity_pending.entity.issue_keys.clone().filtered(&filter);
            for (key, rule) in refused {
                let verdict = Verdict::Filtered { rule: rule.to_owned() };
                settlement
                    .outcomes
                    .push((vec![key], explained(&entity_pending.entity, verdict, self.clock.now())));
            }
            let is_deletion = matches!(entity_pending.entity.content, Content::Deleted);
            if is_deletion {
                entity_pending.entity.issue_keys = keys;
                kept.push(entity_pending);
            } else if !keys.is_empty() {
                entity_pending.entity.set_issue_keys(keys);
                kept.push(entity_pending);
            } else if entity_pending.entity.key.kind == EntityKind::PullRequest
                && !entity_pending.entity.issue_keys.is_empty()
            {
                // Its title names only what must not go on: it leaves the issues it may be on.
                entity_pending.entity.issue_keys = keys;
                entity_pending.entity.content = Content::Deleted;
                entity_pending.filtered = true;
                kept.push(entity_pending);
            }
        }
        kept
    }

    /// What Jira does not have yet, numbered.
    async fn fresh(
        &self,
        site: &Site,
        pending: Vec<PendingEntity>,
    ) -> Result<Vec<PendingEntity>, StoreError> {
        let ledger = self
            .store
            .ledger(site.id, pending.iter().map(|entity_pending| &entity_pending.entity.key))
            .await?;
        Ok(pending
            .into_iter()
            .filter_map(|mut entity_pending| {
                let last = ledger.get(&entity_pending.entity.key);
                if entity_pending.is_late(last) || entity_pending.is_needless_deletion(last) {
                    tracing::debug!(
                        entity.label = entity_pending.entity.label,
                        "Jira has it, or something newer"
                    );
                    return None;
                }
                match entity_pending.entity.version.freshness(last) {
                    Freshness::Fresh(number) => {
                        entity_pending.entity.set_number(number);
                        Some(entity_pending)
                    }
                    Freshness::Stale => None,
                }
            })
            .collect())
    }
}

impl PendingEntity {
    fn merge(&mut self, mut other: Self) {
        self.indices.extend(&other.indices);
        let mut ours = self.entity.ledger_entry();
        if matches!(self.entity.content, Content::Deleted) {
            ours.deleted_head = Some(self.deleted_head.clone().unwrap_or_default());
        }
        if other.entity.version.supersedes(&self.entity.version) && !other.is_late(Some(&ours)) {
            // A branch that was made and pushed to in one batch was made all the same.
            if let (Some(ours), Some(theirs)) = (&self.push, &mut other.push) {
                theirs.creates |= ours.creates;
            }
            let indices = std::mem::take(&mut self.indices);
            *self = Self { indices, ..other };
        }
    }

    /// Whether a push that is known from its hook alone speaks of a branch that was deleted since.
    fn is_late(&self, last: Option<&LedgerEntry>) -> bool {
        let Some(deleted_head) = last.and_then(|last| last.deleted_head.as_deref()) else {
            return false;
        };
        let (Some(push), Some(last)) = (&self.push, last) else {
            return false;
        };
        let since = self.entity.version.known_at.0 - last.number;
        let soon = since < i64::try_from(LATE_CREATION.as_millis()).unwrap_or(i64::MAX);
        // A branch that is gone can't be pushed to; it would have to be made first.
        !push.creates || since <= 0 || (soon && push.head == deleted_head)
    }

    /// Whether it would delete what Jira never had, or has lost already.
    fn is_needless_deletion(&self, last: Option<&LedgerEntry>) -> bool {
        if !matches!(self.entity.content, Content::Deleted) {
            return false;
        }
        match last {
            Some(last) => last.is_tombstone(),
            // It may have been sent by GitLab's own app, or before our memory begins.
            None => match self.entity.key.kind {
                EntityKind::PullRequest => self.filtered,
                EntityKind::Branch => self.entity.issue_keys.is_empty(),
                _ => true,
            },
        }
    }
}

/// What became of `entity`, for `explain`.
pub(crate) fn explained(entity: &Entity, verdict: Verdict, at: shared::clock::Timestamp) -> Outcome {
    Outcome {
        entity: entity.key.clone(),
        label: entity.label.clone(),
        at,
        verdict,
        dropped_keys: entity.issue_keys.dropped(),
    }
}

/// A project of a link, as its newest event describes it.
fn source(site: &Site, subscription: &Subscription, events: &[&Event]) -> Source {
    let newest = events.iter().max_by_key(|event| event.received_at);
    let project = newest.map(|event| event.project.clone()).unwrap_or_default();
    let link = Link {
        subscription: subscription.id,
        product: Arc::from(format!("GitLab {}", subscription.instance_version)),
    };
    let index = site.instance_index(&subscription.instance).unwrap_or(site.instances.len());
    Source::new(project, link, &subscription.instance, index)
}
