//! Branches that issues show and GitLab no longer has, since no hook said that they were deleted: a push that deletes
//! more than three branches triggers none, and a disabled hook delivers none. Jira keeps what nobody deletes, so what
//! is found here has to be certain: a listing without the branch comes first, and each is asked for by itself before it
//! is deleted ([`super::Object::Branch`]).

use std::collections::HashSet;

use super::history::{Found, HistoryPage, ListError, ShownBranch};
use super::{ProjectBatch, ProjectReader};
use crate::domain::{BranchHistory, Cursor, EntityKind, HistoryPlan, TaskFailure};
use crate::store::ledger::LedgerEntry;

/// Branches of a project that are looked at, and that are removed in a page: each of these is a call of GitLab and one
/// of Jira.
const MAX_BRANCHES: usize = 5_000;
const MAX_REMOVED: usize = 100;

/// So many branches of a project may be removed without being asked; or one in ten, if that is more.
const FEW: usize = 20;
const ONE_IN: usize = 10;

impl ShownBranch {
    /// None where the entry does not say its name.
    fn of(entry: LedgerEntry) -> Option<Self> {
        let head = entry.branch.as_ref().and_then(BranchHistory::head).unwrap_or_default().to_owned();
        Some(Self { name: entry.branch_name?, head })
    }
}

impl ProjectReader<'_> {
    /// Lists branches that were sent before `plan` began and that GitLab no longer has. What a page removes is shown no
    /// longer, so the next one begins at the beginning; `cursor` bounds their number.
    pub(super) async fn list_deleted_branches(
        &self,
        cursor: Cursor,
        plan: &HistoryPlan,
    ) -> Result<HistoryPage, ListError> {
        let shown = self.shown_branches().await?;
        let of = shown.len();
        // What was sent meanwhile was there meanwhile.
        let sent_before = shown.into_iter().filter(|entry| entry.known_at() < plan.started_at);
        let branches: Vec<_> = sent_before.filter_map(ShownBranch::of).take(MAX_BRANCHES).collect();
        let mut gone = self.missing_of(branches).await?;
        if is_sweep(gone.len(), of) && !plan.deletes_many {
            let (gone, of) = (gone.len() as u64, of as u64);
            return Err(ListError::Task(TaskFailure::ManyBranchesGone { gone, of }));
        }
        let has_more = gone.len() > MAX_REMOVED && (cursor.page as usize) < MAX_BRANCHES / MAX_REMOVED;
        gone.truncate(MAX_REMOVED);
        Ok(HistoryPage {
            listed: if cursor.page == Cursor::FIRST.page { of as u64 } else { 0 },
            found: Found::DeletedBranches(gone),
            next: has_more.then_some(Cursor { page: cursor.page + 1, ..Cursor::FIRST }),
            last: None,
            batch: ProjectBatch::default(),
        })
    }

    async fn shown_branches(&self) -> Result<Vec<LedgerEntry>, ListError> {
        let project = self.source.branch_key("").project;
        let entries = self.reader.access.store.project_ledger(self.site, &project, EntityKind::Branch).await;
        Ok(entries.map_err(ListError::Store)?.into_iter().filter(|entry| !entry.is_tombstone()).collect())
    }

    /// Those of `branches` that are not in a whole listing of them.
    async fn missing_of(&self, mut branches: Vec<ShownBranch>) -> Result<Vec<ShownBranch>, ListError> {
        let names: Vec<&str> = branches.iter().map(|branch| branch.name.as_str()).collect();
        let (found, is_all) = match self.reader.client.branches(&self.source.project, &names).await {
            Ok(listed) => listed,
            Err(error) => return Err(self.not_listed(error).await),
        };
        let found: HashSet<&str> = found.iter().map(|branch| branch.name.as_str()).collect();
        // An old GitLab ignores the names, and shows the first page of all branches.
        branches.retain(|branch| is_all && !found.contains(branch.name.as_str()));
        Ok(branches)
    }
}

/// Whether somebody has to say that so many branches were meant to be deleted.
fn is_sweep(gone: usize, of: usize) -> bool {
    gone > FEW.max(of / ONE_IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_are_confirmed() {
        assert!(!is_sweep(20, 20));
        assert!(is_sweep(21, 21));
        assert!(!is_sweep(50, 500));
        assert!(is_sweep(51, 500));
    }
}
