//! Jira's answers: what a 202 accepted, failed or did not know, and what an error says. A 202 can be a partial failure.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_with::{DisplayFromStr, PickFirst, serde_as};

use crate::lenient;
use crate::text::clean;

/// How much of Jira's own text is kept.
const MAX_TEXT: usize = 500;

/// What Jira did with the entities of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Entities that it took no part of, with its text. Dev info: (repository, kind, id); the others: their key.
    pub failed: HashMap<FailedEntity, String>,
    /// Repositories that failed as a whole, with its text.
    pub failed_repositories: HashMap<String, String>,
    /// Issue keys that it does not know.
    pub unknown_issue_keys: Vec<String>,
}

/// Names an entity as Jira's answers do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FailedEntity {
    /// By repository, kind (`commits`, `branches`, `pullRequests`) and id.
    DevInfo(String, &'static str, String),
    /// Pipeline and number.
    Build(String, u64),
    /// Pipeline, environment and number.
    Deployment(String, String, u64),
    /// By id.
    FeatureFlag(String),
}

#[serde_with::apply(
    Vec => #[serde(deserialize_with = "lenient::list")],
    HashMap => #[serde(deserialize_with = "lenient::map")],
)]
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawAnswer {
    failed_devinfo_entities: HashMap<String, RawRepository>,
    rejected_builds: Vec<RawRejection<RawBuildKey>>,
    rejected_deployments: Vec<RawRejection<RawDeploymentKey>>,
    failed_feature_flags: HashMap<String, RawMessages>,
    unknown_issue_keys: Vec<String>,
    unknown_associations: Vec<RawAssociation>,
}

#[serde_with::apply(
    Vec => #[serde(deserialize_with = "lenient::list")],
    RawMessages => #[serde(deserialize_with = "lenient::field")],
)]
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawRepository {
    error_messages: RawMessages,
    commits: Vec<RawEntity>,
    branches: Vec<RawEntity>,
    pull_requests: Vec<RawEntity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntity {
    id: String,
    #[serde(default, deserialize_with = "lenient::field")]
    error_messages: RawMessages,
}

#[derive(Deserialize)]
struct RawRejection<K> {
    key: K,
    #[serde(default, deserialize_with = "lenient::field")]
    errors: RawMessages,
}

#[serde_as]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBuildKey {
    pipeline_id: String,
    #[serde_as(as = "PickFirst<(_, DisplayFromStr)>")]
    build_number: u64,
}

#[serde_as]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDeploymentKey {
    pipeline_id: String,
    environment_id: String,
    #[serde_as(as = "PickFirst<(_, DisplayFromStr)>")]
    deployment_sequence_number: u64,
}

#[derive(Deserialize, Default)]
struct RawMessages(#[serde(deserialize_with = "lenient::list")] Vec<RawMessage>);

#[derive(Deserialize)]
struct RawMessage {
    message: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawAssociation {
    #[serde(deserialize_with = "lenient::field")]
    association_type: String,
    #[serde(deserialize_with = "lenient::list")]
    values: Vec<Value>,
}

impl Answer {
    /// Reads the body of a 200 or 202; an empty one says that all went well. So does one that can't be read: Jira took the
    /// call, and the same call would get the same answer again.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Self::default();
        }
        let raw = serde_json::from_slice(body).unwrap_or_else(|error| {
            tracing::warn!(%error, "an answer of Jira that accepts a call can't be read");
            RawAnswer::default()
        });
        let mut answer = Self { unknown_issue_keys: raw.unknown_issue_keys, ..Self::default() };
        answer.read_unknown_associations(raw.unknown_associations);
        for (id, repository) in raw.failed_devinfo_entities {
            answer.read_repository(id, repository);
        }
        for RawRejection { key, errors } in raw.rejected_builds {
            let key = FailedEntity::Build(key.pipeline_id, key.build_number);
            answer.failed.insert(key, texts(&errors));
        }
        for RawRejection { key, errors } in raw.rejected_deployments {
            let key =
                FailedEntity::Deployment(key.pipeline_id, key.environment_id, key.deployment_sequence_number);
            answer.failed.insert(key, texts(&errors));
        }
        for (id, errors) in raw.failed_feature_flags {
            answer.failed.insert(FailedEntity::FeatureFlag(id), texts(&errors));
        }
        answer
    }

    fn read_unknown_associations(&mut self, associations: Vec<RawAssociation>) {
        let keys = associations
            .into_iter()
            .filter(|association| association.association_type.starts_with("issue"))
            .flat_map(|association| association.values)
            .filter_map(|value| value.as_str().map(str::to_owned));
        for key in keys {
            if !self.unknown_issue_keys.contains(&key) {
                self.unknown_issue_keys.push(key);
            }
        }
    }

    fn read_repository(&mut self, id: String, repository: RawRepository) {
        let kinds = [
            ("commits", repository.commits),
            ("branches", repository.branches),
            ("pullRequests", repository.pull_requests),
        ];
        for (kind, entities) in kinds {
            for entity in entities {
                let key = FailedEntity::DevInfo(id.clone(), kind, entity.id);
                self.failed.insert(key, texts(&entity.error_messages));
            }
        }
        if !repository.error_messages.0.is_empty() {
            self.failed_repositories.insert(id, texts(&repository.error_messages));
        }
    }
}

fn texts(messages: &RawMessages) -> String {
    let joined = messages.0.iter().map(|message| message.message.as_str()).collect::<Vec<_>>().join("; ");
    if joined.is_empty() { "Jira gave no reason".to_owned() } else { clean(&joined, MAX_TEXT) }
}

