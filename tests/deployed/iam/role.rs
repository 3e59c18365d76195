//! A role's policy, and whether it allows a call
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>). Only what this bundle's
//! policies are made of is understood: a policy with anything else can't be read, so that nothing is judged wrongly.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::Call;

/// The condition key that holds the names in an encryption context.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html>
const CONTEXT_KEYS: &str = "kms:EncryptionContextKeys";

/// What the condition keys begin with that hold the values in an encryption context.
const CONTEXT_VALUE: &str = "kms:EncryptionContext:";

/// The condition key that holds the partition keys of items.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html>
const LEADING_KEYS: &str = "dynamodb:LeadingKeys";

/// A role, by its one policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Role {
    #[serde(rename = "Version")]
    _version: Version,
    statement: Vec<Statement>,
}

#[derive(Clone, Debug, Deserialize)]
enum Version {
    #[serde(rename = "2012-10-17")]
    Current,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Statement {
    sid: String,
    #[serde(rename = "Effect")]
    _effect: Effect,
    action: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    resource: Vec<String>,
    #[serde(default)]
    condition: Condition,
}

/// Reads what is written alone or as a list.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(resource) => vec![resource],
        OneOrMany::Many(resources) => resources,
    })
}

#[derive(Clone, Debug, Deserialize)]
enum Effect {
    Allow,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    #[serde(rename = "StringEquals", default)]
    string_equals: BTreeMap<String, Vec<String>>,
    #[serde(rename = "ForAllValues:StringEquals", default)]
    for_all_values: BTreeMap<String, Vec<String>>,
    #[serde(rename = "ForAllValues:StringLike", default)]
    all_values_like: BTreeMap<String, Vec<String>>,
}

impl Role {
    /// Reads a policy document in JSON.
    pub fn read(policy: &str) -> Result<Self, String> {
        let role: Self = serde_json::from_str(policy).map_err(|error| format!("{error}: {policy}"))?;
        role.statement.iter().try_for_each(Statement::is_understood)?;
        Ok(role)
    }

    /// Which of the grants allow `call`.
    pub fn allows(&self, call: &Call) -> Option<Vec<String>> {
        let statement = self.statement.iter().find(|statement| statement.allows(call))?;
        let values =
            statement.condition.string_equals.keys().filter_map(|key| call.context.get(context_name(key)));
        let of_action = grant(&statement.sid, &call.action, values);
        let patterns = statement.condition.all_values_like.values().flatten();
        let used = patterns.filter(|pattern| call.leading_keys.iter().any(|key| is_like(key, pattern)));
        Some(
            std::iter::once(of_action).chain(used.map(|pattern| of_items(&statement.sid, pattern))).collect(),
        )
    }

    /// All that is allowed: for each statement its actions, for each of these the values that a condition names, and the
    /// patterns of partition keys.
    pub fn grants(&self) -> impl Iterator<Item = String> {
        self.statement.iter().flat_map(|statement| {
            let values: Vec<&String> = statement.condition.string_equals.values().flatten().collect();
            let of_actions = statement.action.iter().flat_map(move |action| {
                let of = |value: Option<&&String>| grant(&statement.sid, action, value.copied());
                if values.is_empty() {
                    vec![of(None)]
                } else {
                    values.iter().map(|value| of(Some(value))).collect()
                }
            });
            let patterns = statement.condition.all_values_like.values().flatten();
            of_actions.chain(patterns.map(|pattern| of_items(&statement.sid, pattern)))
        })
    }
}

/// One thing that a role allows, in a line.
fn grant<'a>(sid: &str, action: &str, values: impl IntoIterator<Item = &'a String>) -> String {
    values.into_iter().fold(format!("{sid}: {action}"), |grant, value| format!("{grant} {value}"))
}

fn of_items(sid: &str, pattern: &str) -> String {
    format!("{sid}: items like {pattern}")
}

/// Whether `text` is like a pattern that is wild at its end, if anywhere.
fn is_like(text: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(text == pattern, |beginning| text.starts_with(beginning))
}

/// The name in an encryption context that a condition key asks for.
fn context_name(key: &str) -> &str {
    key.strip_prefix(CONTEXT_VALUE).unwrap_or_default()
}

