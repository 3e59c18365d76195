//! A merge request from opening to merging.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{MergeRequestSpec, PipelineHandle, ProjectHandle, UserHandle, commit};
use crate::gitlab::clock::{self, HookDate};
use crate::gitlab::hooks::payload::merge_request::{self as payload, Happening};
use crate::gitlab::hooks::{Event, Place, Trigger};
use crate::gitlab::state::{MergeRequest, Reviewer, World};

/// A merge request, and who acts on it.
#[derive(Clone)]
pub struct MergeRequestHandle {
    project: ProjectHandle,
    id: u64,
    iid: u64,
}

impl MergeRequestHandle {
    pub(crate) async fn open(project: &ProjectHandle, spec: MergeRequestSpec) -> Self {
        let change = project.shared.change(|world, events| {
            let request = spec.opened(world, project);
            let (id, iid) = (request.id, request.iid);
            world.project_mut(project.id).merge_requests.insert(iid, request);
            let happening = Happening { action: "open", oldrev: None, changes: Map::new() };
            announce(world, events, project, iid, &happening);
            MergeRequestHandle { project: project.clone(), id, iid }
        });
        change.await
    }

    /// The global id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The number within the project.
    pub fn iid(&self) -> u64 {
        self.iid
    }

    /// The same merge request with another user acting.
    #[must_use]
    pub fn acting_as(&self, user: &UserHandle) -> Self {
        MergeRequestHandle { project: self.project.acting_as(user), id: self.id, iid: self.iid }
    }

    /// How many approvals it takes; one is enough by default.
    pub fn require_approvals(&self, count: usize) {
        let mut world = self.project.shared.world();
        self.request(&mut world).approvals_required = count;
    }

    /// Edits title and description.
    pub async fn update(&self, title: &str, description: &str) {
        let actor = self.project.actor;
        self.act("update", |request, now, changes| {
            changed(changes, "title", &request.title, &title);
            changed(changes, "description", &request.description, &description);
            title.clone_into(&mut request.title);
            request.description = Some(description.to_owned());
            request.last_edited_at = Some(now);
            request.last_edited_by = Some(actor);
        })
        .await;
    }

    /// Marks it as draft or as ready.
    pub async fn set_draft(&self, draft: bool) {
        let newer = self.project.shared.world().version.sends_newer_hook_fields();
        self.act("update", |request, _, changes| {
            let title = request.title_as_draft(draft);
            changed(changes, "title", &request.title, &title);
            if newer {
                changed(changes, "draft", &request.draft(), &draft);
            }
            request.title = title;
        })
        .await;
    }

    /// Requests a review.
    pub async fn add_reviewer(&self, user: &UserHandle) {
        let id = user.id();
        self.act("update", |request, now, changes| {
            let before: Vec<u64> = request.reviewers.iter().map(|reviewer| reviewer.user).collect();
            request.reviewers.push(Reviewer { user: id, state: "unreviewed", since: now });
            let after: Vec<u64> = request.reviewers.iter().map(|reviewer| reviewer.user).collect();
            changed(changes, "reviewer_ids", &before, &after);
        })
        .await;
    }

    /// A reviewer asks for changes. Old versions know it as a plain review.
    pub async fn request_changes_by(&self, user: &UserHandle) {
        let known = self.project.shared.world().version.lists_reviewers();
        let state = if known { "requested_changes" } else { "reviewed" };
        let id = user.id();
        self.act("update", |request, now, _| request.set_reviewer_state(id, state, now)).await;
    }

    /// Approves it: `approved` once all approvals are there, `approval` before that.
    pub async fn approve_by(&self, user: &UserHandle) {
        let complete = self.note_approval(user, true);
        self.acting_as(user).act(if complete { "approved" } else { "approval" }, |_, _, _| {}).await;
    }

    /// Revokes an approval: `unapproved` if it was enough before, else `unapproval`.
    pub async fn unapprove_by(&self, user: &UserHandle) {
        let was_complete = self.note_approval(user, false);
        self.acting_as(user).act(if was_complete { "unapproved" } else { "unapproval" }, |_, _, _| {}).await;
    }

    /// Adds a comment.
    pub async fn comment(&self, text: &str) {
        let project = &self.project;
        let change = project.shared.change(|world, events| {
            let (note, now) = (world.fresh_id(), world.now());
            let request = self.request(world);
            request.user_notes_count += 1;
            request.updated_at = now;
            world.announce(events, Trigger::Note, Place::Project(project.id), None, |world| {
                let within = world.project(project.id);
                payload::note(world, within, &within.merge_requests[&self.iid], project.actor, (note, text))
            });
        });
        change.await;
    }

