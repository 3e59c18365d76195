//! What a hook says by itself: all there is on a link without a token, or with one that GitLab refuses.

use crate::clock::Timestamp;
use crate::domain::{EntityKind, IssueKeys, RefUpdate};
use crate::gitlab::hooks::HookEvent;
use crate::gitlab::model::{Commit, MergeRequest, Person, Push};
use crate::sync::apply::PendingEntity;
use crate::sync::entity::Entity;
use crate::sync::transform::{Source, issue_keys};

/// The entities of an event that came in at `known_at` with the delivery that GitLab calls `delivery`, from its hook alone.
#[must_use]
pub fn entities(
    source: &Source,
    event: &HookEvent,
    delivery: Option<&str>,
    known_at: Timestamp,
) -> Vec<PendingEntity> {
    // GitLab before 17.4 gives deliveries no id.
    let delivery = || delivery.map_or_else(|| known_at.0.to_string(), str::to_owned);
    match event {
        HookEvent::Push(push) => pushed(source, push, delivery(), known_at),
        HookEvent::BranchDeleted { branch, before } => {
            let update = RefUpdate { delivery: delivery(), before: Some(before.clone()), after: None };
            let deleted = deleted_branch(source, branch, before, known_at);
            vec![PendingEntity { update: Some(update), ..deleted }]
        }
        // Its source branch comes with that branch's own pushes.
        HookEvent::MergeRequest { merge_request, untold_changes, .. } => {
            let mut entity = merge_request_entity(source, merge_request, known_at, true);
            // A push to its branch changes nothing that Jira shows: of two hooks of the same second, the other one counts.
            entity.version.rank -= u8::from(*untold_changes);
            vec![entity.into()]
        }
        // Only what runs for a merge request says whether it has lost its keys.
        HookEvent::Pipeline(pipeline)
            if pipeline.merge_requests.is_empty() && issue_keys(pipeline).is_empty() =>
        {
            Vec::new()
        }
        HookEvent::Pipeline(pipeline) => {
            source.build(pipeline, known_at, true).into_iter().map(PendingEntity::from).collect()
        }
        HookEvent::Deployment(deployment) => {
            source.deployment(deployment, known_at, true).into_iter().map(PendingEntity::from).collect()
        }
        HookEvent::FeatureFlag(flag) => vec![source.feature_flag(flag, known_at).into()],
    }
}

/// The deletion of a branch that had the head `before`.
pub(super) fn deleted_branch(
    source: &Source,
    branch: &str,
    before: &str,
    known_at: Timestamp,
) -> PendingEntity {
    let label = format!("{}:{branch}", source.project.path);
    let keys = IssueKeys::extract([branch]);
    let entity = source.deleted(source.branch_key(branch), label, keys, known_at);
    PendingEntity { deleted_head: Some(before.to_owned()), ..entity.into() }
}

/// That a branch is there and names no issue any more: its last key stood in a merge request.
pub(super) fn keyless_branch(source: &Source, branch: &str, known_at: Timestamp) -> PendingEntity {
    let label = format!("{}:{branch}", source.project.path);
    source.deleted(source.branch_key(branch), label, IssueKeys::default(), known_at).into()
}

/// A merge request, or its deletion when no key is left in it.
pub(super) fn merge_request_entity(
    source: &Source,
    merge_request: &MergeRequest,
    known_at: Timestamp,
    from_hook: bool,
) -> Entity {
    let entity = source.merge_request(merge_request, known_at, from_hook);
    if !merge_request.keys.is_empty() {
        return entity;
    }
    let key = source.key(EntityKind::PullRequest, source.merge_request_id(merge_request.id));
    let label = merge_request.reference.clone();
    let deleted = source.deleted(key, label, merge_request.keys.clone(), known_at);
    // A late hook deletes it no more than it changes it.
    Entity { version: entity.version, ..deleted }
}

fn pushed(source: &Source, push: &Push, delivery: String, known_at: Timestamp) -> Vec<PendingEntity> {
    let keyed = push.commits.iter().filter(|commit| !commit.keys.is_empty());
    let mut entities: Vec<_> =
        keyed.map(|commit| PendingEntity::from(source.commit(commit, known_at))).collect();
    let keys = IssueKeys::extract([push.branch.as_str()]);
    if !keys.is_empty() {
        let head = push.commits.iter().find(|commit| commit.sha == push.after).cloned();
        let head = head.unwrap_or_else(|| bare_commit(source, &push.after, known_at));
        let branch = source.branch(&push.branch, &head, keys, known_at);
        let update = RefUpdate { delivery, before: push.before.clone(), after: Some(push.after.clone()) };
        entities.push(PendingEntity { update: Some(update), ..branch.into() });
    }
    entities
}

/// A commit of which only the SHA is known: a new branch at an old commit.
fn bare_commit(source: &Source, sha: &str, known_at: Timestamp) -> Commit {
    Commit {
        sha: sha.to_owned(),
        message: String::new(),
        keys: IssueKeys::default(),
        author: Person::default(),
        committed_at: Some(known_at),
        web_url: format!("{}/-/commit/{sha}", source.project.web_url),
        merge: false,
        file_count: None,
        files: Vec::new(),
        parent: None,
    }
}
