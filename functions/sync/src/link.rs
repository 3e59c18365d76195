//! A batch's messages of one link: which connection brings them to Jira, what is read for them, and what becomes of each.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::domain::{
    ConnectionKind, EntityKey, EntityKind, HoldReason, Installation, Site, SiteCondition, SiteId,
    Subscription,
};
use shared::gitlab::hooks::HookEvent;
use shared::jira::client::JiraClient;
use shared::jira::connections::ConnectionError;
use shared::queue::disposition::Disposition;
use shared::queue::worker::Deadline;
use shared::store::StoreError;
use shared::store::backoffs::{Backoff, BackoffScope};
use shared::store::intake_answers::IntakeAnswer;
use shared::sync::apply::AllowedKeys;
use shared::sync::entity::Link;
use shared::sync::read::{GitlabReader, ProjectBatch, ProjectReader};
use shared::sync::transform::Source;

use crate::admit::AdmittedEvent;
use crate::tasks::{self, ReadResult, ReadTask};
use crate::{BatchItem, EventSync};

/// How long work waits that a new token of Forge lets go on. The token comes when Forge likes, and a message that waits on SQS
/// can't be woken; the work is to be on its way ten seconds after, and two of them are the batch's. Every message looks again,
/// not one for all: the others could not be called back before their time. What it costs is in docs/COSTS.md.
const TOKEN_WAIT: Duration = Duration::from_secs(7);

/// A gap of more than a day is no longer Forge's delay but an app that is gone or calls that don't arrive. From then on a look
/// comes after this part of the gap, so that work that nobody cares for costs the same every day, however much it grows.
const PART_OF_GAP: u32 = 10_000;

/// Work without a connection waits for a person. It looks again after this part of the time that it has waited already,
/// between these: soon where somebody acts at once, and seldom where nobody does.
const PART_OF_PAUSE: u32 = 100;
const SHORTEST_WAIT: Duration = TOKEN_WAIT;
const LONGEST_WAIT: Duration = Duration::from_secs(900);

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

    /// Where Jira refuses a token of Forge, the next one to come ends the pause, however long it is.
    fn mind_tokens(&mut self, writes: Option<ConnectionKind>, now: Timestamp) {
        if writes != Some(ConnectionKind::Forge) {
            return;
        }
        let refused = HoldReason::CredentialRejected.to_string();
        for decided in &mut self.0 {
            if let Disposition::Wait { until, reason } = decided
                && *reason == refused
            {
                *until = (*until).min(now.after(TOKEN_WAIT));
            }
        }
    }
}

impl EventSync {
    /// What becomes of each of a link's messages, in their order.
    pub(crate) async fn sync_link(
        &self,
        work: &LinkWork,
        deadline: Deadline,
    ) -> Result<Vec<Disposition>, StoreError> {
        let LinkWork { subscription, items } = work;
        let Some(site) = self.store.site(subscription.site).await? else {
            return Ok(work.all(&Disposition::Drop { reason: "The Jira site was removed.".to_owned() }));
        };
        // Looked at before anything is read: a site that backs off for days must not cost GitLab a call.
        let backoff = self.store.backoff(&BackoffScope::Site(site.id)).await?;
        let backoff = backoff.filter(|backoff| backoff.until > self.clock.now());
        let installation = match site.writer {
            Some(writer) => self.store.installation(site.id, writer).await?,
            None => None,
        };
        let kind = installation.as_ref().map(|installation| installation.connection.kind());
        if let Some(Backoff { until, reason, .. }) = backoff {
            let mut held = Decisions(work.all(&Disposition::Wait { until, reason: reason.to_string() }));
            held.mind_tokens(kind, self.clock.now());
            return Ok(held.0);
        }
        let client = match self.writing_connection(&site, installation).await? {
            Ok(client) => client,
            Err(disposition) => return Ok(work.all(&disposition)),
        };
        let mut decisions = Decisions(work.all(&Disposition::Done));
        let gitlab = self.gitlab.reader(subscription).await?;
        let events = self.admit(subscription, gitlab.as_ref(), items, &mut decisions).await;
        let events = self.without_unknown(&site, subscription, events).await?;
        let sources = sources(&site, subscription, &events);
        let (gitlab, unread, now) = (gitlab.as_ref(), ProjectBatch::default(), self.clock.now());
        let projects = sources.iter().map(|project| tasks_of(project, gitlab, site.id, &unread, now));
        let batches = tasks::read_together(projects, deadline).await;
        let projects = sources.iter().zip(&batches);
        let tasks = projects.flat_map(|(project, batch)| tasks_of(project, gitlab, site.id, batch, now));
        let mut versions = Vec::new();
        for result in tasks::run(tasks.collect(), deadline).await {
            match result {
                ReadResult::Entities(entities) => versions.extend(entities),
                ReadResult::Instead(instead) => {
                    instead.into_iter().for_each(|(position, instead)| decisions.add(position, instead));
                }
            }
        }
        let allowed = AllowedKeys::from([(subscription.id, subscription.project_keys.as_slice())]);
        let applied = self.apply.apply(site, &client, &allowed, deadline, versions).await?;
        applied.dispositions.into_iter().for_each(|(position, applied)| decisions.add(position, applied));
        decisions.mind_tokens(kind, self.clock.now());
        let settled = items.iter().enumerate().filter(|(position, _)| {
            decisions.0[*position] == Disposition::Done && !applied.may_bring_more.contains(position)
        });
        let deliveries: HashSet<_> = settled.filter_map(|(_, item)| item.delivery()).collect();
        self.remember(deliveries).await;
        Ok(decisions.0)
    }

