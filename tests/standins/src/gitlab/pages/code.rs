//! Branches, commits and files.

use super::html::{Page, Value};
use super::{Place, date};
use crate::gitlab::state::{ChangeKind, Commit};

/// Longer histories are cut.
const MOST_COMMITS: usize = 50;

pub(super) fn commit(place: &Place<'_>, sha: &str) -> Option<Page> {
    let commit = place.project.repository.commit(sha)?;
    let files = commit.files.iter().map(|file| {
        let url = place.url(&format!("blob/{}/{}", commit.sha, file.new_path));
        let lines = format!("+{} −{}", file.added, file.removed);
        vec![Value::link(url, &file.new_path), Value::text(change(file.kind)), Value::text(lines)]
    });
    let parents = commit.parents.iter().map(|parent| vec![place.commit(parent)]);
    Some(
        place
            .page("Commit", commit.title())
            .fact("Hash", Value::code(&commit.sha))
            .fact("Message", Value::text(&commit.message))
            .fact("Author", Value::text(&commit.author_name))
            .fact("Authored", date(commit.authored_at))
            .table("Files", files.collect())
            .table("Parents", parents.collect()),
    )
}

pub(super) fn commits(place: &Place<'_>, git_ref: &str) -> Option<Page> {
    let repository = &place.project.repository;
    let head = repository.resolve(git_ref)?;
    let log = repository.log(&[&head.sha], &[], false);
    let rows = log.into_iter().take(MOST_COMMITS).map(|commit| row(place, commit)).collect();
    let kind = if repository.branches.contains_key(git_ref) { "Branch" } else { "Commits" };
    Some(place.page(kind, git_ref).fact("Last commit", place.commit(&head.sha)).table("Commits", rows))
}

/// `<sha>/<path>`. Contents of files are not stored, changes are.
pub(super) fn file(place: &Place<'_>, address: &str) -> Option<Page> {
    let (sha, path) = address.split_once('/')?;
    let repository = &place.project.repository;
    let head = repository.resolve(sha)?;
    let log = repository.log(&[&head.sha], &[], false);
    let changes: Vec<_> = log
        .into_iter()
        .filter(|commit| commit.files.iter().any(|file| file.new_path == path || file.old_path == path))
        .take(MOST_COMMITS)
        .map(|commit| row(place, commit))
        .collect();
    if changes.is_empty() {
        return None;
    }
    let note = "The stand-in stores how many lines a commit changed, and no contents.";
    let page = place.page("File", path).fact("At commit", place.commit(&head.sha));
    Some(page.fact("Contents", Value::text(note)).table("Commits that changed it", changes))
}

fn row(place: &Place<'_>, commit: &Commit) -> Vec<Value> {
    let (title, author) = (Value::text(commit.title()), Value::text(&commit.author_name));
    vec![place.commit(&commit.sha), title, author, date(commit.authored_at)]
}

fn change(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "Added",
        ChangeKind::Modified => "Modified",
        ChangeKind::Removed => "Removed",
        ChangeKind::Renamed => "Renamed",
    }
}
