//! Pushes: commits, new and deleted branches, tags.

use super::merge_request::announce;
use super::{CommitSpec, ProjectHandle};
use crate::gitlab::hooks::payload::merge_request::Happening;
use crate::gitlab::hooks::payload::push::{self, Change};
use crate::gitlab::hooks::{Event, Place, Trigger};
use crate::gitlab::state::{Branch, Commit, NO_COMMIT, Repository, World};

/// A push that changes more branches at once triggers no hook
/// (<https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events>).
const MOST_BRANCHES_TOLD: usize = 3;

/// What a push did to one branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The branch.
    pub branch: String,
    /// Its head before, all zero if it is new.
    pub before: String,
    /// Its head now, all zero if it is gone.
    pub after: String,
    /// The commits that were added, oldest first.
    pub commits: Vec<String>,
}

impl ProjectHandle {
    /// Pushes commits to a branch, which starts at the default branch's head if it is new.
    pub async fn push(&self, branch: &str, commits: impl IntoIterator<Item = CommitSpec>) -> Pushed {
        let commits = commits.into_iter().collect();
        let change = self.shared.change(|world, events| {
            let pushed = self.grow(world, branch, None, commits);
            self.announce_pushes(world, events, std::slice::from_ref(&pushed));
            pushed
        });
        change.await
    }

    /// Replaces a branch by commits on top of another ref, so that its old head is no longer in it.
    ///
    /// # Panics
    /// If `onto` does not exist.
    pub async fn force_push(
        &self,
        branch: &str,
        onto: &str,
        commits: impl IntoIterator<Item = CommitSpec>,
    ) -> Pushed {
        let commits = commits.into_iter().collect();
        let change = self.shared.change(|world, events| {
            let pushed = self.grow(world, branch, Some(onto), commits);
            self.announce_pushes(world, events, std::slice::from_ref(&pushed));
            pushed
        });
        change.await
    }

    /// Pushes to several branches at once. More than three trigger no hook.
    pub async fn push_branches<'a>(
        &self,
        branches: impl IntoIterator<Item = (&'a str, Vec<CommitSpec>)>,
    ) -> Vec<Pushed> {
        let change = self.shared.change(|world, events| {
            let all: Vec<Pushed> = branches
                .into_iter()
                .map(|(branch, commits)| self.grow(world, branch, None, commits))
                .collect();
            self.announce_pushes(world, events, &all);
            all
        });
        change.await
    }

    /// Creates a branch at the default branch's head.
    pub async fn create_branch(&self, branch: &str) -> Pushed {
        self.push(branch, []).await
    }

    /// Deletes a branch.
    ///
    /// # Panics
    /// If there is no such branch.
    pub async fn delete_branch(&self, branch: &str) -> Pushed {
        let mut pushed = self.delete_branches([branch]).await;
        pushed.pop().expect("one was pushed")
    }

