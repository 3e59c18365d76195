//! What an entity is attached to: `issueKeys` or `associations`. Their syntax, their limits, and which of them exist
//! on the site.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::jira::known::Known;

/// Keys, or values over all associations, that one entity may have.
const MAX_VALUES: usize = 500;

/// Longest part of an issue key on either side of the dash.
const MAX_KEY_PART: usize = 255;

/// Longest service id, commit hash and repository id in an association.
const MAX_REFERENCE: usize = 255;

/// Associations that one entity may have.
const MAX_ASSOCIATIONS: usize = 3;

/// What is wrong with a body: with the whole call, which is answered 400, or with one entity of it.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub call: Vec<String>,
    pub entity: Vec<String>,
}

/// How an API reads links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkSyntax {
    /// Keys must start with a letter of any script and have two characters or more before the dash.
    DevInfo,
    /// Keys are word characters, a dash and digits.
    Plain,
    /// As plain, and services, commits and repositories can be linked too.
    Deployment,
}

/// Checks the links of one entity: exactly one of `issueKeys` and `associations`, with 1 to 500 values.
pub(super) fn check(entity: &Value, syntax: LinkSyntax, path: &str, problems: &mut Problems) {
    let (keys, associations) = (&entity["issueKeys"], &entity["associations"]);
    match (keys.is_null(), associations.is_null()) {
        (false, false) => problems.call.push(format!("{path}: issueKeysOrAssociationsOrNone.invalid")),
        (true, true) => problems.entity.push(format!("{path}: issueKeys or associations is required")),
        (false, true) => check_keys(keys, syntax, path, problems),
        (true, false) => check_associations(associations, syntax, path, problems),
    }
}

/// Checks `issueKeys` where associations are not an alternative.
pub(super) fn check_keys(keys: &Value, syntax: LinkSyntax, path: &str, problems: &mut Problems) {
    let path = format!("{path}.issueKeys");
    let Some(keys) = keys.as_array() else {
        problems.entity.push(format!("{path}: must be a list"));
        return;
    };
    check_count(keys.len(), &path, problems);
    let wrong = keys.iter().find(|key| !key.as_str().is_some_and(|key| is_key(key, syntax)));
    if let Some(key) = wrong {
        problems.entity.push(format!("{path}: {key} is no issue key"));
    }
}

fn check_associations(associations: &Value, syntax: LinkSyntax, path: &str, problems: &mut Problems) {
    let path = format!("{path}.associations");
    let list = associations.as_array().map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() || list.len() > MAX_ASSOCIATIONS {
        problems.entity.push(format!("{path}: must be a list of 1 to {MAX_ASSOCIATIONS} entries"));
    }
    let values = || list.iter().map(|association| association["values"].as_array().map_or(0, Vec::len));
    check_count(values().sum(), &path, problems);
    if values().any(|count| count == 0) {
        problems.entity.push(format!("{path}: every association must have values"));
    }
    for association in list {
        let kind = association["associationType"].as_str().unwrap_or_default();
        for value in association["values"].as_array().into_iter().flatten() {
            if let Some(problem) = value_problem(kind, value, syntax) {
                problems.entity.push(format!("{path}: {value} {problem}"));
                return;
            }
        }
    }
}

fn check_count(count: usize, path: &str, problems: &mut Problems) {
    if count == 0 {
        problems.entity.push(format!("{path}: must not be empty"));
    } else if count > MAX_VALUES {
        problems.call.push(format!("{path}: must not have more than {MAX_VALUES} values"));
    }
}

fn value_problem(kind: &str, value: &Value, syntax: LinkSyntax) -> Option<&'static str> {
    let short = |value: &Value| {
        value.as_str().is_some_and(|text| (1..=MAX_REFERENCE).contains(&text.chars().count()))
    };
    let (right, problem) = match kind {
        "issueKeys" | "issueIdOrKeys" => {
            (value.as_str().is_some_and(|key| is_key(key, syntax) || is_digits(key)), "is no issue key or id")
        }
        "serviceIdOrKeys" if syntax == LinkSyntax::Deployment => (short(value), "is no service id"),
        "commit" if syntax == LinkSyntax::Deployment => (
            short(&value["commitHash"]) && short(&value["repositoryId"]),
            "needs commitHash and repositoryId",
        ),
        "repository" if syntax == LinkSyntax::Deployment => {
            (short(&value["repositoryId"]), "needs repositoryId")
        }
        _ => (false, "has an unknown associationType"),
    };
    (!right).then_some(problem)
}

