//! The nouns that every part speaks of: sites, installations, subscriptions and their ids. Plain data and the rules
//! that need nothing else; how they are stored, sent or shown belongs to the modules that do so.

mod api;
mod associations;
mod branch_history;
mod entity;
mod group_path;
mod history;
mod hold;
mod hook_plan;
mod id;
mod installation;
mod issue_keys;
mod missing;
mod project;
mod project_history;
mod sign_in;
mod site;
mod subscription;

pub use api::Api;
pub use associations::{Associations, MAX_ASSOCIATIONS, Service};
pub use branch_history::{BranchHistory, Placement, RefUpdate};
pub use entity::{EntityKey, EntityKind};
pub use group_path::lies_under;
pub use history::{
    HistoryDepth, HistoryFailure, HistoryKind, HistoryPlan, HistoryProgress, HistoryScope, HistorySlot,
    HistoryState,
};
pub use hold::{HoldReason, KeyRule};
pub use hook_plan::{
    HookDone, HookFailure, HookMark, HookPlan, MAX_NAMED, PlanFailure, PlanPurpose, PlanState,
    ProjectFailure, TOKEN_KEPT,
};
pub use id::{InstallationId, SignInId, SiteId, SubscriptionId};
pub use installation::{Connection, ConnectionKind, Installation, SystemToken};
pub use issue_keys::{IssueKeys, KeyFilter};
pub use missing::{MissingCause, MissingEntity};
pub use project::Project;
pub use project_history::{
    Cursor, HistoryTask, PageCounts, ProjectHistory, TaskFailure, TaskProgress, TaskState,
};
pub use sign_in::{SignIn, SignInStage, TokenSource};
pub use site::{Capability, Site, SiteCondition, SiteState};
pub use subscription::{
    Credential, CredentialMode, Hook, HookKind, HookTrouble, LinkAttention, PreviousSecrets, Rotation,
    Subscription, SubscriptionState, Upkeep,
};