impl Statement {
    fn is_understood(&self) -> Result<(), String> {
        let wild = |text: &str| text.contains(['*', '?', '$']);
        let mut resources =
            self.resource.iter().map(|resource| resource.strip_suffix('*').unwrap_or(resource));
        // One key at most, so that a grant is an action with one value.
        let keys = self.condition.string_equals.len() <= 1
            && self.condition.string_equals.keys().all(|key| key.starts_with(CONTEXT_VALUE))
            && self.condition.for_all_values.keys().all(|key| key == CONTEXT_KEYS)
            && self.condition.all_values_like.keys().all(|key| key == LEADING_KEYS);
        let patterns = self.condition.all_values_like.values().flatten();
        let mut beginnings = patterns.map(|pattern| pattern.strip_suffix('*').unwrap_or(pattern));
        let values = self.condition.string_equals.values().chain(self.condition.for_all_values.values());
        let understood = keys
            && !resources.any(wild)
            && !self.action.iter().any(|action| wild(action))
            && !values.flatten().any(|value| wild(value))
            && !beginnings.any(wild);
        if understood { Ok(()) } else { Err(format!("this statement is not understood here: {self:?}")) }
    }

    fn allows(&self, call: &Call) -> bool {
        self.action.contains(&call.action)
            && self.resource.iter().any(|resource| is_like(&call.resource, resource))
            && self.condition.holds(call)
    }
}

