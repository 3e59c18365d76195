//! A feature flag. Only switching it triggers hooks.

use serde_json::Value;

use super::ProjectHandle;
use crate::gitlab::hooks::{Place, Trigger, payload};
use crate::gitlab::state::{FeatureFlag, Strategy, World};

/// A feature flag.
#[derive(Clone)]
pub struct FeatureFlagHandle {
    project: ProjectHandle,
    name: String,
}

impl FeatureFlagHandle {
    pub(crate) fn ensure(project: &ProjectHandle, name: &str) -> Self {
        let mut world = project.shared.world();
        if !world.project(project.id).feature_flags.contains_key(name) {
            let (id, now) = (world.fresh_id(), world.now());
            let flag = FeatureFlag {
                id,
                name: name.to_owned(),
                description: String::new(),
                active: false,
                strategies: Vec::new(),
                created_at: now,
                updated_at: now,
            };
            world.project_mut(project.id).feature_flags.insert(name.to_owned(), flag);
        }
        FeatureFlagHandle { project: project.clone(), name: name.to_owned() }
    }

    /// The id, which only hooks show.
    pub fn id(&self) -> u64 {
        self.project.shared.world().project(self.project.id).feature_flags[&self.name].id
    }

    /// Edits the description. This triggers no hook.
    #[must_use]
    pub fn describe(self, text: &str) -> Self {
        self.edit(|flag| text.clone_into(&mut flag.description));
        self
    }

    /// Adds a strategy with its parameters for these environment scopes. This triggers no hook.
    #[must_use]
    pub fn strategy(self, name: &str, parameters: Value, environment_scopes: &[&str]) -> Self {
        let strategy = {
            let mut world = self.project.shared.world();
            let scopes =
                environment_scopes.iter().map(|scope| (world.fresh_id(), (*scope).to_owned())).collect();
            Strategy { id: world.fresh_id(), name: name.to_owned(), parameters, scopes }
        };
        self.edit(|flag| flag.strategies.push(strategy));
        self
    }

    /// Switches the flag on or off. This triggers hooks only if it changes something.
    pub async fn toggle(&self, active: bool) {
        let project = &self.project;
        let change = project.shared.change(|world, events| {
            let now = world.now();
            let flag = self.flag(world);
            if flag.active == active {
                return;
            }
            flag.active = active;
            flag.updated_at = now;
            world.announce(events, Trigger::FeatureFlag, Place::Project(project.id), None, |world| {
                let within = world.project(project.id);
                let flag = &within.feature_flags[&self.name];
                payload::feature_flag::feature_flag(world, within, flag, project.actor)
            });
        });
        change.await;
    }

    /// Removes the flag. This triggers no hook.
    pub fn delete(self) {
        self.project.shared.world().project_mut(self.project.id).feature_flags.remove(&self.name);
    }

    fn edit(&self, edit: impl FnOnce(&mut FeatureFlag)) {
        let mut world = self.project.shared.world();
        let now = world.now();
        let flag = self.flag(&mut world);
        edit(flag);
        flag.updated_at = now;
    }

    fn flag<'a>(&self, world: &'a mut World) -> &'a mut FeatureFlag {
        let flags = &mut world.project_mut(self.project.id).feature_flags;
        flags.get_mut(&self.name).expect("a flag is used only until it is deleted")
    }
}
