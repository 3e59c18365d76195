//! Bodies that the provider APIs accept, for tests to take apart.

use serde_json::{Value, json};

pub(in crate::jira) fn commit(id: &str, keys: &[&str]) -> Value {
    json!({
        "id": id, "issueKeys": keys, "updateSequenceId": 100, "message": "PAY-1 retry", "displayId": "9f1c2d3e",
        "author": { "name": "Ada", "email": "ada@example.com" }, "authorTimestamp": now(), "fileCount": 2,
        "url": "https://gitlab.example/p/-/commit/9f1c", "flags": ["MERGE_COMMIT"],
        "files": [{ "path": "src/a.rs", "url": "https://gitlab.example/p/-/blob/9f1c/src/a.rs",
                    "changeType": "MODIFIED", "linesAdded": 9, "linesRemoved": 3 }],
    })
}

pub(in crate::jira) fn branch(id: &str, keys: &[&str]) -> Value {
    json!({
        "id": id, "issueKeys": keys, "updateSequenceId": 100, "name": "PAY-1-retry", "lastCommit": commit("9f1c", keys),
        "url": "https://gitlab.example/p/-/commits/PAY-1-retry",
        "createPullRequestUrl": "https://gitlab.example/p/-/merge_requests/new",
    })
}

pub(in crate::jira) fn pull_request(id: &str, keys: &[&str]) -> Value {
    json!({
        "id": id, "issueKeys": keys, "updateSequenceId": 100, "status": "OPEN", "title": "PAY-1 retry",
        "author": { "email": "ada@example.com" }, "commentCount": 0, "displayId": "p!1", "lastUpdate": now(),
        "sourceBranch": "PAY-1-retry", "destinationBranch": "main", "url": "https://gitlab.example/p/-/merge_requests/1",
        "reviewers": [{ "name": "Bob", "approvalStatus": "APPROVED" }],
    })
}

pub(in crate::jira) fn repository(id: &str) -> Value {
    json!({
        "id": id, "name": "p", "url": "https://gitlab.example/p", "updateSequenceId": 100,
        "commits": [commit("c", &["PAY-1"])], "branches": [branch("b", &["PAY-1"])],
        "pullRequests": [pull_request("1", &["PAY-1"])],
    })
}

pub(in crate::jira) fn dev_info() -> Value {
    json!({ "repositories": [repository("42")], "preventTransitions": false, "operationType": "NORMAL",
            "properties": { "link": "a" }, "providerMetadata": { "product": "GitLab 19.1.0" } })
}

pub(in crate::jira) fn build(number: i64, keys: &[&str]) -> Value {
    json!({
        "schemaVersion": "1.0", "pipelineId": "7-abc", "buildNumber": number, "updateSequenceNumber": 100,
        "displayName": "main", "url": "https://gitlab.example/p/-/pipelines/1", "state": "successful",
        "lastUpdated": now(), "issueKeys": keys, "description": "a pipeline", "label": "main",
        "testInfo": { "totalNumber": 3, "numberPassed": 2, "numberFailed": 1, "numberSkipped": 0 },
        "references": [{ "commit": { "id": "9f1c", "repositoryUri": "https://gitlab.example/p" },
                         "ref": { "name": "main", "uri": "https://gitlab.example/p/-/commits/main" } }],
    })
}

pub(in crate::jira) fn deployment(number: i64, keys: &[&str]) -> Value {
    json!({
        "schemaVersion": "1.0", "deploymentSequenceNumber": number, "updateSequenceNumber": 100,
        "displayName": "Deployment 1", "url": "https://gitlab.example/p/-/jobs/1", "description": "to production",
        "lastUpdated": now(), "label": "p-production-1", "state": "successful",
        "pipeline": { "id": "5", "displayName": "p pipeline 1", "url": "https://gitlab.example/p/-/pipelines/1" },
        "environment": { "id": "9", "displayName": "p/production", "type": "production" },
        "associations": [{ "associationType": "issueKeys", "values": keys }],
        "commands": [{ "command": "initiate_deployment_gating" }],
    })
}

pub(in crate::jira) fn flag(id: &str, keys: &[&str]) -> Value {
    let status =
        json!({ "enabled": true, "defaultValue": "", "rollout": { "percentage": 50.0, "text": "half" } });
    json!({
        "schemaVersion": "1.0", "id": id, "key": "new_checkout", "updateSequenceId": 100, "displayName": "new_checkout",
        "issueKeys": keys,
        "summary": { "url": "https://gitlab.example/p/-/feature_flags/1/edit", "status": status, "lastUpdated": now() },
        "details": [{ "url": "https://gitlab.example/p/-/feature_flags/1/edit", "lastUpdated": now(),
                      "environment": { "name": "production", "type": "production" }, "status": status }],
    })
}

fn now() -> String {
    crate::jira::calls::timestamp()
}

/// The body with one value replaced; null removes it. The place is a JSON pointer.
pub(in crate::jira) fn with(mut body: Value, place: &str, value: Value) -> Value {
    let (parent, name) = place.rsplit_once('/').expect("a JSON pointer starts with a slash");
    let parent = body.pointer_mut(parent).unwrap_or_else(|| panic!("the sample has nothing at {parent}"));
    match (parent, value) {
        (Value::Object(object), Value::Null) => drop(object.remove(name)),
        (Value::Object(object), value) => drop(object.insert(name.to_owned(), value)),
        (parent, value) => parent[name.parse::<usize>().expect("lists have numbers")] = value,
    }
    body
}