impl Condition {
    /// Whether all of it holds. A value that is missing equals nothing; of no values, all are among any.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html>
    fn holds(&self, call: &Call) -> bool {
        let equal = self.string_equals.iter().all(|(key, allowed)| {
            call.context.get(context_name(key)).is_some_and(|value| allowed.contains(value))
        });
        let like = |key: &String, patterns: &[String]| patterns.iter().any(|pattern| is_like(key, pattern));
        equal
            && self
                .for_all_values
                .values()
                .all(|allowed| call.context.keys().all(|name| allowed.contains(name)))
            && self
                .all_values_like
                .values()
                .all(|patterns| call.leading_keys.iter().all(|key| like(key, patterns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [
        {"Sid": "Logs", "Effect": "Allow", "Action": ["logs:PutLogEvents"], "Resource": "arn:aws:logs:r:1:log-group:a:*"},
        {"Sid": "Table", "Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:PutItem"],
         "Resource": "arn:aws:dynamodb:r:1:table/t",
         "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["SITE#*", "SITES"]}}},
        {"Sid": "Count", "Effect": "Allow", "Action": ["sqs:GetQueueAttributes"],
         "Resource": ["arn:aws:sqs:r:1:events", "arn:aws:sqs:r:1:backfill"]},
        {"Sid": "Open", "Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": "arn:aws:kms:r:1:key/k",
         "Condition": {"StringEquals": {"kms:EncryptionContext:purpose": ["hook-secret", "gitlab-token"]},
                       "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["site", "purpose", "record"]}}}]}"#;

    fn call(action: &str, resource: &str) -> Call {
        let (action, resource) = (action.to_owned(), resource.to_owned());
        Call { action, resource, context: BTreeMap::new(), leading_keys: Vec::new() }
    }

    fn judged(call: &Call) -> Option<Vec<String>> {
        Role::read(POLICY).unwrap().allows(call)
    }

    fn verdict(action: &str, resource: &str, context: &[(&str, &str)]) -> Option<String> {
        let context = context.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        judged(&Call { context, ..call(action, resource) }).map(|grants| grants.join(", "))
    }

    #[test]
    fn an_action_is_allowed_on_its_resource_only() {
        let allowed = verdict("dynamodb:PutItem", "arn:aws:dynamodb:r:1:table/t", &[]);
        assert_eq!(allowed.as_deref(), Some("Table: dynamodb:PutItem"));
        assert_eq!(verdict("dynamodb:DeleteItem", "arn:aws:dynamodb:r:1:table/t", &[]), None);
        assert_eq!(verdict("dynamodb:PutItem", "arn:aws:dynamodb:r:1:table/tt", &[]), None);
        assert_eq!(verdict("dynamodb:PutItem", "arn:aws:kms:r:1:key/k", &[]), None);
        for queue in ["arn:aws:sqs:r:1:events", "arn:aws:sqs:r:1:backfill"] {
            let allowed = verdict("sqs:GetQueueAttributes", queue, &[]);
            assert_eq!(allowed.as_deref(), Some("Count: sqs:GetQueueAttributes"));
        }
        assert_eq!(verdict("sqs:GetQueueAttributes", "arn:aws:sqs:r:1:other", &[]), None);
        let allowed = verdict("logs:PutLogEvents", "arn:aws:logs:r:1:log-group:a:log-stream:b", &[]);
        assert_eq!(allowed.as_deref(), Some("Logs: logs:PutLogEvents"));
    }

    #[test]
    fn a_key_opens_for_its_purposes_and_for_the_known_names_only() {
        let open =
            |context: &[(&str, &str)]| verdict("kms:Decrypt", "arn:aws:kms:r:1:key/k", context).is_some();
        assert!(open(&[("purpose", "hook-secret"), ("site", "s"), ("record", "r")]));
        assert!(open(&[("purpose", "gitlab-token")]));
        assert!(!open(&[("purpose", "shared-secret"), ("site", "s"), ("record", "r")]));
        assert!(!open(&[("site", "s"), ("record", "r")]));
        assert!(!open(&[]));
        assert!(!open(&[("purpose", "hook-secret"), ("other", "x")]));
    }

    #[test]
    fn items_of_other_partitions_are_out_of_reach() {
        let get = |keys: &[&str]| {
            let leading_keys = keys.iter().map(|key| (*key).to_owned()).collect();
            judged(&Call { leading_keys, ..call("dynamodb:GetItem", "arn:aws:dynamodb:r:1:table/t") })
        };
        assert_eq!(get(&["SITE#1"]).unwrap(), ["Table: dynamodb:GetItem", "Table: items like SITE#*"]);
        let both = ["Table: dynamodb:GetItem", "Table: items like SITE#*", "Table: items like SITES"];
        assert_eq!(get(&["SITES", "SITE#2", "SITE#1"]).unwrap(), both);
        for outside in [&["CLIENT#1"][..], &["SITES#1"], &["SITE"], &["SITE#1", "CLIENT#1"], &[""]] {
            assert_eq!(get(outside), None, "{outside:?}");
        }
    }

    #[test]
    fn every_call_that_is_allowed_is_one_of_the_grants() {
        let grants: Vec<String> = Role::read(POLICY).unwrap().grants().collect();
        let expected = [
            "Logs: logs:PutLogEvents",
            "Table: dynamodb:GetItem",
            "Table: dynamodb:PutItem",
            "Table: items like SITE#*",
            "Table: items like SITES",
            "Count: sqs:GetQueueAttributes",
            "Open: kms:Decrypt hook-secret",
            "Open: kms:Decrypt gitlab-token",
        ];
        assert_eq!(grants, expected);
        let context = [("purpose", "gitlab-token"), ("site", "s")];
        let used = verdict("kms:Decrypt", "arn:aws:kms:r:1:key/k", &context);
        assert_eq!(used.as_deref(), Some("Open: kms:Decrypt gitlab-token"));
    }

    #[test]
    fn a_policy_of_something_else_is_not_read() {
        assert!(Role::read(POLICY).is_ok());
        for (known, unknown) in [
            (r#""Effect": "Allow", "Action": ["kms"#, r#""Effect": "Deny", "Action": ["kms"#),
            ("dynamodb:PutItem", "dynamodb:*"),
            ("table/t", "*/t"),
            ("ForAllValues:", "ForAnyValue:"),
            ("ForAllValues:StringLike", "StringLike"),
            ("dynamodb:LeadingKeys", "dynamodb:Attributes"),
            ("SITE#*", "*#SITE"),
            ("kms:EncryptionContext:purpose", "aws:SourceIp"),
            ("kms:EncryptionContextKeys", "kms:EncryptionContext:site"),
            (r#""Sid": "Table""#, r#""Sid": "Table", "NotResource": "x""#),
            ("2012-10-17", "2008-10-17"),
        ] {
            let policy = POLICY.replace(known, unknown);
            assert_ne!(policy, POLICY, "{known}");
            assert!(Role::read(&policy).is_err(), "{unknown}");
        }
    }
}
