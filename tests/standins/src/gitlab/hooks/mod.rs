//! Webhooks: what can trigger one, which hooks an event triggers, and the deliveries that follow. What a
//! payload says is in `payload`; where it goes over the wire is in `delivery`.

pub(crate) mod delivery;
pub(crate) mod dispatch;
pub(crate) mod payload;
pub(crate) mod signature;

use serde_json::Value;

pub use delivery::{Delivery, HeldDeliveries, SentDelivery};

use super::state::{Hook, HookOwner, World};

/// What a hook can subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trigger {
    Push,
    TagPush,
    MergeRequest,
    Note,
    Pipeline,
    Job,
    Deployment,
    FeatureFlag,
    Member,
    Subgroup,
    Project,
}

/// Every trigger with the attribute that subscribes to it and the header that announces it.
const TRIGGERS: [(Trigger, &str, &str); 11] = [
    (Trigger::Push, "push_events", "Push Hook"),
    (Trigger::TagPush, "tag_push_events", "Tag Push Hook"),
    (Trigger::MergeRequest, "merge_requests_events", "Merge Request Hook"),
    (Trigger::Note, "note_events", "Note Hook"),
    (Trigger::Pipeline, "pipeline_events", "Pipeline Hook"),
    (Trigger::Job, "job_events", "Job Hook"),
    (Trigger::Deployment, "deployment_events", "Deployment Hook"),
    (Trigger::FeatureFlag, "feature_flag_events", "Feature Flag Hook"),
    (Trigger::Member, "member_events", "Member Hook"),
    (Trigger::Subgroup, "subgroup_events", "Subgroup Hook"),
    (Trigger::Project, "project_events", "Project Hook"),
];

impl Trigger {
    pub(crate) fn all() -> impl Iterator<Item = Trigger> {
        TRIGGERS.iter().map(|(trigger, _, _)| *trigger)
    }

    /// The attribute of a hook that subscribes to this.
    pub(crate) fn attribute(self) -> &'static str {
        TRIGGERS[self as usize].1
    }

    /// The value of `X-Gitlab-Event`.
    pub(crate) fn header(self) -> &'static str {
        TRIGGERS[self as usize].2
    }

    /// How the delivery history names it: `push_hooks`.
    pub(crate) fn history_name(self) -> String {
        self.attribute().replace("_events", "_hooks")
    }

    pub(crate) fn from_attribute(name: &str) -> Option<Trigger> {
        TRIGGERS.iter().find(|(_, attribute, _)| *attribute == name).map(|(trigger, _, _)| *trigger)
    }

    /// These trigger group hooks only.
    pub(crate) fn is_about_groups(self) -> bool {
        matches!(self, Trigger::Member | Trigger::Subgroup | Trigger::Project)
    }
}

/// Where something happened.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Project(u64),
    /// Triggers the hooks of this group and of its ancestors.
    Group(u64),
}

/// Something that happened and that triggers hooks.
pub(crate) struct Event {
    pub(crate) trigger: Trigger,
    pub(crate) place: Place,
    /// The branch of a push, for hooks that filter by branch.
    pub(crate) branch: Option<String>,
    /// Shared by all deliveries of this event.
    pub(crate) uuid: String,
    pub(crate) body: Value,
}

impl World {
    /// The hooks that this triggers, project hooks first, then the groups' from the inside out, then the
    /// instance's. A project under both a project hook and a group hook gets two deliveries.
    pub(crate) fn triggered_hooks(&self, trigger: Trigger, place: Place, branch: Option<&str>) -> Vec<u64> {
        let (project, group) = match place {
            Place::Project(id) => (Some(id), self.projects.get(&id).map(|project| project.group)),
            Place::Group(id) => (None, Some(id)),
        };
        let mut owners: Vec<HookOwner> = project.map(HookOwner::Project).into_iter().collect();
        owners.extend(group.iter().flat_map(|id| self.lineage(*id)).map(|group| HookOwner::Group(group.id)));
        owners.push(HookOwner::Instance);
        let heard = |hook: &&Hook| {
            let settings = &hook.settings;
            settings.triggers.contains(&trigger) && branch.is_none_or(|branch| settings.wants_branch(branch))
        };
        owners
            .into_iter()
            .flat_map(|owner| self.hooks.values().filter(move |hook| hook.owner == owner).filter(heard))
            .map(|hook| hook.id)
            .collect()
    }

    /// Adds an event if it triggers a hook. No payload is built otherwise.
    pub(crate) fn announce(
        &self,
        events: &mut Vec<Event>,
        trigger: Trigger,
        place: Place,
        branch: Option<&str>,
        body: impl FnOnce(&World) -> Value,
    ) {
        if !self.triggered_hooks(trigger, place, branch).is_empty() {
            let body = body(self);
            let branch = branch.map(ToOwned::to_owned);
            events.push(Event { trigger, place, branch, uuid: super::random::uuid(), body });
        }
    }
}
