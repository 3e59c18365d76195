//! Merge requests (<https://docs.gitlab.com/api/merge_requests/>).

use serde_json::{Value, json};

use super::people::{user, users};
use super::{Answer, Call, Outcome, Refusal, extended, pipelines, repository};
use crate::gitlab::clock;
use crate::gitlab::hooks::payload::merge_request as payload;
use crate::gitlab::state::{Commit, MergeRequest, Pipeline, Project, World};

/// `GET /projects/:id/merge_requests`
pub(crate) fn list(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let state = call.choice("state", &["all", "opened", "closed", "locked", "merged"])?;
    let order = call.choice("order_by", &["created_at", "updated_at", "merged_at", "title"])?;
    let descending = call.choice("sort", &["desc", "asc"])? == "desc";
    let wanted = Filter::read(call)?;
    let mut found: Vec<&MergeRequest> = project
        .merge_requests
        .values()
        .filter(|request| state == "all" || request.state == state)
        .filter(|request| wanted.admits(request))
        .collect();
    found.sort_by_key(|request| match order {
        "updated_at" => (Some(request.updated_at), String::new()),
        "merged_at" => (request.merged_at, String::new()),
        "title" => (None, request.title.clone()),
        _ => (Some(request.created_at), String::new()),
    });
    if descending {
        found.reverse();
    }
    Answer::page(call, &found, |request| basic(world, project, request))
}

/// `GET /groups/:id/merge_requests`: of every project whose code the caller may read.
pub(crate) fn of_group(world: &mut World, call: &Call) -> Outcome {
    let group = call.group(world)?;
    let state = call.choice("state", &["all", "opened", "closed", "locked", "merged"])?;
    let order = call.choice("order_by", &["created_at", "updated_at", "merged_at", "title"])?;
    let descending = call.choice("sort", &["desc", "asc"])? == "desc";
    // Without it only what the caller made.
    let own_only = call.choice("scope", &["created_by_me", "assigned_to_me", "all"])? != "all";
    let wanted = Filter::read(call)?;
    let projects = world
        .projects
        .values()
        .filter(|project| world.is_within(project.group, group) && world.reads_code(call.user(), project));
    let mut found: Vec<(&Project, &MergeRequest)> = projects
        .flat_map(|project| project.merge_requests.values().map(move |request| (project, request)))
        .filter(|(_, request)| state == "all" || request.state == state)
        .filter(|(_, request)| !own_only || Some(request.author) == call.user())
        .filter(|(_, request)| wanted.admits(request))
        .collect();
    found.sort_by_key(|(_, request)| match order {
        "updated_at" => (Some(request.updated_at), String::new()),
        "merged_at" => (request.merged_at, String::new()),
        "title" => (None, request.title.clone()),
        _ => (Some(request.created_at), String::new()),
    });
    if descending {
        found.reverse();
    }
    Answer::page(call, &found, |(project, request)| basic(world, project, request))
}

/// What a caller may narrow a list by.
struct Filter {
    source_branch: Option<String>,
    target_branch: Option<String>,
    updated: (Option<time::OffsetDateTime>, Option<time::OffsetDateTime>),
    created: (Option<time::OffsetDateTime>, Option<time::OffsetDateTime>),
    words: Option<String>,
    places: Vec<String>,
    iids: Vec<String>,
}

impl Filter {
    fn read(call: &Call) -> Result<Self, Refusal> {
        Ok(Filter {
            source_branch: call.text("source_branch"),
            target_branch: call.text("target_branch"),
            updated: (call.date("updated_after")?, call.date("updated_before")?),
            created: (call.date("created_after")?, call.date("created_before")?),
            words: call.text("search").map(|words| words.to_lowercase()),
            places: call.list("in"),
            iids: call.list("iids"),
        })
    }

    fn admits(&self, request: &MergeRequest) -> bool {
        let between = |at: time::OffsetDateTime, (after, before): (Option<_>, Option<_>)| {
            after.is_none_or(|after| at >= after) && before.is_none_or(|before| at <= before)
        };
        self.source_branch.as_ref().is_none_or(|branch| *branch == request.source_branch)
            && self.target_branch.as_ref().is_none_or(|branch| *branch == request.target_branch)
            && between(request.updated_at, self.updated)
            && between(request.created_at, self.created)
            && (self.iids.is_empty() || self.iids.contains(&request.iid.to_string()))
            && self.words.as_ref().is_none_or(|words| self.mentions(request, words))
    }

