//! What Jira's answer to a call says of each of its entities.

use super::{SubmitOutcome, Submitted};
use crate::jira::answer::{Answer, FailedEntity};
use crate::sync::apply::pack::BulkCall;
use crate::sync::entity::{Content, Entity};

/// The same outcome for every entity of a call.
pub(super) fn all(call: BulkCall, outcome: &SubmitOutcome) -> Vec<Submitted> {
    let entities = call.entities.into_iter();
    entities
        .map(|pending| Submitted { pending, outcome: outcome.clone(), unknown_keys: Vec::new() })
        .collect()
}

/// What an answer says of each entity of its call.
pub(super) fn read(call: BulkCall, answer: &Answer) -> Vec<Submitted> {
    call.entities
        .into_iter()
        .map(|pending| {
            let entity = &pending.entity;
            let keys = entity.associations.issue_keys();
            let unknown_keys: Vec<_> =
                keys.iter().filter(|key| answer.unknown_issue_keys.contains(key)).cloned().collect();
            let rejection = answer
                .failed
                .get(&failed_entity(entity))
                .or_else(|| answer.failed_repositories.get(&entity.key.project));
            let outcome = match rejection {
                Some(text) => SubmitOutcome::Rejected(text.clone()),
                None if !keys.is_empty() && unknown_keys.len() == keys.len() => SubmitOutcome::UnknownIssues,
                None => SubmitOutcome::Accepted,
            };
            Submitted { pending, outcome, unknown_keys }
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
