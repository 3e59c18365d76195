//! A dead letter as a message of SQS: the text is the body; why and when it was dead-lettered are message attributes. Also
//! here: which characters SQS takes, in any text.

use std::collections::HashMap;
use std::fmt::Write as _;

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::Timestamp;
use crate::queue::{DeadLetter, MAX_BYTES, MAX_RECEIVES, never_finished};

/// Why it was dead-lettered. Missing where SQS itself moved the message, or where the body leaves no room for it.
pub(super) const REASON: &str = "Reason";

/// When it was dead-lettered, as ISO 8601.
pub(super) const DIED_AT: &str = "DiedAt";

const STRING: &str = "String";

/// A date as [`Timestamp::iso8601`] writes it.
const DATE_BYTES: usize = "2026-01-05T09:59:00.000Z".len();

/// What the attributes take of a message's room besides the reason itself: SQS counts names, types and values
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_MessageAttributeValue.html>).
const OVERHEAD: usize = REASON.len() + DIED_AT.len() + 2 * STRING.len() + DATE_BYTES;

/// An attribute must not be empty.
const NO_REASON: &str = "no reason given";

/// A message of the dead-letter queue.
#[derive(Debug)]
pub(super) struct DeadLetterMessage {
    pub(super) id: String,
    /// SQS's handle of this delivery.
    pub(super) receipt: String,
    /// When it was put on the dead-letter queue; when SQS itself moved it, on the queue it comes from
    /// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/setting-up-dead-letter-queue-retention.html>).
    pub(super) sent_at: Timestamp,
    pub(super) body: String,
    reason: Option<String>,
    died_at: Option<Timestamp>,
}

impl From<Message> for DeadLetterMessage {
    fn from(message: Message) -> Self {
        let sent_at = message
            .attributes()
            .and_then(|attributes| attributes.get(&MessageSystemAttributeName::SentTimestamp)?.parse().ok());
        let mut attributes = message.message_attributes.unwrap_or_default();
        let mut attribute = |name| attributes.remove(name).and_then(|value| value.string_value);
        let died_at = attribute(DIED_AT).and_then(|date| OffsetDateTime::parse(&date, &Rfc3339).ok());
        Self {
            id: message.message_id.unwrap_or_default(),
            receipt: message.receipt_handle.unwrap_or_default(),
            sent_at: Timestamp(sent_at.unwrap_or_default()),
            body: message.body.unwrap_or_default(),
            reason: attribute(REASON),
            died_at: died_at.map(Timestamp::from),
        }
    }
}

impl From<DeadLetterMessage> for DeadLetter {
    /// SQS does not say when it moved a message by itself; the time of sending is the closest known.
    fn from(letter: DeadLetterMessage) -> Self {
        let reason = letter.reason.unwrap_or_else(|| match room_for_reason(&letter.body) {
            0 => "the text is so large that there was no room for the reason".to_owned(),
            _ => never_finished(MAX_RECEIVES),
        });
        Self { id: letter.id, reason, died_at: letter.died_at.unwrap_or(letter.sent_at), body: letter.body }
    }
}

/// The attributes that go with `body`; none when it leaves no room for them.
pub(super) fn attributes(
    reason: &str,
    died_at: Timestamp,
    body: &str,
) -> HashMap<String, MessageAttributeValue> {
    let room = room_for_reason(body);
    if room == 0 {
        return HashMap::new();
    }
    // A reason is for people, so a replacement character does for those that SQS refuses.
    let mut reason = reason.replace(|character| !is_allowed(character), "\u{FFFD}");
    reason.truncate(reason.floor_char_boundary(room));
    if reason.is_empty() {
        reason.push_str(&NO_REASON[..NO_REASON.len().min(room)]);
    }
    let attribute = |(name, text): (&str, String)| {
        let value = MessageAttributeValue::builder().data_type(STRING).string_value(text).build();
        (name.to_owned(), value.expect("it has a type"))
    };
    [(REASON, reason), (DIED_AT, died_at.iso8601())].map(attribute).into()
}

