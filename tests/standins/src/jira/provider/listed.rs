//! What builds, deployments and flags have in common: a list of 1 to 100 entities, each validated on its own, and a
//! 202 answer that names those that were rejected. The fields of each are in the modules of the APIs.
//!
//! As documented, a violation in one entity rejects that entity inside the 202. The whole call is refused for what
//! Jira reports for a call: the list's length, entities without a key, both kinds of links at once, more than 500
//! links, characters that can't be stored.

use serde_json::{Map, Value, json};

use super::links::{self, LinkSyntax, Problems, Unknown};
use super::rules::{Field, check_object};
use super::{Context, Properties};
use crate::jira::answer::error_message;
use crate::jira::api::Api;
use crate::jira::store::{Key, Stored};

/// Entities that one call may have.
const MAX_ENTITIES: usize = 100;

/// How one of the three APIs differs from the others.
pub(super) struct Listed {
    pub api: Api,
    /// The list's name in the body.
    pub list: &'static str,
    pub fields: &'static [Field],
    /// The field that orders updates.
    pub sequence: &'static str,
    pub links: LinkSyntax,
    /// The parts of an entity's key: name in the answer, place in the body. The order is that of the path.
    pub key: &'static [(&'static str, &'static str)],
    /// The answer's two lists; flags have a list of ids and a map instead.
    pub answers: Option<(&'static str, &'static str)>,
}

impl Listed {
    /// Checks what concerns the whole call.
    pub(super) fn check(&self, body: &Value) -> Vec<String> {
        let Some(entities) = body[self.list].as_array() else {
            return vec![format!("{}: is required and must be a list", self.list)];
        };
        if entities.is_empty() || entities.len() > MAX_ENTITIES {
            return vec![format!("{}: must have 1 to {MAX_ENTITIES} entries", self.list)];
        }
        let mut call = Vec::new();
        for (index, entity) in entities.iter().enumerate() {
            let path = format!("{}[{index}]", self.list);
            if self.key_of(entity).is_none() {
                call.push(format!("{path}: has no key"));
            } else {
                call.append(&mut self.problems(entity, &path).call);
            }
        }
        call
    }

    /// The ids of all entities of a call: the parts of their keys, joined by slashes.
    pub(super) fn ids(&self, body: &Value) -> Vec<String> {
        let entities = body[self.list].as_array().into_iter().flatten();
        entities.filter_map(|entity| self.key_of(entity)).map(|key| key.join("/")).collect()
    }

    /// Stores a checked body and answers as the API does.
    pub(super) fn store(&self, body: &Value, properties: &Properties, context: &mut Context<'_>) -> Value {
        let (mut accepted, mut rejected, mut unknown) = (Vec::new(), Vec::new(), Unknown::default());
        for entity in body[self.list].as_array().into_iter().flatten() {
            let Some(key) = self.key_of(entity) else { continue };
            let mut errors = self.problems(entity, "").entity;
            errors.extend(context.faults.rejection(self.api, &key.join("/")));
            if !errors.is_empty() {
                rejected.push((entity, errors.iter().map(|error| error_message(error)).collect()));
                continue;
            }
            let store = &*context.store;
            let has_code = |repository: &str, hash: Option<&str>| store.has_code(repository, hash);
            let mut resolved = links::resolve(entity, context.known, &has_code, &mut unknown);
            if resolved.anything {
                accepted.push(entity);
                resolved.keys.extend(store.keys_of_commits(entity));
                resolved.keys.sort_unstable();
                resolved.keys.dedup();
                context.store.put(self.api, key, self.stored(entity, resolved.keys, properties));
            }
        }
        self.answer(&accepted, rejected, &unknown)
    }

    fn stored(&self, entity: &Value, keys: Vec<String>, properties: &Properties) -> Stored {
        Stored {
            sequence: entity[self.sequence].as_i64().unwrap_or_default(),
            keys,
            properties: properties.clone(),
            body: entity.clone(),
        }
    }

    fn answer(&self, accepted: &[&Value], rejected: Vec<(&Value, Value)>, unknown: &Unknown) -> Value {
        let mut answer = json!({
            "unknownIssueKeys": unknown.issue_keys(),
            "unknownAssociations": unknown.associations(),
        });
        if let Some((accepted_name, rejected_name)) = self.answers {
            answer[accepted_name] = accepted.iter().map(|entity| self.key_object(entity)).collect();
            let reject = |(entity, errors)| json!({ "key": self.key_object(entity), "errors": errors });
            answer[rejected_name] = rejected.into_iter().map(reject).collect();
        } else {
            answer["acceptedFeatureFlags"] = accepted.iter().map(|flag| flag["id"].clone()).collect();
            let id = |flag: &Value| flag["id"].as_str().unwrap_or_default().to_owned();
            let failed: Map<_, _> = rejected.into_iter().map(|(flag, errors)| (id(flag), errors)).collect();
            answer["failedFeatureFlags"] = Value::Object(failed);
        }
        answer
    }

    fn problems(&self, entity: &Value, path: &str) -> Problems {
        let mut problems = Problems::default();
        check_object(entity, self.fields, path, &mut problems.entity);
        links::check(entity, self.links, path, &mut problems);
        problems
    }

    fn key_object(&self, entity: &Value) -> Value {
        let part = |&(name, place): &(&str, &str)| {
            (name.to_owned(), entity.pointer(place).cloned().unwrap_or_default())
        };
        Value::Object(self.key.iter().map(part).collect())
    }

    fn key_of(&self, entity: &Value) -> Option<Key> {
        let part = |(_, place): &(&str, &str)| match entity.pointer(place)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => number.as_i64().map(|number| number.to_string()),
            _ => None,
        };
        self.key.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests;