    /// Closes it unmerged.
    pub async fn close(&self) {
        self.act("close", |request, now, changes| {
            changed(changes, "state_id", &1, &2);
            request.state = "closed";
            request.closed_at = Some(now);
        })
        .await;
    }

    /// Opens it again.
    pub async fn reopen(&self) {
        self.act("reopen", |request, _, changes| {
            changed(changes, "state_id", &2, &1);
            request.state = "opened";
            request.closed_at = None;
        })
        .await;
    }

    /// Merges it: a merge commit on the target, a push event, then the merge event.
    pub async fn merge(&self) {
        let project = &self.project;
        let change = project.shared.change(|world, events| {
            let merged = self.join_branches(world, events);
            let (now, actor) = (world.now(), project.actor);
            let request = self.request(world);
            request.state = "merged";
            request.merged_at = Some(now);
            request.updated_at = now;
            request.merged_by = Some(actor);
            request.merge_commit_sha = Some(merged);
            let mut changes = Map::new();
            changed(&mut changes, "state_id", &1, &3);
            announce(world, events, project, self.iid, &Happening { action: "merge", oldrev: None, changes });
        });
        change.await;
    }

    /// Starts a pipeline for the merge request; it is `pending` when this returns.
    pub async fn start_pipeline(&self) -> PipelineHandle {
        let git_ref = format!("refs/merge-requests/{}/head", self.iid);
        PipelineHandle::start(&self.project, &git_ref, Some(self.iid)).await
    }

    fn join_branches(&self, world: &mut World, events: &mut Vec<Event>) -> String {
        let now = world.now();
        let within = world.project(self.project.id);
        let request = &within.merge_requests[&self.iid];
        let target = request.target_branch.clone();
        let message = format!(
            "Merge branch '{}' into '{target}'\n\n{}\n\nSee merge request {}!{}",
            request.source_branch,
            request.title,
            world.project_path(within),
            request.iid
        );
        let onto = within.repository.head(&target).expect("the target branch exists").sha.clone();
        let parents = vec![onto, request.sha.clone()];
        let joining = commit(&message).onto(parents, world.user(self.project.actor), now);
        self.project.join(world, events, &target, joining)
    }

    /// Adds or removes an approval; says whether all of them are there, before a removal or after an addition.
    fn note_approval(&self, user: &UserHandle, approves: bool) -> bool {
        let mut world = self.project.shared.world();
        let now = world.now();
        let request = self.request(&mut world);
        let before = request.approved();
        let state = if approves { "approved" } else { "unapproved" };
        request.set_reviewer_state(user.id(), state, now);
        if approves {
            request.approvals.insert(user.id());
            request.approved()
        } else {
            request.approvals.remove(&user.id());
            before
        }
    }

    /// Changes the merge request and triggers hooks.
    async fn act(
        &self,
        action: &str,
        edit: impl FnOnce(&mut MergeRequest, OffsetDateTime, &mut Map<String, Value>),
    ) {
        let change = self.project.shared.change(|world, events| {
            let (now, version) = (world.now(), world.version);
            let request = self.request(world);
            let mut changes = Map::new();
            edit(request, now, &mut changes);
            if action == "update" {
                let date = |at| clock::hook(version, HookDate::Attribute, at);
                changed(&mut changes, "updated_at", &date(request.updated_at), &date(now));
            }
            request.updated_at = now;
            announce(world, events, &self.project, self.iid, &Happening { action, oldrev: None, changes });
        });
        change.await;
    }

    fn request<'a>(&self, world: &'a mut World) -> &'a mut MergeRequest {
        let requests = &mut world.project_mut(self.project.id).merge_requests;
        requests.get_mut(&self.iid).expect("merge requests are never removed")
    }
}

/// Notes a change, if it is one.
fn changed<A: serde::Serialize, B: serde::Serialize>(
    changes: &mut Map<String, Value>,
    field: &str,
    previous: &A,
    current: &B,
) {
    let (previous, current) = (json!(previous), json!(current));
    if previous != current {
        changes.insert(field.to_owned(), json!({ "previous": previous, "current": current }));
    }
}

/// Triggers the hooks for a change of a merge request.
pub(crate) fn announce(
    world: &World,
    events: &mut Vec<Event>,
    project: &ProjectHandle,
    iid: u64,
    happening: &Happening<'_>,
) {
    world.announce(events, Trigger::MergeRequest, Place::Project(project.id), None, |world| {
        let within = world.project(project.id);
        payload::merge_request(world, within, &within.merge_requests[&iid], project.actor, happening)
    });
}
