//! The check of recorded requests, on requests that are known to be right or wrong.

use contracts::{
    documents::Documents,
    recording::{Exchange, Recorded},
    verdict::Verdict,
};
use serde_json::{Value, json};

use crate::reference;

fn recorded(method: &str, api: &str, path: &str, body: Value) -> Recorded {
    let exchange = Exchange {
        api: api.into(),
        method: method.into(),
        path: path.into(),
        connection: "connect".into(),
        body,
        status: 202,
    };
    Recorded { place: "test.jsonl:1".into(), exchange }
}

fn bulk(api: &str, body: Value) -> Recorded {
    recorded("POST", api, "/bulk", body)
}

fn commit() -> Value {
    json!({"id": "6ecf0e", "issueKeys": ["ABC-1"], "updateSequenceId": 1, "message": "ABC-1", "author": {},
        "fileCount": 1, "url": "https://gitlab.example.com/c", "authorTimestamp": "2026-01-05T10:00:00Z",
        "displayId": "6ecf0e"})
}

fn dev_info() -> Value {
    json!({"preventTransitions": false, "properties": {"link": "1"}, "repositories": [{
        "id": "42", "name": "api", "url": "https://gitlab.example.com/api", "updateSequenceId": 1,
        "commits": [commit()],
        "branches": [{"id": "b", "issueKeys": ["ABC-1"], "updateSequenceId": 1, "name": "ABC-1",
            "lastCommit": commit(), "url": "https://gitlab.example.com/b"}],
        "pullRequests": [{"id": "1", "issueKeys": ["ABC-1"], "updateSequenceId": 1, "status": "OPEN",
            "title": "ABC-1", "author": {}, "commentCount": 0, "sourceBranch": "ABC-1", "displayId": "!1",
            "lastUpdate": "2026-01-05T10:00:00Z", "url": "https://gitlab.example.com/1",
            "reviewers": [{"name": "A", "approvalStatus": "APPROVED"}]}]}]})
}

fn builds(keys: usize) -> Value {
    let keys: Vec<_> = (1..=keys).map(|number| format!("ABC-{number}")).collect();
    json!({"builds": [{"pipelineId": "42-0", "buildNumber": 1, "updateSequenceNumber": 1, "displayName": "api",
        "url": "https://gitlab.example.com/p", "state": "successful", "lastUpdated": "2026-01-05T10:00:00Z",
        "issueKeys": keys}]})
}

fn deployments(associations: Value) -> Value {
    json!({"deployments": [{"deploymentSequenceNumber": 1, "updateSequenceNumber": 1, "displayName": "production",
        "url": "https://gitlab.example.com/d", "description": "d", "lastUpdated": "2026-01-05T10:00:00Z",
        "state": "successful", "associations": associations,
        "pipeline": {"id": "1", "displayName": "1", "url": "https://gitlab.example.com/p"},
        "environment": {"id": "1", "displayName": "production", "type": "production"}}]})
}

fn flags() -> Value {
    let status = json!({"enabled": true, "defaultValue": "", "rollout": {"percentage": 50.0, "text": "Percent of users"}});
    json!({"flags": [{"id": "1", "key": "f", "updateSequenceId": 1, "displayName": "f", "issueKeys": ["ABC-1"],
        "summary": {"url": "https://gitlab.example.com/f", "status": status, "lastUpdated": "2026-01-05T10:00:00Z"},
        "details": [{"url": "https://gitlab.example.com/f", "lastUpdated": "2026-01-05T10:00:00Z",
            "environment": {"name": "production", "type": "production"}, "status": status}]}]})
}

#[test]
fn valid_requests_pass() {
    let Some(reference) = reference() else { return };
    let documents = Documents::load(&reference).unwrap();
    let associations = json!([{"associationType": "issueKeys", "values": ["ABC-1"]},
        {"associationType": "commit", "values": [{"commitHash": "6ecf0e", "repositoryId": "42"}]}]);
    let verdict = Verdict::over(
        &documents,
        &[
            bulk("dev-info", dev_info()),
            bulk("builds", builds(500)),
            bulk("deployments", deployments(associations)),
            bulk("feature-flags", flags()),
            recorded("DELETE", "dev-info", "/repository/42/branch/b", Value::Null),
            recorded("DELETE", "builds", "/bulkByProperties", Value::Null),
        ],
    );
    assert!(verdict.passes(), "{verdict}");
}

