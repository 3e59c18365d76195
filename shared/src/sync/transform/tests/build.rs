//! Pipelines: one id per ref however the pipeline was heard of, and real test counts.

use super::*;
use crate::jira::model::{Build, BuildState, TestInfo};

fn sent(pipeline: &Pipeline) -> Build {
    content!(source().build(pipeline, KNOWN_AT, false).expect("it has a number"), Build)
}

#[test]
fn the_pipeline_id_is_made_of_project_and_ref() {
    for (git_ref, tag, id) in [
        ("main", false, "42-982786bd3f22691354ce8cf977cf260a"),
        ("v1.0", true, "42-786439d98ea348a99e0eec2d1676e4b3"),
        ("v1.0", false, "42-da90a46700353af5bb3bd8639c2cc2c0"),
    ] {
        let build = sent(&Pipeline { git_ref: git_ref.to_owned(), tag, ..pipeline() });
        assert_eq!((build.pipeline_id.as_str(), build.build_number), (id, 31), "{git_ref}");
    }
}

/// Hooks name the source branch, the API names the merge request: one pipeline all the same.
#[test]
fn a_merge_requests_pipeline_is_its_source_branchs() {
    for git_ref in [
        "PAY-7-retry",
        "refs/merge-requests/7/head",
        "refs/merge-requests/7/merge",
        "refs/merge-requests/7/train",
    ] {
        let build = sent(&Pipeline { git_ref: git_ref.to_owned(), ..pipeline() });
        assert_eq!(build.pipeline_id, "42-5dbfed88fbf17cd9503b815448d26c1e", "{git_ref}");
        assert_eq!(build.display_name, "PAY-7-retry", "{git_ref}");
        assert_eq!(build.references[0].git_ref.name, "PAY-7-retry", "{git_ref}");
    }
}

#[test]
fn a_merge_request_that_is_not_known_leaves_the_ref_as_it_is() {
    for git_ref in ["refs/merge-requests/8/head", "refs/merge-requests/x/head", "refs/merge-requests/"] {
        let build = sent(&Pipeline { git_ref: git_ref.to_owned(), ..pipeline() });
        assert_eq!(build.display_name, git_ref);
    }
}

/// Versions before 13 did not tell; a build needs a number.
#[test]
fn a_pipeline_without_a_number_is_not_sent() {
    assert!(source().build(&Pipeline { iid: None, ..pipeline() }, KNOWN_AT, false).is_none());
}

/// GitLab's own app counts jobs here.
#[test]
fn tests_are_counted_or_left_out() {
    let info = TestInfo { total_number: 10, number_passed: 7, number_failed: 2, number_skipped: 1 };
    assert_eq!(sent(&pipeline()).test_info, Some(info));
    let untested = sent(&Pipeline { tests: None, ..pipeline() });
    let json = serde_json::to_value(untested).expect("JSON");
    assert!(json.get("testInfo").is_none(), "{json}");
}

#[test]
fn keys_come_from_the_commit_and_then_from_the_merge_requests() {
    assert_eq!(sent(&pipeline()).issue_keys, ["PAY-7", "PAY-8"]);
    assert_eq!(issue_keys(&pipeline()).as_slice(), ["PAY-7", "PAY-8"]);
}

/// M4: it belongs to no issue; whoever sends leaves it out.
#[test]
fn a_pipeline_without_keys_has_none() {
    let keyless = Pipeline { commit_keys: None, merge_requests: Vec::new(), ..pipeline() };
    let entity = source().build(&keyless, KNOWN_AT, false).expect("it has a number");
    assert!(entity.associations.is_empty());
}

#[test]
fn states() {
    for (status, state) in [
        ("created", BuildState::Pending),
        ("waiting_for_resource", BuildState::Pending),
        ("preparing", BuildState::Pending),
        ("pending", BuildState::Pending),
        ("scheduled", BuildState::Pending),
        ("running", BuildState::InProgress),
        ("success", BuildState::Successful),
        ("failed", BuildState::Failed),
        ("canceled", BuildState::Cancelled),
        ("skipped", BuildState::Cancelled),
        ("manual", BuildState::Unknown),
        ("made up", BuildState::Unknown),
    ] {
        assert_eq!(sent(&Pipeline { status: status.to_owned(), ..pipeline() }).state, state, "{status}");
    }
}

#[test]
fn a_late_running_does_not_replace_success() {
    let version = |status: &str, updated_at, known_at| {
        let pipeline = Pipeline { status: status.to_owned(), updated_at, ..pipeline() };
        source().build(&pipeline, known_at, true).expect("it has a number").version
    };
    let success = version("success", Some(CHANGED_AT), KNOWN_AT);
    // Hooks of running pipelines carry no date.
    assert!(!version("running", None, Timestamp(KNOWN_AT.0 + 1_000)).supersedes(&success));
    // A retried job makes a finished pipeline run again.
    let again = Some(Timestamp(CHANGED_AT.0 + 60_000));
    assert!(version("running", again, Timestamp(KNOWN_AT.0 + 60_000)).supersedes(&success));
}
