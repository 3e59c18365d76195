//! The two calls that send a webhook: a test, and a resend. Either enables a disabled hook again
//! (<https://docs.gitlab.com/api/project_webhooks/#trigger-a-test-project-webhook>).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use time::Duration;

use super::{Answer, Call, Need, Outcome, Refusal, hooks};
use crate::gitlab::hooks::payload::merge_request::Happening;
use crate::gitlab::hooks::payload::{self, push::Change};
use crate::gitlab::hooks::{Delivery, Trigger};
use crate::gitlab::random;
use crate::gitlab::shared::Shared;
use crate::gitlab::state::{HookOwner, Project, World};

/// One user may resend so often per hook in each [`RESEND_WINDOW`].
const RESENDS: usize = 5;
const RESEND_WINDOW: Duration = Duration::minutes(1);
/// A test push shows so many commits.
const SAMPLE_COMMITS: usize = 3;

type FindOwner = fn(&World, &Call) -> Result<HookOwner, Refusal>;

pub(crate) async fn test_in_group(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    test(&shared, request, hooks::group_owner).await.into_response()
}

pub(crate) async fn test_in_project(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    test(&shared, request, hooks::project_owner).await.into_response()
}

pub(crate) async fn resend_in_group(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    resend(&shared, request, hooks::group_owner).await.into_response()
}

pub(crate) async fn resend_in_project(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    resend(&shared, request, hooks::project_owner).await.into_response()
}

async fn test(shared: &Arc<Shared>, request: Request, owner: FindOwner) -> Outcome {
    let call = authenticated(shared, request).await?;
    let delivery = {
        let world = shared.world();
        if !world.version.tests_hooks() {
            return Err(Refusal::no_route());
        }
        let owner = owner(&world, &call)?;
        let hook = hooks::find(&world, owner, &call)?;
        let trigger = Trigger::from_attribute(call.path("trigger"))
            .ok_or_else(|| Refusal::no_valid_value("trigger"))?;
        let body = sample(&world, owner, trigger, call.caller()?.user)?;
        Delivery::new(shared, &world, hook, trigger, &random::uuid(), &random::uuid(), &body)
    };
    let sent = delivery.attempt().await;
    match (sent.status, sent.error) {
        (Some(status), _) if status.is_success() => Ok(Answer::created(json!({ "message": "201 Created" }))),
        (Some(status), _) => Err(Refusal::unprocessable(&format!("Hook executed, but answered {status}"))),
        (None, error) => {
            Err(Refusal::unprocessable(&error.map(|error| error.to_string()).unwrap_or_default()))
        }
    }
}

async fn resend(shared: &Arc<Shared>, request: Request, owner: FindOwner) -> Outcome {
    let call = authenticated(shared, request).await?;
    let delivery = {
        let mut world = shared.world();
        if !world.version.resends_hook_events() {
            return Err(Refusal::no_route());
        }
        let owner = owner(&world, &call)?;
        let hook = hooks::find(&world, owner, &call)?.id;
        let event = call.path_number("event_id")?;
        allow_resend(&mut world, hook, event, call.caller()?.user)?;
        repeat(shared, &world, hook, event)?
    };
    match delivery.attempt().await.status {
        Some(status) => Ok(Answer::created(json!({ "response_status": status.as_u16() }))),
        None => Err(Refusal::unprocessable("internal error")),
    }
}

async fn authenticated(shared: &Shared, request: Request) -> Result<Call, Refusal> {
    let base_url = shared.world().url.clone();
    let mut call = Call::read(request, &base_url).await?;
    call.authenticate(&mut shared.world(), Need::Write)?;
    Ok(call)
}

