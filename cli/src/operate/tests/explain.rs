//! `explain` and `dlq`.

use serde_json::json;
use shared::domain::{EntityKey, EntityKind, HoldReason, SubscriptionId};
use shared::queue::Outgoing;
use shared::store::backoffs::{Backoff, BackoffScope};
use shared::store::ignored_deliveries::{IgnoreReason, IgnoredDelivery};
use shared::store::outcomes::{Outcome, Verdict};

use super::super::{Command, GroupLink};
use super::Bench;

fn explain(key: &str) -> Command {
    Command::Explain { key: key.to_owned(), project: None }
}

#[tokio::test]
async fn outcomes_are_shown_with_what_explains_them() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.done(Command::GroupLink(bench.adas())).await;
    let (site, now) = (bench.stored_site().await, bench.operator.clock.now());
    let outcome = |id: &str, at, verdict| {
        let entity = EntityKey { kind: EntityKind::Branch, project: "1".to_owned(), id: id.to_owned() };
        let label = format!("acme/api:{id}");
        let outcome = Outcome { entity, link: None, label, at, verdict, dropped_keys: 2 };
        (vec!["PAY-1".to_owned()], outcome)
    };
    let later = now.after(std::time::Duration::from_secs(1));
    let rejected = Verdict::Rejected { reason: "the URL is wrong".to_owned() };
    let outcomes = vec![outcome("a", now, Verdict::Accepted { number: 7 }), outcome("b", later, rejected)];
    bench.operator.store.record_outcomes(site.id, outcomes).await.unwrap();
    let explained = bench.done(explain(" PAY-1 ")).await;
    let told = &explained["sites"][0]["outcomes"];
    assert_eq!(explained["sites"][0]["host"], bench.host());
    assert_eq!(
        told[0],
        json!({
            "kind": "branch", "label": "acme/api:b", "at": later.iso8601(), "dropped_keys": 2,
            "result": "rejected", "reason": "the URL is wrong",
        })
    );
    assert_eq!((&told[1]["result"], &told[1]["number"]), (&json!("accepted"), &json!(7)));
    assert_eq!(explained["notes"], json!([]));
}

#[tokio::test]
async fn an_issue_without_outcomes_is_explained_too() {
    let bench = Bench::new().await;
    let notes = bench.done(explain("PAY-1")).await["notes"].to_string();
    assert!(notes.contains("No group is linked"), "{notes}");
    bench.add_site().await;
    let link = GroupLink { project_keys: vec!["OPS".to_owned(), "OPS".to_owned()], ..bench.adas() };
    bench.done(Command::GroupLink(link)).await;
    let site = bench.stored_site().await;
    let now = bench.operator.clock.now();
    let suppress = |site: &mut shared::domain::Site| site.suppress_project("PAY", now);
    bench.operator.store.update_site(site.id, suppress).await.unwrap();
    bench.queue.send_to_dead_letter_queue(Outgoing::new("", "{}"), "unreadable".to_owned()).await.unwrap();
    let explained = bench.done(explain("PAY-1")).await;
    assert_eq!(explained["sites"], json!([]));
    let notes = explained["notes"].to_string();
    for cause in
        ["30 days", "limited to keys of OPS", "has no project PAY", "site recheck", "gitlab-jira dlq list"]
    {
        assert!(notes.contains(cause), "{cause}: {notes}");
    }
    let rechecked = bench.done(Command::SiteRecheck { site: bench.host() }).await;
    assert_eq!(rechecked["projects"], json!(["PAY"]));
    let notes = bench.done(explain("PAY-1")).await["notes"].to_string();
    assert!(!notes.contains("has no project PAY"), "{notes}");
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let bench = Bench::new().await;
    for (text, cause) in [
        ("pay-1", "ask for PAY-1"),
        ("", "not an issue key"),
        ("PAY", "not an issue key"),
        ("PAY-1 PAY-2", "not an"),
    ] {
        let sentence = Bench::refused(bench.run(explain(text)).await);
        assert!(sentence.contains(cause), "{text}: {sentence}");
    }
}

