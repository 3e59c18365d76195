//! Groups, their members, subgroups and projects (<https://docs.gitlab.com/api/groups/>).

use serde_json::{Value, json};

use super::{Answer, Call, Outcome, Refusal, people, projects};
use crate::gitlab::clock;
use crate::gitlab::state::{Project, Role, World};

/// A search for fewer characters finds nothing.
const SHORTEST_SEARCH: usize = 3;

/// `GET /groups`
pub(crate) fn list(world: &mut World, call: &Call) -> Outcome {
    let all = world.groups.keys().copied().filter(|id| world.sees_group(call.user(), *id)).collect();
    page(world, call, all)
}

/// `GET /groups/:id`
pub(crate) fn show(world: &mut World, call: &Call) -> Outcome {
    let id = call.group(world)?;
    Ok(Answer::ok(group(world, id)))
}

/// `GET /groups/:id/subgroups`
pub(crate) fn subgroups(world: &mut World, call: &Call) -> Outcome {
    let id = call.group(world)?;
    let inner = world.groups.values().filter(|group| group.parent == Some(id)).map(|group| group.id);
    let visible = inner.filter(|inner| world.sees_group(call.user(), *inner)).collect();
    page(world, call, visible)
}

/// `GET /groups/:id/descendant_groups`
pub(crate) fn descendants(world: &mut World, call: &Call) -> Outcome {
    let id = call.group(world)?;
    let inner = world.groups.keys().copied().filter(|inner| *inner != id && world.is_within(*inner, id));
    let visible = inner.filter(|inner| world.sees_group(call.user(), *inner)).collect();
    page(world, call, visible)
}

fn page(world: &World, call: &Call, mut ids: Vec<u64>) -> Outcome {
    let skipped = call.list("skip_groups");
    ids.retain(|id| !skipped.contains(&id.to_string()));
    if let Some(level) = call.number("min_access_level")? {
        let role =
            Role::from_access_level(level).ok_or_else(|| Refusal::no_valid_value("min_access_level"))?;
        let user = call.caller()?.user;
        ids.retain(|id| world.has_group_role(user, *id, role));
    }
    if call.flag("top_level_only")? == Some(true) {
        ids.retain(|id| world.group(*id).parent.is_none());
    }
    if let Some(words) = call.text("search").filter(|words| !words.is_empty()) {
        let words = words.to_lowercase();
        let found = |id: &u64| {
            let group = world.group(*id);
            group.name.to_lowercase().contains(&words) || group.path.to_lowercase().contains(&words)
        };
        ids.retain(|id| words.chars().count() >= SHORTEST_SEARCH && found(id));
    }
    let order = call.choice("order_by", &["name", "path", "id", "similarity"])?;
    ids.sort_by_key(|id| match order {
        "id" => format!("{id:020}"),
        "path" => world.group(*id).path.clone(),
        _ => world.group(*id).name.to_lowercase(),
    });
    if call.choice("sort", &["asc", "desc"])? == "desc" {
        ids.reverse();
    }
    Answer::page(call, &ids, |id| group(world, *id))
}

/// `GET /groups/:id/members/all/:user_id`: inherited roles included.
pub(crate) fn member(world: &mut World, call: &Call) -> Outcome {
    let group = call.group(world)?;
    call.caller()?;
    let user = call.path_number("user_id")?;
    let role = world.role_in_group(user, group).ok_or_else(Refusal::plain_not_found)?;
    Ok(Answer::ok(membership(world, user, role)))
}

/// A member as the API shows it.
pub(crate) fn membership(world: &World, user: u64, role: Role) -> Value {
    let mut body = people::user(world, user);
    body["access_level"] = json!(role.access_level());
    body["expires_at"] = Value::Null;
    body["membership_state"] = json!("active");
    body
}

/// `GET /groups/:id/projects`
pub(crate) fn projects(world: &mut World, call: &Call) -> Outcome {
    let group = call.group(world)?;
    let deep = call.flag("include_subgroups")?.unwrap_or_default();
    let archived = call.flag("archived")?;
    let searched = call.text("search").map(|words| words.to_lowercase());
    let order = call.choice(
        "order_by",
        &["created_at", "id", "name", "path", "updated_at", "similarity", "star_count", "last_activity_at"],
    )?;
    let descending = call.choice("sort", &["desc", "asc"])? == "desc";
    let within = |project: &&Project| {
        if deep { world.is_within(project.group, group) } else { project.group == group }
    };
    let mut found: Vec<&Project> = world
        .projects
        .values()
        .filter(within)
        .filter(|project| world.sees_project(call.user(), project))
        .filter(|project| archived.is_none_or(|archived| project.archived == archived))
        .filter(|project| searched.as_ref().is_none_or(|words| project.name.to_lowercase().contains(words)))
        .collect();
    found.sort_by_key(|project| match order {
        "name" => (project.name.to_lowercase(), 0),
        "path" => (project.path.clone(), 0),
        "updated_at" | "last_activity_at" => (clock::rest(project.last_activity_at), 0),
        _ => (String::new(), project.id),
    });
    if descending {
        found.reverse();
    }
    let simple = call.flag("simple")?.unwrap_or_default();
    Answer::page(call, &found, |project| {
        if simple { projects::simple_project(world, project) } else { projects::project(world, project) }
    })
}

/// A group as the API shows it.
pub(crate) fn group(world: &World, id: u64) -> Value {
    let group = world.group(id);
    json!({
        "id": group.id,
        "web_url": format!("{}/groups/{}", world.url, world.group_path(id)),
        "name": group.name,
        "path": group.path,
        "description": group.description,
        "visibility": if group.public { "public" } else { "private" },
        "avatar_url": group.avatar_url,
        "full_name": world.group_full_name(id),
        "full_path": world.group_path(id),
        "created_at": clock::rest(group.created_at),
        "parent_id": group.parent,
        "archived": false,
    })
}