/// Counts a resend, or refuses it when there were too many within the last minute.
fn allow_resend(world: &mut World, hook: u64, event: u64, user: u64) -> Result<(), Refusal> {
    let now = world.now();
    let log = &mut world.hooks.get_mut(&hook).ok_or_else(Refusal::plain_not_found)?.log;
    let recent = |(by, at): &&(u64, time::OffsetDateTime)| *by == user && now - *at < RESEND_WINDOW;
    let used: usize = log.iter().map(|entry| entry.resent.iter().filter(recent).count()).sum();
    let entry = log.iter_mut().find(|entry| entry.id == event).ok_or_else(Refusal::plain_not_found)?;
    if used >= RESENDS {
        return Err(Refusal::too_many());
    }
    entry.resent.push((user, now));
    Ok(())
}

/// The same body under the same idempotency key; time and signature are new.
fn repeat(shared: &Arc<Shared>, world: &World, hook: u64, event: u64) -> Result<Delivery, Refusal> {
    let hook = &world.hooks[&hook];
    let entry = hook.log.iter().find(|entry| entry.id == event).ok_or_else(Refusal::plain_not_found)?;
    let (uuid, key) = (&entry.event_uuid, &entry.idempotency_key);
    Ok(Delivery::new(shared, world, hook, entry.trigger, uuid, key, &entry.request_data))
}

/// What a test delivery says: the newest of its kind in the project, or in the group's first project.
fn sample(world: &World, owner: HookOwner, trigger: Trigger, user: u64) -> Result<Value, Refusal> {
    let project = match owner {
        HookOwner::Project(id) => world.projects.get(&id),
        HookOwner::Group(id) => world.projects.values().find(|project| world.is_within(project.group, id)),
        HookOwner::Instance => None,
    };
    let body = project.and_then(|project| newest(world, project, trigger, user));
    let lacking =
        format!("Ensure the project has {}.", trigger.attribute().replace("_events", "").replace('_', " "));
    body.ok_or_else(|| Refusal::unprocessable(&lacking))
}

fn newest(world: &World, project: &Project, trigger: Trigger, user: u64) -> Option<Value> {
    match trigger {
        Trigger::Push | Trigger::TagPush => sample_push(world, project, trigger, user),
        Trigger::MergeRequest => project.merge_requests.values().next_back().map(|request| {
            let happening = Happening { action: "update", oldrev: None, changes: Map::new() };
            payload::merge_request::merge_request(world, project, request, user, &happening)
        }),
        Trigger::Note => None,
        Trigger::Pipeline => project
            .pipelines
            .values()
            .next_back()
            .map(|pipeline| payload::ci::pipeline(world, project, pipeline)),
        Trigger::Job => project.pipelines.values().rev().find_map(|pipeline| {
            pipeline.jobs.last().map(|job| payload::ci::job(world, project, pipeline, job))
        }),
        Trigger::Deployment => project
            .deployments
            .values()
            .next_back()
            .map(|deployment| payload::ci::deployment(world, project, deployment)),
        Trigger::FeatureFlag => project
            .feature_flags
            .values()
            .next_back()
            .map(|flag| payload::feature_flag::feature_flag(world, project, flag, user)),
        Trigger::Member => None,
        Trigger::Subgroup => {
            Some(payload::group::subgroup(world, project.group, "subgroup_create", world.clock.peek()))
        }
        Trigger::Project => {
            Some(payload::group::project(world, project, "project_create", world.clock.peek()))
        }
    }
}

fn sample_push(world: &World, project: &Project, trigger: Trigger, user: u64) -> Option<Value> {
    let head = project.repository.head(&project.default_branch)?;
    let mut commits = project.repository.log(&[&head.sha], &[], false);
    commits.truncate(SAMPLE_COMMITS);
    let kind = if trigger == Trigger::TagPush { "tags" } else { "heads" };
    let before = commits.last()?.sha.as_str();
    let change = Change {
        git_ref: format!("refs/{kind}/{}", project.default_branch),
        before,
        after: &head.sha,
        commits,
        protected: true,
    };
    Some(payload::push::push(world, project, user, &change))
}
