//! Branches: the commits that were pushed, and the branch as it is now.

use super::hook::{deleted_branch, keyless_branch};
use super::{Branch, Commit, GitlabError, IssueKeys, PendingEntity, ProjectReader, Push, Read, Timestamp};
use crate::store::ignored_deliveries::IgnoreReason;

/// So many commits of a push are looked at, the newest: five pages of the API. GitLab's own app looks at 100.
const MAX_COMMITS: usize = 500;

impl ProjectReader<'_> {
    pub(super) async fn branch(
        &self,
        name: &str,
        pushes: &[&Push],
        deleted_head: Option<&str>,
    ) -> Read<Vec<PendingEntity>> {
        let (branch_known_at, branch) = self.branch_head(name).await?;
        let replaced = match &branch {
            Some(branch) => self.replaced_commits(&branch.head.sha, pushes).await?,
            None => Vec::new(),
        };
        let mut pushed: Vec<Commit> = Vec::new();
        for push in pushes {
            for commit in self.pushed_commits(push).await? {
                if !pushed.iter().chain(&replaced).any(|known| known.sha == commit.sha) {
                    pushed.push(self.with_files(commit).await?);
                }
            }
        }
        let known_at = self.reader.now();
        let mut entities: Vec<_> =
            pushed.iter().map(|commit| PendingEntity::from(self.source.commit(commit, known_at))).collect();
        entities.extend(replaced.iter().map(|commit| self.source.deleted_commit(commit, known_at).into()));
        let branch = match branch {
            Some(branch) => self.branch_now(branch, &pushed, branch_known_at).await?,
            // It was deleted: a hook said so, or will.
            None => deleted_head.map(|before| deleted_branch(self.source, name, before, branch_known_at)),
        };
        entities.extend(branch);
        Ok(entities)
    }

    /// A commit that was listed, with its files.
    pub(super) async fn listed_commit(&self, commit: &Commit) -> Read<Vec<PendingEntity>> {
        let known_at = self.reader.now();
        let commit = self.with_files(commit.clone()).await?;
        Ok(vec![self.source.commit(&commit, known_at).into()])
    }

    /// The commits of a push that have keys, oldest first. The hook carries at most 20 and hides e-mail addresses.
    async fn pushed_commits(&self, push: &Push) -> Read<Vec<Commit>> {
        if push.carries_all() {
            let mut known = Vec::new();
            let keyed: Vec<_> = push.commits.iter().filter(|commit| !commit.keys.is_empty()).collect();
            for commit in &keyed {
                known.extend(self.known_commit(&commit.sha).await);
            }
            if known.len() == keyed.len() {
                return Ok(known);
            }
        }
        let commits = match self.listed(push).await {
            // The old head is gone after a force push, or the new one already.
            Err(GitlabError::NotFound | GitlabError::Rejected(_)) => push.commits.clone(),
            Ok(listed) if listed.is_empty() => push.commits.clone(),
            listed => listed?,
        };
        Ok(commits.into_iter().filter(|commit| !commit.keys.is_empty()).collect())
    }

    async fn listed(&self, push: &Push) -> Read<Vec<Commit>> {
        let project = &self.source.project;
        let base = push.before.clone().or_else(|| {
            // What a new branch adds is what the default branch does not have.
            project.default_branch.clone().filter(|default| *default != push.branch)
        });
        let range = base.map_or_else(|| push.after.clone(), |base| format!("{base}..{}", push.after));
        let (mut commits, mut next) = (Vec::new(), Some(1));
        while let Some(page) = next.filter(|_| commits.len() < MAX_COMMITS) {
            let read = self.reader.client.commits(project, &range, page).await?;
            commits.extend(read.items);
            next = read.next;
        }
        if next.is_some() {
            self.note_left_out(push).await;
        }
        commits.truncate(MAX_COMMITS);
        commits.reverse();
        Ok(commits)
    }

    async fn note_left_out(&self, push: &Push) {
        let own = IssueKeys::extract([push.branch.as_str()]);
        let keys = push.commits.iter().fold(own, |keys, commit| keys.union(&commit.keys));
        let label = format!("{} branch {}", self.source.project.path, push.branch);
        self.reader.note_ignored(label, &keys, IgnoreReason::CommitsLeftOut).await;
    }

    async fn branch_now(
        &self,
        branch: Branch,
        pushed: &[Commit],
        known_at: Timestamp,
    ) -> Read<Option<PendingEntity>> {
        let keys = self.branch_keys(&branch.name, &branch.head.sha).await?;
        if keys.items.is_empty() {
            return Ok(keys.is_all.then(|| keyless_branch(self.source, &branch.name, known_at)));
        }
        let known = pushed.iter().find(|commit| commit.sha == branch.head.sha).cloned();
        let head = self.with_files(known.unwrap_or(branch.head)).await?;
        Ok(Some(self.source.branch(&branch.name, &head, keys.items, known_at).into()))
    }
}
