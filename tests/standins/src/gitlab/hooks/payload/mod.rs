//! The bodies of webhooks, field by field as GitLab documents them
//! (<https://docs.gitlab.com/user/project/integrations/webhook_events/>), and the parts they have in common.

pub(crate) mod ci;
pub(crate) mod feature_flag;
pub(crate) mod group;
pub(crate) mod merge_request;
pub(crate) mod push;

use serde_json::{Value, json};

use crate::gitlab::clock;
use crate::gitlab::state::{ChangeKind, Commit, Project, User, World};

/// What a hook shows in place of an address its owner does not publish.
const REDACTED: &str = "[REDACTED]";

/// The `project` object.
pub(crate) fn project(world: &World, project: &Project) -> Value {
    let path = world.project_path(project);
    let web_url = world.project_url(project);
    let ssh_url = ssh_url(world, &path);
    let http_url = format!("{web_url}.git");
    json!({
        "id": project.id,
        "name": project.name,
        "description": project.description,
        "web_url": web_url,
        "avatar_url": project.avatar_url,
        "git_ssh_url": ssh_url,
        "git_http_url": http_url,
        "namespace": world.group(project.group).name,
        "visibility_level": project.visibility_level(),
        "path_with_namespace": path,
        "default_branch": project.default_branch,
        "ci_config_path": null,
        "homepage": web_url,
        "url": ssh_url,
        "ssh_url": ssh_url,
        "http_url": http_url,
    })
}

/// The `repository` object, an older and smaller form of `project`.
pub(crate) fn repository(world: &World, project: &Project) -> Value {
    let web_url = world.project_url(project);
    json!({
        "name": project.name,
        "url": ssh_url(world, &world.project_path(project)),
        "description": project.description,
        "homepage": web_url,
        "git_http_url": format!("{web_url}.git"),
        "git_ssh_url": ssh_url(world, &world.project_path(project)),
        "visibility_level": project.visibility_level(),
    })
}

pub(crate) fn ssh_url(world: &World, path: &str) -> String {
    let host = world.url.split("//").last().and_then(|rest| rest.split(':').next()).unwrap_or_default();
    format!("git@{host}:{path}.git")
}

/// The `user` object: whoever caused the event.
pub(crate) fn user(world: &World, id: u64) -> Value {
    let user = world.user(id);
    json!({
        "id": user.id,
        "name": user.name,
        "username": user.username,
        "avatar_url": avatar(world, user),
        "email": if user.public_email { &user.email } else { REDACTED },
    })
}

pub(crate) fn avatar(world: &World, user: &User) -> String {
    format!("{}/uploads/-/system/user/avatar/{}/avatar.png", world.url, user.id)
}

/// A commit without its files, as pipelines and merge requests show it.
pub(crate) fn commit(world: &World, project: &Project, commit: &Commit) -> Value {
    let public = world.user_by_email(&commit.author_email).is_some_and(|user| user.public_email);
    json!({
        "id": commit.sha,
        "message": commit.message,
        "title": commit.title(),
        "timestamp": clock::commit_hook(commit.committed_at),
        "url": format!("{}/-/commit/{}", world.project_url(project), commit.sha),
        "author": {
            "name": commit.author_name,
            "email": if public { &commit.author_email } else { REDACTED },
        },
    })
}

/// A commit with the paths it touched, as pushes show it.
pub(crate) fn commit_with_files(world: &World, project: &Project, of: &Commit) -> Value {
    let paths = |kinds: &[ChangeKind]| {
        let changed = of.files.iter().filter(|file| kinds.contains(&file.kind));
        changed.map(|file| file.new_path.clone()).collect::<Vec<_>>()
    };
    let mut body = commit(world, project, of);
    body["added"] = json!(paths(&[ChangeKind::Added]));
    body["modified"] = json!(paths(&[ChangeKind::Modified, ChangeKind::Renamed]));
    body["removed"] = json!(paths(&[ChangeKind::Removed]));
    body
}
