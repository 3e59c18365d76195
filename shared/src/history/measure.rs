//! Metrics of a page that is done.

use crate::domain::{HistoryKind, HistorySlot, ProjectHistory, TaskProgress, TaskState};
use crate::telemetry::Measure;

/// Measures what has become of a project between `before` and `after`, which is a page later.
pub(super) fn measure(slot: HistorySlot, before: &ProjectHistory, after: &ProjectHistory) {
    let gained = |count: fn(&TaskProgress) -> u64| {
        let sum = |project: &ProjectHistory| project.tasks.iter().map(count).sum::<u64>();
        usize::try_from(sum(after).saturating_sub(sum(before))).unwrap_or(usize::MAX)
    };
    let kind = match slot.kind {
        HistoryKind::History => "history",
        HistoryKind::Audit => "audit",
    };
    let mut measure = Measure::new("did a page of history").by([("Kind", kind)]).counts([
        ("HistoryPages", usize::from(before.step < after.step)),
        ("HistoryProjectsEnded", usize::from(after.has_ended())),
        ("HistoryTasksFailed", gained(|task| u64::from(matches!(task.state, TaskState::Failed(_))))),
        ("HistoryListed", gained(|task| task.listed)),
        ("HistorySent", gained(|task| task.sent)),
        ("HistoryRefused", gained(|task| task.refused)),
        ("HistoryUnread", gained(|task| task.unread)),
    ]);
    if let Some(task) = before.current() {
        measure = measure.detail("task", format!("{:?}", task.task));
    }
    measure
        .detail("subscription.id", slot.link.to_string())
        .detail("project.path", after.project.path.as_str())
        .log();
}
