//! Submitting entities to Jira, and what became of each: a refused call is halved until the culprit stands alone, rate limits
//! pause what they name, and a site that can't be reached holds its work. An entity that Jira did not refuse is never
//! dropped.

mod answer;
mod backoff;
mod measure;
mod probe;

use std::collections::HashMap;
use std::slice;

use self::answer::{all, read};
use super::pack::{BulkCall, pack};
use super::pending::PendingEntity;
use crate::clock::{Clock, Timestamp};
use crate::domain::{Api, EntityKind, HoldReason, Site};
use crate::jira::answer::{Answer, RateLimitReason};
use crate::jira::client::{JiraClient, JiraError};
use crate::store::backoffs::{Backoff, BackoffScope};
use crate::store::{Store, StoreError};
use crate::sync::entity::Entity;

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
    /// It may be accepted later.
    Failed(String),
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

/// Submits a batch's entities of one site.
#[derive(Debug)]
pub struct Submitter<'a> {
    client: &'a JiraClient,
    store: &'a Store,
    clock: &'a dyn Clock,
    /// The site, as this batch knows it.
    pub site: Site,
    backoffs: HashMap<BackoffScope, Backoff>,
    /// How many calls were made.
    pub calls: u32,
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
    ) -> Result<Self, StoreError> {
        let of_apis = Api::ALL.map(|api| BackoffScope::Api(site.id, api));
        let scopes: Vec<BackoffScope> = of_apis.into_iter().chain([BackoffScope::Site(site.id)]).collect();
        let backoffs = store.backoffs(&scopes).await?;
        Ok(Self { client, store, clock, site, backoffs, calls: 0 })
    }

    /// Submits `entities` and answers what became of each.
    ///
    /// # Errors
    /// When the table can't be read or written.
    pub async fn submit(&mut self, entities: Vec<PendingEntity>) -> Result<Vec<Submitted>, StoreError> {
        let (deletions, mut upserts): (Vec<_>, Vec<_>) =
            entities.into_iter().partition(PendingEntity::is_deletion);
        let mut submitted = Vec::new();
        for entity in deletions {
            submitted.push(self.delete(entity).await?);
        }
        self.probe(&mut upserts, &mut submitted).await?;
        let mut calls = pack(upserts);
        calls.reverse();
        while let Some(call) = calls.pop() {
            let api = call.api;
            let of_call = match self.call(&call).await? {
                CallResult::Answered(answer) => read(call, &answer),
                CallResult::All(outcome) => all(call, &outcome),
                CallResult::Refused(outcome) if shares_an_issue(&call, &outcome) => all(call, &outcome),
                CallResult::Refused(outcome) => match call.clone().halves() {
                    Some((first, second)) => {
                        calls.extend([second, first]);
                        continue;
                    }
                    None => all(call, &outcome),
                },
            };
            self.measure(api, &of_call);
            submitted.extend(of_call);
        }
        Ok(submitted)
    }

    async fn delete(&mut self, pending: PendingEntity) -> Result<Submitted, StoreError> {
        let api = pending.entity.key.kind.api();
        let outcome = match self.hold(api).await? {
            Some(outcome) => outcome,
            None => {
                self.calls += 1;
                match delete(self.client, &pending.entity).await {
                    Ok(()) => {
                        self.succeeded(api).await?;
                        SubmitOutcome::Accepted
                    }
                    Err(JiraError::BadRequest(text) | JiraError::TooLarge(text)) => {
                        SubmitOutcome::Rejected(text)
                    }
                    Err(error) => self.failed(api, &error).await?,
                }
            }
        };
        let deleted = Submitted { pending, outcome, unknown_keys: Vec::new() };
        self.measure(api, slice::from_ref(&deleted));
        Ok(deleted)
    }

    async fn call(&mut self, call: &BulkCall) -> Result<CallResult, StoreError> {
        if let Some(outcome) = self.hold(call.api).await? {
            return Ok(CallResult::All(outcome));
        }
        self.calls += 1;
        match self.client.submit(call.api, &call.body()).await {
            Ok(answer) => {
                self.succeeded(call.api).await?;
                Ok(CallResult::Answered(answer))
            }
            Err(JiraError::BadRequest(text) | JiraError::TooLarge(text)) => {
                Ok(CallResult::Refused(SubmitOutcome::Rejected(text)))
            }
            Err(error @ JiraError::RateLimited { reason: RateLimitReason::PerIssue, .. }) => {
                Ok(CallResult::Refused(self.failed(call.api, &error).await?))
            }
            Err(error) => Ok(CallResult::All(self.failed(call.api, &error).await?)),
        }
    }
}

enum CallResult {
    /// Jira took the call.
    Answered(Answer),
    /// Something in the call is in the way. If it is alone, this is what became of it.
    Refused(SubmitOutcome),
    /// This is what became of all of it.
    All(SubmitOutcome),
}

/// Whether the issue that is written to too often is in all of a call's entities: then halving would only write more.
fn shares_an_issue(call: &BulkCall, outcome: &SubmitOutcome) -> bool {
    let Some((first, others)) = call.entities.split_first() else { return false };
    let in_all = |key: &&String| others.iter().all(|other| other.entity.issue_keys.as_slice().contains(key));
    matches!(outcome, SubmitOutcome::Waiting(..))
        && first.entity.issue_keys.as_slice().iter().any(|key| in_all(&key))
}

async fn delete(client: &JiraClient, entity: &Entity) -> Result<(), JiraError> {
    let (kind, number) = (entity.key.kind, Some(entity.version.known_at.0));
    let (project, id) = (entity.key.project.as_str(), entity.key.id.as_str());
    match kind {
        EntityKind::Commit | EntityKind::Branch | EntityKind::PullRequest => {
            let segments = ["repository", project, &kind.to_string(), id];
            client.delete(Api::DevInfo, &segments, number).await
        }
        EntityKind::Build => {
            let (pipeline, number) = id.split_once('/').unwrap_or((id, ""));
            client.delete(Api::Builds, &["pipelines", pipeline, "builds", number], None).await
        }
        EntityKind::Deployment => {
            let mut parts = id.splitn(3, '/');
            let mut next = || parts.next().unwrap_or_default();
            let (pipeline, environment, number) = (next(), next(), next());
            let segments = ["pipelines", pipeline, "environments", environment, "deployments", number];
            client.delete(Api::Deployments, &segments, None).await
        }
        EntityKind::FeatureFlag => client.delete(Api::FeatureFlags, &["flag", id], None).await,
    }
}

// The tests need a store, and so the local process's engine.
#[cfg(all(test, feature = "embedded"))]
mod tests;
