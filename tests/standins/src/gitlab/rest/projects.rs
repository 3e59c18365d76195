//! Projects and their members (<https://docs.gitlab.com/api/projects/>).

use serde_json::{Value, json};

use super::{Answer, Call, Outcome, Refusal, extended, groups};
use crate::gitlab::clock;
use crate::gitlab::hooks::payload;
use crate::gitlab::state::{Project, World};

/// `GET /projects/:id`
pub(crate) fn show(world: &mut World, call: &Call) -> Outcome {
    let found = call.project(world)?;
    let role = call.user().and_then(|user| found.members.get(&user).copied());
    let inherited = call.user().and_then(|user| world.role_in_group(user, found.group));
    let mut body = project(world, found);
    body["permissions"] = json!({
        "project_access": role.map(|role| json!({ "access_level": role.access_level(), "notification_level": 3 })),
        "group_access": inherited.map(|role| json!({ "access_level": role.access_level(), "notification_level": 3 })),
    });
    Ok(Answer::ok(body))
}

/// `GET /projects/:id/members/all/:user_id`: inherited roles included.
pub(crate) fn member(world: &mut World, call: &Call) -> Outcome {
    let project = call.project(world)?;
    call.caller()?;
    let user = call.path_number("user_id")?;
    let role = world.role_in_project(user, project).ok_or_else(Refusal::plain_not_found)?;
    Ok(Answer::ok(groups::membership(world, user, role)))
}

/// A project with few fields.
pub(crate) fn simple_project(world: &World, project: &Project) -> Value {
    let web_url = world.project_url(project);
    let path = world.project_path(project);
    json!({
        "id": project.id,
        "description": project.description,
        "name": project.name,
        "name_with_namespace": format!("{} / {}", world.group_full_name(project.group), project.name),
        "path": project.path,
        "path_with_namespace": path,
        "created_at": clock::rest(project.created_at),
        "default_branch": project.default_branch,
        "tag_list": [],
        "topics": [],
        "ssh_url_to_repo": payload::ssh_url(world, &path),
        "http_url_to_repo": format!("{web_url}.git"),
        "web_url": web_url,
        "readme_url": format!("{web_url}/-/blob/{}/README.md", project.default_branch),
        "avatar_url": project.avatar_url,
        "forks_count": 0,
        "star_count": 0,
        "last_activity_at": clock::rest(project.last_activity_at),
        "namespace": namespace(world, project),
    })
}

/// A project with the fields a reader of code, pipelines and flags looks at.
pub(crate) fn project(world: &World, project: &Project) -> Value {
    let more = json!({
        "empty_repo": project.repository.branches.is_empty(),
        "archived": project.archived,
        "visibility": project.visibility(),
        "issues_enabled": true,
        "merge_requests_enabled": true,
        "jobs_enabled": true,
        "repository_access_level": "enabled",
        "merge_requests_access_level": "enabled",
        "builds_access_level": "enabled",
        "environments_access_level": "enabled",
        "feature_flags_access_level": "enabled",
        "shared_with_groups": [],
        "ci_config_path": null,
        "public_jobs": true,
    });
    extended(simple_project(world, project), more)
}

fn namespace(world: &World, project: &Project) -> Value {
    let group = world.group(project.group);
    json!({
        "id": group.id,
        "name": group.name,
        "path": group.path,
        "kind": "group",
        "full_path": world.group_path(group.id),
        "parent_id": group.parent,
        "avatar_url": group.avatar_url,
        "web_url": format!("{}/groups/{}", world.url, world.group_path(group.id)),
    })
}
