//! What deliveries mean: for the messages they came from, for the ledger, for `explain`, and for which project keys Jira
//! is known to have.

use std::collections::HashMap;

use shared::clock::Timestamp;
use shared::domain::EntityKey;
use shared::domain::Site;
use shared::jira::client::JiraClient;
use shared::queue::disposition::Disposition;
use shared::store::StoreError;
use shared::store::ledger::LedgerEntry;
use shared::store::outcomes::{Outcome, Verdict};
use shared::sync::deliver::{SubmitOutcome, Submitted};
use shared::sync::entity::Content;

use crate::EventSync;
use crate::site::explained;

/// Questions to Jira about project keys that a batch may cost.
const MAX_QUESTIONS: usize = 5;

/// How many project keys of a site are kept; beyond it, look-alikes are sent as they are.
const MAX_PROJECTS: usize = 1_000;

/// What a batch's deliveries for one site led to.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    pub(crate) decided: Vec<(usize, Disposition)>,
    pub(crate) ledger: Vec<(EntityKey, LedgerEntry)>,
    pub(crate) outcomes: Vec<(Vec<String>, Outcome)>,
}

impl Settlement {
    pub(crate) fn decide(&mut self, indices: &[usize], disposition: &Disposition) {
        self.decided.extend(indices.iter().map(|index| (*index, disposition.clone())));
    }

    pub(crate) fn add(
        &mut self,
        delivered: &[Submitted],
        origins: &HashMap<EntityKey, (Vec<usize>, Option<String>)>,
        now: Timestamp,
    ) {
        for Submitted { entity, outcome, unknown_keys } in delivered {
            let is_deletion = matches!(entity.content, Content::Deleted);
            let (indices, deleted_head) = origins.get(&entity.key).cloned().unwrap_or_default();
            let disposition = match outcome {
                SubmitOutcome::Accepted | SubmitOutcome::UnknownIssues | SubmitOutcome::Rejected(_) => {
                    Disposition::Done
                }
                SubmitOutcome::Waiting(until, reason) => {
                    Disposition::Wait { until: *until, reason: reason.clone() }
                }
                SubmitOutcome::Failed(reason) => Disposition::Retry { reason: reason.clone() },
            };
            self.decide(&indices, &disposition);
            if *outcome == SubmitOutcome::Accepted {
                let deleted_head = is_deletion.then(|| deleted_head.unwrap_or_default());
                let entry = LedgerEntry { deleted_head, ..entity.ledger_entry() };
                // Whatever is made anew may come, however far the old one had got.
                let entry = if is_deletion { LedgerEntry { rank: 0, ..entry } } else { entry };
                self.ledger.push((entity.key.clone(), entry));
            }
            if let SubmitOutcome::Rejected(_) = outcome {
                // Jira's words may repeat the entity's; `explain` has them.
                tracing::warn!(entity.label = entity.label, "Jira refused an entity");
            }
            let (unknown, known): (Vec<_>, Vec<_>) =
                entity.issue_keys.as_slice().iter().cloned().partition(|key| unknown_keys.contains(key));
            let verdict = verdict(outcome, is_deletion, entity.version.known_at.0);
            self.outcomes.push((known, explained(entity, verdict, now)));
            self.outcomes.push((unknown, explained(entity, Verdict::UnknownIssue, now)));
        }
    }
}

fn verdict(outcome: &SubmitOutcome, is_deletion: bool, number: i64) -> Verdict {
    match outcome {
        SubmitOutcome::Accepted if is_deletion => Verdict::Removed,
        SubmitOutcome::Accepted => Verdict::Accepted { number },
        SubmitOutcome::UnknownIssues => Verdict::UnknownIssue,
        SubmitOutcome::Rejected(reason) => Verdict::Rejected { reason: reason.clone() },
        SubmitOutcome::Waiting(until, reason) => Verdict::Waiting { reason: reason.clone(), until: *until },
        SubmitOutcome::Failed(reason) => Verdict::Rejected { reason: format!("{reason}; it is tried again") },
    }
}

impl EventSync {
    /// Learns which project keys Jira has: what it accepted it has; of what it did not know it is asked, once.
    pub(crate) async fn learn_projects(
        &self,
        site: &Site,
        client: &JiraClient,
        delivered: &[Submitted],
    ) -> Result<(), StoreError> {
        let (mut known, mut suppressed) = (Vec::new(), Vec::new());
        let is_settled = |project: &String| {
            site.known_projects.contains(project) || site.suppressed_projects.contains(project)
        };
        let mut questions = Vec::new();
        for delivered in delivered {
            for key in delivered.entity.issue_keys.as_slice() {
                let project = key.rsplit_once('-').map_or(key.as_str(), |(project, _)| project).to_owned();
                if is_settled(&project) || known.contains(&project) {
                    continue;
                }
                if delivered.unknown_keys.contains(key) {
                    questions.push(project);
                } else if delivered.outcome == SubmitOutcome::Accepted {
                    known.push(project);
                }
            }
        }
        questions.sort_unstable();
        questions.dedup();
        questions.retain(|project| !known.contains(project));
        for project in questions.into_iter().take(MAX_QUESTIONS) {
            match client.has_project(&project).await {
                Ok(Some(true)) => known.push(project),
                Ok(Some(false)) => suppressed.push(project),
                // This connection can't ask, or Jira does not say now: the key goes on as it is.
                Ok(None) | Err(_) => {}
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
            let room = MAX_PROJECTS.saturating_sub(site.suppressed_projects.len());
            site.suppressed_projects.extend(suppressed.iter().take(room).cloned());
        };
        self.store.update_site(site.id, learn).await.map(drop)
    }
}
