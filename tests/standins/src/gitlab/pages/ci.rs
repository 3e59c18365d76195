//! Pipelines, jobs, environments with their deployments, and feature flags.

use super::html::{Page, Value};
use super::{Place, date, words};
use crate::gitlab::state::{Deployment, Strategy};

pub(super) fn pipeline(place: &Place<'_>, id: u64) -> Option<Page> {
    let pipeline = place.project.pipelines.get(&id)?;
    let jobs = pipeline.jobs.iter().map(|job| {
        let link = Value::link(place.url(&format!("jobs/{}", job.id)), &job.name);
        vec![link, Value::text(&job.stage), Value::text(words(&job.status))]
    });
    let tests = pipeline.tests.map(|tests| {
        let (passed, failed, skipped) = (tests.success, tests.failed, tests.skipped);
        Value::text(format!(
            "{} in total: {passed} passed, {failed} failed, {skipped} skipped",
            tests.total()
        ))
    });
    let page = place
        .page("Pipeline", format!("#{id}"))
        .fact("Status", Value::text(words(&pipeline.status)))
        .fact("Ref", Value::code(&pipeline.git_ref))
        .fact("Commit", place.commit(&pipeline.sha))
        .fact("Started by", place.user(pipeline.user))
        .fact_if("Tests", tests)
        .fact("Created", date(pipeline.created_at))
        .fact_if("Finished", pipeline.finished_at.map(date));
    Some(page.table("Jobs", jobs.collect()))
}

pub(super) fn job(place: &Place<'_>, id: u64) -> Option<Page> {
    let mut pipelines = place.project.pipelines.values();
    let (pipeline, job) =
        pipelines.find_map(|pipeline| Some((pipeline, pipeline.jobs.iter().find(|job| job.id == id)?)))?;
    let of = Value::link(place.url(&format!("pipelines/{}", pipeline.id)), format!("#{}", pipeline.id));
    let page = place
        .page("Job", &job.name)
        .fact("Status", Value::text(words(&job.status)))
        .fact("Stage", Value::text(&job.stage))
        .fact("Pipeline", of)
        .fact_if("Environment", job.environment.map(|id| to_environment(place, id)))
        .fact("Created", date(job.created_at))
        .fact_if("Started", job.started_at.map(date))
        .fact_if("Finished", job.finished_at.map(date));
    Some(page)
}

pub(super) fn environments(place: &Place<'_>) -> Page {
    let all = place.project.environments.values();
    let rows =
        all.map(|known| vec![to_environment(place, known.id), Value::text(words(known.tier))]).collect();
    place.page("Environments", "Environments").table("Environments", rows)
}

pub(super) fn environment(place: &Place<'_>, id: u64) -> Option<Page> {
    let environment = place.project.environments.get(&id)?;
    let deployments = place.project.deployments.values().rev();
    let rows = deployments.filter(|deployment| deployment.environment == id).map(|deployment| {
        let link = to_deployment(place, deployment);
        vec![
            link,
            place.commit(&deployment.sha),
            Value::text(words(&deployment.status)),
            date(deployment.updated_at),
        ]
    });
    let page = place
        .page("Environment", &environment.name)
        .fact("Tier", Value::text(words(environment.tier)))
        .fact_if("Address", environment.external_url.as_deref().map(Value::code))
        .fact("Created", date(environment.created_at));
    Some(page.table("Deployments", rows.collect()))
}

pub(super) fn deployment(place: &Place<'_>, iid: u64) -> Option<Page> {
    let deployment = place.project.deployments.values().find(|deployment| deployment.iid == iid)?;
    let job = deployment
        .deployable
        .map(|(_, job)| Value::link(place.url(&format!("jobs/{job}")), format!("#{job}")));
    let page = place
        .page("Deployment", format!("Deployment #{iid}"))
        .fact("Status", Value::text(words(&deployment.status)))
        .fact("Environment", to_environment(place, deployment.environment))
        .fact("Ref", Value::code(&deployment.git_ref))
        .fact("Commit", place.commit(&deployment.sha))
        .fact("Deployed by", place.user(deployment.user))
        .fact_if("Job", job)
        .fact("Created", date(deployment.created_at))
        .fact_if("Finished", deployment.finished_at.map(date));
    Some(page)
}

/// GitLab's API does not give a flag's own address: links from outside lead to the list.
pub(super) fn feature_flags(place: &Place<'_>) -> Page {
    let rows = place.project.feature_flags.values().map(|flag| {
        let strategies: Vec<String> = flag.strategies.iter().map(strategy).collect();
        let state = if flag.active { "On" } else { "Off" };
        let (name, description) = (Value::code(&flag.name), Value::text(&flag.description));
        vec![name, Value::text(state), description, Value::text(strategies.join("; ")), date(flag.updated_at)]
    });
    place.page("Feature flags", "Feature flags").table("Feature flags", rows.collect())
}

fn strategy(strategy: &Strategy) -> String {
    let scopes: Vec<&str> = strategy.scopes.iter().map(|(_, scope)| scope.as_str()).collect();
    format!("{} {} for {}", strategy.name, strategy.parameters, scopes.join(", "))
}

fn to_environment(place: &Place<'_>, id: u64) -> Value {
    Value::link(place.url(&format!("environments/{id}")), &place.project.environment(id).name)
}

fn to_deployment(place: &Place<'_>, deployment: &Deployment) -> Value {
    let (environment, iid) = (deployment.environment, deployment.iid);
    Value::link(place.url(&format!("environments/{environment}/deployments/{iid}")), format!("#{iid}"))
}
