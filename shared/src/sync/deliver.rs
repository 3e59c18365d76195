//! Sending entities to Jira and learning what became of each: refused calls are halved until the culprit stands alone,
//! rate limits rest what they name, and a site that can't be reached holds its work. Never gives up an entity that Jira
//! did not refuse.

use std::collections::HashMap;
use std::slice;
use std::time::Duration;

use ulid::Ulid;

use super::entity::{Content, Entity};
use super::pack::{BulkCall, Undocumented, pack};
use crate::clock::{Clock, Timestamp};
use crate::domain::Api;
use crate::domain::{Capability, Site, SiteCondition};
use crate::domain::{EntityKey, EntityKind};
use crate::jira::answer::{Answer, FailedEntity, RateLimitReason};
use crate::jira::client::{JiraClient, JiraError};
use crate::store::backoffs::{Backoff, BackoffScope};
use crate::store::{Store, StoreError};

mod measure;

/// How long a site's work is held before it is tried again, when Jira does not say: first, and at most.
const FIRST_BACKOFF: Duration = Duration::from_secs(30);
const LONGEST_BACKOFF: Duration = Duration::from_secs(900);

/// How long a new app waits for its permissions to reach all of Jira: they take minutes.
const PROPAGATION_BACKOFF: Duration = Duration::from_secs(60);

/// A rest that Jira asks for is believed up to here; its pools refill every hour.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// After this long without an answer a site counts as suspended.
const SUSPENDED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What became of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// Jira has it, for the keys it knows.
    Accepted,
    /// Jira knows none of its keys and took no part of it.
    UnknownIssues,
    /// Jira will never take it.
    Rejected(String),
    /// It has to wait.
    Waiting(Timestamp, String),
    /// It may work later.
    Failed(String),
}

/// An entity after its delivery.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The entity as it was sent.
    pub entity: Entity,
    /// What became of it.
    pub outcome: SubmitOutcome,
    /// Those of its keys that Jira does not know.
    pub unknown_keys: Vec<String>,
}

/// A site's deliveries during one batch.
#[derive(Debug)]
pub struct Submitter<'a> {
    /// How to reach Jira.
    pub client: &'a JiraClient,
    /// Where rests and conditions are kept.
    pub store: &'a Store,
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// The site.
    pub site: Site,
    backoffs: HashMap<BackoffScope, Backoff>,
    /// Which deliveries entities came from, for the log: the ids of their messages.
    pub traces: HashMap<EntityKey, Vec<Ulid>>,
    /// How many calls were made.
    pub calls: u32,
}

impl<'a> Submitter<'a> {
    /// A submitter that knows which rests are on.
    pub async fn new(
        client: &'a JiraClient,
        store: &'a Store,
        clock: &'a dyn Clock,
        site: Site,
    ) -> Result<Self, StoreError> {
        let of_apis = Api::ALL.map(|api| BackoffScope::Api(site.id, api));
        let scopes: Vec<BackoffScope> = of_apis.into_iter().chain([BackoffScope::Site(site.id)]).collect();
        let backoffs = store.backoffs(&scopes).await?;
        Ok(Self { client, store, clock, site, backoffs, traces: HashMap::new(), calls: 0 })
    }

