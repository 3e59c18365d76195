//! Deletions: a call for each, some of them side by side.

use futures::{StreamExt as _, stream};

use super::call::CallResult;
use super::{BulkCall, PendingEntity, SubmitOutcome, Submitted, Submitter};
use crate::domain::{Api, EntityKind};
use crate::jira::answer::Answer;
use crate::jira::client::{JiraClient, JiraError};
use crate::store::StoreError;
use crate::sync::entity::Entity;

/// Deletions that are under way at the same time: they are few and small, and Jira limits bursts.
const CONCURRENCY: usize = 8;

impl Submitter<'_> {
    pub(super) async fn delete(
        &mut self,
        deletions: Vec<PendingEntity>,
    ) -> Result<Vec<Submitted>, StoreError> {
        let mut submitted = Vec::new();
        for api in Api::ALL {
            let of_api = deletions.iter().filter(|pending| pending.entity.key.kind.api() == api);
            let entities: Vec<PendingEntity> = of_api.cloned().collect();
            for chunk in entities.chunks(CONCURRENCY) {
                let (call, mut deleted) = self.hold(BulkCall { api, entities: chunk.to_vec() }).await?;
                deleted.extend(self.delete_side_by_side(call).await?);
                self.measure(api, &deleted);
                submitted.extend(deleted);
            }
        }
        Ok(submitted)
    }

    async fn delete_side_by_side(&mut self, call: BulkCall) -> Result<Vec<Submitted>, StoreError> {
        let (api, client) = (call.api, self.client);
        let calls: Vec<_> = call.entities.iter().map(|pending| delete(client, &pending.entity)).collect();
        let answers: Vec<_> = stream::iter(calls).buffered(CONCURRENCY).collect().await;
        let mut submitted = Vec::with_capacity(answers.len());
        for (pending, answer) in call.entities.into_iter().zip(answers) {
            self.calls += 1;
            // Jira documents no 404 of what it does not have: it is the API that is not there, unless that took something else.
            if matches!(answer, Err(JiraError::NotFound)) && self.took_any(api) {
                submitted.push(Submitted::new(pending, SubmitOutcome::Accepted));
                continue;
            }
            let outcome = match self.judge(api, answer.map(|()| Answer::default())).await? {
                CallResult::Answered(_) => SubmitOutcome::Accepted,
                CallResult::Refused(outcome) | CallResult::All(outcome) => outcome,
                CallResult::Failed(error) if self.is_down(api) => self.api_unavailable(api, &error).await?,
                CallResult::Failed(error) => {
                    self.suspect(BulkCall { api, entities: vec![pending] }, &error);
                    continue;
                }
            };
            submitted.push(Submitted::new(pending, outcome));
        }
        Ok(submitted)
    }
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
