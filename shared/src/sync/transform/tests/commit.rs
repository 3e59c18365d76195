//! Commits: files, what comes from a hook alone, and odd names.

use super::*;
use crate::jira::model::{ChangeType, Commit as JiraCommit};

fn sent(commit: &Commit) -> JiraCommit {
    content!(source().commit(commit, KNOWN_AT), Commit)
}

/// GitLab's own app sends changed lines here.
#[test]
fn file_count_is_the_number_of_files() {
    let count = |file_count, files: usize| {
        let files = vec![file(FileChange::Modified); files];
        sent(&Commit { file_count, files, ..commit() }).file_count
    };
    assert_eq!(count(Some(12), 10), 12);
    assert_eq!(count(None, 3), 3);
    assert_eq!(count(None, 0), 0);
}

#[test]
fn jira_gets_at_most_ten_files() {
    let files = vec![file(FileChange::Modified); 11];
    assert_eq!(sent(&Commit { files, ..commit() }).files.len(), 10);
}

#[test]
fn each_change_of_a_file_has_its_word_path_and_page() {
    let new = format!("{PROJECT_URL}/-/blob/{SHA}/src/new.rs");
    for (change, word, path, url) in [
        (FileChange::New, ChangeType::Added, "src/new.rs", &new),
        (FileChange::Renamed, ChangeType::Moved, "src/new.rs", &new),
        (FileChange::Modified, ChangeType::Modified, "src/new.rs", &new),
        // It can still be seen in the commit before.
        (
            FileChange::Deleted,
            ChangeType::Deleted,
            "src/old.rs",
            &format!("{PROJECT_URL}/-/blob/{PARENT}/src/old.rs"),
        ),
    ] {
        let files = vec![file(change)];
        let sent = sent(&Commit { files, ..commit() }).files.remove(0);
        assert_eq!((sent.change_type, sent.path.as_str(), &sent.url), (word, path, url));
        assert_eq!((sent.lines_added, sent.lines_removed), (9, 3));
    }
}

#[test]
fn a_file_deleted_by_a_commit_whose_parent_is_unknown_links_to_the_commit() {
    let files = vec![file(FileChange::Deleted)];
    let sent = sent(&Commit { files, parent: None, ..commit() });
    assert_eq!(sent.files[0].url, format!("{PROJECT_URL}/-/blob/{SHA}/src/old.rs"));
}

/// M6.
#[test]
fn keys_are_found_anywhere_in_a_merge_commits_message() {
    let message = "Merge branch 'staging' into 'master'\n\nFixes bug described in PROJ-1234";
    let sent = sent(&Commit { keys: IssueKeys::extract([message]), message: message.to_owned(), ..commit() });
    assert_eq!(sent.issue_keys, ["PROJ-1234"]);
    assert_eq!(sent.message, message);
}

#[test]
fn a_commit_with_one_parent_has_no_flags() {
    assert_eq!(sent(&Commit { merge: false, ..commit() }).flags, []);
}

#[test]
fn a_commit_without_a_date_was_made_when_we_saw_it() {
    let sent = sent(&Commit { committed_at: None, ..commit() });
    assert_eq!(sent.author_timestamp, "2026-01-05T10:00:00.123Z");
}

#[test]
fn what_was_read_with_its_files_is_not_replaced_by_what_a_hook_says() {
    let read = source().commit(&commit(), KNOWN_AT).version;
    let from_hook = source().commit(&Commit { files: Vec::new(), ..commit() }, KNOWN_AT.after(HOUR)).version;
    assert!(!from_hook.supersedes(&read));
    let read_again = source().commit(&commit(), KNOWN_AT.after(2 * HOUR)).version;
    assert!(read_again.supersedes(&from_hook));
}

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

#[test]
fn a_page_that_is_no_web_address_gives_way_to_the_one_we_know() {
    for web_url in ["", "javascript:alert(1)", "/acme/payments/api/-/commit/1"] {
        let sent = sent(&Commit { web_url: web_url.to_owned(), ..commit() });
        assert_eq!(sent.url, format!("{PROJECT_URL}/-/commit/{SHA}"), "{web_url}");
    }
}

#[test]
fn odd_paths_stay_in_the_text_and_are_encoded_in_the_address() {
    let odd = ChangedFile { new_path: "<script>/a b#c?d%2F\"é".to_owned(), ..file(FileChange::New) };
    let sent = sent(&Commit { files: vec![odd], ..commit() }).files.remove(0);
    assert_eq!(sent.path, "<script>/a b#c?d%2F\"é");
    assert_eq!(sent.url, format!("{PROJECT_URL}/-/blob/{SHA}/%3Cscript%3E/a%20b%23c%3Fd%252F%22%C3%A9"));
}
