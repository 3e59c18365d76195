//! Branches: their ids, whose keys the newest commit carries, and names that mean something in a URL.

use proptest::prelude::*;
use url::Url;

use super::*;
use crate::jira::model::Branch as JiraBranch;

fn sent(name: &str, head: &Commit, keys: IssueKeys) -> JiraBranch {
    content!(source().branch(name, head, keys, KNOWN_AT), Branch)
}

fn keyless_commit() -> Commit {
    Commit { keys: IssueKeys::default(), message: "no key".to_owned(), ..commit() }
}

#[test]
fn ids_are_the_sha_256_of_the_name() {
    for (name, id) in [
        ("master", "fc613b4dfd6736a7bd268c8a0e74ed0d1c04a959f59dd74ef2874983fd443fc9"),
        ("main", "0d6e4079e36703ebd37c00722f5891d28b0e2811dc114b129215123adcce3605"),
        ("feature/TEST-123-login", "efa26554d081a32d2ab6b0e3107431e46b9bc749b7465d5c9ccf193537eef4b7"),
        ("TEST-123_my-feature-branch", "49094f60f547a0b8a625ce4b31c8a151b81bf596ef036862b672a1e4a3f7b9ec"),
    ] {
        assert_eq!(sent(name, &commit(), keys(1)).id, id, "{name}");
        assert_eq!(source().branch_key(name).id, id, "{name}");
    }
}

/// KB2.
#[test]
fn the_key_in_a_branchs_name_files_it() {
    let entity = source().branch("BRANCH-1", &commit(), IssueKeys::extract(["BRANCH-1"]), KNOWN_AT);
    assert_eq!(entity.associations.issue_keys(), ["BRANCH-1"]);
    assert_eq!(content!(entity, Branch).issue_keys, ["BRANCH-1"]);
}

/// KB3: the keys of its open merge requests come after its own. Which merge requests are open is asked of GitLab.
#[test]
fn keys_of_merge_requests_follow_those_of_the_name() {
    let keys = IssueKeys::extract(["PAY-7-retry", "PAY-8 title", "see OPS-1 and PAY-7"]);
    assert_eq!(sent("PAY-7-retry", &commit(), keys).issue_keys, ["PAY-7", "PAY-8", "OPS-1"]);
}

/// Jira demands keys there, too.
#[test]
fn a_newest_commit_without_keys_carries_the_branchs() {
    let branch = sent("PAY-7-retry", &keyless_commit(), IssueKeys::extract(["PAY-7"]));
    assert_eq!(branch.last_commit.issue_keys, ["PAY-7"]);
    let branch = sent("PAY-7-retry", &commit(), IssueKeys::extract(["PAY-9"]));
    assert_eq!(branch.last_commit.issue_keys, ["PAY-7", "OPS-1"]);
}

#[test]
fn refiling_a_branch_leaves_no_other_key_on_its_newest_commit() {
    for head in [commit(), keyless_commit()] {
        let mut entity = source().branch("x", &head, IssueKeys::extract(["UTF-8 PAY-7"]), KNOWN_AT);
        entity.set_associations(IssueKeys::extract(["PAY-7"]).into());
        let branch = content!(entity, Branch);
        assert_eq!(
            (branch.issue_keys, branch.last_commit.issue_keys),
            (vec!["PAY-7".to_owned()], vec!["PAY-7".to_owned()])
        );
    }
}

#[test]
fn a_branch_and_its_merge_request_share_one_address() {
    for name in ["PAY-7-retry", "feature/a b#1?x=%20"] {
        let branch = sent(name, &commit(), keys(1));
        let merge_request = MergeRequest { source_branch: name.to_owned(), ..merge_request() };
        let entity = source().merge_request(&merge_request, KNOWN_AT, false);
        assert_eq!(content!(entity, PullRequest).source_branch_url, branch.url);
    }
}

#[test]
fn names_with_a_meaning_in_urls_are_encoded_in_both_addresses() {
    let branch = sent("feature/<b>&x=1#2?%", &commit(), keys(1));
    assert_eq!(branch.name, "feature/<b>&x=1#2?%");
    assert_eq!(branch.url, format!("{PROJECT_URL}/-/commits/feature/%3Cb%3E&x=1%232%3F%25"));
    assert_eq!(
        branch.create_pull_request_url.as_deref(),
        Some(
            "https://gitlab.example.com/acme/payments/api/-/merge_requests/new?merge_request%5Bsource_branch%5D=feature%2F%3Cb%3E%26x%3D1%232%3F%25"
        )
    );
}

proptest! {
    /// Whatever a branch is called, its addresses lead to this project and say its whole name.
    #[test]
    fn no_name_leaves_the_project(name in "(.|[ #?%&\\\\\"'<>/]){1,60}") {
        // Git allows no component that starts with a dot.
        prop_assume!(!name.split(['/', '\\']).any(|component| component.starts_with('.')));
        let branch = sent(&name, &commit(), keys(1));
        let page = Url::parse(&branch.url).expect("a URL");
        prop_assert_eq!((page.host_str(), page.query(), page.fragment()), (Some("gitlab.example.com"), None, None));
        let path = percent_encoding::percent_decode_str(page.path()).decode_utf8_lossy().into_owned();
        prop_assert_eq!(path, format!("/acme/payments/api/-/commits/{name}"));
        let form = Url::parse(&branch.create_pull_request_url.expect("always there")).expect("a URL");
        prop_assert_eq!(form.path(), "/acme/payments/api/-/merge_requests/new");
        let query: Vec<_> = form.query_pairs().into_owned().collect();
        prop_assert_eq!(query, vec![("merge_request[source_branch]".to_owned(), name)]);
    }
}
