//! Branches that issues show and GitLab no longer has, since no hook said that they were deleted: a push that deletes more than
//! three branches triggers none, and a disabled hook delivers none. Jira keeps what nobody deletes, so what is found here has to
//! be certain: a listing without the branch comes first, and each is asked for by itself before it is deleted
//! ([`super::Object::Branch`]).

use super::history::{Found, HistoryPage, ListError};
use super::{ProjectBatch, ProjectReader, ReadError};
use crate::domain::{BranchHistory, EntityKind, HistoryPlan, TaskFailure};
use crate::store::ledger::LedgerEntry;

/// Branches of a project that are looked at, which bounds a page to 50 calls.
const MAX_BRANCHES: usize = 5_000;

/// Names in a call, and their characters: a URL of 8 KB is what servers take, and a character may be written as nine.
const MAX_NAMES: usize = 100;
const MAX_CHARACTERS: usize = 2_000;

/// So many branches of a project may be removed without being asked; or one in ten, if that is more.
const FEW: usize = 20;
const ONE_IN: usize = 10;

/// A branch that issues show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownBranch {
    /// Its name.
    pub name: String,
    /// The head that it had when it was sent.
    pub head: String,
}

impl ShownBranch {
    /// None where the entry does not say its name.
    fn of(entry: LedgerEntry) -> Option<Self> {
        let head = entry.branch.as_ref().and_then(BranchHistory::head).unwrap_or_default().to_owned();
        Some(Self { name: entry.branch_name?, head })
    }
}

impl ProjectReader<'_> {
    /// Lists the branches that were sent before `plan` began and that GitLab no longer has.
    pub(super) async fn list_deleted_branches(&self, plan: &HistoryPlan) -> Result<HistoryPage, ListError> {
        let shown = self.shown_branches().await?;
        let of = shown.len();
        // What was sent meanwhile was there meanwhile.
        let sent_before = shown.into_iter().filter(|entry| entry.known_at() < plan.started_at);
        let branches: Vec<_> = sent_before.filter_map(ShownBranch::of).take(MAX_BRANCHES).collect();
        let mut gone = Vec::new();
        for names in chunks(&branches) {
            gone.extend(self.missing_of(names).await?);
        }
        if is_sweep(gone.len(), of) && !plan.deletes_many {
            let (gone, of) = (gone.len() as u64, of as u64);
            return Err(ListError::Task(TaskFailure::ManyBranchesGone { gone, of }));
        }
        Ok(HistoryPage {
            listed: of as u64,
            found: Found::DeletedBranches(gone),
            next: None,
            last: None,
            batch: ProjectBatch::default(),
        })
    }

    async fn shown_branches(&self) -> Result<Vec<LedgerEntry>, ListError> {
        let project = self.source.branch_key("").project;
        let entries = self.reader.access.store.project_ledger(self.site, &project, EntityKind::Branch).await;
        let entries = entries.map_err(|error| {
            ListError::Read(ReadError::Failed { reason: error.to_string(), may_pass: true })
        })?;
        Ok(entries.into_iter().filter(|entry| !entry.is_tombstone()).collect())
    }

    /// Those of `branches` that are not in a whole listing of them.
    async fn missing_of<'a>(
        &self,
        branches: &'a [ShownBranch],
    ) -> Result<impl Iterator<Item = ShownBranch> + 'a, ListError> {
        let names: Vec<&str> = branches.iter().map(|branch| branch.name.as_str()).collect();
        let listed = self.reader.client.branches(&self.source.project, &names).await;
        let (found, is_all) = match listed {
            Ok(listed) => listed,
            Err(error) => return Err(self.not_listed(error).await),
        };
        // An old GitLab ignores the names, and shows the first page of all branches.
        let missing =
            branches.iter().filter(move |branch| is_all && !found.iter().any(|it| it.name == branch.name));
        Ok(missing.cloned())
    }
}

/// Parts that fit into a call each.
fn chunks(branches: &[ShownBranch]) -> Vec<&[ShownBranch]> {
    let (mut chunks, mut begin, mut length) = (Vec::new(), 0, 0);
    for (index, branch) in branches.iter().enumerate() {
        let own = branch.name.chars().count();
        if index > begin && (index - begin == MAX_NAMES || length + own > MAX_CHARACTERS) {
            chunks.push(&branches[begin..index]);
            (begin, length) = (index, 0);
        }
        length += own;
    }
    chunks.push(&branches[begin..]);
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

/// Whether somebody has to say that so many branches were meant to be deleted.
fn is_sweep(gone: usize, of: usize) -> bool {
    gone > FEW.max(of / ONE_IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: impl IntoIterator<Item = String>) -> Vec<ShownBranch> {
        names.into_iter().map(|name| ShownBranch { name, head: String::new() }).collect()
    }

    #[test]
    fn every_name_is_in_one_call_that_is_not_too_long() {
        let mixed = (0..450).map(|number| "x".repeat(number % 60 + 1));
        let long = (0..3).map(|_| "y".repeat(3_000));
        for branches in [shown(mixed), shown(long), Vec::new()] {
            let chunks = chunks(&branches);
            assert_eq!(chunks.concat(), branches);
            for chunk in chunks {
                let length: usize = chunk.iter().map(|branch| branch.name.len()).sum();
                assert!(chunk.len() <= MAX_NAMES && (length <= MAX_CHARACTERS || chunk.len() == 1));
            }
        }
    }

    #[test]
    fn many_at_once_are_confirmed() {
        assert!(!is_sweep(20, 20));
        assert!(is_sweep(21, 21));
        assert!(!is_sweep(50, 500));
        assert!(is_sweep(51, 500));
    }
}
