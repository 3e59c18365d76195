//! Pushes to branches and tags.

use serde_json::{Value, json};

use super::{avatar, commit_with_files, project, repository};
use crate::gitlab::state::{Commit, NO_COMMIT, Project, World};

/// No payload lists more commits; `total_commits_count` says how many there were.
const LISTED_COMMITS: usize = 20;

/// One ref that moved.
pub(crate) struct Change<'a> {
    /// `refs/heads/main` or `refs/tags/v1`.
    pub(crate) git_ref: String,
    pub(crate) before: &'a str,
    pub(crate) after: &'a str,
    /// Newest first, as a log gives them.
    pub(crate) commits: Vec<&'a Commit>,
    pub(crate) protected: bool,
}

/// The body of a Push Hook or a Tag Push Hook.
pub(crate) fn push(world: &World, of: &Project, actor: u64, change: &Change<'_>) -> Value {
    let user = world.user(actor);
    let kind = if change.git_ref.starts_with("refs/tags/") { "tag_push" } else { "push" };
    let listed: Vec<Value> = change
        .commits
        .iter()
        .take(LISTED_COMMITS)
        .rev()
        .map(|commit| commit_with_files(world, of, commit))
        .collect();
    let checkout = (change.after != NO_COMMIT).then_some(change.after);
    let mut body = json!({
        "object_kind": kind,
        "event_name": kind,
        "before": change.before,
        "after": change.after,
        "ref": change.git_ref,
        "checkout_sha": checkout,
        "message": null,
        "user_id": user.id,
        "user_name": user.name,
        "user_username": user.username,
        "user_email": if user.public_email { user.email.as_str() } else { "" },
        "user_avatar": avatar(world, user),
        "project_id": of.id,
        "project": project(world, of),
        "commits": listed,
        "total_commits_count": change.commits.len(),
        "push_options": {},
        "repository": repository(world, of),
    });
    if world.version.sends_newer_hook_fields() {
        body["ref_protected"] = json!(change.protected);
    }
    body
}
