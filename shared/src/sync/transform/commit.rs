//! Commits and branches.

use super::{Source, branch_id, date, encode_path, encode_value};
use crate::clock::Timestamp;
use crate::domain::{EntityKey, EntityKind, IssueKeys};
use crate::gitlab::model::{ChangedFile, Commit, FileChange};
use crate::jira::model;
use crate::sync::entity::{Content, Entity, EntityVersion};
use crate::text::{clean, clean_or, url_or};

/// How many files of a commit Jira takes.
const MAX_FILES: usize = 10;

/// The rank of a commit whose files are known, and of its deletion.
const WITH_FILES: u8 = 1;

/// How many characters of a SHA people read.
const SHORT_SHA: usize = 8;

impl Source {
    /// A commit, filed under the keys of its message.
    #[must_use]
    pub fn commit(&self, commit: &Commit, known_at: Timestamp) -> Entity {
        let issue_keys = commit.keys.clone();
        let content = self.commit_fields(commit, issue_keys.as_slice(), known_at);
        // What a hook alone says of a commit must not replace what was read with its files.
        let rank = if commit.files.is_empty() { 0 } else { WITH_FILES };
        let version = EntityVersion { known_at, changed_at: None, rank, from_hook: false };
        let (key, label) = self.commit_identity(commit);
        self.entity(key, label, issue_keys, version, Content::Commit(Box::new(content)))
    }

    /// That a commit is gone from its project's branches.
    #[must_use]
    pub fn deleted_commit(&self, commit: &Commit, known_at: Timestamp) -> Entity {
        let (key, label) = self.commit_identity(commit);
        let mut deleted = self.deleted(key, label, commit.keys.clone(), known_at);
        deleted.version.rank = WITH_FILES;
        deleted
    }

    fn commit_identity(&self, commit: &Commit) -> (EntityKey, String) {
        let label = format!("{}@{}", self.project.path, short(&commit.sha));
        (self.key(EntityKind::Commit, commit.sha.clone()), label)
    }

    /// A branch with its newest commit. A commit without keys of its own carries the branch's.
    #[must_use]
    pub fn branch(&self, name: &str, head: &Commit, issue_keys: IssueKeys, known_at: Timestamp) -> Entity {
        let head_keys = if head.keys.is_empty() { &issue_keys } else { &head.keys };
        let new_merge_request =
            format!("/-/merge_requests/new?merge_request%5Bsource_branch%5D={}", encode_value(name));
        let branch = model::Branch {
            id: branch_id(name),
            issue_keys: issue_keys.as_slice().to_vec(),
            name: clean(name, 512),
            last_commit: self.commit_fields(head, head_keys.as_slice(), known_at),
            create_pull_request_url: Some(self.page(&new_merge_request)),
            url: self.commits_page(name),
            update_sequence_id: known_at.0,
        };
        let version = EntityVersion { known_at, changed_at: None, rank: 0, from_hook: false };
        let label = format!("{}:{name}", self.project.path);
        self.entity(self.branch_key(name), label, issue_keys, version, Content::Branch(Box::new(branch)))
    }

    fn commit_fields(&self, commit: &Commit, issue_keys: &[String], known_at: Timestamp) -> model::Commit {
        let count =
            commit.file_count.unwrap_or_else(|| u32::try_from(commit.files.len()).unwrap_or(u32::MAX));
        model::Commit {
            id: commit.sha.clone(),
            hash: commit.sha.clone(),
            display_id: short(&commit.sha).to_owned(),
            issue_keys: issue_keys.to_vec(),
            message: clean(&commit.message, 1024),
            flags: if commit.merge { vec![model::CommitFlag::MergeCommit] } else { Vec::new() },
            author: self.author(&commit.author),
            file_count: count,
            files: commit.files.iter().take(MAX_FILES).map(|file| self.file(commit, file)).collect(),
            author_timestamp: date(commit.committed_at, known_at),
            url: url_or(&commit.web_url, &self.page(&format!("/-/commit/{}", commit.sha))),
            update_sequence_id: known_at.0,
        }
    }

    fn file(&self, commit: &Commit, file: &ChangedFile) -> model::File {
        let (path, change_type) = match file.change {
            FileChange::New => (&file.new_path, model::ChangeType::Added),
            FileChange::Deleted => (&file.old_path, model::ChangeType::Deleted),
            FileChange::Renamed => (&file.new_path, model::ChangeType::Moved),
            FileChange::Modified => (&file.new_path, model::ChangeType::Modified),
        };
        // A deleted file can still be seen in the commit before.
        let sha = match (file.change, &commit.parent) {
            (FileChange::Deleted, Some(parent)) => parent,
            _ => &commit.sha,
        };
        model::File {
            path: clean_or(path, 1024, "unnamed"),
            change_type,
            lines_added: file.added,
            lines_removed: file.removed,
            url: self.page(&format!("/-/blob/{sha}/{}", encode_path(path))),
        }
    }
}

/// As much of a SHA as people read.
pub(in crate::sync) fn short(sha: &str) -> &str {
    sha.get(..SHORT_SHA).unwrap_or(sha)
}
