//! Sending and counting, with faults.

use std::time::Duration;

use serde_json::{Value, json};

use super::script::{ATTEMPTS, Answer, DEAD_LETTERS_URL, LATENCY, Script, URL, cause, results};
use crate::queue::{Depth, MAX_DELAY, Outgoing, Queue, QueueError};

const BODY: &str = "planted-body-5f1";

fn message(body: &str) -> Outgoing {
    Outgoing { body: body.to_owned(), group: "site".to_owned(), delay: Duration::ZERO }
}

fn messages(count: usize) -> Vec<Outgoing> {
    (0..count).map(|number| message(&format!("{BODY} {number}"))).collect()
}

fn numbers(bodies: &[Value]) -> Vec<&str> {
    bodies.iter().map(|body| body.as_str().unwrap().rsplit_once(' ').unwrap().1).collect()
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_is_sent_again() {
    let script = Script::new(|_, asked, earlier| match earlier {
        0 => results(asked, |position| {
            [None, Some(("InternalError", false)), None, Some(("", false))][position]
        }),
        1 => results(asked, |position| (position == 0).then_some(("RequestThrottled", false))),
        _ => results(asked, |_| None),
    });
    script.queue().send(messages(4)).await.unwrap();
    let sent = script.entries("SendMessageBatch", "MessageBody");
    assert_eq!(
        sent.iter().map(|bodies| numbers(bodies)).collect::<Vec<_>>(),
        [vec!["0", "1", "2", "3"], vec!["1", "3"], vec!["1"]]
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_lasts_is_an_error() {
    let script = Script::new(|_, asked, _| {
        let last = asked["Entries"].as_array().unwrap().len() - 1;
        results(asked, |position| (position == last).then_some(("InternalError", false)))
    });
    let started = tokio::time::Instant::now();
    let error = script.queue().send(messages(2)).await.unwrap_err();
    assert_eq!(cause(error, BODY), "SendMessageBatch: InternalError");
    let sent = script.entries("SendMessageBatch", "MessageBody");
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
    assert_eq!(started.elapsed(), LATENCY * 3 + Duration::from_millis(300));
}

#[tokio::test(start_paused = true)]
async fn what_sqs_blames_on_the_sender_is_not_sent_again() {
    let script = Script::new(|_, asked, _| {
        results(asked, |position| {
            [Some(("InternalError", false)), Some(("InvalidMessageContents", true))][position]
        })
    });
    let error = script.queue().send(messages(2)).await.unwrap_err();
    assert_eq!(cause(error, BODY), "SendMessageBatch: InvalidMessageContents");
    assert_eq!(script.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_confirms_nothing_is_no_success() {
    let script = Script::new(|_, _, _| Answer::Json(json!({ "Successful": [], "Failed": [] })));
    let error = script.queue().send(messages(1)).await.unwrap_err();
    assert_eq!(cause(error, BODY), "SendMessageBatch: no result for a message");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_is_repeated_by_the_sdk() {
    let script = Script::new(|_, asked, earlier| match earlier {
        0 => Answer::Error(400, "com.amazonaws.sqs#RequestThrottled"),
        1 => Answer::Error(503, "ServiceUnavailable"),
        _ => results(asked, |_| None),
    });
    script.queue().send(messages(1)).await.unwrap();
    assert_eq!(script.calls().len(), ATTEMPTS);

    let script = Script::new(|_, _, _| Answer::Error(400, "com.amazonaws.sqs#RequestThrottled"));
    let error = script.queue().send(messages(1)).await.unwrap_err();
    assert_eq!(cause(error, BODY), "SendMessageBatch: RequestThrottled");
    assert_eq!(script.calls().len(), ATTEMPTS);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_cannot_be_reached_or_used_is_unavailable() {
    let script = Script::new(|_, _, _| Answer::NoConnection);
    let error = script.queue().send(messages(1)).await.unwrap_err();
    assert_eq!(cause(error, BODY), "SendMessageBatch: no connection");
    assert_eq!(script.calls().len(), ATTEMPTS);
    let error =
        script.queue().send_to_dead_letter_queue(Outgoing::new("", BODY), BODY.to_owned()).await.unwrap_err();
    assert_eq!(cause(error, BODY), "SendMessage: no connection");

    let script = Script::new(|_, _, _| Answer::Error(403, "AccessDeniedException"));
    let error =
        script.queue().send_to_dead_letter_queue(Outgoing::new("", BODY), BODY.to_owned()).await.unwrap_err();
    assert_eq!(cause(error, BODY), "SendMessage: AccessDeniedException");
    let error = script.queue().depth().await.unwrap_err();
    assert_eq!(cause(error, BODY), "GetQueueAttributes: AccessDeniedException");
    let error = script.queue().dead_letters(1).await.unwrap_err();
    assert_eq!(cause(error, BODY), "ReceiveMessage: AccessDeniedException");
}

#[tokio::test(start_paused = true)]
async fn a_call_has_ten_messages_and_a_mebibyte_at_most() {
    let script = Script::new(|_, asked, _| results(asked, |_| None));
    let half = 512 * 1024 - "site".len();
    let sizes = [vec![1; 25], vec![half; 4], vec![half + 1]].concat();
    let messages = sizes.iter().map(|size| message(&"a".repeat(*size))).collect();
    script.queue().send(messages).await.unwrap();
    let mut sent: Vec<Vec<usize>> = script
        .entries("SendMessageBatch", "MessageBody")
        .iter()
        .map(|bodies| bodies.iter().map(|body| body.as_str().unwrap().len()).collect())
        .collect();
    sent.sort();
    let five_and_half = [vec![1; 5], vec![half]].concat();
    let mut expected =
        vec![vec![1; 10], vec![1; 10], five_and_half, vec![half, half], vec![half], vec![half + 1]];
    expected.sort();
    assert_eq!(sent, expected);
}

#[tokio::test(start_paused = true)]
async fn nothing_to_send_is_no_call() {
    let script = Script::new(|_, _, _| Answer::NoConnection);
    script.queue().send(Vec::new()).await.unwrap();
    assert!(script.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_has_its_group_and_its_delay() {
    let script = Script::new(|_, asked, _| results(asked, |_| None));
    let delays = [0, 1, 1000, 1001, 900_000, 900_001, u64::MAX].map(Duration::from_millis);
    let messages = delays.map(|delay| Outgoing { delay, ..message("a\u{ffff}") });
    script.queue().send(messages.into()).await.unwrap();
    assert_eq!(
        script.entries("SendMessageBatch", "DelaySeconds"),
        [[0, 1, 1, 2, 900, 900, 900].map(Value::from)]
    );
    assert_eq!(script.entries("SendMessageBatch", "MessageGroupId")[0][0], "site");
    assert_eq!(script.entries("SendMessageBatch", "MessageBody")[0][0], "a\\uffff");
    assert_eq!(script.asked("SendMessageBatch")[0]["QueueUrl"], URL);
    assert_eq!(MAX_DELAY, delays[4]);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_are_looked_at_are_counted_as_dead() {
    let script = Script::new(|_, asked, _| {
        let counts = if asked["QueueUrl"] == URL { ["1", "20", "300"] } else { ["4000", "50000", "600000"] };
        Answer::Json(json!({ "Attributes": {
            "ApproximateNumberOfMessages": counts[0],
            "ApproximateNumberOfMessagesDelayed": counts[1],
            "ApproximateNumberOfMessagesNotVisible": counts[2],
        }}))
    });
    let depth = script.queue().depth().await.unwrap();
    assert_eq!(depth, Depth { ready: 1, delayed: 20, in_flight: 300, dead: 654_000 });
    let mut queue = script.queue();
    queue.dead_letters_url = None;
    let depth = queue.depth().await.unwrap();
    assert_eq!(depth, Depth { ready: 1, delayed: 20, in_flight: 300, dead: 0 });

    let script = Script::new(|_, _, _| Answer::Json(json!({ "Attributes": {} })));
    let error = script.queue().depth().await.unwrap_err();
    assert_eq!(cause(error, BODY), "GetQueueAttributes: no ApproximateNumberOfMessages");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_says_why_and_when() {
    let script = Script::new(|_, _, _| Answer::Json(json!({ "MessageId": "m", "MD5OfMessageBody": "d41d" })));
    script
        .queue()
        .send_to_dead_letter_queue(Outgoing::new("", "{\"a\":\"\u{fffe}\"}"), "why\0".to_owned())
        .await
        .unwrap();
    let dead_lettered = script.asked("SendMessage").remove(0);
    assert_eq!(
        (&dead_lettered["QueueUrl"], &dead_lettered["MessageBody"]),
        (&json!(DEAD_LETTERS_URL), &json!(r#"{"a":"\ufffe"}"#))
    );
    let attributes = &dead_lettered["MessageAttributes"];
    assert_eq!(attributes["Reason"], json!({ "DataType": "String", "StringValue": "why\u{fffd}" }));
    assert!(attributes["DiedAt"]["StringValue"].as_str().unwrap().ends_with('Z'), "{attributes}");

    let large = "a".repeat(1024 * 1024);
    script
        .queue()
        .send_to_dead_letter_queue(Outgoing::new("", large.clone()), "why".to_owned())
        .await
        .unwrap();
    let dead_lettered = script.asked("SendMessage").remove(1);
    assert_eq!(
        (&dead_lettered["MessageBody"], &dead_lettered["MessageAttributes"]),
        (&json!(large), &json!({}))
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_dead_letter_queue_nothing_is_dead_lettered() {
    let script = Script::new(|_, asked, _| results(asked, |_| None));
    let mut queue = script.queue();
    queue.dead_letters_url = None;
    let error = queue.send_to_dead_letter_queue(Outgoing::new("", BODY), BODY.to_owned()).await.unwrap_err();
    assert!(matches!(error, QueueError::NoDeadLetters), "{error:?}");
    assert_eq!(error.to_string(), "no dead-letter queue is configured");
    assert!(matches!(queue.dead_letters(1).await, Err(QueueError::NoDeadLetters)));
    assert!(matches!(queue.redrive(None).await, Err(QueueError::NoDeadLetters)));
    assert!(script.calls().is_empty());
    queue.send(messages(1)).await.unwrap();
}
