//! Pipelines, jobs and deployments.

use serde_json::{Value, json};

use super::{commit, merge_request, project, repository, user};
use crate::gitlab::clock::{self, HookDate};
use crate::gitlab::state::{Deployment, Job, Pipeline, Project, World};

/// Address of a pipeline's page.
pub(crate) fn pipeline_url(world: &World, of: &Project, id: u64) -> String {
    format!("{}/-/pipelines/{id}", world.project_url(of))
}

/// Address of a job's page.
pub(crate) fn job_url(world: &World, of: &Project, id: u64) -> String {
    format!("{}/-/jobs/{id}", world.project_url(of))
}

/// Hooks name the branch a pipeline is about; REST gives the merge request's own ref.
pub(crate) fn source_ref<'a>(of: &'a Project, pipeline: &'a Pipeline) -> &'a str {
    let request = pipeline.merge_request.and_then(|iid| of.merge_requests.get(&iid));
    request.map_or(&pipeline.git_ref, |request| &request.source_branch)
}

/// The body of a Pipeline Hook.
pub(crate) fn pipeline(world: &World, of: &Project, pipeline: &Pipeline) -> Value {
    let request = pipeline.merge_request.and_then(|iid| of.merge_requests.get(&iid));
    json!({
        "object_kind": "pipeline",
        "object_attributes": pipeline_attributes(world, of, pipeline),
        "merge_request": request.map(|request| json!({
            "id": request.id,
            "iid": request.iid,
            "title": request.title,
            "source_branch": request.source_branch,
            "source_project_id": of.id,
            "target_branch": request.target_branch,
            "target_project_id": of.id,
            "state": request.state,
            "merge_status": "can_be_merged",
            "detailed_merge_status": request.detailed_merge_status(),
            "url": merge_request::url(world, of, request),
        })),
        "user": user(world, pipeline.user),
        "project": project(world, of),
        "commit": of.repository.commit(&pipeline.sha).map(|head| commit(world, of, head)),
        "builds": pipeline.jobs.iter().map(|job| build(world, of, pipeline, job)).collect::<Vec<_>>(),
    })
}

fn pipeline_attributes(world: &World, of: &Project, pipeline: &Pipeline) -> Value {
    let mut stages: Vec<&str> = pipeline.jobs.iter().map(|job| job.stage.as_str()).collect();
    stages.dedup();
    let mut attributes = json!({
        "id": pipeline.id,
        "ref": source_ref(of, pipeline),
        "tag": pipeline.tag,
        "sha": pipeline.sha,
        "before_sha": pipeline.before_sha,
        "source": pipeline.source,
        "status": pipeline.status,
        "detailed_status": detailed_status(&pipeline.status),
        "stages": stages,
        "created_at": clock::hook(world.version, HookDate::Detail, pipeline.created_at),
        "finished_at": clock::hook_or_null(world.version, HookDate::Detail, pipeline.finished_at),
        "duration": pipeline.duration(),
        "queued_duration": null,
        "variables": [],
    });
    if world.version.sends_newer_hook_fields() {
        attributes["iid"] = json!(pipeline.iid);
        attributes["name"] = Value::Null;
        attributes["url"] = json!(pipeline_url(world, of, pipeline.id));
    }
    attributes
}

/// The word on a pipeline's badge.
pub(crate) fn detailed_status(status: &str) -> &str {
    match status {
        "success" => "passed",
        "manual" => "blocked",
        "scheduled" => "delayed",
        other => other,
    }
}

fn build(world: &World, of: &Project, pipeline: &Pipeline, job: &Job) -> Value {
    let date = |at| clock::hook_or_null(world.version, HookDate::Detail, at);
    json!({
        "id": job.id,
        "stage": job.stage,
        "name": job.name,
        "status": job.status,
        "created_at": clock::hook(world.version, HookDate::Detail, job.created_at),
        "started_at": date(job.started_at),
        "finished_at": date(job.finished_at),
        "duration": null,
        "queued_duration": null,
        "failure_reason": (job.status == "failed").then_some("script_failure"),
        "when": "on_success",
        "manual": job.status == "manual",
        "allow_failure": false,
        "user": user(world, pipeline.user),
        "runner": null,
        "artifacts_file": { "filename": null, "size": null },
        "environment": environment(of, job),
    })
}

fn environment(of: &Project, job: &Job) -> Option<Value> {
    let environment = of.environment(job.environment?);
    Some(json!({ "name": environment.name, "action": "start", "deployment_tier": environment.tier }))
}

/// The body of a Job Hook. Its `commit.id` is the pipeline's id, as in GitLab.
pub(crate) fn job(world: &World, of: &Project, pipeline: &Pipeline, job: &Job) -> Value {
    let date = |at| clock::hook_or_null(world.version, HookDate::Detail, at);
    let head = of.repository.commit(&pipeline.sha);
    json!({
        "object_kind": "build",
        "ref": source_ref(of, pipeline),
        "tag": pipeline.tag,
        "before_sha": pipeline.before_sha,
        "sha": pipeline.sha,
        "retries_count": 0,
        "build_id": job.id,
        "build_name": job.name,
        "build_stage": job.stage,
        "build_status": job.status,
        "build_created_at": date(Some(job.created_at)),
        "build_started_at": date(job.started_at),
        "build_finished_at": date(job.finished_at),
        "build_duration": null,
        "build_queued_duration": null,
        "build_allow_failure": false,
        "build_failure_reason": "unknown_failure",
        "pipeline_id": pipeline.id,
        "runner": null,
        "project_id": of.id,
        "project_name": format!("{} / {}", world.group_full_name(of.group), of.name),
        "user": user(world, pipeline.user),
        "commit": {
            "id": pipeline.id,
            "name": null,
            "sha": pipeline.sha,
            "message": head.map(|head| &head.message),
            "author_name": head.map(|head| &head.author_name),
            "status": pipeline.status,
            "duration": pipeline.duration(),
            "started_at": date(pipeline.started_at),
            "finished_at": date(pipeline.finished_at),
        },
        "repository": repository(world, of),
        "project": project(world, of),
        "environment": environment(of, job),
    })
}

/// The body of a Deployment Hook: neither the ref nor the whole commit id nor the iid.
pub(crate) fn deployment(world: &World, of: &Project, deployment: &Deployment) -> Value {
    let environment = of.environment(deployment.environment);
    let job = deployment.deployable.map(|(_, job)| job);
    let actor = world.user(deployment.user);
    let head = of.repository.commit(&deployment.sha);
    let mut body = json!({
        "object_kind": "deployment",
        "status": deployment.status,
        "status_changed_at": clock::hook(world.version, HookDate::StatusChange, deployment.updated_at),
        "deployment_id": deployment.id,
        "deployable_id": job,
        "deployable_url": job.map(|id| job_url(world, of, id)),
        "environment": environment.name,
        "environment_slug": environment.slug(),
        "environment_external_url": environment.external_url,
        "project": project(world, of),
        "short_sha": head.map(|head| head.short_id()),
        "user": user(world, deployment.user),
        "user_url": format!("{}/{}", world.url, actor.username),
        "commit_url": format!("{}/-/commit/{}", world.project_url(of), deployment.sha),
        "commit_title": head.map(|head| head.title()),
    });
    if world.version.sends_newer_hook_fields() {
        body["environment_tier"] = json!(environment.tier);
    }
    body
}
