//! A feature flag and its strategies.

use serde_json::Value;
use time::OffsetDateTime;

pub(crate) struct Strategy {
    pub(crate) id: u64,
    /// default, gitlabUserList, gradualRolloutUserId, flexibleRollout or userWithId.
    pub(crate) name: String,
    pub(crate) parameters: Value,
    /// Scope id and environment scope, `*` for all.
    pub(crate) scopes: Vec<(u64, String)>,
}

pub(crate) struct FeatureFlag {
    /// Known to hooks only; the REST API never shows it.
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) active: bool,
    pub(crate) strategies: Vec<Strategy>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
}