    fn mentions(&self, request: &MergeRequest, words: &str) -> bool {
        let looks_in = |place: &str| self.places.is_empty() || self.places.iter().any(|own| own == place);
        let text = |text: &str| text.to_lowercase().contains(words);
        (looks_in("title") && text(&request.title))
            || (looks_in("description") && request.description.as_deref().is_some_and(text))
    }
}

fn find<'p>(project: &'p Project, call: &Call) -> Result<&'p MergeRequest, Refusal> {
    project.merge_requests.get(&call.path_number("iid")?).ok_or_else(Refusal::plain_not_found)
}

/// `GET /projects/:id/merge_requests/:iid`
pub(crate) fn show(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let request = find(project, call)?;
    let pipeline = payload::head_pipeline(project, request).and_then(|id| project.pipelines.get(&id));
    let files: usize = own_commits(project, request).iter().map(|commit| commit.files.len()).sum();
    let mut body = basic(world, project, request);
    body["changes_count"] = json!(files.to_string());
    body["diff_refs"] =
        json!({ "base_sha": request.base_sha, "head_sha": request.sha, "start_sha": request.base_sha });
    body["pipeline"] = pipeline.map_or(Value::Null, |pipeline| pipelines::basic(world, project, pipeline));
    body["head_pipeline"] =
        pipeline.map_or(Value::Null, |pipeline| pipelines::detailed(world, project, pipeline));
    body["merge_error"] = Value::Null;
    body["first_contribution"] = json!(false);
    body["user"] = json!({ "can_merge": false });
    Ok(Answer::ok(body))
}

/// `GET /projects/:id/merge_requests/:iid/reviewers`
pub(crate) fn reviewers(world: &mut World, call: &Call) -> Outcome {
    if !world.version.lists_reviewers() {
        return Err(Refusal::no_route());
    }
    let project = call.code(world)?;
    let request = find(project, call)?;
    let all = request.reviewers.iter().map(|reviewer| {
        json!({
            "user": user(world, reviewer.user),
            "state": reviewer.state,
            "created_at": clock::rest(reviewer.since),
        })
    });
    Ok(Answer::ok(all.collect()))
}

/// `GET /projects/:id/merge_requests/:iid/approvals`
pub(crate) fn approvals(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let request = find(project, call)?;
    let by: Vec<Value> = request.approvals.iter().map(|id| json!({ "user": user(world, *id) })).collect();
    Ok(Answer::ok(json!({
        "id": request.id,
        "iid": request.iid,
        "project_id": project.id,
        "title": request.title,
        "description": request.description,
        "state": request.state,
        "created_at": clock::rest(request.created_at),
        "updated_at": clock::rest(request.updated_at),
        "merge_status": "can_be_merged",
        "approved": request.approved(),
        "approvals_required": request.approvals_required,
        "approvals_left": request.approvals_required.saturating_sub(request.approvals.len()),
        "approved_by": by,
    })))
}

/// `GET /projects/:id/merge_requests/:iid/commits`
pub(crate) fn commits(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let own = own_commits(project, find(project, call)?);
    Answer::page(call, &own, |commit| repository::show_commit(world, project, commit))
}

fn own_commits<'p>(project: &'p Project, request: &MergeRequest) -> Vec<&'p Commit> {
    project.repository.log(&[&request.sha], &[&request.base_sha], false)
}

/// `GET /projects/:id/merge_requests/:iid/pipelines`
pub(crate) fn pipelines(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let request = find(project, call)?;
    let shas: Vec<&str> = own_commits(project, request).iter().map(|commit| commit.sha.as_str()).collect();
    let belongs = |pipeline: &&Pipeline| {
        pipeline.merge_request == Some(request.iid)
            || (pipeline.git_ref == request.source_branch && shas.contains(&pipeline.sha.as_str()))
    };
    let found: Vec<&Pipeline> = project.pipelines.values().rev().filter(belongs).collect();
    Answer::page(call, &found, |pipeline| pipelines::basic(world, project, pipeline))
}

