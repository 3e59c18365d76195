//! A batch's messages of one link: which connection brings them to Jira, what is read for them, and what becomes of each.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::domain::{EntityKey, EntityKind, HoldReason, Site, SiteId, Subscription};
use shared::gitlab::hooks::HookEvent;
use shared::queue::disposition::Disposition;
use shared::queue::worker::Deadline;
use shared::store::StoreError;
use shared::store::ignored_deliveries::IgnoreReason;
use shared::sync::apply::AllowedKeys;
use shared::sync::read::{GitlabReader, ProjectBatch, ProjectReader};
use shared::sync::transform::{Source, issue_keys};

use crate::admit::AdmittedEvent;
use crate::ignored::IgnoredEvents;
use crate::tasks::{self, ReadResult, ReadTask};
use crate::{BatchItem, EventSync};

/// How long events wait behind another worker's: most batches take less.
const OTHER_WORKER_BACKOFF: Duration = Duration::from_secs(3);

/// What there is to do for a link.
#[derive(Debug)]
pub(crate) struct LinkWork {
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) items: Vec<BatchItem>,
}

impl LinkWork {
    /// The same for each of its messages.
    pub(crate) fn all(&self, disposition: &Disposition) -> Vec<Disposition> {
        self.items.iter().map(|_| disposition.clone()).collect()
    }
}

/// What becomes of a link's messages, by their positions.
#[derive(Debug)]
pub(crate) struct Decisions(Vec<Disposition>);

impl Decisions {
    pub(crate) fn add(&mut self, position: usize, disposition: Disposition) {
        if let Some(decided) = self.0.get_mut(position) {
            *decided = std::mem::replace(decided, Disposition::Done).and(disposition);
        }
    }
}

impl EventSync {
    /// What becomes of each of a link's messages, in their order. A link without a token, or whose token is refused, has one worker
    /// at a time: what hooks tell is numbered by when it is sent, so an old event that is sent beside a newer one could get the
    /// higher number.
    pub(crate) async fn sync_link(
        &self,
        work: &LinkWork,
        deadline: Deadline,
    ) -> Result<Vec<Disposition>, StoreError> {
        let link = &work.subscription;
        let is_read = link.credential.is_some() && link.attention.is_none();
        if self.is_only_process || is_read {
            return self.sync_events(work, deadline).await;
        }
        match self.store.sending_alone(link.id, self.sync_events(work, deadline)).await? {
            Some(decided) => decided,
            None => {
                let until = self.clock.now().after(OTHER_WORKER_BACKOFF);
                Ok(work.all(&Disposition::Wait { until, reason: HoldReason::Overtaken.to_string() }))
            }
        }
    }

    async fn sync_events(&self, work: &LinkWork, deadline: Deadline) -> Result<Vec<Disposition>, StoreError> {
        let LinkWork { subscription, items } = work;
        let open = match self.sites.open(subscription.site).await? {
            Ok(open) => open,
            Err(disposition) => return Ok(work.all(&disposition)),
        };
        let site = &open.site;
        let mut decisions = Decisions(work.all(&Disposition::Done));
        let gitlab = self.gitlab.reader(subscription).await?;
        let mut ignored = IgnoredEvents::of(subscription);
        let admitted =
            self.admit(subscription, gitlab.as_ref(), items, &mut decisions, &mut ignored, deadline);
        let events = admitted.await;
        let events = self.without_unknown(site, subscription, gitlab.is_some(), events, &mut ignored).await?;
        let sources = sources(site, subscription, &events);
        let (gitlab, unread, now) = (gitlab.as_ref(), ProjectBatch::default(), self.clock.now());
        let projects = sources.iter().map(|project| tasks_of(project, gitlab, site.id, &unread, now));
        let batches = tasks::read_together(projects, deadline).await;
        let projects = sources.iter().zip(&batches);
        let tasks = projects.flat_map(|(project, batch)| tasks_of(project, gitlab, site.id, batch, now));
        let mut versions = Vec::new();
        for result in tasks::run(tasks.collect(), deadline).await {
            match result {
                ReadResult::Entities(read) => {
                    ignored.add_read(&read, gitlab.is_some());
                    versions.extend(read.entities);
                }
                ReadResult::Instead(instead) => {
                    instead.into_iter().for_each(|(position, instead)| decisions.add(position, instead));
                }
            }
        }
        let allowed = AllowedKeys::from([(subscription.id, subscription.project_keys.as_slice())]);
        let applied = self.apply.apply(site.clone(), &open.client, &allowed, deadline, versions).await?;
        applied.dispositions.into_iter().for_each(|(position, applied)| decisions.add(position, applied));
        let now = self.clock.now();
        decisions.0.iter_mut().for_each(|decided| open.cap_wait_for_token(decided, now));
        let settled = items.iter().enumerate().filter(|(position, _)| {
            let may_bring_more = applied.may_bring_more.contains(position) || ignored.is_unread(*position);
            decisions.0[*position] == Disposition::Done && !may_bring_more
        });
        let deliveries: HashSet<_> = settled.filter_map(|(_, item)| item.delivery()).collect();
        self.remember(deliveries).await;
        ignored.record(&self.store).await;
        Ok(decisions.0)
    }

