//! Reading templates: YAML with CloudFormation's tags, and one text for each value, so that values can be compared. What
//! they are compared with is the tests' business.

use std::collections::BTreeMap;
use std::path::Path;

use saphyr::{LoadableYamlNode as _, ScalarOwned, YamlOwned};

/// The document in `file`, named from the repository's root.
pub fn read(file: &str) -> YamlOwned {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    parse(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The document in `text`.
pub fn parse(text: &str) -> YamlOwned {
    let mut documents = YamlOwned::load_from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    documents.remove(0)
}

/// What lies under `keys`, one below the other.
pub fn at<'a>(node: &'a YamlOwned, keys: &[&str]) -> Option<&'a YamlOwned> {
    keys.iter().try_fold(node, |node, key| node.as_mapping_get(key))
}

/// The text of what lies under `keys`; empty if nothing does.
pub fn text_at(node: &YamlOwned, keys: &[&str]) -> String {
    at(node, keys).map(text).unwrap_or_default()
}

/// The pairs of a mapping; none if it is none.
pub fn pairs(node: Option<&YamlOwned>) -> BTreeMap<String, &YamlOwned> {
    let mapping = node.and_then(YamlOwned::as_mapping);
    mapping.into_iter().flatten().map(|(key, value)| (text(key), value)).collect()
}

/// The entries of a list; none if it is none.
pub fn entries(node: Option<&YamlOwned>) -> Vec<&YamlOwned> {
    node.and_then(YamlOwned::as_vec).into_iter().flatten().collect()
}

/// `node` on one line, the same for every way to write it: without quotes, and with a mapping's keys in order.
pub fn text(node: &YamlOwned) -> String {
    match node {
        YamlOwned::Tagged(tag, node) => format!("!{} {}", tag.suffix, text(node)),
        YamlOwned::Sequence(entries) => {
            format!("[{}]", entries.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        YamlOwned::Mapping(_) => {
            let pairs = pairs(Some(node)).into_iter().map(|(key, value)| format!("{key}: {}", text(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        YamlOwned::Value(ScalarOwned::Integer(number)) => number.to_string(),
        YamlOwned::Value(ScalarOwned::Boolean(value)) => value.to_string(),
        YamlOwned::Value(ScalarOwned::FloatingPoint(number)) => number.to_string(),
        YamlOwned::Value(ScalarOwned::String(text)) | YamlOwned::Representation(text, ..) => text.clone(),
        YamlOwned::Value(ScalarOwned::Null) | YamlOwned::Alias(_) | YamlOwned::BadValue => String::new(),
    }
}
