//! Commits that a force push took off a branch, for installations that want them to leave their issues
//! ([`ReplacedCommits::Remove`]). GitLab keeps such commits and says nothing of them, so this is inferred from what is
//! left: they were reachable from a head that a push names, are not from the head of today, and no branch or tag has them.

use std::collections::BTreeMap;

use super::{Commit, GitlabError, ProjectReader, Push, Read};

/// What becomes of commits that a force push replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplacedCommits {
    /// They stay on their issues.
    #[default]
    Keep,
    /// They leave them.
    Remove,
}

impl ProjectReader<'_> {
    /// The commits with keys that `pushes` to a branch name, whose head is `head` now, and that no branch and no tag has.
    /// Where that is not certain, they are left out.
    pub(super) async fn replaced_commits(&self, head: &str, pushes: &[&Push]) -> Read<Vec<Commit>> {
        if self.reader.access.replaced_commits == ReplacedCommits::Keep {
            return Ok(Vec::new());
        }
        let mut heads: Vec<&str> = pushes
            .iter()
            .flat_map(|push| push.before.iter().chain([&push.after]))
            .map(String::as_str)
            .filter(|known| *known != head)
            .collect();
        heads.sort_unstable();
        heads.dedup();
        let mut former: BTreeMap<String, Commit> = BTreeMap::new();
        for former_head in heads {
            let commits = self.only_in(former_head, head).await?;
            former.extend(commits.into_iter().map(|commit| (commit.sha.clone(), commit)));
        }
        let mut replaced = Vec::new();
        for commit in former.into_values() {
            if !self.is_anywhere(&commit).await? {
                replaced.push(commit);
            }
        }
        Ok(replaced)
    }

    /// The commits with keys that `former` has and `head` has not; of many, those of the newest page, since each costs a
    /// request.
    async fn only_in(&self, former: &str, head: &str) -> Read<Vec<Commit>> {
        let range = format!("{head}..{former}");
        match self.reader.client.commits(&self.source.project, &range, 1).await {
            Ok(page) => Ok(page.items.into_iter().filter(|commit| !commit.keys.is_empty()).collect()),
            Err(GitlabError::NotFound | GitlabError::Rejected(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether a branch or a tag has the commit, as far as GitLab says.
    async fn is_anywhere(&self, commit: &Commit) -> Read<bool> {
        match self.reader.client.is_on_a_ref(&self.source.project, &commit.sha).await {
            Err(GitlabError::NotFound) => Ok(true),
            answer => answer,
        }
    }
}
