//! Groups and their members.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;

use super::project::ensure_project;
use super::user::{add_user, issue, secret};
use super::{ProjectHandle, UserHandle, title_case};
use crate::gitlab::hooks::{Place, Trigger, payload};
use crate::gitlab::shared::Shared;
use crate::gitlab::state::{Group, Role, Tier, TokenKind, World};

/// A group or subgroup.
#[derive(Clone)]
pub struct GroupHandle {
    shared: Arc<Shared>,
    id: u64,
}

impl GroupHandle {
    pub(crate) fn new(shared: &Arc<Shared>, id: u64) -> Self {
        GroupHandle { shared: Arc::clone(shared), id }
    }

    /// The numeric id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The full path as it is now.
    pub fn full_path(&self) -> String {
        self.shared.world().group_path(self.id)
    }

    /// The same group under another name; its path stays.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        if let Some(group) = self.shared.world().groups.get_mut(&self.id) {
            group.name = name.to_owned();
        }
        self
    }

    /// The project with this path in the group, made if need be: private, with one commit on `main`.
    pub fn project(&self, path: &str) -> ProjectHandle {
        let id = ensure_project(&mut self.shared.world(), self.id, path);
        ProjectHandle::new(&self.shared, id)
    }

    /// The subgroup with this path, made if need be.
    pub fn subgroup(&self, path: &str) -> GroupHandle {
        let mut world = self.shared.world();
        let full_path = format!("{}/{path}", world.group_path(self.id));
        GroupHandle::new(&self.shared, ensure_group(&mut world, &full_path))
    }

    /// Gives a user a role.
    pub fn grant(&self, user: &UserHandle, role: Role) {
        self.change(|group| {
            group.members.insert(user.id(), role);
        });
    }

    /// A token of a bot that is a member of the group, as an Owner would make it on the web page.
    pub fn bot_token(&self, role: Role, scopes: &[&str]) -> SecretString {
        let mut world = self.shared.world();
        let id = add_group_bot(&mut world, self.id, role, scopes, None);
        secret(&world, id)
    }

    /// Sets the description.
    #[must_use]
    pub fn described(self, text: &str) -> Self {
        self.change(|group| text.clone_into(&mut group.description));
        self
    }

    /// Makes the group public.
    #[must_use]
    pub fn public(self) -> Self {
        self.change(|group| group.public = true);
        self
    }

    /// Sets the avatar.
    #[must_use]
    pub fn with_avatar(self, url: &str) -> Self {
        self.change(|group| group.avatar_url = Some(url.to_owned()));
        self
    }

    /// Changes the last part of the path. This triggers no hook.
    pub fn rename(&self, path: &str) {
        self.change(|group| path.clone_into(&mut group.path));
    }

    /// Moves the group below another. This triggers no hook.
    pub fn transfer(&self, to: &GroupHandle) {
        self.change(|group| group.parent = Some(to.id));
    }

    /// Adds a project, which triggers hooks.
    pub async fn create_project(&self, path: &str) -> ProjectHandle {
        let id = self.shared.change(|world, events| {
            let id = ensure_project(world, self.id, path);
            let now = world.now();
            let place = Place::Group(self.id);
            world.announce(events, Trigger::Project, place, None, |world| {
                payload::group::project(world, world.project(id), "project_create", now)
            });
            id
        });
        ProjectHandle::new(&self.shared, id.await)
    }

    /// Adds a subgroup, which triggers hooks.
    pub async fn create_subgroup(&self, path: &str) -> GroupHandle {
        let id = self.shared.change(|world, events| {
            let full_path = format!("{}/{path}", world.group_path(self.id));
            let id = ensure_group(world, &full_path);
            let now = world.now();
            world.announce(events, Trigger::Subgroup, Place::Group(self.id), None, |world| {
                payload::group::subgroup(world, id, "subgroup_create", now)
            });
            id
        });
        GroupHandle::new(&self.shared, id.await)
    }

    /// Removes the group with everything in it.
    pub async fn destroy(self) {
        let id = self.id;
        self.shared
            .change(|world, events| {
                let now = world.now();
                if let Some(parent) = world.group(id).parent {
                    world.announce(events, Trigger::Subgroup, Place::Group(parent), None, |world| {
                        payload::group::subgroup(world, id, "subgroup_destroy", now)
                    });
                }
                remove_group(world, id);
            })
            .await;
    }

    /// Adds a member, which triggers hooks.
    pub async fn add_member(&self, user: &UserHandle, role: Role) {
        self.membership(user, Some(role), "user_add_to_group").await;
    }

    /// Changes a member's role, which triggers hooks.
    pub async fn change_member(&self, user: &UserHandle, role: Role) {
        self.membership(user, Some(role), "user_update_for_group").await;
    }

    /// Removes a member, which triggers hooks.
    pub async fn remove_member(&self, user: &UserHandle) {
        self.membership(user, None, "user_remove_from_group").await;
    }

    async fn membership(&self, user: &UserHandle, role: Option<Role>, event: &str) {
        let change = self.shared.change(|world, events| {
            let members = &mut world.groups.get_mut(&self.id).expect("a handle's group exists").members;
            let old = members.remove(&user.id());
            members.extend(role.map(|role| (user.id(), role)));
            let shown = role.or(old).unwrap_or(Role::Guest);
            let now = world.now();
            world.announce(events, Trigger::Member, Place::Group(self.id), None, |world| {
                payload::group::member(world, self.id, user.id(), shown, event, now)
            });
        });
        change.await;
    }

    fn change(&self, change: impl FnOnce(&mut Group)) {
        if let Some(group) = self.shared.world().groups.get_mut(&self.id) {
            change(group);
        }
    }
}

/// Makes a bot, its membership and its token; gives the token's id.
pub(crate) fn add_group_bot(
    world: &mut World,
    group: u64,
    role: Role,
    scopes: &[&str],
    expires_on: Option<time::Date>,
) -> u64 {
    let count = world.users.len();
    let bot = add_user(world, &format!("group_{group}_bot_{count}"), true);
    if let Some(group) = world.groups.get_mut(&group) {
        group.members.insert(bot, role);
    }
    issue(world, TokenKind::Group(group), bot, scopes, expires_on)
}

/// The group with this full path, made if need be, ancestors first.
pub(crate) fn ensure_group(world: &mut World, full_path: &str) -> u64 {
    if let Some(id) = world.find_group(full_path) {
        return id;
    }
    let (parent, path) = match full_path.rsplit_once('/') {
        Some((parent, path)) => (Some(ensure_group(world, parent)), path),
        None => (None, full_path),
    };
    let (id, created_at) = (world.fresh_id(), world.now());
    let group = Group {
        id,
        name: title_case(path),
        path: path.to_owned(),
        parent,
        description: String::new(),
        avatar_url: None,
        public: false,
        tier: Tier::Free,
        members: BTreeMap::new(),
        created_at,
    };
    world.groups.insert(id, group);
    id
}

fn remove_group(world: &mut World, id: u64) {
    let gone: Vec<u64> = world.groups.keys().copied().filter(|group| world.is_within(*group, id)).collect();
    world.projects.retain(|_, project| !gone.contains(&project.group));
    world.groups.retain(|group, _| !gone.contains(group));
}
