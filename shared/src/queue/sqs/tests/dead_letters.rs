//! Listing and redriving dead letters, with faults.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::script::{Answer, DEAD_LETTERS_URL, Script, URL, cause, results};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::queue::{MAX_RECEIVES, Queue};

/// When the messages here were sent to the dead-letter queue: long before any test.
const SENT_AT: i64 = 1_700_000_000_000;

const BODY: &str = "planted-body-8c2";

/// A message that was dead-lettered so many milliseconds after [`SENT_AT`].
fn dead_letter(id: &str, after: i64) -> Value {
    json!({
        "MessageId": id, "ReceiptHandle": format!("receipt of {id}"), "Body": format!("{BODY} {id}"),
        "Attributes": { "SentTimestamp": SENT_AT.to_string() },
        "MessageAttributes": {
            "Reason": { "DataType": "String", "StringValue": format!("why {id}") },
            "DiedAt": { "DataType": "String", "StringValue": Timestamp(SENT_AT + after).iso8601() },
        },
    })
}

/// Hands each of these out once, in calls of two; other calls succeed unless `otherwise` knows better.
fn dead_letter_queue(
    messages: Vec<Value>,
    otherwise: impl Fn(&str, &Value, usize) -> Option<Answer> + Send + Sync + 'static,
) -> Script {
    let messages = Mutex::new(messages);
    Script::new(move |call, asked, earlier| {
        if let Some(answer) = otherwise(call, asked, earlier) {
            return answer;
        }
        if call != "ReceiveMessage" {
            return results(asked, |_| None);
        }
        assert_eq!(asked["QueueUrl"], DEAD_LETTERS_URL);
        let mut messages = messages.lock().unwrap();
        let given: Vec<Value> = (0..2).filter_map(|_| messages.pop()).collect();
        Answer::Json(if given.is_empty() { json!({}) } else { json!({ "Messages": given }) })
    })
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

/// The ids of the messages whose receipts were in calls of this name, sorted.
fn receipts(script: &Script, call: &str) -> Vec<String> {
    let mut receipts: Vec<String> = script
        .entries(call, "ReceiptHandle")
        .concat()
        .iter()
        .map(|receipt| receipt.as_str().unwrap().strip_prefix("receipt of ").unwrap().to_owned())
        .collect();
    receipts.sort();
    receipts
}

#[tokio::test(start_paused = true)]
async fn the_newest_dead_letters_come_first_and_all_are_released() {
    let messages: Vec<Value> =
        (0..25).map(|number| dead_letter(&format!("{number:02}"), (number * 7) % 25)).collect();
    let script = dead_letter_queue(messages, |_, _, _| None);
    let found = script.queue().dead_letters(3).await.unwrap();
    let found: Vec<_> =
        found.iter().map(|dead_letter| (dead_letter.id.as_str(), dead_letter.died_at.0 - SENT_AT)).collect();
    assert_eq!(found, [("07", 24), ("14", 23), ("21", 22)]);
    assert_eq!(receipts(&script, "ChangeMessageVisibilityBatch").len(), 25);
    assert!(
        script.entries("ChangeMessageVisibilityBatch", "VisibilityTimeout").concat().iter().all(|it| it == 0)
    );
    assert!(receipts(&script, "DeleteMessageBatch").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_keeps_its_body_and_reason() {
    let script = dead_letter_queue(vec![dead_letter("a", 5)], |_, _, _| None);
    let found = script.queue().dead_letters(10).await.unwrap().remove(0);
    assert_eq!((found.id.as_str(), found.reason.as_str()), ("a", "why a"));
    assert_eq!((found.body, found.died_at), (format!("{BODY} a"), Timestamp(SENT_AT + 5)));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_sqs_moved_was_received_too_often() {
    let mut moved = dead_letter("moved", 0);
    moved.as_object_mut().unwrap().remove("MessageAttributes");
    let mut large = moved.clone();
    large["MessageId"] = json!("large");
    large["Body"] = json!("a".repeat(1024 * 1024));
    let script = dead_letter_queue(vec![moved, large], |_, _, _| None);
    let mut found = script.queue().dead_letters(10).await.unwrap();
    found.sort_by(|one, other| one.id.cmp(&other.id));
    assert!(found[0].reason.contains("no room"), "{}", found[0].reason);
    let often = format!("delivered {MAX_RECEIVES} times");
    assert!(found[1].reason.starts_with(&often), "{}", found[1].reason);
    assert_eq!(found[1].died_at, Timestamp(SENT_AT), "nothing later is known");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_received_twice_is_listed_once() {
    let mut again = dead_letter("a", 0);
    again["ReceiptHandle"] = json!("receipt of a, later");
    let script = dead_letter_queue(vec![again, dead_letter("b", 0), dead_letter("a", 0)], |_, _, _| None);
    assert_eq!(script.queue().dead_letters(10).await.unwrap().len(), 2);
    assert_eq!(receipts(&script, "ChangeMessageVisibilityBatch"), ["a, later", "b"]);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_released_when_listing_fails() {
    let script = dead_letter_queue(vec![dead_letter("a", 0), dead_letter("b", 0)], |call, _, earlier| {
        (call == "ReceiveMessage" && earlier > 4).then_some(Answer::Error(403, "AccessDeniedException"))
    });
    let error = script.queue().dead_letters(10).await.unwrap_err();
    assert_eq!(cause(error, BODY), "ReceiveMessage: AccessDeniedException");
    assert_eq!(receipts(&script, "ChangeMessageVisibilityBatch"), ["a", "b"]);
}

/// Others may have received it meanwhile, or deleted it.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_released_is_no_failure() {
    let script = dead_letter_queue(vec![dead_letter("a", 0), dead_letter("b", 0)], |call, asked, _| {
        (call == "ChangeMessageVisibilityBatch")
            .then(|| results(asked, |position| (position == 0).then_some(("ReceiptHandleIsInvalid", true))))
    });
    assert_eq!(script.queue().dead_letters(10).await.unwrap().len(), 2);
    assert_eq!(script.asked("ChangeMessageVisibilityBatch").len(), 1);

    let script = dead_letter_queue(vec![dead_letter("a", 0)], |call, _, _| {
        (call == "ChangeMessageVisibilityBatch").then_some(Answer::NoConnection)
    });
    assert_eq!(script.queue().dead_letters(10).await.unwrap().len(), 1);
}

/// A queue that never becomes empty, however long it is read.
#[tokio::test(start_paused = true)]
async fn listing_ends_after_a_minute() {
    let script = Script::new(|call, asked, earlier| match call {
        "ReceiveMessage" => Answer::Json(json!({ "Messages": [dead_letter(&earlier.to_string(), 0)] })),
        _ => results(asked, |_| None),
    });
    assert_eq!(script.queue().dead_letters(3).await.unwrap().len(), 3);
    let taken = script.asked("ReceiveMessage").len();
    assert_eq!(taken, 60 * 4, "a round of four calls takes a second here");
    assert_eq!(receipts(&script, "ChangeMessageVisibilityBatch").len(), taken);
}

#[tokio::test(start_paused = true)]
async fn a_redriven_message_is_deleted_after_it_was_sent() {
    let script =
        dead_letter_queue(vec![dead_letter("c", 0), dead_letter("b", 0), dead_letter("a", 0)], |_, _, _| {
            None
        });
    let named = ids(&["b", "no such id"]);
    assert_eq!(script.queue().redrive(Some(&named)).await.unwrap(), 1);
    assert_eq!(script.entries("SendMessageBatch", "MessageBody"), [[format!("{BODY} b")]]);
    assert_eq!(script.entries("SendMessageBatch", "MessageGroupId"), [["redriven"]]);
    assert_eq!(script.asked("SendMessageBatch")[0]["QueueUrl"], URL);
    assert_eq!(receipts(&script, "DeleteMessageBatch"), ["b"]);
    assert_eq!(receipts(&script, "ChangeMessageVisibilityBatch"), ["a", "c"]);
    let calls = script.calls();
    let first = |name: &str| calls.iter().position(|call| call == name);
    assert!(first("SendMessageBatch") < first("DeleteMessageBatch"), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn reading_ends_with_the_last_message_that_is_named() {
    let script = dead_letter_queue(vec![dead_letter("a", 0)], |_, _, _| None);
    assert_eq!(script.queue().redrive(Some(&ids(&["a"]))).await.unwrap(), 1);
    assert_eq!(script.asked("ReceiveMessage").len(), 4, "one round");

    let script = dead_letter_queue(vec![dead_letter("a", 0)], |_, _, _| None);
    assert_eq!(script.queue().redrive(Some(&[])).await.unwrap(), 0);
    assert!(script.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_that_could_not_be_sent() {
    for fault in ["InternalError", "RequestThrottled"] {
        let script =
            dead_letter_queue(vec![dead_letter("a", 0), dead_letter("b", 0)], move |call, asked, _| {
                (call == "SendMessageBatch")
                    .then(|| results(asked, |position| (position == 0).then_some((fault, false))))
            });
        let error = script.queue().redrive(None).await.unwrap_err();
        assert_eq!(cause(error, BODY), format!("SendMessageBatch: {fault}"));
        assert!(receipts(&script, "DeleteMessageBatch").is_empty());
        assert_eq!(receipts(&script, "ChangeMessageVisibilityBatch"), ["a", "b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_could_not_be_deleted_is_an_error() {
    let script = dead_letter_queue(vec![dead_letter("a", 0), dead_letter("b", 0)], |call, asked, _| {
        (call == "DeleteMessageBatch")
            .then(|| results(asked, |position| (position == 0).then_some(("InternalError", false))))
    });
    let error = script.queue().redrive(None).await.unwrap_err();
    assert_eq!(cause(error, BODY), "DeleteMessageBatch: InternalError");
    let deleted: Vec<usize> = script.entries("DeleteMessageBatch", "Id").iter().map(Vec::len).collect();
    assert_eq!(deleted, [2, 1, 1]);
}

/// Otherwise a message that fails at once would be put back again and again by the same call.
#[tokio::test(start_paused = true)]
async fn what_is_dead_lettered_during_a_redrive_is_left_for_the_next() {
    let mut fresh = dead_letter("fresh", 0);
    let later = SystemClock.now().after(std::time::Duration::from_secs(60));
    fresh["Attributes"]["SentTimestamp"] = json!(later.0.to_string());
    let script = dead_letter_queue(vec![fresh.clone(), dead_letter("a", 0)], |_, _, _| None);
    assert_eq!(script.queue().redrive(None).await.unwrap(), 1);
    assert_eq!(receipts(&script, "DeleteMessageBatch"), ["a"]);
    assert_eq!(receipts(&script, "ChangeMessageVisibilityBatch"), ["fresh"]);

    let script = dead_letter_queue(vec![fresh], |_, _, _| None);
    assert_eq!(script.queue().redrive(Some(&ids(&["fresh"]))).await.unwrap(), 1, "unless it is named");
}
