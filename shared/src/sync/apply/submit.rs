//! Submitting entities to Jira, and what became of each: a refused call is halved until the culprit stands alone, rate limits
//! pause what they name, and a site that can't be reached holds its work. An entity that Jira did not refuse is never
//! dropped.

mod answer;
mod backoff;
mod call;
mod delete;
mod hold;
mod measure;
mod probe;

use std::collections::{BTreeMap, HashMap, VecDeque};

use self::answer::{all, read};
use self::call::CallResult;
use super::Operation;
use super::pack::{BulkCall, pack};
use super::pending::PendingEntity;
use crate::clock::{Clock, Timestamp};
use crate::domain::{Api, HoldReason, Site};
use crate::jira::client::JiraClient;
use crate::queue::worker::Deadline;
use crate::store::backoffs::{Backoff, BackoffScope};
use crate::store::{Store, StoreError};

/// What became of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// Jira has it, for the keys it knows.
    Accepted,
    /// Jira knows none of its keys and stored nothing of it.
    UnknownIssues,
    /// Jira will never take it: its text.
    Rejected(String),
    /// It waits until then.
    Waiting(Timestamp, HoldReason),
    /// It may be accepted later: it fails alone while others go through.
    Failed(String),
    /// The link it came through was removed meanwhile; it was not sent.
    Unlinked,
}

/// An entity that was submitted.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The entity as it was sent.
    pub pending: PendingEntity,
    /// What became of it.
    pub outcome: SubmitOutcome,
    /// Those of its keys that Jira does not know.
    pub unknown_keys: Vec<String>,
}

impl Submitted {
    pub(super) fn new(pending: PendingEntity, outcome: SubmitOutcome) -> Self {
        Self { pending, outcome, unknown_keys: Vec::new() }
    }
}

/// Submits a batch's entities of one site.
#[derive(Debug)]
pub struct Submitter<'a> {
    client: &'a JiraClient,
    store: &'a Store,
    clock: &'a dyn Clock,
    /// No call begins that could outlast it.
    deadline: Deadline,
    /// What is sent for.
    pub operation: Operation,
    /// The site, as this batch knows it.
    pub site: Site,
    backoffs: HashMap<BackoffScope, Backoff>,
    /// How the APIs did so far.
    progress: BTreeMap<Api, Progress>,
    /// How many calls were made.
    pub calls: u32,
}

/// How an API did in this batch.
#[derive(Debug, Default)]
struct Progress {
    /// Whether it took a call.
    took_any: bool,
    /// How many calls failed since it took one.
    failed: u32,
    /// Entities that failed alone, and how.
    suspects: Vec<(PendingEntity, call::ServerError)>,
}

impl<'a> Submitter<'a> {
    /// A submitter that knows the site's backoffs.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn new(
        client: &'a JiraClient,
        store: &'a Store,
        clock: &'a dyn Clock,
        site: Site,
        deadline: Deadline,
    ) -> Result<Self, StoreError> {
        let of_apis = Api::ALL.map(|api| BackoffScope::Api(site.id, api));
        let scopes: Vec<BackoffScope> = of_apis.into_iter().chain([BackoffScope::Site(site.id)]).collect();
        let backoffs = store.backoffs(&scopes).await?;
        let (operation, progress) = (Operation::Live, BTreeMap::new());
        Ok(Self { client, store, clock, deadline, operation, site, backoffs, progress, calls: 0 })
    }

    /// Submits `entities` and answers what became of each.
    ///
    /// # Errors
    /// When the table can't be read or written.
    pub async fn submit(&mut self, entities: Vec<PendingEntity>) -> Result<Vec<Submitted>, StoreError> {
        let (deletions, mut upserts): (Vec<_>, Vec<_>) =
            entities.into_iter().partition(PendingEntity::is_deletion);
        let mut submitted = self.delete(deletions).await?;
        self.probe(&mut upserts, &mut submitted).await?;
        let mut refused = Vec::new();
        for call in pack(upserts) {
            submitted.extend(self.submit_parts(call, &mut refused).await?);
        }
        while let Some(part) = refused.pop() {
            submitted.extend(self.submit_parts(part, &mut refused).await?);
        }
        for api in Api::ALL {
            let suspects = self.judge_suspects(api).await?;
            self.measure(api, &suspects);
            submitted.extend(suspects);
        }
        self.lengthen_waits(&mut submitted);
        Ok(submitted)
    }

    /// Submits a call, and parts of it when something in it fails it. Halves of what Jira refuses are left in `refused`, the
    /// one to go on with last: depth first, so that entities stand alone from the first few calls on, and a batch without
    /// time for all of them settles some. They come after the other calls, which an API that refuses everything would hold up.
    async fn submit_parts(
        &mut self,
        call: BulkCall,
        refused: &mut Vec<BulkCall>,
    ) -> Result<Vec<Submitted>, StoreError> {
        let (mut submitted, mut parts) = (Vec::new(), VecDeque::from([call]));
        while let Some(part) = parts.pop_front() {
            let (part, held) = self.hold(part).await?;
            self.measure(part.api, &held);
            submitted.extend(held);
            if part.entities.is_empty() {
                continue;
            }
            let api = part.api;
            let of_part = match self.call(&part).await? {
                CallResult::Answered(answer) => read(part, &answer),
                CallResult::All(outcome) => all(part, &outcome),
                CallResult::Refused(outcome) if shares_an_issue(&part, &outcome) => all(part, &outcome),
                CallResult::Refused(outcome) => match part.halves() {
                    Ok(halves) => {
                        refused.extend(halves.into_iter().rev());
                        continue;
                    }
                    Err(alone) => all(alone, &outcome),
                },
                CallResult::Failed(error) if self.is_down(api) => {
                    let outcome = self.api_unavailable(api, &error).await?;
                    all(part, &outcome)
                }
                CallResult::Failed(error) => {
                    match part.halves() {
                        Ok(halves) => parts.extend(halves),
                        Err(alone) => self.suspect(alone, &error),
                    }
                    continue;
                }
            };
            self.measure(api, &of_part);
            submitted.extend(of_part);
        }
        Ok(submitted)
    }
}

/// Whether the issue that is written to too often is in all of a call's entities: then halving would only write more.
fn shares_an_issue(call: &BulkCall, outcome: &SubmitOutcome) -> bool {
    let Some((first, others)) = call.entities.split_first() else { return false };
    let in_all =
        |key: &&String| others.iter().all(|other| other.entity.associations.issue_keys().contains(key));
    matches!(outcome, SubmitOutcome::Waiting(..))
        && first.entity.associations.issue_keys().iter().any(|key| in_all(&key))
}

// The tests need a store, and so the local process's engine.
#[cfg(all(test, feature = "embedded"))]
mod tests;
