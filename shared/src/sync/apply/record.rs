//! What submitting led to: dispositions of the messages, entries of the ledger, outcomes for `explain`, and which project
//! keys Jira is known to have.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;

use super::pending::PendingEntity;
use super::submit::{SubmitOutcome, Submitted};
use super::{Applied, Operation, SETTLING_TIME};
use crate::clock::Timestamp;
use crate::domain::{EntityKey, EntityKind, HoldReason, Site};
use crate::jira::client::JiraClient;
use crate::queue::disposition::Disposition;
use crate::queue::worker::Deadline;
use crate::store::ledger::LedgerEntry;
use crate::store::outcomes::{Outcome, Verdict};
use crate::store::{Store, StoreError};
use crate::sync::entity::Entity;

/// Project keys that Jira is asked about per batch: each is a call.
const MAX_PROJECT_LOOKUPS: usize = 5;

/// What a lookup may take. Jira answers in well under a second, and messages wait for it that are done otherwise.
const PROJECT_LOOKUP_TIME: Duration = Duration::from_secs(5);

/// Project keys that are kept of a site; beyond it, Jira is asked again.
const MAX_PROJECTS: usize = 1_000;

/// How long a version waits that another worker overtook: until the other has recorded all of its batch.
const OVERTAKEN_BACKOFF: Duration = Duration::from_secs(1);

/// What is recorded of a batch for one site.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Dispositions by the positions of messages in the batch.
    dispositions: Vec<(usize, Disposition)>,
    may_bring_more: BTreeSet<usize>,
    left_out: BTreeSet<usize>,
    unwanted: BTreeSet<usize>,
    added: BTreeSet<usize>,
    pub(super) ledger: Vec<(EntityKey, LedgerEntry)>,
    /// By the issue keys they are about.
    pub(super) outcomes: Vec<(Vec<String>, Outcome)>,
}

impl Record {
    pub(super) fn add(&mut self, submitted: &[Submitted], operation: Operation, now: Timestamp) {
        for Submitted { pending, outcome, unknown_keys } in submitted {
            let entity = &pending.entity;
            let disposition = match outcome {
                SubmitOutcome::Accepted | SubmitOutcome::UnknownIssues => Disposition::Done,
                SubmitOutcome::Unlinked => {
                    Disposition::Drop { reason: "The group is no longer linked.".to_owned() }
                }
                SubmitOutcome::Rejected(text) => {
                    Disposition::Refused { text: format!("Jira refuses {}: {text}", entity.label) }
                }
                SubmitOutcome::Waiting(until, reason) => {
                    Disposition::Wait { until: *until, reason: reason.to_string() }
                }
                SubmitOutcome::Failed(reason) => Disposition::Retry { reason: reason.clone() },
            };
            self.dispose(pending, &disposition);
            if *outcome == SubmitOutcome::Accepted {
                let entry = LedgerEntry { as_history: operation.is_backfill(), ..pending.ledger_entry() };
                self.ledger.push((entity.key.clone(), entry));
                if entity.key.kind != EntityKind::Branch || pending.is_deletion() {
                    self.added.extend(pending.origins.iter().map(|origin| origin.index));
                }
            }
            if *outcome != SubmitOutcome::Accepted || !unknown_keys.is_empty() {
                self.may_bring_more(pending);
            }
            if *outcome == SubmitOutcome::UnknownIssues {
                self.left_out(pending);
            }
            if let SubmitOutcome::Rejected(_) = outcome {
                // Jira's text may repeat the entity's; `explain` and the dead letter show it.
                tracing::warn!(entity.label = entity.label, "Jira rejected an entity");
            }
            let (unknown, known): (Vec<_>, Vec<_>) =
                entity.associations.issue_keys().iter().cloned().partition(|key| unknown_keys.contains(key));
            let verdict = verdict(outcome, pending.is_deletion(), entity.version.known_at.0);
            self.outcomes.push((known, explained(entity, verdict, now)));
            self.outcomes.push((unknown, explained(entity, Verdict::UnknownIssue, now)));
        }
    }

    /// Notes that the deliveries of an entity may bring more when they are sent again.
    pub(super) fn may_bring_more(&mut self, pending: &PendingEntity) {
        self.may_bring_more.extend(pending.origins.iter().map(|origin| origin.index));
    }

    /// Notes that an entity names only issues of Jira projects that its link does not send to.
    pub(super) fn unwanted(&mut self, pending: &PendingEntity) {
        self.unwanted.extend(pending.origins.iter().map(|origin| origin.index));
    }

    /// Notes that an entity names only issues that Jira does not have.
    pub(super) fn left_out(&mut self, pending: &PendingEntity) {
        self.left_out.extend(pending.origins.iter().map(|origin| origin.index));
    }