fn is_key(key: &str, syntax: LinkSyntax) -> bool {
    let Some((project, number)) = key.rsplit_once('-') else {
        return false;
    };
    is_digits(number)
        && match syntax {
            LinkSyntax::DevInfo => {
                let mut characters = project.chars();
                characters.next().is_some_and(char::is_alphabetic)
                    && (1..=MAX_KEY_PART).contains(&characters.clone().count())
                    && characters.all(|c| c.is_alphabetic() || c.is_ascii_digit() || c == '_')
            }
            LinkSyntax::Plain | LinkSyntax::Deployment => {
                (1..=MAX_KEY_PART).contains(&project.len())
                    && project.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            }
        }
}

fn is_digits(text: &str) -> bool {
    (1..=MAX_KEY_PART).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Answers whether the provider stored a commit (`Some(hash)`) or a repository (`None`) of this repository id.
pub(super) type HasCode<'a> = &'a dyn Fn(&str, Option<&str>) -> bool;

/// What of an entity's links exists.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// The issues to show the entity on, each once.
    pub keys: Vec<String>,
    /// Whether anything at all is known. If not, the entity is dropped.
    pub anything: bool,
}

/// The links of a call that don't exist, as the answer lists them.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    keys: BTreeSet<String>,
    associations: Vec<Value>,
}

impl Unknown {
    pub(super) fn issue_keys(&self) -> Value {
        json!(self.keys)
    }

    pub(super) fn associations(&self) -> Value {
        json!(self.associations)
    }

    fn add_association(&mut self, kind: &str, values: Vec<&Value>) {
        if !values.is_empty() {
            self.associations.push(json!({ "associationType": kind, "values": values }));
        }
    }
}

/// Splits the links of a checked entity into those that exist and those that don't.
pub(super) fn resolve(
    entity: &Value,
    known: &Known,
    has_code: HasCode<'_>,
    unknown: &mut Unknown,
) -> Resolved {
    let mut resolved = Resolved::default();
    for key in entity["issueKeys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if known.has_issue(key) {
            resolved.anything = true;
            resolved.keys.push(key.to_owned());
        } else {
            unknown.keys.insert(key.to_owned());
        }
    }
    for association in entity["associations"].as_array().into_iter().flatten() {
        let kind = association["associationType"].as_str().unwrap_or_default();
        let values = association["values"].as_array().into_iter().flatten();
        let (found, missing): (Vec<&Value>, Vec<&Value>) =
            values.partition(|value| exists(kind, value, known, has_code));
        resolved.anything |= !found.is_empty();
        if kind.starts_with("issue") {
            resolved.keys.extend(found.iter().filter_map(|key| key.as_str()).map(ToOwned::to_owned));
            unknown.keys.extend(missing.iter().filter_map(|key| key.as_str()).map(ToOwned::to_owned));
        }
        unknown.add_association(kind, missing);
    }
    resolved.keys.sort_unstable();
    resolved.keys.dedup();
    resolved
}