    /// Deletes several branches by one push. More than three trigger no hook.
    ///
    /// # Panics
    /// If one of them does not exist.
    pub async fn delete_branches<'a>(&self, branches: impl IntoIterator<Item = &'a str>) -> Vec<Pushed> {
        let change = self.shared.change(|world, events| {
            let repository = &mut world.project_mut(self.id).repository;
            let delete = |branch: &str| {
                let gone = repository.branches.remove(branch);
                let before = gone.expect("the test deletes a branch that exists").head;
                let after = NO_COMMIT.to_owned();
                Pushed { branch: branch.to_owned(), before, after, commits: Vec::new() }
            };
            let pushed: Vec<Pushed> = branches.into_iter().map(delete).collect();
            self.announce_pushes(world, events, &pushed);
            pushed
        });
        change.await
    }

    /// Pushes a tag on an existing ref.
    ///
    /// # Panics
    /// If `git_ref` does not exist.
    pub async fn push_tag(&self, tag: &str, git_ref: &str) {
        let change = self.shared.change(|world, events| {
            let repository = &mut world.project_mut(self.id).repository;
            let sha = repository.resolve(git_ref).expect("the test tags a ref that exists").sha.clone();
            repository.tags.insert(tag.to_owned(), sha.clone());
            world.announce(events, Trigger::TagPush, Place::Project(self.id), None, |world| {
                let git_ref = format!("refs/tags/{tag}");
                let change =
                    Change { git_ref, before: NO_COMMIT, after: &sha, commits: Vec::new(), protected: false };
                push::push(world, world.project(self.id), self.actor, &change)
            });
        });
        change.await;
    }

    /// Adds commits to a branch. `onto` starts it anew.
    fn grow(&self, world: &mut World, branch: &str, onto: Option<&str>, commits: Vec<CommitSpec>) -> Pushed {
        let repository = &world.project(self.id).repository;
        let old = repository.branches.get(branch).map(|branch| branch.head.clone());
        let start = onto.map(|onto| resolved(repository, onto));
        let default_branch = &world.project(self.id).default_branch;
        let mut head = start.or_else(|| old.clone()).unwrap_or_else(|| resolved(repository, default_branch));
        let mut added = Vec::new();
        for spec in commits {
            let now = world.now();
            let commit = spec.onto(vec![head], world.user(self.actor), now);
            head = world.project_mut(self.id).repository.add(commit, self.id);
            added.push(head.clone());
        }
        self.move_branch(world, branch, &head);
        Pushed {
            branch: branch.to_owned(),
            before: old.unwrap_or_else(|| NO_COMMIT.to_owned()),
            after: head,
            commits: added,
        }
    }

    fn move_branch(&self, world: &mut World, branch: &str, head: &str) {
        let now = world.now();
        let project = world.project_mut(self.id);
        project.last_activity_at = now;
        let branches = &mut project.repository.branches;
        let protected = branches.get(branch).is_some_and(|branch| branch.protected);
        branches.insert(branch.to_owned(), Branch { head: head.to_owned(), protected });
    }

    /// Adds a commit that joins `source` into `target`, which triggers hooks.
    pub(crate) fn join(
        &self,
        world: &mut World,
        events: &mut Vec<Event>,
        target: &str,
        joining: Commit,
    ) -> String {
        let before = joining.parents.first().cloned().unwrap_or_default();
        let after = world.project_mut(self.id).repository.add(joining, self.id);
        self.move_branch(world, target, &after);
        let pushed =
            Pushed { branch: target.to_owned(), before, after: after.clone(), commits: vec![after.clone()] };
        self.announce_pushes(world, events, &[pushed]);
        after
    }

    fn announce_pushes(&self, world: &mut World, events: &mut Vec<Event>, pushes: &[Pushed]) {
        let moved: Vec<&Pushed> = pushes.iter().filter(|push| push.before != push.after).collect();
        if moved.len() <= MOST_BRANCHES_TOLD {
            for pushed in &moved {
                self.announce_push(world, events, pushed);
            }
        }
        for pushed in moved {
            self.refresh_merge_requests(world, events, pushed);
        }
    }

    fn announce_push(&self, world: &World, events: &mut Vec<Event>, pushed: &Pushed) {
        let place = Place::Project(self.id);
        world.announce(events, Trigger::Push, place, Some(&pushed.branch), |world| {
            let project = world.project(self.id);
            let change = Change {
                git_ref: format!("refs/heads/{}", pushed.branch),
                before: &pushed.before,
                after: &pushed.after,
                commits: new_commits(&project.repository, &project.default_branch, pushed),
                protected: project
                    .repository
                    .branches
                    .get(&pushed.branch)
                    .is_some_and(|branch| branch.protected),
            };
            push::push(world, project, self.actor, &change)
        });
    }

    /// A push to the source of an open merge request changes that too.
    fn refresh_merge_requests(&self, world: &mut World, events: &mut Vec<Event>, pushed: &Pushed) {
        if pushed.after == NO_COMMIT || pushed.before == NO_COMMIT {
            return;
        }
        for iid in world.project(self.id).open_merge_requests_from(&pushed.branch) {
            let now = world.now();
            if let Some(request) = world.project_mut(self.id).merge_requests.get_mut(&iid) {
                pushed.after.clone_into(&mut request.sha);
                request.updated_at = now;
            }
            let oldrev = Some(pushed.before.as_str());
            let happening = Happening { action: "update", oldrev, changes: serde_json::Map::new() };
            announce(world, events, self, iid, &happening);
        }
    }
}

fn resolved(repository: &Repository, git_ref: &str) -> String {
    repository.resolve(git_ref).expect("the ref a test builds on exists").sha.clone()
}

/// What a push added: of a new branch, what the default branch lacks.
fn new_commits<'a>(repository: &'a Repository, default_branch: &str, pushed: &Pushed) -> Vec<&'a Commit> {
    if pushed.after == NO_COMMIT {
        return Vec::new();
    }
    let known = match (pushed.before.as_str(), repository.branches.get(default_branch)) {
        (NO_COMMIT, Some(default)) if pushed.branch != default_branch => default.head.as_str(),
        (before, _) => before,
    };
    repository.log(&[&pushed.after], &[known], false)
}