/// Jira's own words in an error body: an array of objects, or an object with one of several fields.
#[must_use]
pub fn error_text(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return "Unknown error".to_owned();
    };
    let messages = messages(&body);
    if !messages.is_empty() {
        return clean(&messages.join(", "), MAX_TEXT);
    }
    match body {
        Value::Object(_) => clean(&format!("Unrecognized error body: {body}"), MAX_TEXT),
        _ => "Unknown error".to_owned(),
    }
}

fn messages(body: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().or_else(|| value.get("message")?.as_str()).map(str::to_owned);
    match body {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        Value::Object(fields) => ["errorMessages", "message", "error"]
            .into_iter()
            .filter_map(|name| fields.get(name))
            .flat_map(|field| field.as_array().map_or_else(|| vec![field], |items| items.iter().collect()))
            .filter_map(text)
            .collect(),
        _ => Vec::new(),
    }
}

/// What a 429 is about (<https://developer.atlassian.com/cloud/jira/platform/rate-limiting/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimitReason {
    /// Too many calls of one kind in a second: this API backs off.
    Burst,
    /// Too many writes to one issue: its entities wait.
    PerIssue,
    /// The hourly pool is empty: the site backs off.
    Quota,
}

impl RateLimitReason {
    /// Reads `RateLimit-Reason`; what is not known is taken for a burst.
    #[must_use]
    pub fn parse(reason: Option<&str>) -> Self {
        match reason {
            Some("jira-per-issue-on-write") => Self::PerIssue,
            Some(reason) if reason.starts_with("jira-quota-") => Self::Quota,
            _ => Self::Burst,
        }
    }
}

/// `Retry-After` in seconds.
#[must_use]
pub fn retry_after(value: Option<&str>) -> Option<Duration> {
    value?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// C10, C14, C16.
    #[test]
    fn error_bodies_of_every_shape() {
        for (body, text) in [
            (r#"{"errorMessages":["too big"]}"#, "too big"),
            (r#"{"errorMessages":[{"message":"X"},{"message":"Y"}]}"#, "X, Y"),
            (r#"[{"message":"X"},{"message":"Y"}]"#, "X, Y"),
            (r#"{"message":"Single error"}"#, "Single error"),
            (r#"{"error":"Error message"}"#, "Error message"),
            (r#"{"foo":"bar"}"#, r#"Unrecognized error body: {"foo":"bar"}"#),
            ("<html>", "Unknown error"),
        ] {
            assert_eq!(error_text(body.as_bytes()), text);
        }
    }

    /// C42, C45, C47.
    #[test]
    fn partial_failures_are_found() {
        let answer = Answer::parse(
            br#"{"failedDevinfoEntities":{"42":{"commits":[{"id":"abc","errorMessages":[{"message":"no"}]}]}},
                "rejectedBuilds":[{"key":{"pipelineId":"p","buildNumber":3},"errors":[{"message":"X"},{"message":"Y"}]}],
                "failedFeatureFlags":{"a":[{"message":"X"},{"message":"Y"}],"b":[{"message":"Z"}]},
                "unknownIssueKeys":["UTF-8"],
                "unknownAssociations":[{"associationType":"issueKeys","values":["UTF-8","SHA-256"]}]}"#,
        );
        let commit = FailedEntity::DevInfo("42".to_owned(), "commits", "abc".to_owned());
        assert_eq!(answer.failed[&commit], "no");
        assert_eq!(answer.failed[&FailedEntity::Build("p".to_owned(), 3)], "X; Y");
        assert_eq!(answer.failed[&FailedEntity::FeatureFlag("b".to_owned())], "Z");
        assert_eq!(answer.unknown_issue_keys, ["UTF-8", "SHA-256"]);
    }

    /// Every field of an answer, null or of another type, costs what it says and nothing else.
    #[test]
    fn what_is_not_as_documented_hides_nothing_else() {
        let whole = json!({
            "failedDevinfoEntities": {"42": {"errorMessages": [{"message": "all"}],
                "commits": [{"id": "abc", "errorMessages": [{"message": "no"}]}],
                "branches": [{"id": "b", "errorMessages": [{"message": "no"}]}],
                "pullRequests": [{"id": "7", "errorMessages": [{"message": "no"}]}]}},
            "rejectedBuilds": [{"key": {"pipelineId": "p", "buildNumber": 3}, "errors": [{"message": "no"}]}],
            "rejectedDeployments": [{"key": {"pipelineId": "p", "environmentId": "e", "deploymentSequenceNumber": 4},
                                     "errors": [{"message": "no"}]}],
            "failedFeatureFlags": {"800": [{"message": "no"}]},
            "unknownIssueKeys": ["UTF-8"],
            "unknownAssociations": [{"associationType": "issueKeys", "values": ["SHA-256"]}],
        });
        let count = |answer: &Answer| {
            answer.failed.len() + answer.failed_repositories.len() + answer.unknown_issue_keys.len()
        };
        let all = count(&Answer::parse(whole.to_string().as_bytes()));
        assert_eq!(all, 9);
        for (path, odd) in lenient::odd::variants(&whole) {
            let read = count(&Answer::parse(odd.to_string().as_bytes()));
            // A repository has four of them.
            let below = if ["/failedDevinfoEntities", "/failedDevinfoEntities/42"].contains(&path.as_str()) {
                4
            } else {
                1
            };
            assert!(read >= all - below, "{path}: {read} of {odd}");
        }
        for body in ["<html>", "null", "[]", "7", r#"{"unknownIssueKeys":"#] {
            assert_eq!(Answer::parse(body.as_bytes()), Answer::default(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..128)) {
            let _ = Answer::parse(&body);
            let _ = error_text(&body);
        }
    }
}
