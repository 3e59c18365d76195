//! Pipelines, their jobs and their test reports (<https://docs.gitlab.com/api/pipelines/>).

use serde_json::{Value, json};

use super::{Answer, Call, Outcome, Refusal, people, repository};
use crate::gitlab::clock;
use crate::gitlab::hooks::payload::ci as payload;
use crate::gitlab::state::{Job, Pipeline, Project, World};

/// `GET /projects/:id/pipelines`
pub(crate) fn list(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let order = call.choice("order_by", &["id", "status", "ref", "updated_at", "user_id"])?;
    let descending = call.choice("sort", &["desc", "asc"])? == "desc";
    let (after, before) = (call.date("updated_after")?, call.date("updated_before")?);
    let same = |name: &str, own: &str| call.text(name).is_none_or(|wanted| wanted == own);
    let mut found: Vec<&Pipeline> = project
        .pipelines
        .values()
        .filter(|pipeline| same("ref", &pipeline.git_ref) && same("sha", &pipeline.sha))
        .filter(|pipeline| same("status", &pipeline.status) && same("source", pipeline.source))
        .filter(|pipeline| after.is_none_or(|after| pipeline.updated_at >= after))
        .filter(|pipeline| before.is_none_or(|before| pipeline.updated_at <= before))
        .collect();
    found.sort_by_key(|pipeline| match order {
        "status" => (pipeline.status.clone(), pipeline.id),
        "ref" => (pipeline.git_ref.clone(), pipeline.id),
        "updated_at" => (clock::rest(pipeline.updated_at), pipeline.id),
        "user_id" => (format!("{:020}", pipeline.user), pipeline.id),
        _ => (String::new(), pipeline.id),
    });
    if descending {
        found.reverse();
    }
    Answer::page(call, &found, |pipeline| basic(world, project, pipeline))
}

fn find<'p>(project: &'p Project, call: &Call) -> Result<&'p Pipeline, Refusal> {
    project.pipelines.get(&call.path_number("pipeline_id")?).ok_or_else(Refusal::plain_not_found)
}

/// `GET /projects/:id/pipelines/:pipeline_id`
pub(crate) fn show(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    Ok(Answer::ok(detailed(world, project, find(project, call)?)))
}

/// `GET /projects/:id/pipelines/:pipeline_id/test_report_summary`
pub(crate) fn test_report_summary(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let tests = find(project, call)?.tests.unwrap_or_default();
    let counts = |time: f64| {
        json!({
            "time": time,
            "count": tests.total(),
            "success": tests.success,
            "failed": tests.failed,
            "skipped": tests.skipped,
            "error": 0,
            "suite_error": null,
        })
    };
    let suite = json!({
        "name": "unit",
        "total_time": 1.5,
        "total_count": tests.total(),
        "success_count": tests.success,
        "failed_count": tests.failed,
        "skipped_count": tests.skipped,
        "error_count": 0,
        "build_ids": [],
        "suite_error": null,
    });
    let suites = if tests.total() == 0 { json!([]) } else { json!([suite]) };
    let time = if tests.total() == 0 { 0.0 } else { 1.5 };
    Ok(Answer::ok(json!({ "total": counts(time), "test_suites": suites })))
}

/// `GET /projects/:id/pipelines/:pipeline_id/jobs`
pub(crate) fn jobs(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let pipeline = find(project, call)?;
    let newest_first: Vec<&Job> = pipeline.jobs.iter().rev().collect();
    Answer::page(call, &newest_first, |found| job(world, project, pipeline, found))
}

/// A pipeline as lists show it.
pub(crate) fn basic(world: &World, project: &Project, pipeline: &Pipeline) -> Value {
    json!({
        "id": pipeline.id,
        "iid": pipeline.iid,
        "project_id": project.id,
        "sha": pipeline.sha,
        "ref": pipeline.git_ref,
        "status": pipeline.status,
        "source": pipeline.source,
        "created_at": clock::rest(pipeline.created_at),
        "updated_at": clock::rest(pipeline.updated_at),
        "web_url": payload::pipeline_url(world, project, pipeline.id),
    })
}

/// A pipeline on its own.
pub(crate) fn detailed(world: &World, project: &Project, pipeline: &Pipeline) -> Value {
    let mut body = basic(world, project, pipeline);
    let word = payload::detailed_status(&pipeline.status);
    body["before_sha"] = json!(pipeline.before_sha);
    body["tag"] = json!(pipeline.tag);
    body["yaml_errors"] = Value::Null;
    body["user"] = people::user(world, pipeline.user);
    body["started_at"] = clock::rest_or_null(pipeline.started_at);
    body["finished_at"] = clock::rest_or_null(pipeline.finished_at);
    body["committed_at"] = Value::Null;
    body["duration"] = json!(pipeline.duration());
    body["queued_duration"] = Value::Null;
    body["coverage"] = Value::Null;
    body["detailed_status"] = json!({
        "icon": format!("status_{}", pipeline.status),
        "text": word,
        "label": word,
        "group": pipeline.status,
        "tooltip": word,
        "has_details": true,
    });
    body
}

/// A job as the API shows it.
pub(crate) fn job(world: &World, project: &Project, pipeline: &Pipeline, job: &Job) -> Value {
    json!({
        "id": job.id,
        "status": job.status,
        "stage": job.stage,
        "name": job.name,
        "ref": pipeline.git_ref,
        "tag": pipeline.tag,
        "coverage": null,
        "allow_failure": false,
        "created_at": clock::rest(job.created_at),
        "started_at": clock::rest_or_null(job.started_at),
        "finished_at": clock::rest_or_null(job.finished_at),
        "duration": null,
        "queued_duration": null,
        "user": people::user(world, pipeline.user),
        "commit": project.repository.commit(&pipeline.sha).map(|head| repository::show_commit(world, project, head)),
        "pipeline": basic(world, project, pipeline),
        "web_url": payload::job_url(world, project, job.id),
        "artifacts": [],
        "runner": null,
    })
}
