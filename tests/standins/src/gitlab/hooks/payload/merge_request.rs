//! Merge requests, and notes on them.

use serde_json::{Map, Value, json};

use super::{commit, project, repository, user};
use crate::gitlab::clock::{self, HookDate};
use crate::gitlab::state::{MergeRequest, Project, World};

/// What happened to a merge request.
pub(crate) struct Happening<'a> {
    /// open, close, reopen, update, approved, unapproved, approval, unapproval or merge.
    pub(crate) action: &'a str,
    /// The source's head before a push to it.
    pub(crate) oldrev: Option<&'a str>,
    /// Field to `{previous, current}`.
    pub(crate) changes: Map<String, Value>,
}

/// The body of a Merge Request Hook.
pub(crate) fn merge_request(
    world: &World,
    of: &Project,
    request: &MergeRequest,
    actor: u64,
    happening: &Happening<'_>,
) -> Value {
    let mut attributes = attributes(world, of, request);
    attributes["action"] = json!(happening.action);
    if let Some(oldrev) = happening.oldrev {
        attributes["oldrev"] = json!(oldrev);
    }
    let mut body = json!({
        "object_kind": "merge_request",
        "event_type": "merge_request",
        "user": user(world, actor),
        "project": project(world, of),
        "object_attributes": attributes,
        "labels": [],
        "changes": happening.changes,
        "repository": repository(world, of),
    });
    // GitLab leaves out empty lists of people.
    if !request.assignees.is_empty() {
        body["assignees"] = json!(request.assignees.iter().map(|id| user(world, *id)).collect::<Vec<_>>());
    }
    if !request.reviewers.is_empty() {
        body["reviewers"] = json!(reviewers(world, request));
    }
    body
}

fn reviewers(world: &World, request: &MergeRequest) -> Vec<Value> {
    let shows_state = world.version.lists_reviewers();
    let show = |reviewer: &crate::gitlab::state::Reviewer| {
        let mut person = user(world, reviewer.user);
        if shows_state {
            person["state"] = json!(reviewer.state);
        }
        person
    };
    request.reviewers.iter().map(show).collect()
}

/// The body of a Note Hook for a comment on a merge request.
pub(crate) fn note(
    world: &World,
    of: &Project,
    request: &MergeRequest,
    actor: u64,
    note: (u64, &str),
) -> Value {
    let (id, text) = note;
    let at = clock::hook(world.version, HookDate::Detail, request.updated_at);
    let mut shown = attributes(world, of, request);
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("url");
    }
    json!({
        "object_kind": "note",
        "event_type": "note",
        "user": user(world, actor),
        "project_id": of.id,
        "project": project(world, of),
        "object_attributes": {
            "id": id,
            "note": text,
            "noteable_type": "MergeRequest",
            "noteable_id": request.id,
            "author_id": actor,
            "project_id": of.id,
            "created_at": at,
            "updated_at": at,
            "system": false,
            "action": "create",
            "url": format!("{}#note_{id}", url(world, of, request)),
        },
        "repository": repository(world, of),
        "merge_request": shown,
    })
}

/// Address of the merge request's page.
pub(crate) fn url(world: &World, of: &Project, request: &MergeRequest) -> String {
    format!("{}/-/merge_requests/{}", world.project_url(of), request.iid)
}

/// `object_attributes` without what depends on the event.
fn attributes(world: &World, of: &Project, request: &MergeRequest) -> Value {
    let date = |at| clock::hook(world.version, HookDate::Attribute, at);
    let last_commit = of.repository.commit(&request.sha).map(|head| commit(world, of, head));
    let mut attributes = json!({
        "id": request.id,
        "iid": request.iid,
        "target_branch": request.target_branch,
        "source_branch": request.source_branch,
        "source_project_id": of.id,
        "target_project_id": of.id,
        "author_id": request.author,
        "assignee_id": request.assignees.first(),
        "assignee_ids": request.assignees,
        "reviewer_ids": request.reviewers.iter().map(|reviewer| reviewer.user).collect::<Vec<_>>(),
        "title": request.title,
        "description": request.description,
        "created_at": date(request.created_at),
        "updated_at": date(request.updated_at),
        "last_edited_at": clock::hook_or_null(world.version, HookDate::Detail, request.last_edited_at),
        "last_edited_by_id": request.last_edited_by,
        "updated_by_id": request.last_edited_by,
        "milestone_id": null,
        "head_pipeline_id": head_pipeline(of, request),
        "state_id": request.state_id(),
        "state": request.state,
        "work_in_progress": request.draft(),
        "merge_status": "can_be_merged",
        "merge_commit_sha": request.merge_commit_sha,
        "merge_user_id": request.merged_by,
        "merge_error": null,
        "blocking_discussions_resolved": true,
        "first_contribution": false,
        "time_estimate": 0,
        "total_time_spent": 0,
        "time_change": 0,
        "human_total_time_spent": null,
        "human_time_change": null,
        "human_time_estimate": null,
        "url": url(world, of, request),
        "source": project(world, of),
        "target": project(world, of),
        "last_commit": last_commit,
        "labels": [],
    });
    if world.version.sends_newer_hook_fields() {
        attributes["draft"] = json!(request.draft());
        attributes["prepared_at"] = json!(date(request.created_at));
        attributes["detailed_merge_status"] = json!(request.detailed_merge_status());
    }
    attributes
}

/// The newest pipeline of the source's head.
pub(crate) fn head_pipeline(of: &Project, request: &MergeRequest) -> Option<u64> {
    of.pipelines.values().rev().find(|pipeline| pipeline.sha == request.sha).map(|pipeline| pipeline.id)
}