#[tokio::test]
async fn dead_letters_are_listed_without_their_bodies_and_redriven() {
    let bench = Bench::new().await;
    let body = json!({ "id": "01J", "body": { "subscription": "01S", "author": "ada@example.com" } });
    for reason in ["first", "second", "third"] {
        bench
            .queue
            .send_to_dead_letter_queue(Outgoing::new("", body.to_string()), reason.to_owned())
            .await
            .unwrap();
    }
    let listed = bench.done(Command::DlqList { limit: 2 }).await;
    assert_eq!((listed["letters"].as_array().unwrap().len(), &listed["dead"]), (2, &json!(3)));
    assert_eq!(
        (&listed["letters"][0]["message"], &listed["letters"][0]["subscription"]),
        (&json!("01J"), &json!("01S"))
    );
    assert!(!listed.to_string().contains("ada@example.com"));
    let id = listed["letters"][0]["id"].as_str().unwrap().to_owned();
    let sentence = Bench::refused(bench.run(Command::DlqRedrive { ids: vec!["999".to_owned()] }).await);
    assert!(sentence.contains("gitlab-jira dlq list"), "{sentence}");
    assert_eq!(bench.done(Command::DlqRedrive { ids: vec![id] }).await, json!({ "redriven": 1 }));
    assert_eq!(bench.done(Command::DlqRedrive { ids: Vec::new() }).await, json!({ "redriven": 2 }));
    let status = bench.done(Command::Status).await;
    assert_eq!(status["queues"]["events"], json!({ "ready": 3, "delayed": 0, "in_flight": 0, "dead": 0 }));
    Bench::refused(bench.run(Command::DlqList { limit: 0 }).await);
}

#[tokio::test]
async fn what_came_through_a_removed_link_is_not_on_the_issue() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let (site, at) = (bench.stored_site().await, bench.operator.clock.now());
    let entity = EntityKey { kind: EntityKind::Branch, project: "1".to_owned(), id: "b".to_owned() };
    let (verdict, label) = (Verdict::Accepted { number: 7 }, "acme/api:b".to_owned());
    let outcome =
        Outcome { entity, link: Some(SubscriptionId::generate()), label, at, verdict, dropped_keys: 0 };
    let outcomes = vec![(vec!["PAY-1".to_owned()], outcome)];
    bench.operator.store.record_outcomes(site.id, outcomes).await.unwrap();
    let explained = bench.done(explain("PAY-1")).await;
    assert_eq!(explained["sites"][0]["outcomes"][0]["result"], "unlinked");
}

/// By the key that they name, or by their id in GitLab's list.
#[tokio::test]
async fn deliveries_that_led_to_nothing_are_found() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.done(Command::GroupLink(bench.adas())).await;
    let site = bench.stored_site().await;
    let link = bench.operator.store.subscriptions(site.id).await.unwrap().remove(0);
    let id = "2f1c8b1e-4d5a-4c6b-9e7f-0a1b2c3d4e5f";
    let ignored = IgnoredDelivery {
        at: bench.operator.clock.now(),
        delivery: Some(id.to_owned()),
        label: "acme/api pipeline 31".to_owned(),
        issue_keys: vec!["PAY-1".to_owned()],
        answer: IgnoreReason::TokenMissing,
    };
    bench.operator.store.record_ignored(link.id, &[ignored]).await.unwrap();
    for about in ["PAY-1", id] {
        let text = bench.operator.run(explain(about)).await.unwrap().text(&[]);
        assert!(text.contains("acme/api pipeline 31") && text.contains("no token"), "{text}");
    }
    let notes = bench.done(explain("00000000-0000-0000-0000-000000000000")).await["notes"].to_string();
    assert!(notes.contains("was processed, or did not come in"), "{notes}");
}

#[tokio::test]
async fn a_backoff_is_named_as_a_cause() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.done(Command::GroupLink(bench.adas())).await;
    let (site, now) = (bench.stored_site().await, bench.operator.clock.now());
    let until = now.after(std::time::Duration::from_secs(60));
    let reason = HoldReason::SiteUnavailable(Some(503));
    let backoff = Backoff { until, consecutive_failures: 3, since: now, reason };
    bench.operator.store.begin_backoff(&BackoffScope::Site(site.id), &backoff).await.unwrap();
    let notes = bench.done(explain("PAY-1")).await["notes"].to_string();
    assert!(notes.contains("Jira is unavailable (HTTP 503)") && notes.contains(&until.iso8601()), "{notes}");
}

/// When nothing of a project arrives, most often no link covers it.
#[tokio::test]
async fn a_project_that_no_link_covers_is_reported() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.done(Command::GroupLink(bench.adas())).await;
    for (path, told) in [
        ("other/team/api", "covers other/team/api: link other/team or a group above it"),
        ("acme/new", "History has not reached acme/new"),
    ] {
        let explain = Command::Explain { key: "PAY-1".to_owned(), project: Some(path.to_owned()) };
        let notes = bench.done(explain).await["notes"].to_string();
        assert!(notes.contains(told), "{notes}");
    }
}
