//! Members, subgroups and projects that are created and removed. These bodies have an `event_name` and no `object_kind`.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::gitlab::clock::{self, HookDate};
use crate::gitlab::state::{Project, Role, World};

fn dates(world: &World, at: OffsetDateTime) -> String {
    clock::hook(world.version, HookDate::Attribute, at)
}

/// The body of a Member Hook: `user_add_to_group`, `user_update_for_group` or `user_remove_from_group`.
pub(crate) fn member(
    world: &World,
    group: u64,
    user: u64,
    role: Role,
    event: &str,
    at: OffsetDateTime,
) -> Value {
    let group = world.group(group);
    let user = world.user(user);
    json!({
        "event_name": event,
        "created_at": dates(world, at),
        "updated_at": dates(world, at),
        "group_name": group.name,
        "group_path": group.path,
        "group_id": group.id,
        "user_username": user.username,
        "user_name": user.name,
        "user_email": if user.public_email { user.email.as_str() } else { "[REDACTED]" },
        "user_id": user.id,
        "group_access": role.name(),
        "group_plan": null,
        "expires_at": null,
    })
}

/// The body of a Subgroup Hook: `subgroup_create` or `subgroup_destroy`.
pub(crate) fn subgroup(world: &World, group: u64, event: &str, at: OffsetDateTime) -> Value {
    let own = world.group(group);
    let parent = own.parent.and_then(|id| world.groups.get(&id));
    json!({
        "event_name": event,
        "created_at": dates(world, own.created_at),
        "updated_at": dates(world, at),
        "name": own.name,
        "path": own.path,
        "full_path": world.group_path(group),
        "group_id": own.id,
        "parent_group_id": own.parent,
        "parent_name": parent.map(|parent| &parent.name),
        "parent_path": parent.map(|parent| &parent.path),
        "parent_full_path": parent.map(|parent| world.group_path(parent.id)),
    })
}

/// The body of a Project Hook: `project_create` or `project_destroy`.
pub(crate) fn project(world: &World, of: &Project, event: &str, at: OffsetDateTime) -> Value {
    let lineage = world.lineage(of.group);
    let owners = lineage.iter().flat_map(|group| &group.members).filter(|(_, role)| **role == Role::Owner);
    json!({
        "event_name": event,
        "created_at": dates(world, of.created_at),
        "updated_at": dates(world, at),
        "name": of.name,
        "path": of.path,
        "path_with_namespace": world.project_path(of),
        "project_id": of.id,
        "project_namespace_id": of.group,
        "owners": owners
            .map(|(id, _)| json!({ "name": world.user(*id).name, "email": "[REDACTED]" }))
            .collect::<Vec<_>>(),
        "project_visibility": of.visibility(),
    })
}
