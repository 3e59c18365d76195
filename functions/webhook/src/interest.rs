//! Whether an event can lead to anything.

use shared::domain::IssueKeys;
use shared::gitlab::hooks::HookEvent;
use shared::store::ignored_deliveries::IgnoreReason;

/// Why an event that names `named` can lead to nothing, if so. Pipelines and deployments get their keys from elsewhere; a
/// push without keys may be to the branch of a merge request that has some. Only the API knows. A merge request without keys
/// may have lost them, unless its hook says what else changed.
pub(crate) fn leads_to_nothing(
    event: &HookEvent,
    named: &IssueKeys,
    has_token: bool,
) -> Option<IgnoreReason> {
    match event {
        HookEvent::Push(_) if has_token => None,
        HookEvent::MergeRequest { untold_changes: true, .. } => None,
        HookEvent::Push(_) | HookEvent::MergeRequest { .. } | HookEvent::FeatureFlag(_) => {
            named.is_empty().then_some(IgnoreReason::NoIssueKeys)
        }
        HookEvent::BranchDeleted { .. } => None,
        HookEvent::Pipeline(pipeline) => {
            // It may run for a merge request, which the hook names itself.
            let has_keys = !named.is_empty() || pipeline.merge_requests.iter().any(|it| !it.keys.is_empty());
            (!has_token && !has_keys).then_some(IgnoreReason::TokenMissing)
        }
        HookEvent::Deployment(_) => (!has_token).then_some(IgnoreReason::TokenMissing),
    }
}
