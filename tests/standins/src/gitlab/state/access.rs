//! Who may see what: memberships with inheritance, and the rules built on them.

use super::{Project, Role, World};

impl World {
    /// The highest role of a user in a group, inherited ones included.
    pub(crate) fn role_in_group(&self, user: u64, group: u64) -> Option<Role> {
        self.lineage(group).iter().filter_map(|group| group.members.get(&user).copied()).max()
    }

    /// The highest role of a user in a project, inherited ones included.
    pub(crate) fn role_in_project(&self, user: u64, project: &Project) -> Option<Role> {
        project.members.get(&user).copied().max(self.role_in_group(user, project.group))
    }

    /// Members of something inside a private group see the group too.
    pub(crate) fn sees_group(&self, user: Option<u64>, group: u64) -> bool {
        if self.groups.get(&group).is_some_and(|group| group.public) {
            return true;
        }
        let Some(user) = user else { return false };
        self.is_admin(user)
            || self.role_in_group(user, group).is_some()
            || self
                .groups
                .values()
                .any(|inner| inner.members.contains_key(&user) && self.is_within(inner.id, group))
            || self
                .projects
                .values()
                .any(|inner| inner.members.contains_key(&user) && self.is_within(inner.group, group))
    }

    pub(crate) fn sees_project(&self, user: Option<u64>, project: &Project) -> bool {
        project.public
            || user.is_some_and(|user| self.is_admin(user) || self.role_in_project(user, project).is_some())
    }

    /// Code, merge requests, pipelines and deployments of a private project are not for guests.
    pub(crate) fn reads_code(&self, user: Option<u64>, project: &Project) -> bool {
        project.public || user.is_some_and(|user| self.has_project_role(user, project, Role::Reporter))
    }

    pub(crate) fn has_project_role(&self, user: u64, project: &Project, at_least: Role) -> bool {
        self.is_admin(user) || self.role_in_project(user, project) >= Some(at_least)
    }

    pub(crate) fn has_group_role(&self, user: u64, group: u64, at_least: Role) -> bool {
        self.is_admin(user) || self.role_in_group(user, group) >= Some(at_least)
    }

    pub(crate) fn is_admin(&self, user: u64) -> bool {
        self.users.get(&user).is_some_and(|user| user.admin)
    }
}
