//! Everything in which a request may differ from Atlassian's documents, and why. Nothing else is let through.
//!
//! [`VALUES`] are values that the product sends on purpose although no document lists them.
//! [`AMENDMENTS`] are places where a document contradicts itself, the other one, or what Jira does; each names
//! what it replaces, so that one which a newer document makes needless is an error, not a leftover.
//!
//! One difference needs no entry: the 2024 document requires `issueKeys` for development information, builds
//! and feature flags, the 2026 one marks it deprecated and leaves it out, but forbids no further properties.
//! The product sends `issueKeys` there, which satisfies both, and `associations` for deployments.

use serde_json::Value;

use crate::operations;

/// A value outside the documented list that is sent on purpose.
#[derive(Debug)]
pub struct ValueException {
    /// The name that the check prints.
    pub name: &'static str,
    /// Where it may stand: a JSON pointer with `{index}` for any index.
    pub pointer: &'static str,
    /// The value.
    pub value: &'static str,
    /// Why it is sent.
    pub reason: &'static str,
}

/// A correction to a document.
#[derive(Debug)]
pub struct Amendment {
    /// The operation whose request body it concerns, as a path of the OpenAPI document.
    pub operation: &'static str,
    /// JSON pointer into that operation's schema: the keyword that changes.
    pub pointer: &'static str,
    /// The keyword's value in the document, as JSON; empty where the document lacks the keyword.
    pub from: &'static str,
    /// Its value for the check, as JSON; empty to remove the keyword.
    pub to: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Sent on purpose; see [`ValueException`].
pub const VALUES: [ValueException; 2] = [
    ValueException {
        name: "DRAFT",
        pointer: "/repositories/{index}/pullRequests/{index}/status",
        value: "DRAFT",
        reason: "Jira shows draft pull requests, which no document lists; probed once per site, then OPEN if refused",
    },
    ValueException {
        name: "NEEDSWORK",
        pointer: "/repositories/{index}/pullRequests/{index}/reviewers/{index}/approvalStatus",
        value: "NEEDSWORK",
        reason: "Jira shows requested changes, which no document lists; probed once per site, then UNAPPROVED if refused",
    },
];

/// Dev info's pattern for issue keys, as the 2024 document spells it: in Java's notation, on the list.
const JAVA_KEY_PATTERN: &str = r#""^\\p{L}[\\p{L}\\p{Digit}_]{1,255}-\\p{Digit}{1,255}$""#;
/// The same for one key, as JSON Schema knows it. Counting letters of every script up to 255 makes a regex too
/// large to compile, so the whole length is limited instead.
const KEYS: &str = r#"{"type":"string","pattern":"^\\p{L}[\\p{L}0-9_]+-[0-9]+$","maxLength":512}"#;
const ON_THE_LIST: &str = "a pattern on a list restricts nothing; it is meant for the list's keys";
const KEYS_OF_THE_LIST: &str = "takes over the pattern that stands on the list";
const FIVE_HUNDRED: &str = "the 2024 document says 100, Jira's current limit is 500 for every kind of entity";
const IN_WORDS: &str = "the description asks for an ISO 8601 date-time, the schema for any string";

/// Corrections to the OpenAPI document of March 2024; see [`Amendment`].
pub const AMENDMENTS: [Amendment; 16] = [
    keys_pattern("/properties/repositories/items/properties/commits/items/properties/issueKeys/pattern"),
    keys_items("/properties/repositories/items/properties/commits/items/properties/issueKeys/items"),
    keys_pattern("/properties/repositories/items/properties/branches/items/properties/issueKeys/pattern"),
    keys_items("/properties/repositories/items/properties/branches/items/properties/issueKeys/items"),
    keys_pattern(
        "/properties/repositories/items/properties/branches/items/properties/lastCommit/properties/issueKeys/pattern",
    ),
    keys_items(
        "/properties/repositories/items/properties/branches/items/properties/lastCommit/properties/issueKeys/items",
    ),
    keys_pattern("/properties/repositories/items/properties/pullRequests/items/properties/issueKeys/pattern"),
    keys_items("/properties/repositories/items/properties/pullRequests/items/properties/issueKeys/items"),
    date_time("/properties/repositories/items/properties/commits/items/properties/authorTimestamp/format"),
    date_time(
        "/properties/repositories/items/properties/branches/items/properties/lastCommit/properties/authorTimestamp/format",
    ),
    date_time("/properties/repositories/items/properties/pullRequests/items/properties/lastUpdate/format"),
    Amendment {
        operation: "/rest/devinfo/0.10/bulk",
        pointer: "/properties/properties/maxProperties",
        from: "",
        to: "5",
        reason: "the limit of five properties stands in the other three APIs' schemas and holds here too",
    },
    five_hundred("/rest/builds/0.1/bulk", "/properties/builds/items/properties/issueKeys/maxItems"),
    five_hundred("/rest/featureflags/0.1/bulk", "/properties/flags/items/properties/issueKeys/maxItems"),
    Amendment {
        operation: "/rest/deployments/0.1/bulk",
        pointer: "/properties/deployments/items/properties/associations/items/oneOf",
        from: "*",
        to: "",
        reason: "`oneOf` and `anyOf` stand side by side, and `commit` associations are only in the latter",
    },
    Amendment {
        operation: "/rest/deployments/0.1/bulk",
        pointer: "/properties/deployments/items/properties/associations/items/anyOf/0/properties/values/items/pattern",
        from: r#""(\\w{1,255}-\\d{1,255}|\\d{1,255})""#,
        to: r#""^(\\w{1,255}-\\d{1,255}|\\d{1,255})$""#,
        reason: "without anchors the pattern accepts any text that holds a digit",
    },
];

const fn keys_pattern(pointer: &'static str) -> Amendment {
    let operation = "/rest/devinfo/0.10/bulk";
    Amendment { operation, pointer, from: JAVA_KEY_PATTERN, to: "", reason: ON_THE_LIST }
}

const fn keys_items(pointer: &'static str) -> Amendment {
    let operation = "/rest/devinfo/0.10/bulk";
    Amendment { operation, pointer, from: r#"{"type":"string"}"#, to: KEYS, reason: KEYS_OF_THE_LIST }
}

const fn date_time(pointer: &'static str) -> Amendment {
    let operation = "/rest/devinfo/0.10/bulk";
    Amendment { operation, pointer, from: "", to: r#""date-time""#, reason: IN_WORDS }
}

const fn five_hundred(operation: &'static str, pointer: &'static str) -> Amendment {
    Amendment { operation, pointer, from: "100", to: "500", reason: FIVE_HUNDRED }
}

impl ValueException {
    /// The exception that allows `value` at `pointer`, if there is one.
    #[must_use]
    pub fn find(pointer: &str, value: &Value) -> Option<&'static Self> {
        VALUES
            .iter()
            .find(|exception| value == exception.value && operations::matches(exception.pointer, pointer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_allowed_only_in_its_place() {
        let draft = |pointer| ValueException::find(pointer, &json!("DRAFT")).map(|exception| exception.name);
        assert_eq!(draft("/repositories/0/pullRequests/17/status"), Some("DRAFT"));
        assert_eq!(draft("/repositories/0/pullRequests/17/reviewers/0/approvalStatus"), None);
        assert_eq!(draft("/repositories/0/pullRequests/17/status/0"), None);
        assert!(ValueException::find("/repositories/0/pullRequests/17/status", &json!("CLOSED")).is_none());
    }
}
