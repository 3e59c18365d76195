//! What a person reads.

use serde_json::json;
use shared::queue::Outgoing;

use super::super::{Answer, Command, GroupLink};
use super::{Bench, site_add, unlink};

const SITE: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

#[tokio::test]
async fn every_answer_has_a_text_for_people() {
    let bench = Bench::new().await;
    let read = |command: Command| {
        let bench = &bench;
        async move {
            let answer = bench.operator.run(command).await.unwrap();
            let (answer, text) = (answer.json(), answer.text(&[]));
            assert!(!text.is_empty() && !text.contains("null") && !text.contains('"'), "{text}");
            assert!(text.lines().all(|line| line == line.trim_end()), "{text:?}");
            (answer, text)
        }
    };
    assert!(read(Command::SiteList).await.1.contains("No site yet"));
    assert!(read(Command::GroupList { site: None }).await.1.contains("No group is linked"));
    assert!(read(Command::Status).await.1.contains("No site yet"));
    let (id, secret) = bench.site.add_oauth_credentials(&super::APIS);
    let (_, added) = read(site_add(&bench.host(), &id, &secret)).await;
    let next = format!("Next: gitlab-jira group link --site {} --group GROUP", bench.host());
    assert!(added.ends_with(&next), "{added}");
    let (linked, text) = read(Command::GroupLink(GroupLink { no_hook: true, ..bench.adas() })).await;
    assert!(text.contains(linked["secrets"]["token"].as_str().unwrap()), "{text}");
    assert!(text.ends_with("Next: gitlab-jira explain KEY"), "{text}");
    assert!(read(Command::SiteList).await.1.contains("oauth"));
    assert!(read(Command::GroupList { site: None }).await.1.contains("manual"));
    assert!(read(Command::Status).await.1.contains("IN FLIGHT"));
    assert!(
        read(Command::Explain { key: "PAY-1".to_owned(), project: None })
            .await
            .1
            .contains("Note: Nothing is known of PAY-1")
    );
    assert!(read(Command::DlqList { limit: 5 }).await.1.contains("No dead-lettered messages"));
    bench.queue.send_to_dead_letter_queue(Outgoing::new("", "{}"), "unreadable".to_owned()).await.unwrap();
    assert!(read(Command::DlqList { limit: 5 }).await.1.ends_with("\nNext: gitlab-jira dlq redrive"));
    assert!(read(Command::Status).await.1.ends_with("\nNext: gitlab-jira dlq list"));
    assert!(read(Command::DlqRedrive { ids: Vec::new() }).await.1.contains("Put 1 message back"));
    assert!(read(unlink(&linked["subscription"])).await.1.contains("made by hand"));
    assert!(read(Command::SiteRemove { site: bench.host() }).await.1.contains("is removed"));
}

#[test]
fn columns_are_aligned_and_control_characters_are_removed_from_answers() {
    let answer = json!({ "key": "PAY-1", "notes": [], "sites": [{ "site": SITE, "host": "acme.atlassian.net", "outcomes": [
        { "kind": "pull_request", "label": "acme/api!7", "at": "t", "result": "waiting", "until": "u",
          "reason": "api_rate_limited", "dropped_keys": 0 },
        { "kind": "branch", "label": "\u{1b}[2Jé", "at": "t", "result": "accepted", "number": 1, "dropped_keys": 3 },
    ] }] });
    let text = Answer::Explanation(serde_json::from_value(answer).unwrap()).text(&[]);
    let expected = "\
PAY-1 on acme.atlassian.net
WHAT          NAME        WHEN  RESULT
pull request  acme/api!7  t     waits until u: Jira's rate limit for this API is reached.
branch         [2Jé       t     on the issue (3 keys more than Jira takes)";
    assert_eq!(text, expected);
}
