//! The language in which the bodies of the provider APIs are described: tables of fields, read like Atlassian's
//! documentation, and the one function that holds a JSON value against a table. Which fields there are belongs to
//! the modules of the APIs; the rules that go beyond single fields, to `links` and `envelope`.

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

/// One field of an object.
pub(super) struct Field {
    name: &'static str,
    required: bool,
    rule: Rule,
}

/// What a field's value must be. Lengths are in characters.
pub(super) enum Rule {
    /// A string of at most this many characters.
    Text(usize),
    /// A string of any length: Jira cuts what it can't store.
    LongText,
    /// A dev info id: 1 to 1024 characters, ASCII letters and digits and `~.-_`.
    Id,
    /// 1 to this many characters.
    Key(usize),
    /// An absolute URL of at most 2000 characters.
    Url,
    /// An ISO 8601 date and time with an offset.
    Date,
    /// A 64-bit integer.
    Integer,
    /// A 32-bit integer that isn't negative.
    Count,
    /// A number in this range.
    Number(f64, f64),
    /// `true` or `false`.
    Bool,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A list without duplicates of these strings.
    Flags(&'static [&'static str]),
    /// An object with these fields; unknown ones are ignored.
    Object(&'static [Field]),
    /// A list of `min..=max` such objects.
    List(usize, usize, &'static [Field]),
}

/// Atlassian's limit of every URL.
const MAX_URL: usize = 2000;

/// Atlassian's limit of dev info ids.
const MAX_ID: usize = 1024;

pub(super) const fn required(name: &'static str, rule: Rule) -> Field {
    Field { name, required: true, rule }
}

pub(super) const fn optional(name: &'static str, rule: Rule) -> Field {
    Field { name, required: false, rule }
}

/// Holds an object against its fields. An optional field may be null. Problems name the path of the value.
pub(super) fn check_object(value: &Value, fields: &[Field], path: &str, problems: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        problems.push(format!("{path}: must be an object"));
        return;
    };
    for field in fields {
        check_field(object, field, path, problems);
    }
}

fn check_field(object: &Map<String, Value>, field: &Field, path: &str, problems: &mut Vec<String>) {
    let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
    match object.get(field.name) {
        None | Some(Value::Null) if field.required => problems.push(format!("{path}: is required")),
        None | Some(Value::Null) => {}
        Some(value) => check_value(value, &field.rule, &path, problems),
    }
}

fn check_value(value: &Value, rule: &Rule, path: &str, problems: &mut Vec<String>) {
    let wrong = match rule {
        Rule::Object(fields) => return check_object(value, fields, path, problems),
        Rule::List(min, max, fields) => return check_list(value, *min..=*max, fields, path, problems),
        Rule::Text(max) => text_problem(value, 0..=*max),
        Rule::LongText => text_problem(value, 0..=usize::MAX),
        Rule::Key(max) => text_problem(value, 1..=*max),
        Rule::Id => id_problem(value),
        Rule::Url => url_problem(value),
        Rule::Date => date_problem(value),
        Rule::Integer => value.as_i64().is_none().then(|| "must be a 64-bit integer".to_owned()),
        Rule::Count => (!value.as_i64().is_some_and(|count| (0..=i64::from(i32::MAX)).contains(&count)))
            .then(|| "must be a 32-bit integer, zero or more".to_owned()),
        Rule::Number(min, max) => (!value.as_f64().is_some_and(|number| (*min..=*max).contains(&number)))
            .then(|| format!("must be a number from {min} to {max}")),
        Rule::Bool => (!value.is_boolean()).then(|| "must be true or false".to_owned()),
        Rule::OneOf(words) => (!value.as_str().is_some_and(|word| words.contains(&word)))
            .then(|| format!("must be one of {}", words.join(", "))),
        Rule::Flags(words) => flags_problem(value, words),
    };
    if let Some(problem) = wrong {
        problems.push(format!("{path}: {problem}"));
    }
}

fn check_list(
    value: &Value,
    count: std::ops::RangeInclusive<usize>,
    fields: &[Field],
    path: &str,
    problems: &mut Vec<String>,
) {
    let Some(list) = value.as_array() else {
        problems.push(format!("{path}: must be a list"));
        return;
    };
    if !count.contains(&list.len()) {
        problems.push(format!("{path}: must have {} to {} entries", count.start(), count.end()));
        return;
    }
    for (index, entry) in list.iter().enumerate() {
        check_object(entry, fields, &format!("{path}[{index}]"), problems);
    }
}

fn text_problem(value: &Value, length: std::ops::RangeInclusive<usize>) -> Option<String> {
    let Some(text) = value.as_str() else {
        return Some("must be a string".to_owned());
    };
    let wrong = !length.contains(&text.chars().count());
    wrong.then(|| format!("must have {} to {} characters", length.start(), length.end()))
}

fn id_problem(value: &Value) -> Option<String> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "~.-_".contains(character);
    text_problem(value, 1..=MAX_ID).or_else(|| {
        let wrong = !value.as_str().is_some_and(|id| id.chars().all(allowed));
        wrong.then(|| "may contain only letters, digits and ~.-_".to_owned())
    })
}

fn url_problem(value: &Value) -> Option<String> {
    text_problem(value, 1..=MAX_URL).or_else(|| {
        let wrong = value.as_str().is_none_or(|url| Url::parse(url).is_err());
        wrong.then(|| "must be an absolute URL".to_owned())
    })
}

fn date_problem(value: &Value) -> Option<String> {
    let wrong = value.as_str().is_none_or(|date| OffsetDateTime::parse(date, &Rfc3339).is_err());
    wrong.then(|| "must be an ISO 8601 date and time".to_owned())
}

