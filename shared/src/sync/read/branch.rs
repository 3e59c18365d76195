//! Branches: the commits that were pushed, and the branch as it is now.

use super::hook::deleted_branch;
use super::{Commit, GitlabError, PendingEntity, ProjectReader, Push, Read};

/// GitLab's own app looks at this many commits of a push; also one page of the API.
const MAX_COMMITS: usize = 100;

impl ProjectReader<'_> {
    pub(super) async fn branch(
        &self,
        name: &str,
        pushes: &[&Push],
        deleted_head: Option<&str>,
    ) -> Read<Vec<PendingEntity>> {
        let mut pushed: Vec<Commit> = Vec::new();
        for push in pushes {
            for commit in self.pushed_commits(push).await? {
                if !pushed.iter().any(|known| known.sha == commit.sha) {
                    pushed.push(self.with_files(commit).await?);
                }
            }
        }
        let known_at = self.reader.now();
        let mut entities: Vec<_> =
            pushed.iter().map(|commit| PendingEntity::from(self.source.commit(commit, known_at))).collect();
        entities.extend(self.branch_now(name, deleted_head, &pushed).await?);
        Ok(entities)
    }

    /// The commits of a push that have keys, oldest first. The hook carries at most 20 and hides e-mail addresses.
    async fn pushed_commits(&self, push: &Push) -> Read<Vec<Commit>> {
        let carried_all = push.total <= push.commits.len() as u64;
        if carried_all && push.commits.iter().all(|commit| commit.keys.is_empty()) {
            return Ok(Vec::new());
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
        let mut commits = self.reader.client.commits(project, &range, 1).await?.items;
        commits.truncate(MAX_COMMITS);
        commits.reverse();
        Ok(commits)
    }

    async fn branch_now(
        &self,
        name: &str,
        deleted_head: Option<&str>,
        pushed: &[Commit],
    ) -> Read<Option<PendingEntity>> {
        let known_at = self.reader.now();
        match self.reader.client.branch(&self.source.project, name).await {
            Ok(branch) => {
                let keys = self.branch_keys(name, &branch.head.sha).await?;
                if keys.is_empty() {
                    return Ok(None);
                }
                let known = pushed.iter().find(|commit| commit.sha == branch.head.sha).cloned();
                let head = self.with_files(known.unwrap_or(branch.head)).await?;
                Ok(Some(self.source.branch(name, &head, keys, known_at).into()))
            }
            Err(GitlabError::NotFound) => match self.not_found().await {
                // It was deleted: a hook said so, or will.
                GitlabError::NotFound => {
                    Ok(deleted_head.map(|before| deleted_branch(self.source, name, before, known_at)))
                }
                error => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}