/// How many bytes of a reason go with `body`.
fn room_for_reason(body: &str) -> usize {
    MAX_BYTES.saturating_sub(body.len() + OVERHEAD)
}

/// `text` with JSON's escapes in place of characters that SQS refuses or, by other pages of its documentation, replaces
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>). JSON still says the
/// same: it has such characters in strings only. In practice they are U+FFFE and U+FFFF, for control characters are
/// always escaped.
pub(super) fn escaped(text: String) -> String {
    if text.chars().all(is_allowed) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 64);
    for character in text.chars() {
        if is_allowed(character) {
            escaped.push(character);
        } else {
            // They all are below U+10000, so one escape is enough.
            write!(escaped, "\\u{:04x}", u32::from(character)).expect("a String takes all");
        }
    }
    escaped
}

/// Whether SQS takes it.
fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_767_607_140_007);

    fn reason_beside(body_bytes: usize, reason: &str) -> Option<String> {
        let mut attributes = attributes(reason, NOW, &"a".repeat(body_bytes));
        let counted = |(name, value): (&String, &MessageAttributeValue)| {
            let text = value.string_value().expect("a text");
            assert!(!text.is_empty());
            name.len() + value.data_type().len() + text.len()
        };
        let bytes: usize = attributes.iter().map(counted).sum();
        assert!(body_bytes + bytes <= MAX_BYTES, "{body_bytes} + {bytes}");
        attributes.remove(REASON).and_then(|value| value.string_value)
    }

    #[test]
    fn a_reason_is_cut_to_the_room_that_the_text_leaves() {
        let reason = "zażółć 🦊";
        assert_eq!(reason_beside(100, reason).as_deref(), Some(reason));
        let full = MAX_BYTES - OVERHEAD;
        assert_eq!(reason_beside(full - reason.len(), reason).as_deref(), Some(reason));
        assert_eq!(reason_beside(full - reason.len() + 1, reason).as_deref(), Some("zażółć "));
        assert_eq!(reason_beside(full - 1, reason).as_deref(), Some("z"));
        assert_eq!(reason_beside(full - 1, "ż").as_deref(), Some("n"), "not even one character fits");
        assert_eq!(reason_beside(full, reason), None);
        assert_eq!(reason_beside(MAX_BYTES, reason), None);
    }

    #[test]
    fn a_reason_has_no_character_that_sqs_refuses() {
        assert_eq!(
            reason_beside(9, "a\0b\u{b}\tc\u{ffff}").as_deref(),
            Some("a\u{fffd}b\u{fffd}\tc\u{fffd}")
        );
        assert_eq!(reason_beside(9, "").as_deref(), Some(NO_REASON));
    }

    #[test]
    fn the_time_of_dead_lettering_survives_the_round_trip() {
        let sent = attributes("why", NOW, "text");
        assert_eq!(sent[DIED_AT].string_value(), Some("2026-01-05T09:59:00.007Z"));
        let message = Message::builder().set_message_attributes(Some(sent)).body("text").build();
        let letter = DeadLetter::from(DeadLetterMessage::from(message));
        assert_eq!((letter.reason.as_str(), letter.died_at), ("why", NOW));
    }

    #[test]
    fn what_sqs_takes_is_left_alone() {
        for text in ["", "{\"text\":\"zażółć 🦊\"}\n", "\u{d7ff}\u{e000}\u{fffd}\u{10ffff}"] {
            assert_eq!(escaped(text.to_owned()), text);
        }
        assert_eq!(escaped("\0 \u{1f} \u{fffe}".to_owned()), "\\u0000 \\u001f \\ufffe");
    }

    proptest! {
        #[test]
        fn escaped_json_says_the_same(text in "[a\\\\\"\u{0}-\u{20}\u{d7ff}\u{fff0}-\u{1000f}]{0,20}") {
            let escaped = escaped(serde_json::to_string(&text).expect("JSON"));
            prop_assert!(escaped.chars().all(is_allowed));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).expect("JSON"), text);
        }
    }
}