fn flags_problem(value: &Value, words: &[&str]) -> Option<String> {
    let Some(list) = value.as_array() else {
        return Some("must be a list".to_owned());
    };
    let known = list.iter().all(|flag| flag.as_str().is_some_and(|flag| words.contains(&flag)));
    let unique = list.iter().enumerate().all(|(index, flag)| !list[..index].contains(flag));
    (!known || !unique).then(|| format!("must be a set of {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems_of(rule: Rule, value: Value) -> Vec<String> {
        let mut problems = Vec::new();
        check_object(&json!({ "it": value }), &[required("it", rule)], "", &mut problems);
        problems
    }

    #[track_caller]
    fn accepts(rule: Rule, value: Value) {
        assert_eq!(problems_of(rule, value), Vec::<String>::new());
    }

    #[track_caller]
    fn refuses(rule: Rule, value: Value, problem: &str) {
        assert_eq!(problems_of(rule, value), [problem]);
    }

    #[test]
    fn texts_have_a_type_and_a_length() {
        accepts(Rule::Text(3), json!("äöü"));
        accepts(Rule::Text(3), json!(""));
        accepts(Rule::LongText, json!("x".repeat(10_000)));
        refuses(Rule::Text(3), json!("four"), "it: must have 0 to 3 characters");
        refuses(Rule::Text(3), json!(3), "it: must be a string");
        refuses(Rule::Key(3), json!(""), "it: must have 1 to 3 characters");
    }

    #[test]
    fn ids_have_a_charset_and_a_length() {
        accepts(Rule::Id, json!("aZ09~.-_"));
        accepts(Rule::Id, json!("x".repeat(1024)));
        refuses(Rule::Id, json!("feature/x"), "it: may contain only letters, digits and ~.-_");
        refuses(Rule::Id, json!("ä"), "it: may contain only letters, digits and ~.-_");
        refuses(Rule::Id, json!(""), "it: must have 1 to 1024 characters");
        refuses(Rule::Id, json!("x".repeat(1025)), "it: must have 1 to 1024 characters");
    }

    #[test]
    fn urls_are_absolute() {
        accepts(Rule::Url, json!("https://gitlab.example/a?b=c#d"));
        refuses(Rule::Url, json!("/relative"), "it: must be an absolute URL");
        refuses(Rule::Url, json!(""), "it: must have 1 to 2000 characters");
        refuses(
            Rule::Url,
            json!(format!("https://x/{}", "y".repeat(2000))),
            "it: must have 1 to 2000 characters",
        );
    }

    #[test]
    fn dates_carry_an_offset() {
        accepts(Rule::Date, json!("2026-01-05T09:59:00.000Z"));
        accepts(Rule::Date, json!("2026-01-05T09:59:00+02:00"));
        for wrong in ["2026-01-05 09:59:00 UTC", "2026-01-05T09:59:00", "2026-01-05", "yesterday"] {
            refuses(Rule::Date, json!(wrong), "it: must be an ISO 8601 date and time");
        }
    }

    #[test]
    fn numbers_have_a_kind_and_a_range() {
        accepts(Rule::Integer, json!(-1));
        refuses(Rule::Integer, json!(1.5), "it: must be a 64-bit integer");
        refuses(Rule::Integer, json!("1"), "it: must be a 64-bit integer");
        accepts(Rule::Count, json!(0));
        refuses(Rule::Count, json!(-1), "it: must be a 32-bit integer, zero or more");
        refuses(Rule::Count, json!(3_000_000_000_u64), "it: must be a 32-bit integer, zero or more");
        accepts(Rule::Number(0.0, 100.0), json!(12.5));
        refuses(Rule::Number(0.0, 100.0), json!(101), "it: must be a number from 0 to 100");
        refuses(Rule::Bool, json!("true"), "it: must be true or false");
    }

    #[test]
    fn words_come_from_a_list() {
        accepts(Rule::OneOf(&["OPEN", "MERGED"]), json!("OPEN"));
        refuses(Rule::OneOf(&["OPEN", "MERGED"]), json!("open"), "it: must be one of OPEN, MERGED");
        accepts(Rule::Flags(&["MERGE_COMMIT"]), json!([]));
        refuses(Rule::Flags(&["MERGE_COMMIT"]), json!(["SQUASH"]), "it: must be a set of MERGE_COMMIT");
        let twice = json!(["MERGE_COMMIT", "MERGE_COMMIT"]);
        refuses(Rule::Flags(&["MERGE_COMMIT"]), twice, "it: must be a set of MERGE_COMMIT");
    }

    #[test]
    fn required_fields_are_neither_missing_nor_null() {
        refuses(Rule::Bool, Value::Null, "it: is required");
        let mut problems = Vec::new();
        check_object(
            &json!({}),
            &[required("it", Rule::Bool), optional("other", Rule::Bool)],
            "x",
            &mut problems,
        );
        assert_eq!(problems, ["x.it: is required"]);
        check_object(&json!([]), &[], "y", &mut problems);
        assert_eq!(problems[1], "y: must be an object");
    }

    #[test]
    fn lists_have_a_length_and_typed_entries() {
        static ENTRY: &[Field] = &[required("id", Rule::Key(1))];
        accepts(Rule::List(1, 2, ENTRY), json!([{ "id": "a" }]));
        refuses(Rule::List(1, 2, ENTRY), json!([]), "it: must have 1 to 2 entries");
        refuses(Rule::List(1, 2, ENTRY), json!({}), "it: must be a list");
        refuses(Rule::List(1, 2, ENTRY), json!([{ "id": "a" }, {}]), "it[1].id: is required");
    }
}
