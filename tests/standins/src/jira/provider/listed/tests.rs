use serde_json::{Value, json};

use super::*;
use crate::jira::faults::{FailureRule, Faults};
use crate::jira::known::Known;
use crate::jira::provider::builds::BUILDS;
use crate::jira::provider::deployments::DEPLOYMENTS;
use crate::jira::provider::flags::FLAGS;
use crate::jira::provider::samples::{build, commit, deployment, flag, with};
use crate::jira::store::{Kind, Store};

/// A site with issues PAY-1 to PAY-9, a service, and what was sent to it.
#[derive(Default)]
struct Site {
    known: Known,
    store: Store,
    faults: Faults,
}

impl Site {
    fn new() -> Self {
        let mut site = Self::default();
        site.known.add_range("PAY", 1..=9);
        site.known.add_service("service-1");
        site
    }

    fn send(&mut self, listed: &Listed, entities: Vec<Value>) -> Value {
        let body = body(listed, entities);
        assert_eq!(listed.check(&body), Vec::<String>::new());
        let (known, store, faults) = (&self.known, &mut self.store, &mut self.faults);
        listed.store(
            &body,
            &Properties::new(),
            &mut Context { known, store, faults, triggers: &mut Vec::new() },
        )
    }

    /// The errors of one entity inside the 202.
    fn errors(&mut self, listed: &Listed, entity: Value) -> Vec<String> {
        let answer = self.send(listed, vec![entity]);
        let errors = match listed.answers {
            Some((_, rejected)) => answer[rejected][0]["errors"].clone(),
            None => answer["failedFeatureFlags"]["1"].clone(),
        };
        let errors = errors.as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|error| error["message"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn rejects(&mut self, listed: &Listed, entity: Value, problem: &str) {
        let errors = self.errors(listed, entity);
        assert!(errors.iter().any(|found| found.contains(problem)), "{errors:?} lacks {problem}");
    }
}

fn body(listed: &Listed, entities: Vec<Value>) -> Value {
    json!({ listed.list: entities })
}

fn sample(listed: &Listed) -> Value {
    match listed.api {
        Api::Builds => build(1, &["PAY-1"]),
        Api::Deployments => deployment(1, &["PAY-1"]),
        _ => flag("1", &["PAY-1"]),
    }
}

const ALL: [&Listed; 3] = [&BUILDS, &DEPLOYMENTS, &FLAGS];

#[test]
fn the_samples_are_accepted() {
    let mut site = Site::new();
    let unknown = |mut answer: Value| {
        answer["unknownIssueKeys"] = json!([]);
        answer["unknownAssociations"] = json!([]);
        answer
    };
    assert_eq!(
        site.send(&BUILDS, vec![build(1, &["PAY-1"])]),
        unknown(
            json!({ "acceptedBuilds": [{ "pipelineId": "7-abc", "buildNumber": 1 }], "rejectedBuilds": [] })
        )
    );
    let key = json!({ "pipelineId": "5", "environmentId": "9", "deploymentSequenceNumber": 1 });
    assert_eq!(
        site.send(&DEPLOYMENTS, vec![deployment(1, &["PAY-1"])]),
        unknown(json!({ "acceptedDeployments": [key], "rejectedDeployments": [] }))
    );
    assert_eq!(
        site.send(&FLAGS, vec![flag("1", &["PAY-1"])]),
        unknown(json!({ "acceptedFeatureFlags": ["1"], "failedFeatureFlags": {} }))
    );
}

#[test]
fn every_required_field_is_required() {
    let required = [
        (
            &BUILDS,
            "updateSequenceNumber displayName url state lastUpdated testInfo/totalNumber testInfo/numberPassed \
                   testInfo/numberFailed references/0/commit/id references/0/commit/repositoryUri references/0/ref/name \
                   references/0/ref/uri",
        ),
        (
            &DEPLOYMENTS,
            "updateSequenceNumber displayName url description lastUpdated state pipeline/displayName \
                        pipeline/url environment/displayName environment/type commands/0/command",
        ),
        (
            &FLAGS,
            "key updateSequenceId summary summary/status summary/status/enabled summary/lastUpdated details \
                  details/0/url details/0/lastUpdated details/0/environment details/0/environment/name \
                  details/0/status details/0/status/enabled",
        ),
    ];
    for (listed, places) in required {
        for place in places.split_whitespace() {
            let entity = with(sample(listed), &format!("/{place}"), Value::Null);
            Site::new().rejects(listed, entity, "is required");
        }
    }
}

#[test]
fn every_length_is_limited() {
    let limits = [
        (
            &BUILDS,
            "displayName:255 description:255 label:255 references/0/commit/id:255 \
                   references/0/commit/repositoryUri:2000 references/0/ref/name:255 references/0/ref/uri:2000",
        ),
        (
            &DEPLOYMENTS,
            "displayName:255 description:255 label:255 pipeline/displayName:255 environment/displayName:255",
        ),
        (
            &FLAGS,
            "key:255 displayName:255 summary/status/defaultValue:255 summary/status/rollout/text:255 \
                  details/0/environment/name:255",
        ),
    ];
    for (listed, places) in limits {
        for place in places.split_whitespace() {
            let (place, limit) = place.split_once(':').unwrap();
            let limit = limit.parse().unwrap();
            let of_length = |length| with(sample(listed), &format!("/{place}"), json!("x".repeat(length)));
            assert_eq!(Site::new().errors(listed, of_length(limit)), Vec::<String>::new(), "{place}");
            Site::new().rejects(listed, of_length(limit + 1), "characters");
        }
    }
    Site::new().rejects(&BUILDS, with(sample(&BUILDS), "/pipelineId", json!("x".repeat(256))), "characters");
}

#[test]
fn kinds_of_values_are_checked() {
    let cases = [
        (&BUILDS, "url", json!("pipelines/1"), "must be an absolute URL"),
        (&BUILDS, "state", json!("success"), "must be one of pending"),
        (&BUILDS, "lastUpdated", json!("2026-01-05"), "must be an ISO 8601"),
        (&BUILDS, "updateSequenceNumber", json!(1.5), "must be a 64-bit integer"),
        (&BUILDS, "schemaVersion", json!("2.0"), "must be one of 1.0"),
        (&BUILDS, "testInfo/totalNumber", json!("3"), "must be a 64-bit integer"),
        (&BUILDS, "references", json!([]), "must have 1 to 5 entries"),
        (&BUILDS, "references", json!([{}, {}, {}, {}, {}, {}]), "must have 1 to 5 entries"),
        (&DEPLOYMENTS, "url", json!(""), "must have 1 to 2000"),
        (&DEPLOYMENTS, "state", json!("success"), "must be one of unknown"),
        (&DEPLOYMENTS, "environment/type", json!("other"), "must be one of unmapped"),
        (&DEPLOYMENTS, "commands/0/command", json!("deploy"), "must be one of initiate_deployment_gating"),
        (&DEPLOYMENTS, "duration", json!(-1), "zero or more"),
        (&FLAGS, "summary/status/enabled", json!("yes"), "must be true or false"),
        (&FLAGS, "summary/status/rollout/percentage", json!(100.5), "from 0 to 100"),
        (&FLAGS, "summary/status/rollout/rules", json!(-1), "zero or more"),
        (&FLAGS, "details", json!([]), "must have 1 to"),
        (&FLAGS, "details/0/environment/type", json!("unmapped"), "must be one of development"),
    ];
    for (listed, place, value, problem) in cases {
        Site::new().rejects(listed, with(sample(listed), &format!("/{place}"), value), problem);
    }
}

#[test]
fn links_are_required_and_checked_per_entity() {
    for listed in ALL {
        let bare = with(with(sample(listed), "/issueKeys", Value::Null), "/associations", Value::Null);
        Site::new().rejects(listed, bare.clone(), "issueKeys or associations is required");
        Site::new().rejects(listed, with(bare.clone(), "/issueKeys", json!(["pay"])), "is no issue key");
        Site::new().rejects(listed, with(bare, "/issueKeys", json!([])), "must not be empty");
    }
}

#[test]
fn what_concerns_the_call_refuses_the_call() {
    for listed in ALL {
        let list = listed.list;
        let refused = |body: &Value| listed.check(body).first().cloned().unwrap_or_default();
        assert_eq!(refused(&json!({})), format!("{list}: is required and must be a list"));
        assert_eq!(refused(&json!({ list: {} })), format!("{list}: is required and must be a list"));
        assert_eq!(refused(&body(listed, vec![])), format!("{list}: must have 1 to 100 entries"));
        assert_eq!(
            refused(&body(listed, vec![sample(listed); 101])),
            format!("{list}: must have 1 to 100 entries")
        );
        assert_eq!(refused(&body(listed, vec![sample(listed); 100])), "");
        for (_, place) in listed.key {
            let nameless = with(sample(listed), place, Value::Null);
            assert_eq!(
                refused(&body(listed, vec![sample(listed), nameless])),
                format!("{list}[1]: has no key")
            );
        }
        let both = with(sample(listed), "/issueKeys", json!(["PAY-1"]));
        let association = json!([{ "associationType": "issueKeys", "values": ["PAY-1"] }]);
        let both = with(both, "/associations", association);
        assert_eq!(
            refused(&body(listed, vec![both])),
            format!("{list}[0]: issueKeysOrAssociationsOrNone.invalid")
        );
        let keys: Vec<_> = (1..=501).map(|n| format!("PAY-{n}")).collect();
        let crowded = with(with(sample(listed), "/associations", Value::Null), "/issueKeys", json!(keys));
        assert!(refused(&body(listed, vec![crowded])).contains("must not have more than 500 values"));
    }
}

#[test]
fn one_bad_entity_leaves_the_others_alone() {
    let mut site = Site::new();
    let bad = with(build(2, &["PAY-1"]), "/state", json!("success"));
    let answer = site.send(&BUILDS, vec![build(1, &["PAY-1"]), bad]);
    assert_eq!(answer["acceptedBuilds"], json!([{ "pipelineId": "7-abc", "buildNumber": 1 }]));
    assert_eq!(answer["rejectedBuilds"][0]["key"], json!({ "pipelineId": "7-abc", "buildNumber": 2 }));
    assert_eq!(site.store.others.len(), 1);
}

#[test]
fn entities_without_a_known_link_are_dropped() {
    let mut site = Site::new();
    let answer = site.send(&BUILDS, vec![build(1, &["UTF-8"]), build(2, &["PAY-1", "UTF-8"])]);
    assert_eq!(answer["acceptedBuilds"], json!([{ "pipelineId": "7-abc", "buildNumber": 2 }]));
    assert_eq!(answer["rejectedBuilds"], json!([]));
    assert_eq!(
        (&answer["unknownIssueKeys"], &answer["unknownAssociations"]),
        (&json!(["UTF-8"]), &json!([]))
    );

    let answer = site.send(&DEPLOYMENTS, vec![deployment(1, &["UTF-8"])]);
    let unknown = json!([{ "associationType": "issueKeys", "values": ["UTF-8"] }]);
    assert_eq!((&answer["acceptedDeployments"], &answer["unknownAssociations"]), (&json!([]), &unknown));
}

#[test]
fn a_deployment_can_be_associated_with_a_service_or_a_commit() {
    let mut site = Site::new();
    site.store.put_repository("42", 1, &Properties::new(), json!({}));
    let stored = Stored {
        sequence: 1,
        keys: vec!["PAY-3".to_owned()],
        properties: Properties::new(),
        body: commit("9f1c", &["PAY-3"]),
    };
    site.store.put_entity("42", Kind::Commit, "9f1c", stored);
    let linked = |number, kind: &str, value: Value| {
        let associations = json!([{ "associationType": kind, "values": [value] }]);
        with(deployment(number, &[]), "/associations", associations)
    };
    let commit = json!({ "commitHash": "9f1c", "repositoryId": "42" });
    let answer = site.send(
        &DEPLOYMENTS,
        vec![
            linked(1, "serviceIdOrKeys", json!("service-1")),
            linked(2, "commit", commit),
            linked(3, "serviceIdOrKeys", json!("service-2")),
        ],
    );
    assert_eq!(answer["acceptedDeployments"].as_array().unwrap().len(), 2);
    assert_eq!(answer["unknownAssociations"][0]["values"], json!(["service-2"]));
    let key = (Api::Deployments, vec!["5".to_owned(), "9".to_owned(), "2".to_owned()]);
    assert_eq!(site.store.others[&key].keys, ["PAY-3"]);
}

#[test]
fn outdated_and_equal_numbers_are_accepted_and_ignored() {
    let mut site = Site::new();
    site.send(&FLAGS, vec![flag("1", &["PAY-1"])]);
    for number in [99, 100] {
        let late = with(flag("1", &["PAY-1"]), "/updateSequenceId", json!(number));
        let answer = site.send(&FLAGS, vec![with(late, "/key", json!("late"))]);
        assert_eq!(answer["acceptedFeatureFlags"], json!(["1"]));
    }
    assert_eq!(site.store.others[&(Api::FeatureFlags, vec!["1".to_owned()])].body["key"], "new_checkout");
}

#[test]
fn entities_can_be_rejected_by_rule() {
    let mut site = Site::new();
    site.faults.add(FailureRule::reject_entity("7-abc/1", "no"));
    site.faults.add(FailureRule::reject_entity("5/9/1", "no"));
    site.faults.add(FailureRule::reject_entity("1", "no"));
    for listed in ALL {
        site.rejects(listed, sample(listed), "no");
    }
    assert!(site.store.others.is_empty());
}
