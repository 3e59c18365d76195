use serde_json::{Value, json};

use super::*;
use crate::jira::faults::{FailureRule, Faults};
use crate::jira::known::Known;
use crate::jira::provider::samples::{branch, commit, dev_info, pull_request, repository, with};
use crate::jira::store::Store;
use crate::jira::triggers::{Event, Trigger};

#[track_caller]
fn refused(body: &Value, problem: &str) {
    let problems = check(body, Dialect::default());
    assert!(problems.iter().any(|found| found.contains(problem)), "{problems:?} lacks {problem}");
}

fn with_list(name: &str, entities: Vec<Value>) -> Value {
    with(dev_info(), &format!("/repositories/0/{name}"), Value::Array(entities))
}

#[test]
fn the_sample_is_accepted() {
    assert_eq!(check(&dev_info(), Dialect::default()), Vec::<String>::new());
    let bare = json!({ "repositories": [{ "id": "1", "name": "p", "url": "https://x.example", "updateSequenceId": 1,
                                          "branches": null, "avatar": null }] });
    assert_eq!(check(&bare, Dialect::default()), Vec::<String>::new());
}

#[test]
fn every_required_field_is_required() {
    let repository = ["id", "name", "url", "updateSequenceId"];
    let commit =
        ["id", "updateSequenceId", "message", "author", "authorTimestamp", "displayId", "fileCount", "url"];
    let file = ["path", "url", "changeType", "linesAdded", "linesRemoved"];
    let branch = ["id", "updateSequenceId", "name", "lastCommit", "url"];
    let pull_request = [
        "id",
        "updateSequenceId",
        "status",
        "title",
        "author",
        "commentCount",
        "displayId",
        "lastUpdate",
        "sourceBranch",
        "url",
    ];
    let places = [
        ("", &["repositories"][..]),
        ("/repositories/0", &repository),
        ("/repositories/0/commits/0", &commit),
        ("/repositories/0/commits/0/files/0", &file),
        ("/repositories/0/branches/0", &branch),
        ("/repositories/0/branches/0/lastCommit", &commit),
        ("/repositories/0/pullRequests/0", &pull_request),
    ];
    for (place, names) in places {
        for name in names {
            refused(
                &with(dev_info(), &format!("{place}/{name}"), Value::Null),
                &format!("{name}: is required"),
            );
        }
    }
}

#[test]
fn every_length_is_limited() {
    let limits = [
        ("name", 255),
        ("description", 1024),
        ("forkOf", 1024),
        ("avatarDescription", 1024),
        ("commits/0/displayId", 255),
        ("commits/0/hash", 255),
        ("commits/0/author/email", 255),
        ("commits/0/author/name", 255),
        ("commits/0/author/username", 255),
        ("commits/0/author/url", 2000),
        ("commits/0/author/avatar", 2000),
        ("commits/0/files/0/path", 1024),
        ("branches/0/name", 512),
        ("branches/0/createPullRequestUrl", 2000),
        ("pullRequests/0/title", 1024),
        ("pullRequests/0/displayId", 255),
        ("pullRequests/0/sourceBranch", 255),
        ("pullRequests/0/destinationBranch", 255),
        ("pullRequests/0/reviewers/0/name", 255),
        ("pullRequests/0/reviewers/0/email", 254),
        ("pullRequests/0/reviewers/0/accountId", 128),
    ];
    for (place, limit) in limits {
        let of_length =
            |length| with(dev_info(), &format!("/repositories/0/{place}"), json!("x".repeat(length)));
        assert_eq!(check(&of_length(limit), Dialect::default()), Vec::<String>::new(), "{place}");
        refused(&of_length(limit + 1), "characters");
    }
}

#[test]
fn kinds_of_values_are_checked() {
    for (place, value, problem) in [
        ("id", json!("group/project"), "may contain only"),
        ("url", json!("/p"), "must be an absolute URL"),
        ("avatar", json!(""), "avatar: must have"),
        ("updateSequenceId", json!("100"), "must be a 64-bit integer"),
        ("commits/0/id", json!("a b"), "may contain only"),
        ("commits/0/authorTimestamp", json!("2026-01-05 09:59:00 UTC"), "must be an ISO 8601"),
        ("commits/0/fileCount", json!(-1), "zero or more"),
        ("commits/0/flags", json!(["SQUASHED"]), "must be a set of"),
        ("commits/0/files/0/changeType", json!("RENAMED"), "must be one of ADDED"),
        ("commits/0/files/0/linesAdded", json!(-1), "zero or more"),
        ("branches/0/id", json!("feature/x"), "may contain only"),
        ("pullRequests/0/status", json!("opened"), "must be one of OPEN"),
        ("pullRequests/0/lastUpdate", json!("now"), "must be an ISO 8601"),
        ("pullRequests/0/commentCount", json!("1"), "zero or more"),
        ("pullRequests/0/sourceBranchUrl", json!("main"), "must be an absolute URL"),
        ("pullRequests/0/destinationBranchUrl", json!("main"), "must be an absolute URL"),
        ("pullRequests/0/reviewers/0/approvalStatus", json!("approved"), "must be one of APPROVED"),
    ] {
        refused(&with(dev_info(), &format!("/repositories/0/{place}"), value), problem);
    }
    refused(&with(dev_info(), "/operationType", json!("HISTORY")), "must be one of NORMAL, BACKFILL");
    refused(&with(dev_info(), "/preventTransitions", json!("true")), "must be true or false");
}

