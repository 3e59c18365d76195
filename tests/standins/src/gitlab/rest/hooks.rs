//! Webhooks of projects and groups (<https://docs.gitlab.com/api/project_webhooks/>,
//! <https://docs.gitlab.com/api/group_webhooks/>). Secrets go in and never come out.

use serde_json::{Value, json};

use super::{Answer, Call, Outcome, Refusal};
use crate::gitlab::Version;
use crate::gitlab::clock;
use crate::gitlab::hooks::{Trigger, signature};
use crate::gitlab::state::{Hook, HookLog, HookOwner, HookSettings, Role, Tier, World};

/// A project has at most so many hooks.
const PROJECT_HOOKS: usize = 100;
/// A group has at most so many hooks.
const GROUP_HOOKS: usize = 50;
/// The largest page of a delivery history.
const EVENTS_PAGE: usize = 20;
/// Events GitLab has, and the stand-in shows as switched off.
const OTHER_EVENTS: [&str; 7] = [
    "issues_events",
    "confidential_issues_events",
    "confidential_note_events",
    "wiki_page_events",
    "releases_events",
    "milestone_events",
    "emoji_events",
];

/// The group in the path as an owner of hooks: Owner role, and a tier that has group hooks.
pub(crate) fn group_owner(world: &World, call: &Call) -> Result<HookOwner, Refusal> {
    let group = call.group(world)?;
    if !world.has_group_role(call.caller()?.user, group, Role::Owner) {
        return Err(Refusal::forbidden());
    }
    if world.tier(group) == Tier::Free {
        return Err(Refusal::plain_not_found());
    }
    Ok(HookOwner::Group(group))
}

/// The project in the path as an owner of hooks: Maintainer role.
pub(crate) fn project_owner(world: &World, call: &Call) -> Result<HookOwner, Refusal> {
    Ok(HookOwner::Project(call.project_as(world, Role::Maintainer)?.id))
}

/// The hook in the path.
pub(crate) fn find<'w>(world: &'w World, owner: HookOwner, call: &Call) -> Result<&'w Hook, Refusal> {
    let id = call.path_number("hook_id")?;
    world.hooks.get(&id).filter(|hook| hook.owner == owner).ok_or_else(Refusal::plain_not_found)
}

pub(crate) fn list_of_group(world: &mut World, call: &Call) -> Outcome {
    list(world, group_owner(world, call)?, call)
}

pub(crate) fn list_of_project(world: &mut World, call: &Call) -> Outcome {
    list(world, project_owner(world, call)?, call)
}

fn list(world: &World, owner: HookOwner, call: &Call) -> Outcome {
    let found: Vec<&Hook> = world.hooks.values().filter(|hook| hook.owner == owner).collect();
    Answer::page(call, &found, |hook| show(world, hook))
}

pub(crate) fn show_of_group(world: &mut World, call: &Call) -> Outcome {
    let owner = group_owner(world, call)?;
    Ok(Answer::ok(show(world, find(world, owner, call)?)))
}

pub(crate) fn show_of_project(world: &mut World, call: &Call) -> Outcome {
    let owner = project_owner(world, call)?;
    Ok(Answer::ok(show(world, find(world, owner, call)?)))
}

pub(crate) fn create_in_group(world: &mut World, call: &Call) -> Outcome {
    let owner = group_owner(world, call)?;
    create(world, owner, GROUP_HOOKS, call)
}

pub(crate) fn create_in_project(world: &mut World, call: &Call) -> Outcome {
    let owner = project_owner(world, call)?;
    create(world, owner, PROJECT_HOOKS, call)
}

