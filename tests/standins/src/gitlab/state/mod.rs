//! What a GitLab instance remembers: people, groups, projects and what is in them. Plain data and look-ups in it; who
//! may read is decided in `rest`, which hooks are triggered in `hooks`.

mod access;
mod ci;
mod flag;
mod hook;
mod merge_request;
mod people;
mod project;
mod repository;

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::Version;
use super::clock::Clock;

pub(crate) use ci::{Deployment, Environment, Job, Pipeline, TestSummary};
pub(crate) use flag::{FeatureFlag, Strategy};
pub(crate) use hook::{Hook, HookLog, HookOwner, HookSettings};
pub(crate) use merge_request::{MergeRequest, Reviewer};
pub(crate) use people::{Group, Token, TokenKind, User};
pub use people::{Role, Tier};
pub(crate) use project::Project;
pub(crate) use repository::{Branch, ChangeKind, Commit, FileChange, NO_COMMIT, Repository};

/// The first id given out. One counter serves every kind of object, so no two objects of different kinds
/// share an id and a mix-up of ids cannot go unnoticed.
const FIRST_ID: u64 = 1_001;

/// Everything one instance knows.
pub(crate) struct World {
    pub(crate) version: Version,
    pub(crate) url: String,
    pub(crate) users: BTreeMap<u64, User>,
    pub(crate) groups: BTreeMap<u64, Group>,
    pub(crate) projects: BTreeMap<u64, Project>,
    pub(crate) tokens: BTreeMap<u64, Token>,
    pub(crate) hooks: BTreeMap<u64, Hook>,
    /// GitLab.com's rule; self-managed instances have it off unless they choose otherwise.
    pub(crate) auto_disable_hooks: bool,
    pub(crate) clock: Clock,
    next_id: u64,
}

impl World {
    pub(crate) fn new(version: Version, url: String) -> Self {
        World {
            version,
            url,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            projects: BTreeMap::new(),
            tokens: BTreeMap::new(),
            hooks: BTreeMap::new(),
            auto_disable_hooks: true,
            clock: Clock::new(),
            next_id: FIRST_ID,
        }
    }

    /// A number nothing else has.
    pub(crate) fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    pub(crate) fn now(&mut self) -> OffsetDateTime {
        self.clock.tick()
    }

    /// The project of a handle.
    ///
    /// # Panics
    /// If the test destroyed the project and goes on using its handle.
    pub(crate) fn project(&self, id: u64) -> &Project {
        self.projects.get(&id).expect("the project of a handle exists until it is destroyed")
    }

    /// As [`World::project`], to change it.
    pub(crate) fn project_mut(&mut self, id: u64) -> &mut Project {
        self.projects.get_mut(&id).expect("the project of a handle exists until it is destroyed")
    }

    pub(crate) fn user(&self, id: u64) -> &User {
        self.users.get(&id).expect("users are never removed")
    }

    pub(crate) fn group(&self, id: u64) -> &Group {
        self.groups.get(&id).expect("the group of a handle exists until it is destroyed")
    }

    /// Full path of a group, `acme/payments`.
    pub(crate) fn group_path(&self, id: u64) -> String {
        self.lineage(id).iter().rev().map(|group| group.path.as_str()).collect::<Vec<_>>().join("/")
    }

    /// Full name of a group, `Acme / Payments`.
    pub(crate) fn group_full_name(&self, id: u64) -> String {
        self.lineage(id).iter().rev().map(|group| group.name.as_str()).collect::<Vec<_>>().join(" / ")
    }

    /// Full path of a project, `acme/payments/api`.
    pub(crate) fn project_path(&self, project: &Project) -> String {
        format!("{}/{}", self.group_path(project.group), project.path)
    }

    /// Address of a project's page.
    pub(crate) fn project_url(&self, project: &Project) -> String {
        format!("{}/{}", self.url, self.project_path(project))
    }

    /// A group and its ancestors, nearest first.
    pub(crate) fn lineage(&self, id: u64) -> Vec<&Group> {
        let mut groups = Vec::new();
        let mut next = Some(id);
        while let Some(group) = next.and_then(|id| self.groups.get(&id)) {
            groups.push(group);
            next = group.parent;
        }
        groups
    }

    /// Is `id` the group `ancestor` or inside it?
    pub(crate) fn is_within(&self, id: u64, ancestor: u64) -> bool {
        self.lineage(id).iter().any(|group| group.id == ancestor)
    }

    /// The subscription of a group's root: subgroups have no tier of their own.
    pub(crate) fn tier(&self, group: u64) -> Tier {
        self.lineage(group).last().map_or(Tier::Free, |root| root.tier)
    }

    /// A group by numeric id or full path.
    pub(crate) fn find_group(&self, id_or_path: &str) -> Option<u64> {
        by_number(id_or_path, |id| self.groups.contains_key(&id))
            .or_else(|| self.groups.keys().copied().find(|id| self.group_path(*id) == id_or_path))
    }

    /// A project by numeric id or full path.
    pub(crate) fn find_project(&self, id_or_path: &str) -> Option<u64> {
        by_number(id_or_path, |id| self.projects.contains_key(&id)).or_else(|| {
            self.projects
                .values()
                .find(|project| self.project_path(project) == id_or_path)
                .map(|project| project.id)
        })
    }

    /// A user by e-mail address, as GitLab matches commit authors.
    pub(crate) fn user_by_email(&self, email: &str) -> Option<&User> {
        self.users.values().find(|user| user.email.eq_ignore_ascii_case(email))
    }
}

fn by_number(text: &str, exists: impl Fn(u64) -> bool) -> Option<u64> {
    text.parse().ok().filter(|id| exists(*id))
}