    /// The messages of an entity are received again, because another worker overtook it.
    pub(super) fn overtaken(&mut self, pending: &PendingEntity, now: Timestamp) {
        let (until, reason) = (now.after(OVERTAKEN_BACKOFF), HoldReason::Overtaken.to_string());
        self.dispose(pending, &Disposition::Wait { until, reason });
    }

    fn dispose(&mut self, pending: &PendingEntity, disposition: &Disposition) {
        let indices = pending.origins.iter().map(|origin| origin.index);
        self.dispositions.extend(indices.map(|index| (index, disposition.clone())));
    }

    pub(super) fn applied(self) -> Applied {
        let Self { dispositions, may_bring_more, left_out, unwanted, added, .. } = self;
        Applied { dispositions, may_bring_more, left_out, unwanted, added }
    }
}

/// What became of `entity`, for `explain`.
pub(super) fn explained(entity: &Entity, verdict: Verdict, at: Timestamp) -> Outcome {
    Outcome {
        entity: entity.key.clone(),
        link: Some(entity.link.subscription),
        label: entity.label.clone(),
        at,
        verdict,
        dropped_keys: entity.associations.issue_keys.dropped(),
    }
}

fn verdict(outcome: &SubmitOutcome, is_deletion: bool, number: i64) -> Verdict {
    match outcome {
        SubmitOutcome::Accepted if is_deletion => Verdict::Removed,
        SubmitOutcome::Accepted => Verdict::Accepted { number },
        SubmitOutcome::UnknownIssues => Verdict::UnknownIssue,
        SubmitOutcome::Unlinked => Verdict::Unlinked,
        SubmitOutcome::Rejected(reason) => Verdict::Rejected { reason: reason.clone() },
        SubmitOutcome::Waiting(until, reason) => Verdict::Waiting { reason: reason.clone(), until: *until },
        SubmitOutcome::Failed(reason) => Verdict::Rejected { reason: format!("{reason}; it is tried again") },
    }
}

/// Learns which project keys Jira has: those of accepted entities it has; about unknown ones it is asked, once. Their
/// messages are not settled yet, so this takes no longer than there is time before `deadline`.
pub(super) async fn learn_projects(
    store: &Store,
    site: &Site,
    client: &JiraClient,
    submitted: &[Submitted],
    (now, deadline): (Timestamp, Deadline),
) -> Result<(), StoreError> {
    let (mut known, unsure) = projects(site, submitted, now);
    let mut suppressed = Vec::new();
    let time = deadline.left().saturating_sub(SETTLING_TIME).min(PROJECT_LOOKUP_TIME);
    let lookups = unsure.into_iter().take(MAX_PROJECT_LOOKUPS).map(|project| async move {
        let answer = tokio::time::timeout(time, client.has_project(&project)).await;
        (project, answer)
    });
    for (project, answer) in join_all(lookups).await {
        match answer {
            Ok(Ok(Some(true))) => known.push(project),
            Ok(Ok(Some(false))) => suppressed.push(project),
            // This connection can't ask, or Jira does not answer now: the key is sent as it is.
            Ok(Ok(None) | Err(_)) | Err(_) => {}
        }
    }
    if known.is_empty() && suppressed.is_empty() {
        return Ok(());
    }
    let learn = |site: &mut Site| {
        let room = MAX_PROJECTS.saturating_sub(site.known_projects.len());
        site.known_projects.extend(known.iter().take(room).cloned());
        site.known_projects.sort_unstable();
        site.known_projects.dedup();
        for project in &suppressed {
            site.suppress_project(project, now);
        }
    };
    store.update_site(site.id, learn).await.map(drop)
}

/// The projects of what was submitted of which nothing is known yet: those that Jira has, and those it may not have.
fn projects(site: &Site, submitted: &[Submitted], now: Timestamp) -> (Vec<String>, Vec<String>) {
    let (mut known, mut unsure) = (Vec::new(), Vec::new());
    let suppressed = site.suppressed_projects(now);
    let is_settled = |project: &String| site.known_projects.contains(project) || suppressed.contains(project);
    for Submitted { pending, outcome, unknown_keys } in submitted {
        for key in pending.entity.associations.issue_keys() {
            let project = key.rsplit_once('-').map_or(key.as_str(), |(project, _)| project).to_owned();
            if is_settled(&project) || known.contains(&project) {
                continue;
            }
            if unknown_keys.contains(key) {
                unsure.push(project);
            } else if *outcome == SubmitOutcome::Accepted {
                known.push(project);
            }
        }
    }
    unsure.sort_unstable();
    unsure.dedup();
    unsure.retain(|project| !known.contains(project));
    (known, unsure)
}