/// `GET /projects/:id/repository/commits/:sha/merge_requests`
pub(crate) fn of_commit(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let sha = &repository::find_commit(project, call)?.sha;
    let holds = |request: &&MergeRequest| {
        request.merge_commit_sha.as_ref() == Some(sha)
            || own_commits(project, request).iter().any(|commit| commit.sha == *sha)
    };
    let found: Vec<&MergeRequest> = project.merge_requests.values().rev().filter(holds).collect();
    Answer::page(call, &found, |request| basic(world, project, request))
}

/// `GET /projects/:id/deployments/:deployment_id/merge_requests`: what was merged since the environment's
/// last success.
pub(crate) fn of_deployment(world: &mut World, call: &Call) -> Outcome {
    call.caller()?;
    let project = call.code(world)?;
    let id = call.path_number("deployment_id")?;
    let deployment = project.deployments.get(&id).ok_or_else(Refusal::plain_not_found)?;
    let same_place = project.deployments.values().filter(|other| other.environment == deployment.environment);
    let before =
        same_place.filter(|other| other.id < id && other.status == "success").max_by_key(|other| other.id);
    let known: Vec<&str> = before.iter().map(|before| before.sha.as_str()).collect();
    let shipped = project.repository.log(&[&deployment.sha], &known, false);
    let merged = |request: &&MergeRequest| {
        let sha = request.merge_commit_sha.as_deref();
        sha.is_some_and(|sha| shipped.iter().any(|commit| commit.sha == sha))
    };
    let found: Vec<&MergeRequest> = project.merge_requests.values().rev().filter(merged).collect();
    Answer::page(call, &found, |request| basic(world, project, request))
}

/// A merge request as lists show it.
fn basic(world: &World, project: &Project, request: &MergeRequest) -> Value {
    let own = json!({
        "id": request.id,
        "iid": request.iid,
        "project_id": project.id,
        "title": request.title,
        "description": request.description,
        "state": request.state,
        "created_at": clock::rest(request.created_at),
        "updated_at": clock::rest(request.updated_at),
        "merged_at": clock::rest_or_null(request.merged_at),
        "closed_at": clock::rest_or_null(request.closed_at),
        "target_branch": request.target_branch,
        "source_branch": request.source_branch,
        "source_project_id": project.id,
        "target_project_id": project.id,
        "user_notes_count": request.user_notes_count,
        "draft": request.draft(),
        "work_in_progress": request.draft(),
        "detailed_merge_status": request.detailed_merge_status(),
        "sha": request.sha,
        "merge_commit_sha": request.merge_commit_sha,
        "reference": format!("!{}", request.iid),
        "references": {
            "short": format!("!{}", request.iid),
            "relative": format!("!{}", request.iid),
            "full": format!("{}!{}", world.project_path(project), request.iid),
        },
        "web_url": payload::url(world, project, request),
    });
    extended(extended(own, involved(world, request)), never_varying())
}

fn involved(world: &World, request: &MergeRequest) -> Value {
    let reviewers: Vec<u64> = request.reviewers.iter().map(|reviewer| reviewer.user).collect();
    json!({
        "author": user(world, request.author),
        "assignees": users(world, &request.assignees),
        "assignee": request.assignees.first().map(|id| user(world, *id)),
        "reviewers": users(world, &reviewers),
        "merged_by": request.merged_by.map(|id| user(world, id)),
        "merge_user": request.merged_by.map(|id| user(world, id)),
        "closed_by": null,
    })
}

/// What GitLab shows and no test changes.
fn never_varying() -> Value {
    json!({
        "upvotes": 0,
        "downvotes": 0,
        "labels": [],
        "milestone": null,
        "merge_when_pipeline_succeeds": false,
        "merge_status": "can_be_merged",
        "squash_commit_sha": null,
        "discussion_locked": null,
        "should_remove_source_branch": null,
        "force_remove_source_branch": null,
        "has_conflicts": false,
        "blocking_discussions_resolved": true,
    })
}
