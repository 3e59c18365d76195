//! Commits, branches and tags, and the walks over them that `git log` would do.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use aws_lc_rs::digest;
use time::OffsetDateTime;

/// Git's way to write "no commit": the `before` of a new ref, the `after` of a deleted one.
pub(crate) const NO_COMMIT: &str = "0000000000000000000000000000000000000000";
/// Fewer digits are not accepted as an abbreviated commit id.
const SHORTEST_ABBREVIATION: usize = 7;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Removed,
    Renamed,
}

#[derive(Clone)]
pub(crate) struct FileChange {
    pub(crate) old_path: String,
    pub(crate) new_path: String,
    pub(crate) kind: ChangeKind,
    pub(crate) added: u64,
    pub(crate) removed: u64,
}

impl FileChange {
    /// The hunks of a unified diff, as the API gives them: without the two file header lines. The first
    /// changed lines begin with `++` and `--` themselves, so a reader that skips header look-alikes miscounts.
    pub(crate) fn diff(&self) -> String {
        let mut text = format!("@@ -{} +{} @@\n", hunk_range(self.removed), hunk_range(self.added));
        for line in 0..self.removed {
            text.push_str(&if line == 0 {
                "--- old remark\n".to_owned()
            } else {
                format!("-old line {line}\n")
            });
        }
        for line in 0..self.added {
            text.push_str(&if line == 0 {
                "+++counter;\n".to_owned()
            } else {
                format!("+new line {line}\n")
            });
        }
        text
    }
}

fn hunk_range(lines: u64) -> String {
    if lines == 0 { "0,0".to_owned() } else { format!("1,{lines}") }
}

#[derive(Clone)]
pub(crate) struct Commit {
    pub(crate) sha: String,
    /// Larger than every parent's.
    pub(crate) order: u64,
    pub(crate) parents: Vec<String>,
    pub(crate) message: String,
    pub(crate) author_name: String,
    pub(crate) author_email: String,
    pub(crate) authored_at: OffsetDateTime,
    pub(crate) committed_at: OffsetDateTime,
    pub(crate) files: Vec<FileChange>,
}

impl Commit {
    pub(crate) fn title(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    pub(crate) fn short_id(&self) -> &str {
        &self.sha[..8]
    }

    pub(crate) fn additions(&self) -> u64 {
        self.files.iter().map(|file| file.added).sum()
    }

    pub(crate) fn deletions(&self) -> u64 {
        self.files.iter().map(|file| file.removed).sum()
    }
}

pub(crate) struct Branch {
    pub(crate) head: String,
    pub(crate) protected: bool,
}

#[derive(Default)]
pub(crate) struct Repository {
    commits: HashMap<String, Commit>,
    pub(crate) branches: BTreeMap<String, Branch>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Repository {
    /// Stores a commit and names it. `salt` keeps equal commits of different projects apart.
    pub(crate) fn add(&mut self, mut commit: Commit, salt: u64) -> String {
        commit.order = self.commits.len() as u64 + 1;
        let text = format!("{salt}\n{}\n{:?}\n{}", commit.order, commit.parents, commit.message);
        let sum = hex::encode(digest::digest(&digest::SHA256, text.as_bytes()));
        commit.sha = sum[..40].to_owned();
        let sha = commit.sha.clone();
        self.commits.insert(sha.clone(), commit);
        sha
    }

    pub(crate) fn commit(&self, sha: &str) -> Option<&Commit> {
        self.commits.get(sha)
    }

    /// The commit of a ref that is known to exist.
    pub(crate) fn head(&self, branch: &str) -> Option<&Commit> {
        self.branches.get(branch).and_then(|branch| self.commit(&branch.head))
    }

    /// A branch, a tag, a commit id or its first digits.
    pub(crate) fn resolve(&self, name: &str) -> Option<&Commit> {
        let branch = name.strip_prefix("refs/heads/").unwrap_or(name);
        let tag = name.strip_prefix("refs/tags/").unwrap_or(name);
        self.head(branch)
            .or_else(|| self.tags.get(tag).and_then(|sha| self.commit(sha)))
            .or_else(|| self.commit(name))
            .or_else(|| self.abbreviated(name))
    }

    fn abbreviated(&self, digits: &str) -> Option<&Commit> {
        if digits.len() < SHORTEST_ABBREVIATION {
            return None;
        }
        self.commits.values().find(|commit| commit.sha.starts_with(digits))
    }

    /// Commits reachable from `include` and from none of `exclude`, newest first.
    pub(crate) fn log(&self, include: &[&str], exclude: &[&str], first_parent: bool) -> Vec<&Commit> {
        let mut walk = Walk { queue: BinaryHeap::new(), hidden: HashMap::new(), wanted: 0 };
        include.iter().filter_map(|sha| self.commit(sha)).for_each(|commit| walk.add(commit, false));
        exclude.iter().filter_map(|sha| self.commit(sha)).for_each(|commit| walk.add(commit, true));
        let mut found = Vec::new();
        while walk.wanted > 0 {
            let Some((commit, hidden)) =
                walk.next().and_then(|(sha, hidden)| Some((self.commit(&sha)?, hidden)))
            else {
                break;
            };
            if !hidden {
                found.push(commit);
            }
            let followed = if first_parent && !hidden { 1 } else { commit.parents.len() };
            for parent in commit.parents.iter().take(followed).filter_map(|sha| self.commit(sha)) {
                walk.add(parent, hidden);
            }
        }
        found
    }

    /// The newest commit both sides share: where what only `one` has was started.
    pub(crate) fn merge_base(&self, one: &str, other: &str) -> Option<&Commit> {
        let own = self.log(&[one], &[other], false);
        if own.is_empty() {
            return self.commit(one);
        }
        let parents = own.iter().flat_map(|commit| &commit.parents).filter_map(|sha| self.commit(sha));
        let is_own = |commit: &Commit| own.iter().any(|known| known.order == commit.order);
        parents.filter(|parent| !is_own(parent)).max_by_key(|parent| parent.order)
    }
}

/// A walk from children to parents. Children always come first, so a commit's mark is final when it is taken.
struct Walk {
    queue: BinaryHeap<(u64, String)>,
    hidden: HashMap<String, bool>,
    wanted: usize,
}

impl Walk {
    fn add(&mut self, commit: &Commit, hidden: bool) {
        match self.hidden.get_mut(&commit.sha) {
            None => {
                self.hidden.insert(commit.sha.clone(), hidden);
                self.queue.push((commit.order, commit.sha.clone()));
                self.wanted += usize::from(!hidden);
            }
            Some(mark) if hidden && !*mark => {
                *mark = true;
                self.wanted -= 1;
            }
            Some(_) => {}
        }
    }

    fn next(&mut self) -> Option<(String, bool)> {
        let (_, sha) = self.queue.pop()?;
        let hidden = self.hidden.get(&sha).copied().unwrap_or_default();
        self.wanted -= usize::from(!hidden);
        Some((sha, hidden))
    }
}
