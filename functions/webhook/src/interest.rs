//! Whether an event can lead to anything.

use shared::domain::IssueKeys;
use shared::gitlab::hooks::{HookEvent, ParsedHook};
use shared::store::ignored_deliveries::IgnoreReason;
use shared::sync::transform::issue_keys;

/// Why an event that names `named` can lead to nothing, if so. Pipelines and deployments get their keys from elsewhere; a
/// push without keys may be to the branch of a merge request that has some. Only the API tells. What has no keys may have lost
/// them: a merge request unless its hook says what else changed, what runs for one, and a feature flag, whose hook never does.
pub(crate) fn leads_to_nothing(
    hook: &ParsedHook,
    named: &IssueKeys,
    has_token: bool,
) -> Option<IgnoreReason> {
    match &hook.event {
        // What it does not say may have keys.
        _ if hook.missing.is_some() && has_token => None,
        HookEvent::Push(_) if has_token => None,
        HookEvent::MergeRequest { untold_changes: true, .. } | HookEvent::FeatureFlag(_) => None,
        // The commits that the hook does not list may have keys.
        HookEvent::Push(push) if named.is_empty() && !push.carries_all() => Some(IgnoreReason::TokenMissing),
        HookEvent::Push(_) | HookEvent::MergeRequest { .. } => {
            named.is_empty().then_some(IgnoreReason::NoIssueKeys)
        }
        HookEvent::BranchDeleted { .. } => None,
        HookEvent::Pipeline(pipeline) => {
            // The merge requests of its ref, which it belongs to the issues of, only the API tells.
            let is_known = !pipeline.merge_requests.is_empty() || !issue_keys(pipeline).is_empty();
            (!has_token && !is_known).then_some(IgnoreReason::TokenMissing)
        }
        HookEvent::Deployment(_) => (!has_token).then_some(IgnoreReason::TokenMissing),
    }
}

/// What an event that goes on leaves out: a hook lists the newest 20 commits of a push, and only the API the others.
pub(crate) fn leaves_out(event: &HookEvent, has_token: bool) -> Option<IgnoreReason> {
    match event {
        HookEvent::Push(push) if !has_token && !push.carries_all() => Some(IgnoreReason::CommitsLeftOut),
        _ => None,
    }
}
