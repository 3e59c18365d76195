//! Push hooks: commits, and branches that are created or deleted.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{HookError, HookEvent, ParsedHook, RawPerson, RawProject, is_sha, is_zero, required};
use crate::clock::Timestamp;
use crate::domain::IssueKeys;
use crate::gitlab::date;
use crate::gitlab::model::{Commit, Project, Push};
use crate::lenient;
use crate::text::clean;

/// Commits that a push hook lists at most.
const MAX_COMMITS: u64 = 20;

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawPush {
    before: Option<String>,
    after: Option<String>,
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    project_id: Option<u64>,
    #[serde(default, deserialize_with = "lenient::nested")]
    project: RawProject,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "lenient::nested_list")]
    commits: Vec<RawCommit>,
    total_commits_count: Option<u64>,
}

impl RawPush {
    pub(super) fn delivery(self) -> Result<ParsedHook, HookError> {
        const KIND: &str = "push";
        let git_ref = required(self.git_ref, KIND, "ref")?;
        let Some(branch) = git_ref.strip_prefix("refs/heads/").map(str::to_owned) else {
            return Err(HookError::Ignored("a push to no branch".to_owned()));
        };
        let before = required(self.before.filter(|sha| is_sha(sha)), KIND, "before")?;
        let after = required(self.after.filter(|sha| is_sha(sha)), KIND, "after")?;
        let project = self.project.project(self.project_id, KIND)?;
        let event = if is_zero(&after) {
            HookEvent::BranchDeleted { branch, before }
        } else {
            let some_are_odd = self.commits.iter().any(RawCommit::is_odd);
            let commits: Vec<_> =
                self.commits.into_iter().filter_map(|commit| commit.commit(&project)).collect();
            let listed = commits.len() as u64;
            // A list that is empty although the head moved, is cut, or has a commit that does not say what it is, is not the
            // whole truth.
            let moved = listed == 0 && !is_zero(&before) && before != after;
            let may_be_cut = self.total_commits_count.is_none() && listed >= MAX_COMMITS;
            let is_partial = moved || may_be_cut || some_are_odd;
            let said = self.total_commits_count.unwrap_or(listed);
            let total = said.max(listed + u64::from(is_partial));
            HookEvent::Push(Push {
                branch,
                before: Some(before).filter(|sha| !is_zero(sha)),
                after,
                commits,
                total,
            })
        };
        Ok(ParsedHook { project, event, missing: None })
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawCommit {
    id: Option<String>,
    pub(super) message: Option<String>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    timestamp: Option<Timestamp>,
    url: Option<String>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "lenient::nested")]
    author: Option<RawPerson>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "lenient::nested")]
    added: Option<Vec<IgnoredAny>>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "lenient::nested")]
    modified: Option<Vec<IgnoredAny>>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "lenient::nested")]
    removed: Option<Vec<IgnoredAny>>,
}

impl RawCommit {
    /// Whether it lacks what its issues are known by.
    fn is_odd(&self) -> bool {
        self.message.is_none() || !self.id.as_deref().is_some_and(is_sha)
    }

    pub(super) fn commit(self, project: &Project) -> Option<Commit> {
        let sha = self.id.filter(|sha| is_sha(sha))?;
        let message = self.message.unwrap_or_default();
        let lists = [self.added, self.modified, self.removed];
        let count = lists.iter().flatten().map(Vec::len).sum::<usize>();
        Some(Commit {
            keys: IssueKeys::extract([message.as_str()]),
            message: clean(&message, 1024),
            author: self.author.unwrap_or_default().person(),
            committed_at: self.timestamp,
            web_url: self.url.unwrap_or_else(|| format!("{}/-/commit/{sha}", project.web_url)),
            merge: false,
            file_count: lists.iter().any(Option::is_some).then(|| u32::try_from(count).unwrap_or(u32::MAX)),
            files: Vec::new(),
            parent: None,
            sha,
        })
    }
}
