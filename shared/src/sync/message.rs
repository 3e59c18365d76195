//! What `webhook` puts on the events queue and `sync` takes from it. Kept small: texts are cut and keys extracted when the
//! hook comes in, so that a message never holds a description or a diff.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::clock::Timestamp;
use crate::domain::SubscriptionId;
use crate::gitlab::hooks::{HookEvent, ParsedHook};
use crate::gitlab::model::Push;
use crate::queue::disposition::Message;

/// The largest message: small enough that a batch of hundreds fits a function's memory.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// An event of a linked group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventMessage {
    /// The link it came through.
    pub subscription: SubscriptionId,
    /// When the hook came in; for a link without a token, when it first did.
    pub received_at: Timestamp,
    /// GitLab's id of the delivery and the number of this part of it. Stays the same when the delivery is repeated.
    #[serde(default)]
    pub delivery: Option<String>,
    /// What it says.
    #[serde(flatten)]
    pub payload: Payload,
}

/// What a webhook carried.
#[expect(clippy::large_enum_variant, reason = "nearly every message is the large one")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "intake", rename_all = "snake_case")]
pub enum Payload {
    /// A delivery that proved where it came from.
    Verified(ParsedHook),
    /// A delivery taken in while secrets could not be read; `sync` verifies it.
    Unverified(UnverifiedDelivery),
}

/// A delivery as it came in, with its webhook credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnverifiedDelivery {
    /// The project whose hook it says it is.
    pub hook_project: Option<u64>,
    /// The digest of `X-Gitlab-Token`; the token itself must not be on a queue.
    pub token_digest: String,
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`.
    pub signature: Option<(String, String, String)>,
    /// The raw body.
    pub body: String,
}

impl EventMessage {
    /// What GitLab calls the delivery, in all its parts.
    #[must_use]
    pub fn delivery_id(&self) -> Option<&str> {
        let delivery = self.delivery.as_deref()?;
        Some(delivery.rsplit_once('/').map_or(delivery, |(id, _)| id))
    }

    /// Messages for a delivery, each small enough, all with one id. The commits of a large push are spread over several.
    #[must_use]
    pub fn split(
        subscription: SubscriptionId,
        received_at: Timestamp,
        delivery: Option<&str>,
        hook: ParsedHook,
    ) -> Vec<Message<Self>> {
        let ParsedHook { project, event, missing } = hook;
        let events = match event {
            HookEvent::Push(push) => spread(push).into_iter().map(HookEvent::Push).collect(),
            event => vec![event],
        };
        let id = Ulid::new();
        let parts = events.into_iter().enumerate().map(|(part, event)| {
            let (project, missing) = (project.clone(), missing.clone());
            let payload = Payload::Verified(ParsedHook { project, event, missing });
            let delivery = delivery.map(|id| format!("{id}/{part}"));
            let body = Self { subscription, received_at, delivery, payload };
            let mut message = Message::new(subscription.to_string(), received_at, body);
            message.id = id;
            message
        });
        parts.collect()
    }
}

/// Halves a push until each part fits.
fn spread(push: Push) -> Vec<Push> {
    // Project, group and envelope take far less than the quarter that is left for them.
    const MAX_PUSH: usize = MAX_MESSAGE / 4 * 3;
    let size = serde_json::to_vec(&push).map_or(0, |text| text.len());
    if size <= MAX_PUSH || push.commits.len() < 2 {
        return vec![push];
    }
    let mut first = push;
    let commits = first.commits.split_off(first.commits.len() / 2);
    let second = Push { commits, ..first.clone() };
    let mut parts = spread(first);
    parts.extend(spread(second));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::IssueKeys;
    use crate::gitlab::model::{Commit, Person, Project};

    fn commit(number: usize) -> Commit {
        Commit {
            sha: format!("{number:040}"),
            message: "é".repeat(1024),
            keys: IssueKeys::extract([(1..=500)
                .map(|key| format!("PAY-{key} "))
                .collect::<String>()
                .as_str()]),
            author: Person::default(),
            committed_at: None,
            web_url: "https://gitlab.example.com/acme/api/-/commit/1".to_owned(),
            merge: false,
            file_count: None,
            files: Vec::new(),
            parent: None,
        }
    }

    #[test]
    fn a_large_push_becomes_several_small_messages_and_loses_nothing() {
        let commits: Vec<_> = (0..20).map(commit).collect();
        let push =
            Push { branch: "main".to_owned(), before: None, after: "a".repeat(40), commits, total: 20 };
        let messages = EventMessage::split(
            SubscriptionId::generate(),
            Timestamp(1),
            Some("id"),
            ParsedHook { project: Project::default(), event: HookEvent::Push(push.clone()), missing: None },
        );
        assert!(messages.len() > 1);
        let (mut together, id) = (Vec::new(), messages[0].id);
        for message in messages {
            assert_eq!(message.id, id, "one delivery has one id");
            assert!(message.outgoing(Timestamp(1)).expect("JSON").body.len() <= MAX_MESSAGE);
            let Payload::Verified(ParsedHook { event: HookEvent::Push(part), .. }) = message.body.payload
            else {
                panic!("not a push")
            };
            together.extend(part.commits);
        }
        assert_eq!(together, push.commits);
    }
}