    /// `events` without those that name no issue, of what Jira never heard of: they would be read for nothing.
    async fn without_unknown(
        &self,
        site: &Site,
        subscription: &Subscription,
        has_token: bool,
        mut events: Vec<AdmittedEvent>,
        ignored: &mut IgnoredEvents,
    ) -> Result<Vec<AdmittedEvent>, StoreError> {
        let keyless: BTreeMap<usize, (EntityKey, IgnoreReason)> = events
            .iter()
            .filter_map(|event| {
                let source = || source(site, subscription, &[event]);
                Some((event.index, keyless(event, has_token, source)?))
            })
            .collect();
        if keyless.is_empty() {
            return Ok(events);
        }
        let known = self.store.ledger(site.id, keyless.values().map(|(entity, _)| entity)).await?;
        let is_unknown = |event: &mut AdmittedEvent| {
            keyless.get(&event.index).is_some_and(|(entity, _)| !known.contains_key(entity))
        };
        for event in events.extract_if(.., is_unknown) {
            ignored.add(&event, keyless[&event.index].1);
        }
        Ok(events)
    }
}

/// The entity that an event is about which names no issue, and why it leads to nothing if Jira does not have that entity.
fn keyless(
    event: &AdmittedEvent,
    has_token: bool,
    source: impl FnOnce() -> Source,
) -> Option<(EntityKey, IgnoreReason)> {
    match &event.event {
        _ if event.missing.is_some() => None,
        HookEvent::MergeRequest { merge_request, untold_changes: true, .. }
            if event.event.named_keys().is_empty() =>
        {
            let source = source();
            let id = source.merge_request_id(merge_request.id);
            Some((source.key(EntityKind::PullRequest, id), IgnoreReason::NoIssueKeys))
        }
        HookEvent::FeatureFlag(flag) if flag.keys.is_empty() => {
            Some((source().feature_flag(flag, event.received_at).key, IgnoreReason::NoIssueKeys))
        }
        // With a token its merge requests are read, and may have keys.
        HookEvent::Pipeline(pipeline) if !has_token && issue_keys(pipeline).is_empty() => {
            Some((source().build(pipeline, event.received_at, true)?.key, IgnoreReason::TokenMissing))
        }
        _ => None,
    }
}

/// The events of each project, with the project as its newest event describes it.
fn sources<'a>(
    site: &Site,
    subscription: &Subscription,
    events: &'a [AdmittedEvent],
) -> Vec<(Source, Vec<&'a AdmittedEvent>)> {
    let mut projects: BTreeMap<u64, Vec<&AdmittedEvent>> = BTreeMap::new();
    for event in events {
        projects.entry(event.project.id).or_default().push(event);
    }
    projects.into_values().map(|events| (source(site, subscription, &events), events)).collect()
}

/// The tasks of a project whose batch has been read so far.
fn tasks_of<'a>(
    (source, events): &'a (Source, Vec<&'a AdmittedEvent>),
    gitlab: Option<&'a GitlabReader<'a>>,
    site: SiteId,
    batch: &'a ProjectBatch,
    now: Timestamp,
) -> Vec<ReadTask<'a>> {
    let reader = gitlab.map(|reader| ProjectReader { reader, source, site, batch });
    tasks::tasks(source, reader, events, now)
}

fn source(site: &Site, subscription: &Subscription, events: &[&AdmittedEvent]) -> Source {
    let newest = events.iter().max_by_key(|event| event.received_at);
    let project = newest.map(|event| event.project.clone()).unwrap_or_default();
    Source::of_link(site, subscription, project)
}
