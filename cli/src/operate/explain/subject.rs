//! What `explain` is asked about: how it is recognised, and what is said of one that nothing is known of.

use shared::domain::IssueKeys;
use shared::store::ignored_deliveries::IgnoredDelivery;

use crate::operate::Refusal;

/// What is asked about.
pub(super) enum Subject {
    /// An issue, by its key.
    Issue(String),
    /// A delivery, by the id that GitLab shows in a webhook's recent events.
    Delivery(String),
}

impl Subject {
    /// An issue key as texts are searched for it, or a UUID.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let is_key = |text: &str| IssueKeys::extract([text]).as_slice() == [text];
        let is_uuid = text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if is_uuid {
            return Ok(Self::Delivery(text.to_owned()));
        }
        if is_key(text) {
            return Ok(Self::Issue(text.to_owned()));
        }
        let capitals = text.to_ascii_uppercase();
        Err(Refusal::new(if is_key(&capitals) {
            format!("Only issue keys in capitals are found in texts: ask for {capitals}.")
        } else {
            "This is not an issue key, nor the id of a delivery: keys look like PAY-7.".to_owned()
        }))
    }

    pub(super) fn is_named_by(&self, ignored: &IgnoredDelivery) -> bool {
        match self {
            Self::Issue(key) => ignored.issue_keys.contains(key),
            Self::Delivery(id) => ignored.delivery.as_ref() == Some(id),
        }
    }

    /// Nothing is recorded, but messages are on the queues.
    pub(super) fn may_wait(&self) -> String {
        match self {
            Self::Issue(key) => format!(
                "Nothing is recorded of {key} yet: it may be among the messages that are not done. If not, neither an event nor history named it, or the last one did more than 30 days ago."
            ),
            Self::Delivery(id) => format!(
                "Nothing is recorded of the delivery {id} yet: it may be among the messages that are not done. If not, it was processed, or did not come in."
            ),
        }
    }

    pub(super) fn nothing_known(&self) -> String {
        match self {
            Self::Issue(key) => format!(
                "Nothing is known of {key}: neither an event nor history named it, or the last one did more than 30 days ago. What Jira had been sent before stays there."
            ),
            Self::Delivery(id) => format!(
                "The delivery {id} is not among the last ones that led to nothing: it was processed, or did not come in. Look for it in the log."
            ),
        }
    }
}
