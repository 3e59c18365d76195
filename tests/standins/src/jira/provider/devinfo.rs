//! Development information 0.10: the fields and limits of its body, storing it, and its 202 answer.
//!
//! Follows <https://developer.atlassian.com/cloud/jira/software/rest/api-group-development-information/>. Any
//! violation refuses the whole call.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::links::{self, LinkSyntax, Problems, Unknown};
use super::rules::Rule::{Bool, Count, Date, Flags, Id, Integer, List, LongText, Object, OneOf, Text, Url};
use super::rules::{Field, check_object, optional, required};
use super::{Context, Dialect, Properties};
use crate::jira::answer::error_message;
use crate::jira::api::Api;
use crate::jira::store::{Kind, Stored};
use crate::jira::triggers;

/// Entities over all repositories of a call.
const MAX_ENTITIES: usize = 1000;

/// What Jira keeps of a commit message.
const MAX_MESSAGE: usize = 1024;

const BODY: &[Field] = &[
    required("repositories", List(0, 100, REPOSITORY)),
    optional("preventTransitions", Bool),
    optional("operationType", OneOf(&["NORMAL", "BACKFILL"])),
];

const REPOSITORY: &[Field] = &[
    required("id", Id),
    required("name", Text(255)),
    required("url", Url),
    required("updateSequenceId", Integer),
    optional("description", Text(1024)),
    optional("forkOf", Text(1024)),
    optional("avatar", Url),
    optional("avatarDescription", Text(1024)),
    optional("commits", List(0, 400, COMMIT)),
    optional("branches", List(0, 400, BRANCH)),
    optional("pullRequests", List(0, 400, PULL_REQUEST)),
];

const COMMIT: &[Field] = &[
    required("id", Id),
    required("updateSequenceId", Integer),
    required("message", LongText),
    required("author", Object(AUTHOR)),
    required("authorTimestamp", Date),
    required("displayId", Text(255)),
    required("fileCount", Count),
    required("url", Url),
    optional("hash", Text(255)),
    optional("flags", Flags(&["MERGE_COMMIT"])),
    optional("files", List(0, 10, FILE)),
];

const FILE: &[Field] = &[
    required("path", Text(1024)),
    required("url", Url),
    required("changeType", OneOf(&["ADDED", "COPIED", "DELETED", "MODIFIED", "MOVED", "UNKNOWN"])),
    required("linesAdded", Count),
    required("linesRemoved", Count),
];

const AUTHOR: &[Field] = &[
    optional("email", Text(255)),
    optional("name", Text(255)),
    optional("username", Text(255)),
    optional("url", Text(2000)),
    optional("avatar", Text(2000)),
];

const BRANCH: &[Field] = &[
    required("id", Id),
    required("updateSequenceId", Integer),
    required("name", Text(512)),
    required("lastCommit", Object(COMMIT)),
    required("url", Url),
    optional("createPullRequestUrl", Text(2000)),
];

const PULL_REQUEST: &[Field] = &[
    required("id", Id),
    required("updateSequenceId", Integer),
    required("status", OneOf(&["OPEN", "MERGED", "DECLINED", "UNKNOWN", "DRAFT"])),
    required("title", Text(1024)),
    required("author", Object(AUTHOR)),
    required("commentCount", Count),
    required("displayId", Text(255)),
    required("lastUpdate", Date),
    required("sourceBranch", Text(255)),
    required("url", Url),
    optional("sourceBranchUrl", Url),
    optional("destinationBranch", Text(255)),
    optional("destinationBranchUrl", Url),
    optional("reviewers", List(0, usize::MAX, REVIEWER)),
];

const REVIEWER: &[Field] = &[
    optional("name", Text(255)),
    optional("approvalStatus", OneOf(&["APPROVED", "UNAPPROVED", "NEEDSWORK"])),
    optional("url", Url),
    optional("avatar", Url),
    optional("email", Text(254)),
    optional("accountId", Text(128)),
];

/// Checks a body whose envelope is in order.
pub(super) fn check(body: &Value, dialect: Dialect) -> Vec<String> {
    let mut problems = Vec::new();
    check_object(body, BODY, "", &mut problems);
    if !problems.is_empty() {
        return problems;
    }
    let mut linked = Problems::default();
    for (index, repository) in repositories(body).iter().enumerate() {
        check_entities(repository, &format!("repositories[{index}]"), dialect, &mut linked);
    }
    check_unique(repositories(body), "repositories", &mut linked.call);
    if ids(body).len() > MAX_ENTITIES {
        linked.call.push(format!("repositories: must not have more than {MAX_ENTITIES} entities in total"));
    }
    linked.call.append(&mut linked.entity);
    linked.call
}

/// The ids of all entities of a call.
pub(super) fn ids(body: &Value) -> Vec<String> {
    let all =
        repositories(body).iter().flat_map(|repository| Kind::ALL.map(|kind| entities(repository, kind)));
    all.flatten().map(|entity| text(entity, "id").to_owned()).collect()
}