fn exists(kind: &str, value: &Value, known: &Known, has_code: HasCode<'_>) -> bool {
    let repository = value["repositoryId"].as_str().unwrap_or_default();
    match kind {
        "serviceIdOrKeys" => value.as_str().is_some_and(|service| known.has_service(service)),
        "commit" => has_code(repository, value["commitHash"].as_str()),
        "repository" => has_code(repository, None),
        _ => value.as_str().is_some_and(|key| known.has_issue(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(entity: &Value, syntax: LinkSyntax) -> Problems {
        let mut problems = Problems::default();
        check(entity, syntax, "it", &mut problems);
        problems
    }

    #[track_caller]
    fn entity_problem(entity: Value, syntax: LinkSyntax, problem: &str) {
        let problems = problems_of(&entity, syntax);
        assert!(problems.call.is_empty(), "{problems:?}");
        assert!(problems.entity.iter().any(|found| found.contains(problem)), "{problems:?} lacks {problem}");
    }

    #[test]
    fn issue_keys_follow_the_syntax_of_the_api() {
        for key in ["PAY-1", "P1-1", "Pä_2-3", "修正-1"] {
            assert!(is_key(key, LinkSyntax::DevInfo), "{key}");
        }
        for key in ["P-1", "1A-1", "_A-1", "PAY", "PAY-", "-1", "PAY-1a", "PAY 1", "PA.Y-1", "A-B-1"] {
            assert!(!is_key(key, LinkSyntax::DevInfo), "{key}");
        }
        for key in ["P-1", "1A-1", "_A-1", "UTF-8"] {
            assert!(is_key(key, LinkSyntax::Plain), "{key}");
        }
        for key in ["修正-1", "PAY", "A-B-1", "PAY-"] {
            assert!(!is_key(key, LinkSyntax::Plain), "{key}");
        }
        let long = format!("{}-1", "A".repeat(257));
        assert!(!is_key(&long, LinkSyntax::DevInfo) && !is_key(&long, LinkSyntax::Plain));
        assert!(!is_key(&format!("PAY-{}", "1".repeat(256)), LinkSyntax::Plain));
    }

    #[test]
    fn an_entity_has_keys_or_associations_but_not_both() {
        let both = json!({ "issueKeys": ["PAY-1"],
                           "associations": [{ "associationType": "issueKeys", "values": ["PAY-1"] }] });
        assert_eq!(problems_of(&both, LinkSyntax::Plain).call, ["it: issueKeysOrAssociationsOrNone.invalid"]);
        entity_problem(json!({}), LinkSyntax::Plain, "issueKeys or associations is required");
    }

    #[test]
    fn counts_are_limited() {
        entity_problem(json!({ "issueKeys": [] }), LinkSyntax::DevInfo, "must not be empty");
        let keys = |count: usize| (1..=count).map(|n| format!("PAY-{n}")).collect::<Vec<_>>();
        let fits = problems_of(&json!({ "issueKeys": keys(500) }), LinkSyntax::DevInfo);
        assert!(fits.call.is_empty() && fits.entity.is_empty());
        let over = problems_of(&json!({ "issueKeys": keys(501) }), LinkSyntax::DevInfo);
        assert_eq!(over.call, ["it.issueKeys: must not have more than 500 values"]);

        let two = json!({ "associations": [{ "associationType": "issueKeys", "values": keys(300) },
                                           { "associationType": "serviceIdOrKeys", "values": keys(201) }] });
        let over = problems_of(&two, LinkSyntax::Deployment);
        assert_eq!(over.call, ["it.associations: must not have more than 500 values"]);
    }

    #[test]
    fn associations_are_typed() {
        let one = |kind: &str, value: Value| json!({ "associations": [{ "associationType": kind, "values": [value] }] });
        let commit = json!({ "commitHash": "c", "repositoryId": "1" });
        for entity in [
            one("issueIdOrKeys", json!("10001")),
            one("serviceIdOrKeys", json!("b:abc=")),
            one("commit", commit.clone()),
            one("repository", json!({ "repositoryId": "1" })),
        ] {
            let problems = problems_of(&entity, LinkSyntax::Deployment);
            assert!(problems.entity.is_empty(), "{problems:?}");
        }
        entity_problem(one("commit", commit), LinkSyntax::Plain, "unknown associationType");
        entity_problem(one("issueKeys", json!("pay")), LinkSyntax::Plain, "is no issue key or id");
        entity_problem(
            one("commit", json!({ "commitHash": "c" })),
            LinkSyntax::Deployment,
            "needs commitHash",
        );
        entity_problem(json!({ "associations": [] }), LinkSyntax::Plain, "must be a list of 1 to 3");
        let empty = json!({ "associations": [{ "associationType": "issueKeys", "values": [] }] });
        entity_problem(empty, LinkSyntax::Plain, "every association must have values");
        entity_problem(json!({ "issueKeys": "PAY-1" }), LinkSyntax::Plain, "must be a list");
        entity_problem(json!({ "issueKeys": [7] }), LinkSyntax::Plain, "7 is no issue key");
    }

    #[test]
    fn unknown_links_are_listed_and_known_ones_kept() {
        let mut known = Known::default();
        known.add_range("PAY", 1..=2);
        let has_code = |repository: &str, hash: Option<&str>| repository == "1" && hash == Some("abc");
        let mut unknown = Unknown::default();

        let keys = json!({ "issueKeys": ["PAY-1", "UTF-8", "PAY-3", "PAY-1"] });
        let resolved = resolve(&keys, &known, &has_code, &mut unknown);
        assert_eq!(resolved.keys, ["PAY-1"]);
        assert!(resolved.anything);
        assert_eq!(unknown.issue_keys(), json!(["PAY-3", "UTF-8"]));
        assert_eq!(unknown.associations(), json!([]));

        let lost = resolve(&json!({ "issueKeys": ["UTF-8"] }), &known, &has_code, &mut unknown);
        assert!(!lost.anything && lost.keys.is_empty());

        let commit = json!({ "associations": [
            { "associationType": "commit", "values": [{ "commitHash": "abc", "repositoryId": "1" },
                                                      { "commitHash": "def", "repositoryId": "1" }] },
            { "associationType": "issueIdOrKeys", "values": ["OPS-1"] }] });
        let resolved = resolve(&commit, &known, &has_code, &mut unknown);
        assert!(resolved.anything && resolved.keys.is_empty());
        assert_eq!(unknown.issue_keys(), json!(["OPS-1", "PAY-3", "UTF-8"]));
        assert_eq!(
            unknown.associations()[0]["values"],
            json!([{ "commitHash": "def", "repositoryId": "1" }])
        );
        assert_eq!(unknown.associations()[1]["associationType"], "issueIdOrKeys");
    }
}