    /// `events` without those of merge requests that name no issue and that Jira never heard of: they would be read for
    /// nothing.
    async fn without_unknown(
        &self,
        site: &Site,
        subscription: &Subscription,
        mut events: Vec<AdmittedEvent>,
    ) -> Result<Vec<AdmittedEvent>, StoreError> {
        let keyless: BTreeMap<usize, EntityKey> = events
            .iter()
            .filter_map(|event| match &event.event {
                HookEvent::MergeRequest { merge_request, untold_changes: true, .. }
                    if event.event.named_keys().is_empty() =>
                {
                    let source = source(site, subscription, &[event]);
                    let id = source.merge_request_id(merge_request.id);
                    Some((event.index, source.key(EntityKind::PullRequest, id)))
                }
                _ => None,
            })
            .collect();
        if keyless.is_empty() {
            return Ok(events);
        }
        let known = self.store.ledger(site.id, keyless.values()).await?;
        let is_unknown =
            |event: &mut AdmittedEvent| keyless.get(&event.index).is_some_and(|key| !known.contains_key(key));
        let unknown: Vec<_> = events.extract_if(.., is_unknown).collect();
        for event in unknown {
            self.note_answer(subscription, event, IntakeAnswer::NoIssueKeys).await;
        }
        Ok(events)
    }

    /// A client of the site's writing connection, or what its messages wait for.
    async fn writing_connection(
        &self,
        site: &Site,
        installation: Option<Installation>,
    ) -> Result<Result<JiraClient, Disposition>, StoreError> {
        let now = self.clock.now();
        let wait = |wait: Duration, reason: String| Disposition::Wait { until: now.after(wait), reason };
        let condition = site.state.condition;
        let pause_of = |condition, part| pause(site, condition, part, now);
        if condition == SiteCondition::Switching {
            return Ok(Err(wait(
                pause_of(condition, PART_OF_PAUSE),
                "The site's writing connection is being switched.".to_owned(),
            )));
        }
        let Some(installation) = installation else {
            self.store.set_condition(site, SiteCondition::Uninstalled).await?;
            return Ok(Err(wait(
                pause_of(SiteCondition::Uninstalled, PART_OF_PAUSE),
                "The Jira site has no connection.".to_owned(),
            )));
        };
        match self.connections.open(site, &installation).await {
            Ok(client) => Ok(Ok(client)),
            Err(error) => {
                let pause = if matches!(error, ConnectionError::AwaitingToken) {
                    self.store.set_condition(site, SiteCondition::AwaitingToken).await?;
                    pause_of(SiteCondition::AwaitingToken, PART_OF_GAP)
                } else {
                    LONGEST_WAIT
                };
                Ok(Err(wait(pause, format!("{error}."))))
            }
        }
    }
}

/// How long work waits next that waits for the site to leave `condition`.
fn pause(site: &Site, condition: SiteCondition, part: u32, now: Timestamp) -> Duration {
    let is_new = site.state.condition != condition;
    let waited = if is_new { Duration::ZERO } else { now.since(site.state.since) };
    (waited / part).clamp(SHORTEST_WAIT, LONGEST_WAIT)
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
    let link = Link {
        subscription: subscription.id,
        product: Arc::from(format!("GitLab {}", subscription.instance_version)),
    };
    let index = site.instance_index(&subscription.instance).unwrap_or(site.instances.len());
    Source::new(project, link, &subscription.instance, index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FF1: a gap of a day never takes a look longer than what is left of ten seconds, and what costs more every day is
    /// looked at less often.
    #[test]
    fn ff1_work_that_waits_for_a_token_looks_again_in_time() {
        let noon = Timestamp(1_767_607_200_000);
        let mut site = Site::new("https://acme.atlassian.net", noon);
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let seconds =
            |site: &Site, condition, part, waited| pause(site, condition, part, noon.after(waited)).as_secs();
        // Not noted yet, on a site that has been healthy for a year.
        assert_eq!(seconds(&site, SiteCondition::AwaitingToken, PART_OF_GAP, hours(8_760)), 7);
        site.state.condition = SiteCondition::AwaitingToken;
        let gap = |waited| seconds(&site, SiteCondition::AwaitingToken, PART_OF_GAP, waited);
        assert_eq!([gap(hours(0)), gap(hours(4)), gap(hours(19)), gap(hours(24))], [7, 7, 7, 8]);
        assert_eq!([gap(hours(72)), gap(hours(14 * 24))], [25, 120]);
        site.state.condition = SiteCondition::Uninstalled;
        let uninstalled = |waited| seconds(&site, SiteCondition::Uninstalled, PART_OF_PAUSE, waited);
        assert_eq!([uninstalled(hours(0)), uninstalled(hours(1)), uninstalled(hours(48))], [7, 36, 900]);
    }
}
