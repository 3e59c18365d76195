//! Merge requests: their statuses, their reviewers, and what a hook leaves out.

use super::*;
use crate::jira::model::{ApprovalStatus, PullRequest, PullRequestStatus};

fn sent(merge_request: &MergeRequest) -> PullRequest {
    content!(source().merge_request(merge_request, KNOWN_AT, false), PullRequest)
}

#[test]
fn states_and_drafts() {
    for (state, draft, status) in [
        ("opened", false, PullRequestStatus::Open),
        ("locked", false, PullRequestStatus::Open),
        ("opened", true, PullRequestStatus::Draft),
        ("locked", true, PullRequestStatus::Draft),
        ("merged", false, PullRequestStatus::Merged),
        // A draft that was merged or closed is no draft any more.
        ("merged", true, PullRequestStatus::Merged),
        ("closed", true, PullRequestStatus::Declined),
        ("closed", false, PullRequestStatus::Declined),
        ("made up", false, PullRequestStatus::Unknown),
    ] {
        assert_eq!(
            sent(&MergeRequest { state: state.to_owned(), draft, ..merge_request() }).status,
            status,
            "{state}"
        );
    }
}

#[test]
fn a_reviewer_who_reviewed_without_approving_wants_work() {
    let statuses: Vec<_> =
        sent(&merge_request()).reviewers.iter().map(|reviewer| reviewer.approval_status).collect();
    assert_eq!(statuses, [ApprovalStatus::Approved, ApprovalStatus::NeedsWork, ApprovalStatus::Unapproved]);
}

/// M1, M2.
#[test]
fn notes_of_people_are_counted() {
    assert_eq!(sent(&merge_request()).comment_count, 2);
    assert_eq!(sent(&MergeRequest { notes: 0, ..merge_request() }).comment_count, 0);
}

/// GitLab's own app sends the last edit of title or description.
#[test]
fn last_update_is_when_anything_last_changed() {
    assert_eq!(sent(&merge_request()).last_update, "2026-01-05T09:59:00.000Z");
    let undated = MergeRequest { updated_at: None, ..merge_request() };
    assert_eq!(sent(&undated).last_update, "2026-01-05T10:00:00.123Z");
}

#[test]
fn a_merge_request_from_a_fork_links_to_the_forks_branch() {
    let from_fork = MergeRequest {
        source_project_id: Some(43),
        source_project_url: Some("https://gitlab.example.com/ada/api".to_owned()),
        ..merge_request()
    };
    assert_eq!(
        sent(&from_fork).source_branch_url,
        "https://gitlab.example.com/ada/api/-/commits/PAY-7-retry"
    );
}

#[test]
fn what_a_hook_leaves_out_is_filled_in() {
    let bare = MergeRequest {
        author: None,
        reviewers: Vec::new(),
        notes: 0,
        web_url: String::new(),
        ..merge_request()
    };
    let sent = sent(&bare);
    assert_eq!(sent.author.name, "Unknown");
    assert_eq!(sent.url, format!("{PROJECT_URL}/-/merge_requests/7"));
}

#[test]
fn a_title_of_nothing_storable_is_replaced() {
    assert_eq!(sent(&MergeRequest { title: "🚝".to_owned(), ..merge_request() }).title, "\u{FFFD}");
    assert_eq!(sent(&MergeRequest { title: " ".to_owned(), ..merge_request() }).title, "acme/payments/api!7");
}

#[test]
fn markup_in_a_title_is_text() {
    let title = "<img src=x onerror=alert(1)> PAY-7";
    assert_eq!(sent(&MergeRequest { title: title.to_owned(), ..merge_request() }).title, title);
}

#[test]
fn of_versions_of_one_moment_the_merged_one_wins() {
    let version = |state: &str, known_at| {
        let merge_request = MergeRequest { state: state.to_owned(), ..merge_request() };
        source().merge_request(&merge_request, known_at, false).version
    };
    let later = Timestamp(KNOWN_AT.0 + 1);
    assert!(version("merged", KNOWN_AT).supersedes(&version("opened", later)));
    assert!(!version("opened", later).supersedes(&version("merged", KNOWN_AT)));
}
