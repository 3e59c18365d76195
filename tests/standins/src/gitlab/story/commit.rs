//! A commit to be pushed.

use time::OffsetDateTime;

use crate::gitlab::state::{ChangeKind, Commit, FileChange, User};

/// A commit to push. Author and date are the pusher's and now unless said otherwise.
#[derive(Clone)]
pub struct CommitSpec {
    message: String,
    author: Option<(String, String)>,
    at: Option<OffsetDateTime>,
    files: Vec<FileChange>,
}

/// A commit with this message and no changed files yet.
pub fn commit(message: &str) -> CommitSpec {
    CommitSpec { message: message.to_owned(), author: None, at: None, files: Vec::new() }
}

impl CommitSpec {
    /// The author, who need not have an account.
    #[must_use]
    pub fn by(mut self, name: &str, email: &str) -> Self {
        self.author = Some((name.to_owned(), email.to_owned()));
        self
    }

    /// When it was written and committed; its offset is kept.
    #[must_use]
    pub fn at(mut self, at: OffsetDateTime) -> Self {
        self.at = Some(at);
        self
    }

    /// Changes a file by so many added and removed lines.
    #[must_use]
    pub fn file(self, path: &str, added: u64, removed: u64) -> Self {
        self.change(path, path, ChangeKind::Modified, added, removed)
    }

    /// Adds a file of so many lines.
    #[must_use]
    pub fn adds(self, path: &str, lines: u64) -> Self {
        self.change(path, path, ChangeKind::Added, lines, 0)
    }

    /// Deletes a file of so many lines.
    #[must_use]
    pub fn deletes(self, path: &str, lines: u64) -> Self {
        self.change(path, path, ChangeKind::Removed, 0, lines)
    }

    /// Moves a file and changes it by so many lines.
    #[must_use]
    pub fn moves(self, old_path: &str, new_path: &str, added: u64, removed: u64) -> Self {
        self.change(old_path, new_path, ChangeKind::Renamed, added, removed)
    }

    fn change(mut self, old_path: &str, new_path: &str, kind: ChangeKind, added: u64, removed: u64) -> Self {
        let (old_path, new_path) = (old_path.to_owned(), new_path.to_owned());
        self.files.push(FileChange { old_path, new_path, kind, added, removed });
        self
    }

    /// The commit on top of `parents`, not stored and not named yet.
    pub(crate) fn onto(self, parents: Vec<String>, pusher: &User, now: OffsetDateTime) -> Commit {
        let (author_name, author_email) =
            self.author.unwrap_or_else(|| (pusher.name.clone(), pusher.email.clone()));
        let at = self.at.unwrap_or(now);
        Commit {
            sha: String::new(),
            order: 0,
            parents,
            message: self.message,
            author_name,
            author_email,
            authored_at: at,
            committed_at: at,
            files: self.files,
        }
    }
}
