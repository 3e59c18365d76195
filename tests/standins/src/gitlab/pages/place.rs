//! Groups, projects and users.

use super::html::{Page, Value};
use super::{Place, date};
use crate::gitlab::state::{Project, World};

pub(super) fn group(world: &World, path: &str) -> Option<Page> {
    let group = world.groups.values().find(|group| world.group_path(group.id) == path)?;
    let projects: Vec<&Project> =
        world.projects.values().filter(|project| world.is_within(project.group, group.id)).collect();
    let rows = projects
        .iter()
        .map(|project| vec![Value::link(world.project_url(project), world.project_path(project))]);
    Some(
        Page::new("Group", world.group_full_name(group.id))
            .fact("Path", Value::code(path))
            .fact("Created", date(group.created_at))
            .table("Projects", rows.collect()),
    )
}

pub(super) fn project(world: &World, path: &str) -> Option<Page> {
    let project = world.projects.values().find(|project| world.project_path(project) == path)?;
    let place = Place { world, project };
    let group = world.group_path(project.group);
    let branches = project.repository.branches.iter();
    let branches =
        branches.map(|(name, branch)| vec![place.git_ref(name), place.commit(&branch.head)]).collect();
    let requests = project.merge_requests.values().rev();
    let requests = requests.map(|request| {
        let url = place.url(&format!("merge_requests/{}", request.iid));
        vec![Value::link(url, format!("!{} {}", request.iid, request.title))]
    });
    let pipelines = project.pipelines.values().rev();
    let pipelines = pipelines.map(|pipeline| {
        let url = place.url(&format!("pipelines/{}", pipeline.id));
        vec![Value::link(url, format!("#{}", pipeline.id)), Value::text(super::words(&pipeline.status))]
    });
    let page = Page::new("Project", &project.name)
        .within(format!("{}/groups/{group}", world.url), group)
        .fact("Path", Value::code(path))
        .fact_if("Description", Some(&project.description).filter(|text| !text.is_empty()).map(Value::text))
        .fact("Environments", Value::link(place.url("environments"), project.environments.len().to_string()))
        .fact(
            "Feature flags",
            Value::link(place.url("feature_flags"), project.feature_flags.len().to_string()),
        );
    Some(
        page.table("Branches", branches)
            .table("Merge requests", requests.collect())
            .table("Pipelines", pipelines.collect()),
    )
}

pub(super) fn user(world: &World, username: &str) -> Option<Page> {
    let user = world.users.values().find(|user| user.username == username)?;
    let email = Some(Value::text(&user.email)).filter(|_| user.public_email);
    Some(
        Page::new("User", &user.name).fact("Username", Value::code(username)).fact_if("Public e-mail", email),
    )
}
