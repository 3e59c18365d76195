//! What every queue owes its callers, whichever service keeps it. Each check wants a queue of its own, empty at first.
//! Numbers are waited for, because SQS's are approximate and late.

use std::time::{Duration, Instant};

use shared::queue::{DeadLetter, Depth, Outgoing, Queue};

/// Longer than SQS takes to count.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A message of the group `site` that is due at once.
pub fn message(site: &str, body: &str) -> Outgoing {
    Outgoing { body: body.to_owned(), group: site.to_owned(), delay: Duration::ZERO }
}

/// Waits until the queue counts so many messages.
pub async fn expect_depth(queue: &dyn Queue, expected: Depth) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let depth = queue.depth().await.unwrap();
        if depth == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{depth:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn expect_dead_letters(queue: &dyn Queue, limit: usize, count: usize) -> Vec<DeadLetter> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let dead_letters = queue.dead_letters(limit).await.unwrap();
        if dead_letters.len() == count {
            return dead_letters;
        }
        assert!(Instant::now() < deadline, "{dead_letters:?} instead of {count}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What is sent is ready, now or after its delay; nothing is a valid send.
pub async fn sends_are_counted_by_state(queue: &dyn Queue) {
    queue.send(Vec::new()).await.unwrap();
    expect_depth(queue, Depth::default()).await;
    let delayed = Outgoing { delay: Duration::from_secs(900), ..message("a", "later") };
    queue.send(vec![message("a", "1"), delayed, message("b", "2")]).await.unwrap();
    expect_depth(queue, Depth { ready: 2, delayed: 1, ..Depth::default() }).await;
}

/// More messages than SQS takes in one call, and a text of the largest size: 1 MiB.
pub async fn sends_may_be_many_and_large(queue: &dyn Queue) {
    let large = "\u{e9}".repeat(512 * 1024);
    let many = (0..25).map(|number| message("a", &number.to_string())).chain([message("a", &large)]);
    queue.send(many.collect()).await.unwrap();
    expect_depth(queue, Depth { ready: 26, ..Depth::default() }).await;
}

/// A dead letter keeps its text, the reason and the time.
pub async fn dead_letters_say_why_and_when(queue: &dyn Queue) {
    let body = r#"{"text":"zażółć \"🦊\" \\ "}"#;
    queue
        .send_to_dead_letter_queue(Outgoing::new("", body), "Jira answered 400: \"no\"".to_owned())
        .await
        .unwrap();
    let dead_letters = expect_dead_letters(queue, 10, 1).await;
    assert_eq!(
        (dead_letters[0].body.as_str(), dead_letters[0].reason.as_str()),
        (body, "Jira answered 400: \"no\"")
    );
    assert!(dead_letters[0].died_at.0 > 1_700_000_000_000, "{:?}", dead_letters[0].died_at);
    expect_depth(queue, Depth { dead: 1, ..Depth::default() }).await;
}

/// A text is dead-lettered whatever is in it and however large it is. SQS refuses some characters, so a text comes back as
/// JSON that says the same, and a reason with signs in their place, or, beside the largest text, not at all.
pub async fn any_text_can_be_dead_lettered(queue: &dyn Queue) {
    let text: String =
        ('\0'..='\u{9f}').chain(['\u{d7ff}', '\u{fffd}', '\u{fffe}', '\u{ffff}', '\u{10ffff}']).collect();
    queue
        .send_to_dead_letter_queue(
            Outgoing::new("", serde_json::to_string(&text).unwrap()),
            format!("1: {text}"),
        )
        .await
        .unwrap();
    queue
        .send_to_dead_letter_queue(Outgoing::new("", "\u{e9}".repeat(512 * 1024)), "2: large".to_owned())
        .await
        .unwrap();
    let mut dead_letters = expect_dead_letters(queue, 10, 2).await;
    dead_letters.sort_by_key(|message| message.body.len());
    assert_eq!(serde_json::from_str::<String>(&dead_letters[0].body).unwrap(), text);
    assert!(dead_letters[0].reason.starts_with("1: "), "{}", dead_letters[0].reason);
    assert_eq!(dead_letters[1].body.len(), 1024 * 1024);
}

/// Listing dead letters removes none, begins with the newest, and stops at the limit.
pub async fn dead_letters_can_be_listed_again(queue: &dyn Queue) {
    for number in 0..3 {
        queue
            .send_to_dead_letter_queue(Outgoing::new("", number.to_string()), "reason".to_owned())
            .await
            .unwrap();
        // So that no two die at the same time.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for _ in 0..2 {
        assert_eq!(bodies(&expect_dead_letters(queue, 10, 3).await), ["2", "1", "0"]);
        assert_eq!(bodies(&queue.dead_letters(2).await.unwrap()), ["2", "1"]);
    }
}

fn bodies(dead_letters: &[DeadLetter]) -> Vec<&str> {
    dead_letters.iter().map(|message| message.body.as_str()).collect()
}

/// A redrive takes the named ones or all, once.
pub async fn redriven_messages_are_ready_again(queue: &dyn Queue) {
    for number in 0..4 {
        queue
            .send_to_dead_letter_queue(Outgoing::new("", number.to_string()), "reason".to_owned())
            .await
            .unwrap();
    }
    let dead_letters = expect_dead_letters(queue, 10, 4).await;
    let named = [dead_letters[1].id.clone(), "no such id".to_owned()];
    assert_eq!(queue.redrive(Some(&named)).await.unwrap(), 1);
    expect_depth(queue, Depth { ready: 1, dead: 3, ..Depth::default() }).await;
    let left = expect_dead_letters(queue, 10, 3).await;
    assert!(left.iter().all(|message| message.body != dead_letters[1].body));

    assert_eq!(queue.redrive(Some(&[])).await.unwrap(), 0);
    assert_eq!(queue.redrive(None).await.unwrap(), 3);
    expect_depth(queue, Depth { ready: 4, ..Depth::default() }).await;
    assert_eq!(queue.redrive(None).await.unwrap(), 0);
}