#[test]
fn undocumented_values_are_accepted_until_refused() {
    let draft = with(dev_info(), "/repositories/0/pullRequests/0/status", json!("DRAFT"));
    let needs_work =
        with(dev_info(), "/repositories/0/pullRequests/0/reviewers/0/approvalStatus", json!("NEEDSWORK"));
    let strict = Dialect { refuses_draft: true, refuses_needswork: true };
    for body in [&draft, &needs_work] {
        assert_eq!(check(body, Dialect::default()), Vec::<String>::new());
    }
    assert!(check(&draft, strict)[0].contains("status: must be one of OPEN"));
    assert!(check(&needs_work, strict)[0].contains("approvalStatus must be one of"));
    assert_eq!(check(&dev_info(), strict), Vec::<String>::new());
}

#[test]
fn counts_are_limited() {
    let repositories = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|n| json!({ "id": n.to_string(), "name": "p", "url": "https://x.example", "updateSequenceId": 1 }))
            .collect()
    };
    assert_eq!(
        check(&json!({ "repositories": repositories(100) }), Dialect::default()),
        Vec::<String>::new()
    );
    refused(&json!({ "repositories": repositories(101) }), "repositories: must have 0 to 100 entries");

    let commits = |count: usize| (0..count).map(|n| commit(&format!("c{n}"), &["PAY-1"])).collect::<Vec<_>>();
    assert_eq!(check(&with_list("commits", commits(400)), Dialect::default()), Vec::<String>::new());
    refused(&with_list("commits", commits(401)), "commits: must have 0 to 400 entries");
    let branches = (0..401).map(|n| branch(&format!("b{n}"), &["PAY-1"])).collect();
    refused(&with_list("branches", branches), "branches: must have 0 to 400 entries");
    let pull_requests = (0..401).map(|n| pull_request(&format!("p{n}"), &["PAY-1"])).collect();
    refused(&with_list("pullRequests", pull_requests), "pullRequests: must have 0 to 400 entries");

    let files = vec![commit("c", &["PAY-1"])["files"][0].clone(); 11];
    refused(
        &with(dev_info(), "/repositories/0/commits/0/files", json!(files)),
        "files: must have 0 to 10 entries",
    );
}

#[test]
fn a_call_has_at_most_a_thousand_entities() {
    let filled = |id: &str, commits: usize| {
        let commits = (0..commits).map(|n| commit(&format!("c{n}"), &["PAY-1"])).collect();
        with(repository(id), "/commits", Value::Array(commits))
    };
    // Every repository of the samples has a branch and a pull request.
    let body =
        |last: usize| json!({ "repositories": [filled("1", 398), filled("2", 398), filled("3", last)] });
    assert_eq!(check(&body(198), Dialect::default()), Vec::<String>::new());
    refused(&body(199), "must not have more than 1000 entities");
}

#[test]
fn ids_are_unique_per_kind() {
    refused(
        &json!({ "repositories": [repository("1"), repository("1")] }),
        "repositories: id 1 occurs twice",
    );
    let twice = vec![commit("c", &["PAY-1"]), commit("c", &["PAY-2"])];
    refused(&with_list("commits", twice), "commits: id c occurs twice");
    let same_id_other_kind = with(dev_info(), "/repositories/0/branches/0/id", json!("c"));
    assert_eq!(check(&same_id_other_kind, Dialect::default()), Vec::<String>::new());
}

#[test]
fn links_are_checked_on_every_kind_and_on_the_last_commit() {
    for place in ["commits/0", "branches/0", "pullRequests/0"] {
        let keys = format!("/repositories/0/{place}/issueKeys");
        refused(&with(dev_info(), &keys, Value::Null), "issueKeys or associations is required");
        refused(&with(dev_info(), &keys, json!([])), "must not be empty");
        refused(&with(dev_info(), &keys, json!(["pay 1"])), "is no issue key");
        let associations = json!([{ "associationType": "issueIdOrKeys", "values": ["PAY-1"] }]);
        let both = with(dev_info(), &format!("/repositories/0/{place}/associations"), associations);
        refused(&both, "issueKeysOrAssociationsOrNone.invalid");
        let only_associations = with(both, &keys, Value::Null);
        assert_eq!(check(&only_associations, Dialect::default()), Vec::<String>::new());
    }
    let last = "/repositories/0/branches/0/lastCommit/issueKeys";
    refused(&with(dev_info(), last, json!([])), "lastCommit.issueKeys: must not be empty");
    refused(&with(dev_info(), last, Value::Null), "lastCommit.issueKeys: must be a list");
}

