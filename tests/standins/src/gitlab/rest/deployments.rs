//! Deployments and environments (<https://docs.gitlab.com/api/deployments/>).

use serde_json::{Value, json};

use super::{Answer, Call, Outcome, Refusal, people, pipelines};
use crate::gitlab::clock;
use crate::gitlab::state::{Deployment, Environment, Project, World};

/// Statuses one may ask for; `skipped` is none of them.
const STATUSES: [&str; 6] = ["created", "running", "success", "failed", "canceled", "blocked"];

/// `GET /projects/:id/deployments`
pub(crate) fn list(world: &mut World, call: &Call) -> Outcome {
    call.caller()?;
    let project = call.code(world)?;
    let order = call.choice("order_by", &["id", "iid", "created_at", "updated_at", "finished_at", "ref"])?;
    let descending = call.choice("sort", &["asc", "desc"])? == "desc";
    let known = if world.version.blocks_deployments() { &STATUSES[..] } else { &STATUSES[..5] };
    let status = call.optional_choice("status", known)?;
    let updated = (call.date("updated_after")?, call.date("updated_before")?);
    let finished = (call.date("finished_after")?, call.date("finished_before")?);
    check_pairs(order, status, updated != (None, None), finished != (None, None))?;
    let environment = call.text("environment");
    let mut found: Vec<&Deployment> = project
        .deployments
        .values()
        .filter(|deployment| status.is_none_or(|status| deployment.status == status))
        .filter(|deployment| {
            let name = &project.environment(deployment.environment).name;
            environment.as_ref().is_none_or(|wanted| wanted == name)
        })
        .filter(|deployment| within(updated, Some(deployment.updated_at)))
        .filter(|deployment| within(finished, deployment.finished_at))
        .collect();
    found.sort_by_key(|deployment| match order {
        "updated_at" => (Some(deployment.updated_at), String::new(), deployment.id),
        "finished_at" => (deployment.finished_at, String::new(), deployment.id),
        "ref" => (None, deployment.git_ref.clone(), deployment.id),
        _ => (None, String::new(), deployment.id),
    });
    if descending {
        found.reverse();
    }
    Answer::page(call, &found, |found| deployment(world, project, found))
}

/// Filters and orders by a time go together.
fn check_pairs(order: &str, status: Option<&str>, by_update: bool, by_finish: bool) -> Result<(), Refusal> {
    if by_update && order != "updated_at" {
        return Err(Refusal::bad_request("`updated_at` filter and `updated_at` sorting must be paired"));
    }
    if by_finish != (order == "finished_at") {
        return Err(Refusal::bad_request("`finished_at` filter and `finished_at` sorting must be paired"));
    }
    if by_finish && status != Some("success") {
        return Err(Refusal::bad_request(
            "`finished_at` filter must be combined with `success` status filter.",
        ));
    }
    Ok(())
}

type Moment = Option<time::OffsetDateTime>;

fn within((after, before): (Moment, Moment), at: Moment) -> bool {
    after.is_none_or(|after| at >= Some(after))
        && before.is_none_or(|before| at.is_some_and(|at| at <= before))
}

/// `GET /projects/:id/deployments/:deployment_id`
pub(crate) fn show(world: &mut World, call: &Call) -> Outcome {
    call.caller()?;
    let project = call.code(world)?;
    let id = call.path_number("deployment_id")?;
    let found = project.deployments.get(&id).ok_or_else(Refusal::plain_not_found)?;
    let mut body = deployment(world, project, found);
    if world.version.blocks_deployments() {
        body["pending_approval_count"] = json!(u8::from(found.status == "blocked"));
        body["approvals"] = json!([]);
        body["approval_summary"] = json!({ "rules": [] });
    }
    Ok(Answer::ok(body))
}

fn deployment(world: &World, project: &Project, deployment: &Deployment) -> Value {
    let deployable = deployment.deployable.and_then(|(pipeline, job)| {
        let pipeline = project.pipelines.get(&pipeline)?;
        let job = pipeline.jobs.iter().find(|known| known.id == job)?;
        Some(pipelines::job(world, project, pipeline, job))
    });
    json!({
        "id": deployment.id,
        "iid": deployment.iid,
        "ref": deployment.git_ref,
        "sha": deployment.sha,
        "created_at": clock::rest(deployment.created_at),
        "updated_at": clock::rest(deployment.updated_at),
        "status": deployment.status,
        "user": people::user(world, deployment.user),
        "environment": basic_environment(project.environment(deployment.environment)),
        "deployable": deployable,
    })
}

/// `GET /projects/:id/environments`
pub(crate) fn environments(world: &mut World, call: &Call) -> Outcome {
    call.caller()?;
    let project = call.code(world)?;
    let name = call.text("name");
    let wanted = |environment: &&Environment| name.as_ref().is_none_or(|name| *name == environment.name);
    let mut found: Vec<&Environment> = project.environments.values().filter(wanted).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Answer::page(call, &found, |environment| full_environment(environment))
}

/// `GET /projects/:id/environments/:environment_id`
pub(crate) fn environment(world: &mut World, call: &Call) -> Outcome {
    call.caller()?;
    let project = call.code(world)?;
    let id = call.path_number("environment_id")?;
    let found = project.environments.get(&id).ok_or_else(Refusal::plain_not_found)?;
    let last = project.deployments.values().rev().find(|deployment| deployment.environment == id);
    let mut body = full_environment(found);
    body["last_deployment"] = last.map_or(Value::Null, |last| deployment(world, project, last));
    Ok(Answer::ok(body))
}

/// Inside a deployment there is no tier.
fn basic_environment(environment: &Environment) -> Value {
    json!({
        "id": environment.id,
        "name": environment.name,
        "slug": environment.slug(),
        "external_url": environment.external_url,
        "created_at": clock::rest(environment.created_at),
        "updated_at": clock::rest(environment.created_at),
    })
}

fn full_environment(environment: &Environment) -> Value {
    let mut body = basic_environment(environment);
    body["tier"] = json!(environment.tier);
    body["state"] = json!("available");
    body
}