fn create(world: &mut World, owner: HookOwner, most: usize, call: &Call) -> Outcome {
    let url = call.required("url")?;
    if world.hooks.values().filter(|hook| hook.owner == owner).count() >= most {
        return Err(Refusal::not_valid("base", &format!("Maximum number of hooks ({most}) exceeded")));
    }
    let settings = edited(world.version, owner, HookSettings::new(&url), call)?;
    let (id, created_at) = (world.fresh_id(), world.now());
    let hook = Hook::new(id, owner, settings, created_at);
    let body = show(world, &hook);
    world.hooks.insert(id, hook);
    Ok(Answer::created(body))
}

pub(crate) fn update_in_group(world: &mut World, call: &Call) -> Outcome {
    let owner = group_owner(world, call)?;
    update(world, owner, call)
}

pub(crate) fn update_in_project(world: &mut World, call: &Call) -> Outcome {
    let owner = project_owner(world, call)?;
    update(world, owner, call)
}

fn update(world: &mut World, owner: HookOwner, call: &Call) -> Outcome {
    if call.is_bare() {
        return Err(Refusal::bad_request("No parameters provided"));
    }
    let hook = find(world, owner, call)?;
    let (id, settings) = (hook.id, edited(world.version, owner, hook.settings.clone(), call)?);
    if let Some(hook) = world.hooks.get_mut(&id) {
        hook.settings = settings;
    }
    Ok(Answer::ok(show(world, find(world, owner, call)?)))
}

pub(crate) fn delete_in_group(world: &mut World, call: &Call) -> Outcome {
    let owner = group_owner(world, call)?;
    delete(world, owner, call)
}

pub(crate) fn delete_in_project(world: &mut World, call: &Call) -> Outcome {
    let owner = project_owner(world, call)?;
    delete(world, owner, call)
}

fn delete(world: &mut World, owner: HookOwner, call: &Call) -> Outcome {
    let id = find(world, owner, call)?.id;
    world.hooks.remove(&id);
    Ok(Answer::no_content())
}

/// The settings with what the call says. Attributes this version does not know are silently ignored.
fn edited(
    version: Version,
    owner: HookOwner,
    mut settings: HookSettings,
    call: &Call,
) -> Result<HookSettings, Refusal> {
    if let Some(url) = call.text("url") {
        settings.url = web_address(url)?;
    }
    for trigger in Trigger::all().filter(|trigger| may_subscribe(version, owner, *trigger)) {
        match call.flag(trigger.attribute())? {
            Some(true) => settings.triggers.insert(trigger),
            Some(false) => settings.triggers.remove(&trigger),
            None => false,
        };
    }
    if let Some(on) = call.flag("enable_ssl_verification")? {
        settings.enable_ssl_verification = on;
    }
    if call.has("token") {
        settings.token = call.text("token").filter(|token| !token.is_empty());
    }
    if version.signs_hooks() && call.has("signing_token") {
        settings.signing_token = signing_token(call.text("signing_token"))?;
    }
    edit_branch_filter(&mut settings, call)?;
    if version.names_hooks() {
        settings.name = call.text("name").or(settings.name);
        settings.description = call.text("description").or(settings.description);
        settings.custom_headers.extend(call.pairs("custom_headers")?);
    }
    Ok(settings)
}

fn web_address(text: String) -> Result<String, Refusal> {
    let known =
        url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if known { Ok(text) } else { Err(Refusal::unprocessable("Invalid url given")) }
}

/// Group events are for group hooks, and came after 15.7.
fn may_subscribe(version: Version, owner: HookOwner, trigger: Trigger) -> bool {
    match (trigger, owner) {
        (Trigger::Project, HookOwner::Group(_)) => version.announces_projects(),
        (trigger, HookOwner::Group(_)) => trigger != Trigger::Project,
        (trigger, _) => !trigger.is_about_groups(),
    }
}

fn signing_token(text: Option<String>) -> Result<Option<String>, Refusal> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) if signature::key(&text).is_none() => {
            Err(Refusal::not_valid("signing_token", "is invalid"))
        }
        text => Ok(text),
    }
}

