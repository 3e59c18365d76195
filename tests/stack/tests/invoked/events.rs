//! The events and the answers to them: files with a function's name each. An answer's file holds what matters of it.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// What `sam local invoke` takes.
pub const EVENTS: &str = "infra/events";

/// What the functions have to answer.
pub const ANSWERS: &str = "infra/events/answers";

/// The names of the files in `folder`, sorted.
pub fn names(folder: &str) -> Vec<String> {
    let files = std::fs::read_dir(path(folder)).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "json"));
    let mut names: Vec<_> =
        files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

/// The file in `folder` with this name.
pub fn read(folder: &str, name: &str) -> Value {
    let file = path(folder).join(name).with_extension("json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn path(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder)
}

/// What of `expected` is not in `answer`. Where an object is expected, it may have more fields than that, and may stand in
/// a text.
pub fn difference(expected: &Value, answer: &Value) -> Option<String> {
    match (expected, answer) {
        (Value::Object(_), Value::String(text)) => match serde_json::from_str(text) {
            Ok(inner) => difference(expected, &inner),
            Err(_) => Some(format!("{text:?} is not JSON")),
        },
        (Value::Object(expected), Value::Object(answer)) => expected.iter().find_map(|(name, expected)| {
            let found = difference(expected, answer.get(name).unwrap_or(&Value::Null))?;
            Some(format!("{name}: {found}"))
        }),
        _ if expected == answer => None,
        _ => Some(format!("{answer} where {expected} was expected")),
    }
}

#[test]
fn a_difference_is_seen_at_any_depth() {
    let expected = serde_json::json!({"statusCode": 200, "body": {"key": "a"}});
    for (answer, difference_is) in [
        (r#"{"statusCode": 200, "body": "{\"key\": \"a\", \"more\": 1}", "more": 1}"#, None),
        (r#"{"statusCode": 401, "body": {"key": "a"}}"#, Some("statusCode: 401 where 200 was expected")),
        (r#"{"statusCode": 200}"#, Some(r#"body: null where {"key":"a"} was expected"#)),
        (
            r#"{"statusCode": 200, "body": "{\"key\": \"b\"}"}"#,
            Some(r#"body: key: "b" where "a" was expected"#),
        ),
        (r#"{"statusCode": 200, "body": "a"}"#, Some(r#"body: "a" is not JSON"#)),
    ] {
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(difference(&expected, &answer).as_deref(), difference_is, "{answer}");
    }
}
