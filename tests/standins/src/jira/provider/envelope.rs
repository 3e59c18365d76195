//! What holds for a body of any provider API: characters, `properties`, `providerMetadata`. Violations refuse the
//! whole call.

use serde_json::Value;

use super::rules::{Field, Rule, check_object, optional};
use crate::jira::store::Properties;

/// Entries that `properties` may have.
const MAX_PROPERTIES: usize = 5;

/// Longest key and longest value of a property, in characters.
const MAX_PROPERTY: usize = 255;

const METADATA: &[Field] = &[optional("product", Rule::LongText)];

const ENVELOPE: &[Field] = &[optional("providerMetadata", Rule::Object(METADATA))];

/// Checks a whole body and reads its properties.
pub(super) fn check(body: &Value, problems: &mut Vec<String>) -> Properties {
    if !body.is_object() {
        problems.push("the body must be an object".to_owned());
    } else if has_refused_character(body) {
        problems.push("the body contains characters that can't be stored".to_owned());
    } else {
        check_object(body, ENVELOPE, "", problems);
    }
    properties(&body["properties"], problems)
}

/// Whether a string anywhere contains a control character or one outside the basic multilingual plane.
fn has_refused_character(value: &Value) -> bool {
    let refused = |text: &str| {
        text.chars()
            .any(|c| !matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}'))
    };
    match value {
        Value::String(text) => refused(text),
        Value::Array(list) => list.iter().any(has_refused_character),
        Value::Object(object) => {
            object.iter().any(|(key, value)| refused(key) || has_refused_character(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn properties(value: &Value, problems: &mut Vec<String>) -> Properties {
    let mut properties = Properties::new();
    if value.is_null() {
        return properties;
    }
    let Some(object) = value.as_object() else {
        problems.push("properties: must be an object".to_owned());
        return properties;
    };
    if object.len() > MAX_PROPERTIES {
        problems.push(format!("properties: must not have more than {MAX_PROPERTIES} entries"));
    }
    for (key, value) in object {
        let Some(value) = value.as_str() else {
            problems.push(format!("properties.{key}: must be a string"));
            continue;
        };
        if key.chars().count() > MAX_PROPERTY || value.chars().count() > MAX_PROPERTY {
            problems
                .push(format!("properties.{key}: key and value must not exceed {MAX_PROPERTY} characters"));
        }
        if key.starts_with('_') || key.contains(':') {
            problems.push(format!("properties.{key}: a key must not start with _ nor contain :"));
        }
        properties.insert(key.clone(), value.to_owned());
    }
    properties
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems_of(body: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        check(body, &mut problems);
        problems
    }

    #[test]
    fn five_properties_are_read() {
        let mut problems = Vec::new();
        let body = json!({ "properties": { "a": "1", "b": "2", "c": "3", "d": "4", "e": "5" } });
        assert_eq!(check(&body, &mut problems).len(), 5);
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn properties_have_rules() {
        for (properties, problem) in [
            (
                json!({ "a": "", "b": "", "c": "", "d": "", "e": "", "f": "" }),
                "must not have more than 5 entries",
            ),
            (json!({ "_a": "1" }), "must not start with _"),
            (json!({ "a:b": "1" }), "nor contain :"),
            (json!({ "a": 1 }), "must be a string"),
            (json!({ "a": "x".repeat(256) }), "must not exceed 255"),
            (json!({ "x".repeat(256): "a" }), "must not exceed 255"),
            (json!(["a"]), "must be an object"),
        ] {
            let problems = problems_of(&json!({ "properties": properties }));
            assert!(problems.len() == 1 && problems[0].contains(problem), "{problems:?} lacks {problem}");
        }
    }

    #[test]
    fn some_characters_refuse_the_whole_body() {
        for text in ["rocket \u{1f680}", "bell \u{7}", "nul \0", "\u{ffff}"] {
            let problems = problems_of(&json!({ "deep": [{ "er": text }] }));
            assert_eq!(problems, ["the body contains characters that can't be stored"], "{text:?}");
        }
        assert_eq!(problems_of(&json!({ "fine": "tab\t line\r\n ä 修 \u{fffd}" })), Vec::<String>::new());
    }

    #[test]
    fn the_body_is_an_object_and_its_metadata_too() {
        assert_eq!(problems_of(&json!([])), ["the body must be an object"]);
        let problems = problems_of(&json!({ "providerMetadata": { "product": 7 } }));
        assert_eq!(problems, ["providerMetadata.product: must be a string"]);
    }
}