fn edit_branch_filter(settings: &mut HookSettings, call: &Call) -> Result<(), Refusal> {
    if let Some(strategy) =
        call.optional_choice("branch_filter_strategy", &["wildcard", "regex", "all_branches"])?
    {
        strategy.clone_into(&mut settings.branch_filter_strategy);
    }
    if call.has("push_events_branch_filter") {
        settings.branch_filter = call.text("push_events_branch_filter");
    }
    let filter = settings.branch_filter.as_deref().unwrap_or_default();
    if settings.branch_filter_strategy == "regex" && regex::Regex::new(filter).is_err() {
        return Err(Refusal::unprocessable("Invalid branch filter given"));
    }
    Ok(())
}

/// `GET .../hooks/:hook_id/events`
pub(crate) fn events_of_group(world: &mut World, call: &Call) -> Outcome {
    let owner = group_owner(world, call)?;
    events(world, owner, call)
}

pub(crate) fn events_of_project(world: &mut World, call: &Call) -> Outcome {
    let owner = project_owner(world, call)?;
    events(world, owner, call)
}

fn events(world: &World, owner: HookOwner, call: &Call) -> Outcome {
    if !world.version.lists_hook_events() {
        return Err(Refusal::no_route());
    }
    let hook = find(world, owner, call)?;
    let wanted = call.list("status");
    let newest_first = hook.log.iter().rev();
    let found: Vec<&HookLog> =
        newest_first.filter(|entry| wanted.is_empty() || wanted.iter().any(|word| is(entry, word))).collect();
    Answer::part(call, &found, true, EVENTS_PAGE, |entry| {
        json!({
            "id": entry.id,
            "url": hook.settings.url,
            "trigger": entry.trigger.history_name(),
            "request_headers": entry.request_headers,
            "request_data": entry.request_data,
            "response_headers": entry.response_headers,
            "response_body": entry.response_body,
            "execution_duration": entry.seconds,
            "response_status": entry.response_status,
        })
    })
}

/// Has a delivery this outcome? A word for a class, or a status.
fn is(entry: &HookLog, word: &str) -> bool {
    let status = entry.response_status.as_str();
    match word {
        "successful" => status.starts_with('2'),
        "client_failure" => status.starts_with('4'),
        "server_failure" => status.starts_with('5') || status == "internal error",
        number => status == number,
    }
}

/// A hook as the API shows it.
fn show(world: &World, hook: &Hook) -> Value {
    let settings = &hook.settings;
    let now = world.clock.peek();
    let mut body = json!({
        "id": hook.id,
        "url": settings.url,
        "created_at": clock::rest(hook.created_at),
        "enable_ssl_verification": settings.enable_ssl_verification,
        "repository_update_events": false,
        "alert_status": hook.alert_status(now, world.auto_disable_hooks),
        "disabled_until": clock::rest_or_null(hook.disabled_until),
        "url_variables": [],
        "push_events_branch_filter": settings.branch_filter,
        "branch_filter_strategy": settings.branch_filter_strategy,
    });
    for trigger in Trigger::all().filter(|trigger| may_subscribe(world.version, hook.owner, *trigger)) {
        body[trigger.attribute()] = json!(settings.triggers.contains(&trigger));
    }
    for event in OTHER_EVENTS {
        body[event] = json!(false);
    }
    match hook.owner {
        HookOwner::Project(id) => body["project_id"] = json!(id),
        HookOwner::Group(id) => body["group_id"] = json!(id),
        HookOwner::Instance => {}
    }
    if world.version.names_hooks() {
        body["name"] = json!(settings.name);
        body["description"] = json!(settings.description);
        body["custom_webhook_template"] = Value::Null;
        body["custom_headers"] = settings.custom_headers.keys().map(|key| json!({ "key": key })).collect();
    }
    if world.version.signs_hooks() {
        body["token_present"] = json!(settings.token.is_some());
        body["signing_token_present"] = json!(settings.signing_token.is_some());
    }
    body
}
