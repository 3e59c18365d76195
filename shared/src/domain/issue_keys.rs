//! Issue keys: how they are found in texts, how many of them count, and which of them a link lets through.
//! Which texts of an entity are read belongs to the transform of that entity.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::KeyRule;
use super::associations::MAX_ASSOCIATIONS;

/// The character before a key must not be an ASCII word character; other letters and emoji before it are fine.
static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("(?:^|[^A-Za-z0-9_])([A-Z][A-Z_0-9]+-[0-9]+)").expect("the pattern is a constant")
});

/// Where counting what is dropped ends: the number is for a person, and a text of megabytes must not cost seconds.
const MAX_COUNTED: u32 = 5_000;

/// Jira's own bound on either half of a key.
const MAX_HALF: usize = 255;

/// How long the keys of one entity may be together, so that a message stays small: 500 keys of ordinary length take less
/// than a third of it.
const MAX_TOTAL: usize = 16 * 1024;

/// The issue keys of one entity in the order they were first seen, without repeats, at most [`MAX_ASSOCIATIONS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueKeys {
    keys: Vec<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    dropped: u32,
}

impl IssueKeys {
    /// The keys in `texts`, read from left to right.
    pub fn extract<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        for text in texts {
            // A key needs a hyphen and a digit; most texts have neither in the right order.
            if text.contains('-') {
                for captures in PATTERN.captures_iter(text) {
                    if let Some(key) = captures.get(1) {
                        found.insert(key.as_str());
                    }
                    if found.dropped >= MAX_COUNTED {
                        return found;
                    }
                }
            }
        }
        found
    }

    /// Adds the keys of `other` after these.
    pub fn merge(&mut self, other: &Self) {
        for key in &other.keys {
            self.insert(key);
        }
        self.dropped += other.dropped;
    }

    /// These keys and then those of `other`.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        self.merge(other);
        self
    }

    fn insert(&mut self, key: &str) {
        let (project, number) = key.rsplit_once('-').unwrap_or((key, ""));
        if project.len() > MAX_HALF || number.len() > MAX_HALF || self.keys.iter().any(|known| known == key) {
            return;
        }
        let total = self.keys.iter().map(String::len).sum::<usize>() + key.len();
        if self.keys.len() < MAX_ASSOCIATIONS && total <= MAX_TOTAL {
            self.keys.push(key.to_owned());
        } else {
            self.dropped += 1;
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.keys
    }

    /// How many were seen beyond the limit.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Splits off the keys that `filter` refuses; each comes with the rule that refused it.
    #[must_use]
    pub fn filtered(self, filter: &KeyFilter<'_>) -> (Self, Vec<(String, KeyRule)>) {
        let mut refused = Vec::new();
        let keys = self.keys.into_iter().filter_map(|key| match filter.refuses(&key) {
            None => Some(key),
            Some(rule) => {
                refused.push((key, rule));
                None
            }
        });
        (Self { keys: keys.collect(), dropped: self.dropped }, refused)
    }
}

/// Which project keys a subscription lets through.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyFilter<'a> {
    /// Only these projects; empty means any.
    pub allowed: &'a [String],
    /// Never these: Jira said that they do not exist.
    pub suppressed: &'a [String],
}

impl KeyFilter<'_> {
    fn refuses(&self, key: &str) -> Option<KeyRule> {
        let project = project_of(key);
        if !self.allowed.is_empty() && !self.allowed.iter().any(|allowed| allowed == project) {
            return Some(KeyRule::NotAllowed);
        }
        if self.suppressed.iter().any(|suppressed| suppressed == project) {
            return Some(KeyRule::UnknownProject);
        }
        None
    }
}

/// The project's part of an issue key.
fn project_of(key: &str) -> &str {
    key.rsplit_once('-').map_or(key, |(project, _)| project)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(text: &str) -> Vec<String> {
        IssueKeys::extract([text]).keys
    }

    /// K2, K7, K9, K10, K11, K14, K16, K17, K18, K19, K24.
    #[test]
    fn keys_of_the_acceptance_cases() {
        for (text, expected) in [
            ("string with no jira issue keys", vec![]),
            ("cafèJIRA-123", vec!["JIRA-123"]),
            ("🚀JIRA-123 done", vec!["JIRA-123"]),
            ("修正JIRA-1 と TEST-22", vec!["JIRA-1", "TEST-22"]),
            ("5JIRA-123", vec![]),
            ("FOOJIRA-123", vec!["FOOJIRA-123"]),
            ("-JIRA-123", vec!["JIRA-123"]),
            ("(JIRA-123)", vec!["JIRA-123"]),
            ("JIRA-123-FOO-456", vec!["JIRA-123", "FOO-456"]),
            ("MYPROJ-1JIRA-123", vec!["MYPROJ-1"]),
            ("JIRA-1234A", vec!["JIRA-1234"]),
            ("A-100 is not a key, jira-1 neither", vec![]),
            ("UTF-8 and UTF-8 again", vec!["UTF-8"]),
        ] {
            assert_eq!(keys(text), expected, "{text}");
        }
    }

    #[test]
    fn more_than_five_hundred_are_cut_and_counted() {
        let text = (1..=700).map(|number| format!("PAY-{number} ")).collect::<String>();
        let found = IssueKeys::extract([text.as_str()]);
        assert_eq!((found.as_slice().len(), found.dropped()), (500, 200));
        assert_eq!(found.as_slice()[499], "PAY-500");
    }

    #[test]
    fn the_filter_names_its_rule() {
        let filter = KeyFilter { allowed: &[], suppressed: &["UTF".to_owned()] };
        let (kept, refused) = IssueKeys::extract(["PAY-1 UTF-8"]).filtered(&filter);
        assert_eq!(kept.as_slice(), ["PAY-1"]);
        assert_eq!(refused, [("UTF-8".to_owned(), KeyRule::UnknownProject)]);
        let allowed = ["OPS".to_owned()];
        let filter = KeyFilter { allowed: &allowed, suppressed: &[] };
        assert!(IssueKeys::extract(["PAY-1"]).filtered(&filter).0.is_empty());
    }

    proptest! {
        /// Every key found is one by Jira's own syntax, and occurs in the text.
        #[test]
        fn whatever_is_found_is_a_key(text in "(.|[A-Z]{1,3}-[0-9]{1,3}|_| ){0,40}") {
            for key in keys(&text) {
                let (project, number) = key.rsplit_once('-').expect("a key has a hyphen");
                prop_assert!(project.len() >= 2 && project.starts_with(|c: char| c.is_ascii_uppercase()));
                prop_assert!(number.bytes().all(|digit| digit.is_ascii_digit()));
                prop_assert!(text.contains(&key));
            }
        }
    }
}