/// A site with issues PAY-1 to PAY-9, and what was sent to it.
#[derive(Default)]
struct Site {
    known: Known,
    store: Store,
    faults: Faults,
    triggers: Vec<Trigger>,
}

impl Site {
    fn new() -> Self {
        let mut site = Self::default();
        site.known.add_range("PAY", 1..=9);
        site
    }

    fn send(&mut self, body: &Value) -> Value {
        assert_eq!(check(body, Dialect::default()), Vec::<String>::new());
        let mut context = Context {
            known: &self.known,
            store: &mut self.store,
            faults: &mut self.faults,
            triggers: &mut self.triggers,
        };
        store(body, &Properties::new(), &mut context)
    }

    fn events(&self) -> Vec<Event> {
        self.triggers.iter().map(|trigger| trigger.event).collect()
    }
}

#[test]
fn the_answer_names_what_was_accepted() {
    let answer = Site::new().send(&dev_info());
    assert_eq!(
        answer,
        json!({
            "acceptedDevinfoEntities": { "42": { "commits": ["c"], "branches": ["b"], "pullRequests": ["1"] } },
            "failedDevinfoEntities": {}, "unknownIssueKeys": [], "unknownAssociations": [],
        })
    );
}

#[test]
fn entities_without_a_known_key_are_dropped_silently() {
    let mut site = Site::new();
    let commits = vec![commit("known", &["PAY-1", "UTF-8"]), commit("unknown", &["UTF-8", "pay-1"])];
    let answer = site.send(&json!({ "repositories": [with(repository("42"), "/commits", json!(commits))] }));
    assert_eq!(answer["acceptedDevinfoEntities"]["42"]["commits"], json!(["known"]));
    assert_eq!(answer["failedDevinfoEntities"], json!({}));
    assert_eq!(answer["unknownIssueKeys"], json!(["UTF-8", "pay-1"]));
    assert_eq!(site.store.entity("42", Kind::Commit, "known").unwrap().keys, ["PAY-1"]);
    assert!(site.store.entity("42", Kind::Commit, "unknown").is_none());
}

#[test]
fn an_outdated_entity_counts_as_accepted_and_changes_nothing() {
    let mut site = Site::new();
    site.send(&dev_info());
    let late = with(dev_info(), "/repositories/0/pullRequests/0/updateSequenceId", json!(99));
    let late = with(late, "/repositories/0/pullRequests/0/status", json!("MERGED"));
    let answer = site.send(&late);
    assert_eq!(answer["acceptedDevinfoEntities"]["42"]["pullRequests"], json!(["1"]));
    assert_eq!(site.store.entity("42", Kind::PullRequest, "1").unwrap().body["status"], "OPEN");
    assert!(!site.events().contains(&Event::PullRequestMerged));
}

#[test]
fn a_rejected_entity_fails_alone() {
    let mut site = Site::new();
    site.faults.add(FailureRule::reject_entity("b", "no such luck"));
    let answer = site.send(&dev_info());
    assert_eq!(answer["acceptedDevinfoEntities"]["42"], json!({ "commits": ["c"], "pullRequests": ["1"] }));
    let failed = &answer["failedDevinfoEntities"]["42"]["branches"][0];
    assert_eq!(
        (&failed["id"], &failed["errorMessages"][0]["message"]),
        (&json!("b"), &json!("no such luck"))
    );
    assert!(failed["errorMessages"][0]["errorTraceId"].is_string());
}

#[test]
fn long_messages_are_cut() {
    let mut site = Site::new();
    let long = "m".repeat(2000);
    let body = with(dev_info(), "/repositories/0/commits/0/message", json!(long));
    site.send(&with(body, "/repositories/0/branches/0/lastCommit/message", json!(long)));
    let stored = |kind, id, place| {
        let entity = site.store.entity("42", kind, id).unwrap();
        entity.body.pointer(place).and_then(Value::as_str).map(str::len)
    };
    assert_eq!(stored(Kind::Commit, "c", "/message"), Some(1024));
    assert_eq!(stored(Kind::Branch, "b", "/lastCommit/message"), Some(1024));
}

#[test]
fn transitions_can_be_prevented() {
    let mut site = Site::new();
    site.send(&with(dev_info(), "/preventTransitions", json!(true)));
    assert_eq!(site.events(), []);
    let mut site = Site::new();
    site.send(&dev_info());
    assert_eq!(site.events(), [Event::CommitCreated, Event::BranchCreated, Event::PullRequestCreated]);
    assert_eq!(site.triggers[0].issue_keys, ["PAY-1"]);
}
