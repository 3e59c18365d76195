//! What Jira asks for. It is read leniently: a person who searches for a repository can't correct a parameter.

use serde::Deserialize;
use url::form_urlencoded;

/// How many Jira shows at once when it does not say.
const DEFAULT_LIMIT: usize = 20;

/// GitLab's largest page.
const MAX_LIMIT: usize = 100;

/// Nobody turns pages for longer, and GitLab counts no further.
const MAX_OFFSET: usize = 10_000;

/// The longest name of a project in GitLab.
const MAX_WORDS: usize = 255;

/// A search, and which part of what it finds is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    /// What the name has in it; empty for everything.
    pub(crate) words: String,
    /// How much of it was shown before.
    pub(crate) offset: usize,
    /// How much to show; nothing beyond what is worth asking for.
    pub(crate) limit: usize,
    /// The workspace to look in, by its id.
    pub(crate) workspace: Option<String>,
}

impl Search {
    /// Reads `searchQuery`, `page` (the first is 1), `limit` and `workspaceId` from a query. Of a repeated name the first
    /// value counts.
    pub(crate) fn read(query: &str) -> Self {
        let value = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.trim().to_owned())
        };
        let words = value("searchQuery").unwrap_or_default();
        let limit = value("limit").as_deref().and_then(number).unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        let page = value("page").as_deref().and_then(number).unwrap_or(1).max(1);
        let offset = (page - 1).saturating_mul(limit);
        let is_worth_asking = words.chars().count() <= MAX_WORDS && offset < MAX_OFFSET;
        Self {
            words,
            offset,
            limit: if is_worth_asking { limit } else { 0 },
            workspace: value("workspaceId").filter(|id| !id.is_empty()),
        }
    }
}

/// A number however large; `None` if it is none.
fn number(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(usize::MAX))
}

/// The id in `{"id": "42"}`, or in `{"id": 42}`.
pub(crate) fn repository_id(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        id: Id,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(u64),
    }
    let id = match serde_json::from_slice::<Body>(body).ok()?.id {
        Id::Text(text) => text.trim().to_owned(),
        Id::Number(number) => number.to_string(),
    };
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(query: &str) -> (usize, usize) {
        let search = Search::read(query);
        (search.offset, search.limit)
    }

    #[test]
    fn pages_begin_with_one_and_have_bounds() {
        for (query, expected) in [
            ("", (0, 20)),
            ("page=1&limit=20", (0, 20)),
            ("page=3&limit=5", (10, 5)),
            ("page=0", (0, 20)),
            ("page=-1&limit=-1", (0, 20)),
            ("page=x&limit=1e9", (0, 20)),
            ("limit=0", (0, 1)),
            ("limit=1000000000", (0, 100)),
            ("limit=99999999999999999999999", (0, 100)),
            ("page=&limit=", (0, 20)),
            ("page=2&page=9&limit=7&limit=8", (7, 7)),
            ("page=%31%30", (180, 20)),
        ] {
            assert_eq!(window(query), expected, "{query}");
        }
    }

    #[test]
    fn what_is_not_worth_asking_for_is_not_asked_for() {
        assert_eq!(window("page=100&limit=100"), (9_900, 100));
        for query in
            ["page=101&limit=100", "page=18446744073709551615&limit=100", "page=9999999999999999999999"]
        {
            assert_eq!(window(query).1, 0, "{query}");
        }
        let words = |count| format!("searchQuery={}", "%C3%A9".repeat(count));
        assert_eq!((window(&words(255)).1, window(&words(256)).1), (20, 0));
    }

    #[test]
    fn words_and_workspaces_are_decoded() {
        let search = Search::read("searchQuery=+a%26b%20c+&workspaceId=7f3a0b12-5&jwt=x");
        assert_eq!((search.words.as_str(), search.workspace.as_deref()), ("a&b c", Some("7f3a0b12-5")));
        assert_eq!(Search::read("workspaceId=&searchQuery").workspace, None);
    }

    #[test]
    fn an_id_is_a_text_or_a_number() {
        for (body, expected) in [
            (r#"{"id":"42"}"#, Some("42")),
            (r#"{"id":42,"more":[]}"#, Some("42")),
            (r#"{"id":" 7f3a0b12-42 "}"#, Some("7f3a0b12-42")),
            (r#"{"id":""}"#, None),
            (r#"{"id":null}"#, None),
            (r#"{"id":-1}"#, None),
            (r#"{"id":["42"]}"#, None),
            ("{}", None),
            ("id=42", None),
            ("", None),
        ] {
            assert_eq!(repository_id(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