    /// Sends `entities` and tells what became of each.
    pub async fn deliver(&mut self, entities: Vec<Entity>) -> Result<Vec<Submitted>, StoreError> {
        let (deletions, mut upserts): (Vec<_>, Vec<_>) =
            entities.into_iter().partition(|entity| matches!(entity.content, Content::Deleted));
        let mut delivered = Vec::new();
        for entity in deletions {
            delivered.push(self.remove(entity).await?);
        }
        self.probe(&mut upserts, &mut delivered).await?;
        let mut calls = pack(upserts);
        calls.reverse();
        while let Some(call) = calls.pop() {
            let api = call.api;
            let of_call = match self.submit(&call).await? {
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
            self.note_delivered(api, &of_call);
            delivered.extend(of_call);
        }
        Ok(delivered)
    }

    async fn remove(&mut self, entity: Entity) -> Result<Submitted, StoreError> {
        let api = entity.key.kind.api();
        let outcome = match self.held_up(api).await? {
            Some(outcome) => outcome,
            None => {
                self.calls += 1;
                match self.delete(&entity).await {
                    Ok(()) => {
                        self.went_through(api).await?;
                        SubmitOutcome::Accepted
                    }
                    Err(JiraError::BadRequest(text) | JiraError::TooLarge(text)) => {
                        SubmitOutcome::Rejected(text)
                    }
                    Err(error) => self.outcome_of(api, &error).await?,
                }
            }
        };
        let removed = Submitted { entity, outcome, unknown_keys: Vec::new() };
        self.note_delivered(api, slice::from_ref(&removed));
        Ok(removed)
    }

    async fn delete(&self, entity: &Entity) -> Result<(), JiraError> {
        let (kind, number) = (entity.key.kind, Some(entity.version.known_at.0));
        let (project, id) = (entity.key.project.as_str(), entity.key.id.as_str());
        match kind {
            EntityKind::Commit | EntityKind::Branch | EntityKind::PullRequest => {
                let segments = ["repository", project, &kind.to_string(), id];
                self.client.delete(Api::DevInfo, &segments, number).await
            }
            EntityKind::Build => {
                let (pipeline, number) = id.split_once('/').unwrap_or((id, ""));
                self.client.delete(Api::Builds, &["pipelines", pipeline, "builds", number], None).await
            }
            EntityKind::Deployment => {
                let mut parts = id.splitn(3, '/');
                let mut next = || parts.next().unwrap_or_default();
                let (pipeline, environment, number) = (next(), next(), next());
                let segments = ["pipelines", pipeline, "environments", environment, "deployments", number];
                self.client.delete(Api::Deployments, &segments, None).await
            }
            EntityKind::FeatureFlag => self.client.delete(Api::FeatureFlags, &["flag", id], None).await,
        }
    }

    /// Finds out, with one entity in a call of its own, whether the site takes what Atlassian does not document; says
    /// what it refuses in documented words from then on.
    async fn probe(
        &mut self,
        entities: &mut Vec<Entity>,
        delivered: &mut Vec<Submitted>,
    ) -> Result<(), StoreError> {
        for undocumented in Undocumented::ALL {
            if undocumented.capability(&self.site) == Capability::Unknown
                && let Some(index) = entities.iter().position(|entity| undocumented.is_used_by(entity))
            {
                let mut entity = entities.swap_remove(index);
                // One question at a time: what else may be refused must not answer it.
                for other in Undocumented::ALL {
                    if other != undocumented && other.capability(&self.site) != Capability::Accepted {
                        other.replace(&mut entity);
                    }
                }
                self.ask(undocumented, entity, delivered).await?;
            }
            // Not accepted means refused, or that the question could not be asked just now.
            if undocumented.capability(&self.site) != Capability::Accepted {
                entities.iter_mut().for_each(|entity| undocumented.replace(entity));
            }
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        undocumented: Undocumented,
        entity: Entity,
        delivered: &mut Vec<Submitted>,
    ) -> Result<(), StoreError> {
        let answer = self.send_alone(entity.clone()).await?;
        if !matches!(answer.outcome, SubmitOutcome::Rejected(_)) {
            // An entity that waits, or that no issue is known of, proves nothing.
            if answer.outcome == SubmitOutcome::Accepted {
                self.learn(undocumented, Capability::Accepted).await?;
            }
            delivered.push(answer);
            return Ok(());
        }
        let mut plain = entity;
        undocumented.replace(&mut plain);
        let answer = self.send_alone(plain).await?;
        // Refused in documented words, too, it was refused for something else.
        if answer.outcome == SubmitOutcome::Accepted {
            self.learn(undocumented, Capability::Refused).await?;
        }
        delivered.push(answer);
        Ok(())
    }

    async fn send_alone(&mut self, entity: Entity) -> Result<Submitted, StoreError> {
        let call = BulkCall { api: entity.key.kind.api(), entities: vec![entity.clone()] };
        let delivered = match self.submit(&call).await? {
            CallResult::Answered(answer) => read(call, &answer).pop(),
            CallResult::All(outcome) | CallResult::Refused(outcome) => all(call, &outcome).pop(),
        };
        let lost = SubmitOutcome::Failed("Jira said nothing of it".to_owned());
        let delivered = delivered.unwrap_or(Submitted { entity, outcome: lost, unknown_keys: Vec::new() });
        self.note_delivered(delivered.entity.key.kind.api(), slice::from_ref(&delivered));
        Ok(delivered)
    }

    async fn learn(&mut self, undocumented: Undocumented, capability: Capability) -> Result<(), StoreError> {
        let note = |site: &mut Site| match undocumented {
            Undocumented::Draft => site.draft = capability,
            Undocumented::NeedsWork => site.needs_work = capability,
        };
        note(&mut self.site);
        self.store.update_site(self.site.id, note).await?;
        Ok(())
    }

    async fn submit(&mut self, call: &BulkCall) -> Result<CallResult, StoreError> {
        if let Some(outcome) = self.held_up(call.api).await? {
            return Ok(CallResult::All(outcome));
        }
        self.calls += 1;
        match self.client.submit(call.api, &call.body()).await {
            Ok(answer) => {
                self.went_through(call.api).await?;
                Ok(CallResult::Answered(answer))
            }
            Err(JiraError::BadRequest(text) | JiraError::TooLarge(text)) => {
                Ok(CallResult::Refused(SubmitOutcome::Rejected(text)))
            }
            Err(error @ JiraError::RateLimited { reason: RateLimitReason::PerIssue, .. }) => {
                Ok(CallResult::Refused(self.outcome_of(call.api, &error).await?))
            }
            Err(error) => Ok(CallResult::All(self.outcome_of(call.api, &error).await?)),
        }
    }

    /// Why a call can't be made now. Asked before each, because another connection may have taken over since the batch began, and
    /// two must not write.
    async fn held_up(&self, api: Api) -> Result<Option<SubmitOutcome>, StoreError> {
        if let Some(outcome) = self.backing_off(api) {
            return Ok(Some(outcome));
        }
        let now = self.store.site(self.site.id).await?;
        let is_ours = now.is_some_and(|now| {
            now.writer == self.site.writer && now.state.condition != SiteCondition::Switching
        });
        let changed = || {
            SubmitOutcome::Waiting(
                self.clock.now().after(FIRST_BACKOFF),
                "Another connection writes.".to_owned(),
            )
        };
        Ok((!is_ours).then(changed))
    }

    fn backing_off(&self, api: Api) -> Option<SubmitOutcome> {
        let now = self.clock.now();
        [BackoffScope::Site(self.site.id), BackoffScope::Api(self.site.id, api)]
            .iter()
            .filter_map(|scope| self.backoffs.get(scope))
            .find(|backoff| backoff.until > now)
            .map(|backoff| SubmitOutcome::Waiting(backoff.until, backoff.reason.clone()))
    }

    /// What an error means for the entities of the call, and for the calls to come.
    async fn outcome_of(&mut self, api: Api, error: &JiraError) -> Result<SubmitOutcome, StoreError> {
        let (site, of_api) = (BackoffScope::Site(self.site.id), BackoffScope::Api(self.site.id, api));
        let text = error.to_string();
        match error {
            JiraError::RateLimited { reason: RateLimitReason::PerIssue, retry_after } => {
                let until = self.clock.now().after(retry_after.unwrap_or(FIRST_BACKOFF).min(MAX_RETRY_AFTER));
                Ok(SubmitOutcome::Waiting(until, format!("{text} for one issue.")))
            }
            JiraError::RateLimited { reason: RateLimitReason::Quota, retry_after } => {
                self.backoff(site, *retry_after, format!("{text} for the site.")).await
            }
            JiraError::RateLimited { reason: RateLimitReason::Burst, retry_after } => {
                self.backoff(of_api, *retry_after, format!("{text} for {api}.")).await
            }
            JiraError::PermissionsPropagating => {
                self.backoff(site, Some(PROPAGATION_BACKOFF), held_because(error)).await
            }
            JiraError::Unauthorized => self.hold(site, SiteCondition::CredentialRejected, error).await,
            JiraError::Forbidden(_) => self.hold(of_api, SiteCondition::PermissionMissing, error).await,
            JiraError::Renamed => self.hold(site, SiteCondition::Renamed, error).await,
            JiraError::NotFound => self.hold(site, SiteCondition::Suspended, error).await,
            JiraError::Unavailable { status, retry_after }
                if *status == http::StatusCode::SERVICE_UNAVAILABLE =>
            {
                self.out_of_reach(site, *retry_after, error).await
            }
            JiraError::NoAnswer(source) if source.is_connect() => self.out_of_reach(site, None, error).await,
            JiraError::Unavailable { .. }
            | JiraError::NoAnswer(_)
            | JiraError::Unexpected(_)
            | JiraError::BadRequest(_)
            | JiraError::TooLarge(_) => Ok(SubmitOutcome::Failed(text)),
        }
    }

    async fn hold(
        &mut self,
        scope: BackoffScope,
        condition: SiteCondition,
        error: &JiraError,
    ) -> Result<SubmitOutcome, StoreError> {
        self.note(condition).await?;
        self.backoff(scope, None, held_because(error)).await
    }

    async fn out_of_reach(
        &mut self,
        site: BackoffScope,
        retry_after: Option<Duration>,
        error: &JiraError,
    ) -> Result<SubmitOutcome, StoreError> {
        let since = self.backoffs.get(&site).map(|backoff| backoff.since);
        if since.is_some_and(|since| self.clock.now().since(since) > SUSPENDED_AFTER) {
            self.note(SiteCondition::Suspended).await?;
        }
        self.backoff(site, retry_after, held_because(error)).await
    }

    async fn note(&mut self, condition: SiteCondition) -> Result<(), StoreError> {
        self.store.set_condition(&self.site, condition).await?;
        self.site.state.condition = condition;
        Ok(())
    }

    async fn backoff(
        &mut self,
        scope: BackoffScope,
        asked: Option<Duration>,
        reason: String,
    ) -> Result<SubmitOutcome, StoreError> {
        let now = self.clock.now();
        let (rows, since) = self
            .backoffs
            .get(&scope)
            .map_or((0, now), |backoff| (backoff.consecutive_failures, backoff.since));
        let growing = FIRST_BACKOFF.saturating_mul(1 << rows.min(8)).min(LONGEST_BACKOFF);
        let until = now.after(asked.unwrap_or(growing).min(MAX_RETRY_AFTER));
        let backoff = Backoff { until, consecutive_failures: rows + 1, since, reason: reason.clone() };
        self.store.begin_backoff(&scope, &backoff).await?;
        tracing::warn!(site.id = %self.site.id, backoff.until = %until.iso8601(), reason, "backing off");
        self.backoffs.insert(scope, backoff);
        Ok(SubmitOutcome::Waiting(until, reason))
    }

    /// Jira answered: whatever rested is awake, and the site is well.
    async fn went_through(&mut self, api: Api) -> Result<(), StoreError> {
        for scope in [BackoffScope::Site(self.site.id), BackoffScope::Api(self.site.id, api)] {
            if self.backoffs.remove(&scope).is_some() {
                self.store.end_backoff(&scope).await?;
            }
        }
        let unchanged = match self.site.state.condition {
            SiteCondition::Active => true,
            // One API that answers says nothing about the one that is forbidden.
            SiteCondition::PermissionMissing => self.is_any_api_forbidden(),
            _ => false,
        };
        if !unchanged {
            self.note(SiteCondition::Active).await?;
        }
        Ok(())
    }

    fn is_any_api_forbidden(&self) -> bool {
        self.backoffs.iter().any(|(scope, backoff)| match scope {
            BackoffScope::Api(_, api) => backoff.reason == held_because(&JiraError::Forbidden(*api)),
            BackoffScope::Site(_) | BackoffScope::Gitlab(..) => false,
        })
    }
}

/// What a rest says to a person, and by which a forbidden API is known again.
fn held_because(error: &JiraError) -> String {
    format!("{error}.")
}

enum CallResult {
    /// Jira took the call.
    Answered(Answer),
    /// Something in the call is in the way. If it is alone, this is what becomes of it.
    Refused(SubmitOutcome),
    /// This becomes of all of it.
    All(SubmitOutcome),
}

/// Whether the issue that is written to too often is in all of a call's entities: then halving would only write more.
fn shares_an_issue(call: &BulkCall, outcome: &SubmitOutcome) -> bool {
    let Some((first, others)) = call.entities.split_first() else { return false };
    let in_all = |key: &&String| others.iter().all(|other| other.issue_keys.as_slice().contains(key));
    matches!(outcome, SubmitOutcome::Waiting(..))
        && first.issue_keys.as_slice().iter().any(|key| in_all(&key))
}

fn all(call: BulkCall, outcome: &SubmitOutcome) -> Vec<Submitted> {
    let entities = call.entities.into_iter();
    entities.map(|entity| Submitted { entity, outcome: outcome.clone(), unknown_keys: Vec::new() }).collect()
}

/// What an answer says of each entity of its call.
fn read(call: BulkCall, answer: &Answer) -> Vec<Submitted> {
    call.entities
        .into_iter()
        .map(|entity| {
            let keys = entity.issue_keys.as_slice();
            let unknown_keys: Vec<_> =
                keys.iter().filter(|key| answer.unknown_issue_keys.contains(key)).cloned().collect();
            let refusal = answer
                .failed
                .get(&failed_entity(&entity))
                .or_else(|| answer.failed_repositories.get(&entity.key.project));
            let outcome = match refusal {
                Some(text) => SubmitOutcome::Rejected(text.clone()),
                None if !keys.is_empty() && unknown_keys.len() == keys.len() => SubmitOutcome::UnknownIssues,
                None => SubmitOutcome::Accepted,
            };
            Submitted { entity, outcome, unknown_keys }
        })
        .collect()
}

fn failed_entity(entity: &Entity) -> FailedEntity {
    let (project, id) = (entity.key.project.clone(), entity.key.id.clone());
    match &entity.content {
        Content::Build(build) => FailedEntity::Build(build.pipeline_id.clone(), build.build_number),
        Content::Deployment(deployment) => FailedEntity::Deployment(
            deployment.pipeline.id.clone(),
            deployment.environment.id.clone(),
            deployment.deployment_sequence_number,
        ),
        Content::FeatureFlag(_) => FailedEntity::FeatureFlag(id),
        Content::Branch(_) => FailedEntity::DevInfo(project, "branches", id),
        Content::PullRequest(_) => FailedEntity::DevInfo(project, "pullRequests", id),
        Content::Commit(_) | Content::Deleted => FailedEntity::DevInfo(project, "commits", id),
    }
}

// The tests need a store, and so the local process's engine.
#[cfg(all(test, feature = "embedded"))]
mod tests;
