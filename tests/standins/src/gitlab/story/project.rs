//! A project and what people do in it; pushes are in `push`.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;

use super::user::{add_user, issue, secret};
use super::{
    DEFAULT_ACTOR, DeploymentHandle, FeatureFlagHandle, MergeRequestHandle, MergeRequestSpec, PipelineHandle,
    UserHandle, commit, ensure_user, title_case,
};
use crate::gitlab::hooks::{Place, Trigger, payload};
use crate::gitlab::shared::Shared;
use crate::gitlab::state::{Branch, Environment, Project, Repository, Role, TokenKind, World};

/// The branch every new project has.
const DEFAULT_BRANCH: &str = "main";

/// A project, and who acts in it.
#[derive(Clone)]
pub struct ProjectHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: u64,
    pub(crate) actor: u64,
}

impl ProjectHandle {
    pub(crate) fn new(shared: &Arc<Shared>, id: u64) -> Self {
        let actor = ensure_user(&mut shared.world(), DEFAULT_ACTOR);
        ProjectHandle { shared: Arc::clone(shared), id, actor }
    }

    /// The same project with another user acting.
    #[must_use]
    pub fn acting_as(&self, user: &UserHandle) -> Self {
        ProjectHandle { shared: Arc::clone(&self.shared), id: self.id, actor: user.id() }
    }

    /// The numeric id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The full path as it is now.
    pub fn full_path(&self) -> String {
        let world = self.shared.world();
        world.project_path(world.project(self.id))
    }

    /// Address of the project's page.
    pub fn web_url(&self) -> String {
        let world = self.shared.world();
        world.project_url(world.project(self.id))
    }

    /// Gives a user a role in this project alone.
    pub fn grant(&self, user: &UserHandle, role: Role) {
        self.change(|project| {
            project.members.insert(user.id(), role);
        });
    }

    /// A token of a bot that is a member of this project alone.
    pub fn bot_token(&self, role: Role, scopes: &[&str]) -> SecretString {
        let mut world = self.shared.world();
        let count = world.users.len();
        let bot = add_user(&mut world, &format!("project_{}_bot_{count}", self.id), true);
        world.project_mut(self.id).members.insert(bot, role);
        let id = issue(&mut world, TokenKind::Project(self.id), bot, scopes, None);
        secret(&world, id)
    }

    /// Makes the project public.
    #[must_use]
    pub fn public(self) -> Self {
        self.change(|project| project.public = true);
        self
    }

    /// Sets the description.
    #[must_use]
    pub fn described(self, text: &str) -> Self {
        self.change(|project| text.clone_into(&mut project.description));
        self
    }

    /// Sets the avatar.
    #[must_use]
    pub fn with_avatar(self, url: &str) -> Self {
        self.change(|project| project.avatar_url = Some(url.to_owned()));
        self
    }

    /// Makes the project read-only, or ends that.
    pub fn archive(&self, archived: bool) {
        self.change(|project| project.archived = archived);
    }

    /// Changes the last part of the path.
    pub fn rename(&self, path: &str) {
        self.change(|project| path.clone_into(&mut project.path));
    }

    /// Removes the project, which triggers the group's hooks.
    pub async fn destroy(self) {
        let id = self.id;
        self.shared
            .change(|world, events| {
                let (now, group) = (world.now(), world.project(id).group);
                world.announce(events, Trigger::Project, Place::Group(group), None, |world| {
                    payload::group::project(world, world.project(id), "project_destroy", now)
                });
                world.projects.remove(&id);
            })
            .await;
    }

    /// Opens a merge request.
    pub async fn open_merge_request(&self, spec: MergeRequestSpec) -> MergeRequestHandle {
        MergeRequestHandle::open(self, spec).await
    }

    /// Starts a pipeline for the head of a branch or tag; it is `pending` when this returns.
    pub async fn start_pipeline(&self, git_ref: &str) -> PipelineHandle {
        PipelineHandle::start(self, git_ref, None).await
    }

    /// A deployment by a CI job, `created`; it triggers no hook yet. The environment is made if need be.
    pub fn deploy(&self, environment: &str, git_ref: &str) -> DeploymentHandle {
        DeploymentHandle::create(self, environment, git_ref, true)
    }

    /// A deployment that an outside tool reported through the API: it has no job and no pipeline.
    pub fn deploy_externally(&self, environment: &str, git_ref: &str) -> DeploymentHandle {
        DeploymentHandle::create(self, environment, git_ref, false)
    }

    /// Sets the address of an environment, made if need be.
    pub fn set_environment_url(&self, environment: &str, url: &str) {
        self.change_environment(environment, |environment| environment.external_url = Some(url.to_owned()));
    }

    /// Sets the tier of an environment, made if need be: production, staging, testing, development or other.
    pub fn set_environment_tier(&self, environment: &str, tier: &'static str) {
        self.change_environment(environment, |environment| environment.tier = tier);
    }

    /// The feature flag with this name, made if need be, off and without strategies.
    pub fn feature_flag(&self, name: &str) -> FeatureFlagHandle {
        FeatureFlagHandle::ensure(self, name)
    }

    /// The commit a branch points to.
    pub fn head(&self, branch: &str) -> Option<String> {
        self.shared.world().project(self.id).repository.head(branch).map(|commit| commit.sha.clone())
    }

    fn change_environment(&self, name: &str, change: impl FnOnce(&mut Environment)) {
        let mut world = self.shared.world();
        let id = ensure_environment(&mut world, self.id, name);
        if let Some(environment) = world.project_mut(self.id).environments.get_mut(&id) {
            change(environment);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Project)) {
        change(self.shared.world().project_mut(self.id));
    }
}

/// The environment with this name, made if need be.
pub(crate) fn ensure_environment(world: &mut World, project: u64, name: &str) -> u64 {
    if let Some(known) = world.project(project).environments.values().find(|known| known.name == name) {
        return known.id;
    }
    let (id, created_at) = (world.fresh_id(), world.now());
    let tier = Environment::guessed_tier(name);
    let environment = Environment { id, name: name.to_owned(), tier, external_url: None, created_at };
    world.project_mut(project).environments.insert(id, environment);
    id
}

/// The project with this path in a group, made if need be.
pub(crate) fn ensure_project(world: &mut World, group: u64, path: &str) -> u64 {
    if let Some(known) = world.projects.values().find(|known| known.group == group && known.path == path) {
        return known.id;
    }
    let (id, created_at) = (world.fresh_id(), world.now());
    let actor = ensure_user(world, DEFAULT_ACTOR);
    let mut repository = Repository::default();
    let first = commit("Initial commit").adds("README.md", 1).onto(Vec::new(), world.user(actor), created_at);
    let head = repository.add(first, id);
    repository.branches.insert(DEFAULT_BRANCH.to_owned(), Branch { head, protected: true });
    let project = Project {
        id,
        name: title_case(path),
        path: path.to_owned(),
        group,
        description: String::new(),
        avatar_url: None,
        default_branch: DEFAULT_BRANCH.to_owned(),
        archived: false,
        public: false,
        members: BTreeMap::new(),
        repository,
        merge_requests: BTreeMap::new(),
        pipelines: BTreeMap::new(),
        environments: BTreeMap::new(),
        deployments: BTreeMap::new(),
        feature_flags: BTreeMap::new(),
        created_at,
        last_activity_at: created_at,
    };
    world.projects.insert(id, project);
    id
}
