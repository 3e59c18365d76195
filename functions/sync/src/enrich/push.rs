//! Pushes: commits, and the branch as it is now.

use super::{
    Candidate, Commit, GitlabError, GitlabReader, HookEvent, IssueKeys, Push, PushedHead, Read, Task,
    Timestamp,
};

/// GitLab's own app looks at this many commits of a push; also one page of the API.
const MAX_COMMITS: usize = 100;

impl Task<'_> {
    pub(super) async fn read_branch(&self, reader: &GitlabReader<'_>) -> Read<Vec<Candidate>> {
        let mut candidates = Vec::new();
        let mut enriched: Vec<Commit> = Vec::new();
        for push in self.pushes() {
            for commit in self.pushed_commits(reader, push).await? {
                if !enriched.iter().any(|known| known.sha == commit.sha) {
                    enriched.push(self.with_files(reader, commit).await?);
                }
            }
        }
        let known_at = reader.now();
        candidates
            .extend(enriched.iter().map(|commit| Candidate::from(self.source.commit(commit, known_at))));
        candidates.extend(self.branch_now(reader, &enriched).await?);
        Ok(candidates)
    }

    fn pushes(&self) -> impl Iterator<Item = &Push> {
        self.events.iter().filter_map(|event| match &event.event {
            HookEvent::Push(push) => Some(push),
            _ => None,
        })
    }

    /// The commits of a push that have keys, oldest first. The hook carries at most 20 and hides addresses.
    async fn pushed_commits(&self, reader: &GitlabReader<'_>, push: &Push) -> Read<Vec<Commit>> {
        let carried_all = push.total <= push.commits.len() as u64;
        if carried_all && push.commits.iter().all(|commit| commit.keys.is_empty()) {
            return Ok(Vec::new());
        }
        let commits = match self.listed(reader, push).await {
            // The old head is gone after a force push, or the new one already.
            Err(GitlabError::NotFound | GitlabError::Rejected(_)) => push.commits.clone(),
            Ok(listed) if listed.is_empty() => push.commits.clone(),
            listed => listed?,
        };
        Ok(commits.into_iter().filter(|commit| !commit.keys.is_empty()).collect())
    }

    async fn listed(&self, reader: &GitlabReader<'_>, push: &Push) -> Read<Vec<Commit>> {
        let project = &self.source.project;
        let base = push.before.clone().or_else(|| {
            // What a new branch adds is what the default branch does not have.
            project.default_branch.clone().filter(|default| *default != push.branch)
        });
        let range = base.map_or_else(|| push.after.clone(), |base| format!("{base}..{}", push.after));
        let mut commits = reader.client.commits(project, &range, 1).await?.items;
        commits.truncate(MAX_COMMITS);
        commits.reverse();
        Ok(commits)
    }

    async fn branch_now(&self, reader: &GitlabReader<'_>, enriched: &[Commit]) -> Read<Option<Candidate>> {
        let Some((name, deletion)) = self.branch_name() else {
            return Ok(None);
        };
        let known_at = reader.now();
        match reader.client.branch(&self.source.project, name).await {
            Ok(branch) => {
                let keys = self.branch_keys(reader, name, &branch.head.sha).await?;
                if keys.is_empty() {
                    return Ok(None);
                }
                let known = enriched.iter().find(|commit| commit.sha == branch.head.sha).cloned();
                let head = self.with_files(reader, known.unwrap_or(branch.head)).await?;
                Ok(Some(self.source.branch(name, &head, keys, known_at).into()))
            }
            Err(GitlabError::NotFound) => match self.not_found(reader).await {
                // Gone: a hook said so, or will.
                GitlabError::NotFound => {
                    Ok(deletion.map(|before| self.deleted_branch(name, before, known_at)))
                }
                error => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// The branch that all events are about, and the head it had if one of them says that it is gone.
    fn branch_name(&self) -> Option<(&str, Option<&str>)> {
        let deletion = self.events.iter().rev().find_map(|event| match &event.event {
            HookEvent::BranchDeleted { before, .. } => Some(before.as_str()),
            _ => None,
        });
        match &self.events.last()?.event {
            HookEvent::Push(push) => Some((&push.branch, deletion)),
            HookEvent::BranchDeleted { branch, .. } => Some((branch, deletion)),
            _ => None,
        }
    }

    pub(super) fn deleted_branch(&self, branch: &str, before: &str, known_at: Timestamp) -> Candidate {
        let label = format!("{}:{branch}", self.source.project.path);
        let entity = self.source.deleted(
            self.source.branch_key(branch),
            label,
            IssueKeys::extract([branch]),
            known_at,
        );
        Candidate { entity, push: None, deleted_head: Some(before.to_owned()) }
    }

    /// What a push's hook says by itself.
    pub(super) fn pushed(&self, push: &Push, known_at: Timestamp) -> Vec<Candidate> {
        let keyed = push.commits.iter().filter(|commit| !commit.keys.is_empty());
        let mut candidates: Vec<_> =
            keyed.map(|commit| Candidate::from(self.source.commit(commit, known_at))).collect();
        let keys = IssueKeys::extract([push.branch.as_str()]);
        if !keys.is_empty() {
            let head = push.commits.iter().find(|commit| commit.sha == push.after).cloned();
            let head = head.unwrap_or_else(|| self.bare_commit(&push.after, known_at));
            let entity = self.source.branch(&push.branch, &head, keys, known_at);
            let pushed = PushedHead { creates: push.before.is_none(), head: push.after.clone() };
            candidates.push(Candidate { entity, push: Some(pushed), deleted_head: None });
        }
        candidates
    }

    /// A commit of which only the SHA is known: a new branch at an old commit.
    fn bare_commit(&self, sha: &str, known_at: Timestamp) -> Commit {
        Commit {
            sha: sha.to_owned(),
            message: String::new(),
            keys: IssueKeys::default(),
            author: shared::gitlab::model::Person::default(),
            committed_at: Some(known_at),
            web_url: format!("{}/-/commit/{sha}", self.source.project.web_url),
            merge: false,
            file_count: None,
            files: Vec::new(),
            parent: None,
        }
    }
}
