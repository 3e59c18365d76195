//! Texts as Jira stores them: without the characters it refuses, and no longer than it allows; and counts as people read
//! them. Which limit a field has is written where the field is filled.

/// Jira's bound on URLs.
pub const MAX_URL: usize = 2000;

/// What stands for a text of which nothing could be kept.
const REPLACEMENT: &str = "\u{FFFD}";

/// `text` without the characters Jira refuses, cut to `limit` characters.
///
/// Control characters and everything beyond the Basic Multilingual Plane (emoji) make Jira refuse the whole call. A text
/// that had nothing else becomes one U+FFFD, so that a required field stays filled.
#[must_use]
pub fn clean(text: &str, limit: usize) -> String {
    let kept: String = text.chars().filter(|&character| is_storable(character)).take(limit).collect();
    if kept.is_empty() && !text.is_empty() { REPLACEMENT.to_owned() } else { kept }
}

/// [`clean`], with `fallback` where nothing is left: for fields that must not be empty.
#[must_use]
pub fn clean_or(text: &str, limit: usize, fallback: &str) -> String {
    let text = clean(text, limit);
    if text.trim().is_empty() { clean(fallback, limit) } else { text }
}

/// `url` if Jira can store it, else `fallback`: half an address is worse than a less exact one.
#[must_use]
pub fn url_or(url: &str, fallback: &str) -> String {
    if is_address(url) { url } else { fallback }.to_owned()
}

/// An optional address: left out when it is none that Jira would store.
#[must_use]
pub fn optional_url(url: Option<&str>) -> Option<String> {
    url.filter(|url| is_address(url)).map(str::to_owned)
}

/// An address of the web: people will click on it, so it must not be a script.
fn is_address(url: &str) -> bool {
    (url.starts_with("https://") || url.starts_with("http://"))
        && url.chars().count() <= MAX_URL
        && url.chars().all(is_storable)
}

fn is_storable(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}')
}

/// A count with its noun: `1 hook`, `2 hooks`.
#[must_use]
pub fn count(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// C60, C61, C63, C64.
    #[test]
    fn sanitised_as_the_acceptance_cases_say() {
        for (raw, cleaned) in
            [("a🚝b\0c", "abc"), ("café ñ", "café ñ"), ("🚝", "\u{FFFD}"), ("", ""), ("a\tb\r\n", "a\tb\r\n")]
        {
            assert_eq!(clean(raw, 255), cleaned);
        }
    }

    #[test]
    fn long_urls_give_way_to_their_fallback() {
        let long = format!("https://gitlab.example.com/{}", "a".repeat(2000));
        assert_eq!(url_or(&long, "https://gitlab.example.com"), "https://gitlab.example.com");
        assert_eq!(optional_url(Some(&long)), None);
    }

    #[test]
    fn what_is_no_address_of_the_web_is_not_sent_as_one() {
        for text in ["", "javascript:alert(1)", "/acme/api", "data:text/html,x"] {
            assert_eq!(url_or(text, "https://gitlab.example.com"), "https://gitlab.example.com");
            assert_eq!(optional_url(Some(text)), None);
        }
    }

    proptest! {
        #[test]
        fn never_longer_and_never_refused(text in ".*", limit in 1usize..40) {
            let cleaned = clean(&text, limit);
            prop_assert!(cleaned.chars().count() <= limit && cleaned.chars().all(is_storable));
            prop_assert_eq!(cleaned.is_empty(), text.is_empty());
        }
    }
}
