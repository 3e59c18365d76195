//! Rules that Atlassian's documents state only in words, so that no schema checks them: limits over a whole
//! call, unique ids, the alphabet of ids, property names, and which key fields exclude each other.
//! Follows the field descriptions of "Jira Software Cloud REST API"
//! (<https://developer.atlassian.com/cloud/jira/software/rest/>).

use std::collections::BTreeSet;

use serde_json::Value;

/// Entities in one call to dev info, over all its repositories.
const MAX_ENTITIES: usize = 1_000;
/// Characters of an entity's id in dev info.
const MAX_ID: usize = 1_024;
/// Values over all associations of one entity.
const MAX_ASSOCIATED: usize = 500;
/// Characters of a property's name.
const MAX_PROPERTY_NAME: usize = 255;
/// The lists of entities in a repository, by field name.
const KINDS: [&str; 3] = ["commits", "branches", "pullRequests"];

/// What is wrong with a body that the schemas accept, one sentence each.
#[must_use]
pub fn violations(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    property_names(body, &mut found);
    if let Some(repositories) = body["repositories"].as_array() {
        repositories_of_a_call(repositories, &mut found);
    }
    for list in ["builds", "deployments", "flags"] {
        for entity in items(body, list) {
            associations(list, entity, &mut found);
        }
    }
    found
}

fn repositories_of_a_call(repositories: &[Value], found: &mut Vec<String>) {
    unique_ids("repositories", repositories, found);
    let mut entities = 0;
    for repository in repositories {
        for kind in KINDS {
            let list = items(repository, kind);
            entities += list.len();
            unique_ids(kind, list, found);
            for entity in list {
                associations(kind, entity, found);
                if let Some(commit) = entity.get("lastCommit") {
                    id("lastCommit", commit, found);
                }
            }
        }
    }
    if entities > MAX_ENTITIES {
        found.push(format!("{entities} entities in one call, {MAX_ENTITIES} are allowed"));
    }
}

fn unique_ids<'a>(list: &str, entities: &'a [Value], found: &mut Vec<String>) {
    let mut seen: BTreeSet<&'a str> = BTreeSet::new();
    for entity in entities {
        if let Some(id) = id(list, entity, found)
            && !seen.insert(id)
        {
            found.push(format!("{list} holds the id {id} twice"));
        }
    }
}

fn id<'a>(list: &str, entity: &'a Value, found: &mut Vec<String>) -> Option<&'a str> {
    let id = entity["id"].as_str()?;
    let allowed = |character: char| character.is_ascii_alphanumeric() || "~.-_".contains(character);
    if id.is_empty() || id.len() > MAX_ID || !id.chars().all(allowed) {
        found.push(format!("{list} holds the id {id:?}: 1 to {MAX_ID} of A-Z a-z 0-9 ~ . - _ are allowed"));
    }
    Some(id)
}

fn associations(list: &str, entity: &Value, found: &mut Vec<String>) {
    if entity.get("issueKeys").is_some() && entity.get("associations").is_some() {
        found.push(format!("one of {list} has both issueKeys and associations"));
    }
    let values: usize = items(entity, "associations").iter().map(|kind| items(kind, "values").len()).sum();
    if values > MAX_ASSOCIATED {
        found.push(format!("one of {list} has {values} associated values, {MAX_ASSOCIATED} are allowed"));
    }
}

fn property_names(body: &Value, found: &mut Vec<String>) {
    for name in body["properties"].as_object().into_iter().flat_map(|properties| properties.keys()) {
        if name.starts_with('_') || name.contains(':') || name.chars().count() > MAX_PROPERTY_NAME {
            found.push(format!("the property name {name:?} is not allowed"));
        }
    }
}

fn items<'a>(object: &'a Value, list: &str) -> &'a [Value] {
    object[list].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_small_body_is_fine() {
        let body = json!({"properties": {"link": "1"}, "repositories": [
            {"id": "1", "commits": [{"id": "a"}], "branches": [{"id": "a", "lastCommit": {"id": "b"}}]}]});
        assert_eq!(violations(&body), Vec::<String>::new());
    }

    #[test]
    fn every_rule_is_noticed() {
        let many: Vec<_> = (0..1_001).map(|id| json!({"id": id.to_string()})).collect();
        let keys: Vec<_> = (0..501).map(|number| format!("K-{number}")).collect();
        for (body, expected) in [
            (json!({"repositories": [{"id": "1", "commits": many}]}), "1001 entities"),
            (json!({"repositories": [{"id": "1"}, {"id": "1"}]}), "repositories holds the id 1 twice"),
            (json!({"repositories": [{"id": "1", "branches": [{"id": "a/b"}]}]}), "branches holds the id"),
            (
                json!({"repositories": [{"id": "1", "branches": [{"id": "a", "lastCommit": {"id": ""}}]}]}),
                "lastCommit",
            ),
            (
                json!({"repositories": [{"id": "1", "commits": [{"id": "a", "issueKeys": [], "associations": []}]}]}),
                "both",
            ),
            (json!({"deployments": [{"associations": [{"values": keys}]}]}), "501 associated values"),
            (json!({"builds": [], "properties": {"_a": "1"}}), "\"_a\""),
            (json!({"flags": [], "properties": {"a:b": "1"}}), "\"a:b\""),
        ] {
            let found = violations(&body);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        }
    }
}