fn check_entities(repository: &Value, path: &str, dialect: Dialect, problems: &mut Problems) {
    for kind in Kind::ALL {
        let path = format!("{path}.{}", kind.list());
        check_unique(entities(repository, kind), &path, &mut problems.call);
        for (index, entity) in entities(repository, kind).iter().enumerate() {
            let path = format!("{path}[{index}]");
            links::check(entity, LinkSyntax::DevInfo, &path, problems);
            match kind {
                Kind::Commit => {}
                // Of a last commit the current documentation still lists issueKeys as required.
                Kind::Branch => links::check_keys(
                    &entity["lastCommit"]["issueKeys"],
                    LinkSyntax::DevInfo,
                    &format!("{path}.lastCommit"),
                    problems,
                ),
                Kind::PullRequest => check_dialect(entity, &path, dialect, &mut problems.call),
            }
        }
    }
}

/// The two values that GitHub's app sends and the documentation does not list.
fn check_dialect(pull_request: &Value, path: &str, dialect: Dialect, problems: &mut Vec<String>) {
    if dialect.refuses_draft && text(pull_request, "status") == "DRAFT" {
        problems.push(format!("{path}.status: must be one of OPEN, MERGED, DECLINED, UNKNOWN"));
    }
    let reviewers = pull_request["reviewers"].as_array().into_iter().flatten();
    if dialect.refuses_needswork && reviewers.clone().any(|r| text(r, "approvalStatus") == "NEEDSWORK") {
        problems.push(format!("{path}.reviewers: approvalStatus must be one of APPROVED, UNAPPROVED"));
    }
}

fn check_unique(list: &[Value], path: &str, problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    if let Some(twice) = list.iter().map(|entry| text(entry, "id")).find(|id| !seen.insert(*id)) {
        problems.push(format!("{path}: id {twice} occurs twice"));
    }
}

/// Stores a checked body and answers as the API does.
pub(super) fn store(body: &Value, properties: &Properties, context: &mut Context<'_>) -> Value {
    let mut answer = Answer::default();
    for repository in repositories(body) {
        let id = text(repository, "id");
        context.store.put_repository(id, sequence(repository), properties, without_entities(repository));
        for kind in Kind::ALL {
            for entity in entities(repository, kind) {
                store_entity(id, kind, entity, (body, properties), context, &mut answer);
            }
        }
    }
    json!({
        "acceptedDevinfoEntities": answer.accepted,
        "failedDevinfoEntities": answer.failed,
        "unknownIssueKeys": answer.unknown.issue_keys(),
        "unknownAssociations": answer.unknown.associations(),
    })
}

#[derive(Default)]
struct Answer {
    accepted: Map<String, Value>,
    failed: Map<String, Value>,
    unknown: Unknown,
}

impl Answer {
    fn push(map: &mut Map<String, Value>, repository: &str, kind: Kind, entry: Value) {
        let kinds = map.entry(repository).or_insert_with(|| json!({}));
        match kinds[kind.list()].as_array_mut() {
            Some(list) => list.push(entry),
            None => kinds[kind.list()] = json!([entry]),
        }
    }
}

fn store_entity(
    repository: &str,
    kind: Kind,
    entity: &Value,
    (body, properties): (&Value, &Properties),
    context: &mut Context<'_>,
    answer: &mut Answer,
) {
    let id = text(entity, "id");
    if let Some(message) = context.faults.rejection(Api::DevInfo, id) {
        let failed = json!({ "id": id, "errorMessages": [error_message(&message)] });
        Answer::push(&mut answer.failed, repository, kind, failed);
        return;
    }
    let store = &*context.store;
    let has_code = |repository: &str, hash: Option<&str>| store.has_code(repository, hash);
    let resolved = links::resolve(entity, context.known, &has_code, &mut answer.unknown);
    if !resolved.anything {
        return;
    }
    Answer::push(&mut answer.accepted, repository, kind, json!(id));
    if body["preventTransitions"] != json!(true) {
        let before = store.entity(repository, kind, id);
        context.triggers.extend(triggers::fired(repository, kind, entity, before, &resolved.keys));
    }
    let stored = Stored {
        sequence: sequence(entity),
        keys: resolved.keys,
        properties: properties.clone(),
        body: with_cut_message(entity),
    };
    context.store.put_entity(repository, kind, id, stored);
}

fn with_cut_message(entity: &Value) -> Value {
    let mut entity = entity.clone();
    for at in ["/message", "/lastCommit/message"] {
        if let Some(Value::String(message)) = entity.pointer_mut(at) {
            *message = message.chars().take(MAX_MESSAGE).collect();
        }
    }
    entity
}

fn without_entities(repository: &Value) -> Value {
    let mut own = repository.clone();
    if let Some(fields) = own.as_object_mut() {
        for kind in Kind::ALL {
            fields.remove(kind.list());
        }
    }
    own
}

fn repositories(body: &Value) -> &[Value] {
    body["repositories"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn entities(repository: &Value, kind: Kind) -> &[Value] {
    repository[kind.list()].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn sequence(value: &Value) -> i64 {
    value["updateSequenceId"].as_i64().unwrap_or_default()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