#[test]
fn the_named_exceptions_pass_and_are_counted() {
    let Some(reference) = reference() else { return };
    let documents = Documents::load(&reference).unwrap();
    let mut body = dev_info();
    body["repositories"][0]["pullRequests"][0]["status"] = json!("DRAFT");
    body["repositories"][0]["pullRequests"][0]["reviewers"][0]["approvalStatus"] = json!("NEEDSWORK");
    let verdict = Verdict::over(&documents, &[bulk("dev-info", body)]);
    assert!(verdict.passes(), "{verdict}");
    let report = verdict.to_string();
    assert!(report.contains("DRAFT: refused by a document 2 times"), "{report}");
    assert!(report.contains("NEEDSWORK: refused by a document 2 times"), "{report}");
}

#[test]
fn without_a_body_to_check_nothing_passes() {
    let Some(reference) = reference() else { return };
    let documents = Documents::load(&reference).unwrap();
    assert!(!Verdict::over(&documents, &[]).passes());
    let other = recorded("GET", "dev-info", "/existsByProperties", Value::Null);
    assert!(!Verdict::over(&documents, &[other]).passes());
}

#[test]
fn each_wrong_value_fails() {
    let Some(reference) = reference() else { return };
    let documents = Documents::load(&reference).unwrap();
    let not_a_key = json!([{"associationType": "issueKeys", "values": ["no key 1"]}]);
    for (api, pointer, wrong) in [
        ("dev-info", "/repositories/0/pullRequests/0/status", json!("CLOSED")),
        ("dev-info", "/repositories/0/commits/0/issueKeys/0", json!("abc")),
        ("dev-info", "/repositories/0/commits/0/issueKeys", json!([])),
        ("dev-info", "/repositories/0/commits/0/authorTimestamp", json!("yesterday")),
        ("dev-info", "/repositories/0/commits/0/url", json!("https://gitlab.example.com/a b")),
        ("dev-info", "/repositories/0/commits/0/fileCount", json!(-1)),
        ("dev-info", "/repositories/0/branches/0/id", json!("feature/a")),
        ("dev-info", "/repositories/0/branches/0/lastCommit", Value::Null),
        ("dev-info", "/repositories/0/pullRequests/0/commentCount", json!(3_000_000_000_u32)),
        ("dev-info", "/operationType", json!("backfill")),
        ("dev-info", "/properties", json!({"a": "1", "b": "1", "c": "1", "d": "1", "e": "1", "f": "1"})),
        ("builds", "/builds/0/issueKeys", json!(vec!["ABC-1"; 501])),
        ("builds", "/builds/0", json!("text")),
        ("builds", "/builds/0/state", json!("success")),
        ("deployments", "/deployments/0/associations", not_a_key),
        ("deployments", "/deployments/0/environment/type", json!("other")),
        ("feature-flags", "/flags/0/details", json!([])),
        ("feature-flags", "/flags/0/summary/status/rollout/percentage", json!(101)),
    ] {
        let mut body = match api {
            "dev-info" => dev_info(),
            "builds" => builds(1),
            "deployments" => deployments(json!([{"associationType": "issueKeys", "values": ["ABC-1"]}])),
            _ => flags(),
        };
        replace(&mut body, pointer, wrong);
        assert!(!Verdict::over(&documents, &[bulk(api, body)]).passes(), "{api} {pointer} was let through");
    }
}

#[test]
fn each_wrong_request_fails() {
    let Some(reference) = reference() else { return };
    let documents = Documents::load(&reference).unwrap();
    for wrong in [
        recorded("PUT", "dev-info", "/bulk", dev_info()),
        recorded("POST", "dev-info", "/bulk/", dev_info()),
        recorded("POST", "devinfo", "/bulk", dev_info()),
        recorded("POST", "dev-info", "/bulk", Value::Null),
        recorded("DELETE", "dev-info", "/bulkByProperties", json!({"link": "1"})),
    ] {
        let verdict = Verdict::over(&documents, &[wrong, bulk("feature-flags", flags())]);
        assert!(!verdict.passes(), "{verdict}");
    }
}

fn replace(body: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = body.pointer_mut(pointer) {
        *place = value;
    } else {
        body[pointer.trim_start_matches('/')] = value;
    }
}
