//! The workflow triggers that dev info fires on a site. Automation rules and workflow transitions depend on these, so
//! tests check that history fires none.

use serde::Serialize;
use serde_json::Value;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::store::{Kind, Stored};

/// Commits and pull requests older than this fire nothing when they are first seen.
const TOO_OLD: Duration = Duration::weeks(2);

/// What happened to an entity, in the words of Jira's workflow triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A commit not stored before.
    CommitCreated,
    /// A branch not stored before.
    BranchCreated,
    /// A pull request not stored before.
    PullRequestCreated,
    /// A declined or merged pull request that is open again.
    PullRequestReopened,
    /// A pull request that was not merged before.
    PullRequestMerged,
    /// A pull request that was not declined before.
    PullRequestDeclined,
}

/// A trigger that fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// What happened.
    pub event: Event,
    /// The repository's id.
    pub repository: String,
    /// The entity's id.
    pub entity: String,
    /// The issues it fired for.
    pub issue_keys: Vec<String>,
}

/// The triggers of an accepted entity, given what was stored of it before.
pub(super) fn fired(
    repository: &str,
    kind: Kind,
    entity: &Value,
    before: Option<&Stored>,
    keys: &[String],
) -> Vec<Trigger> {
    let outdated = before.is_some_and(|stored| entity["updateSequenceId"].as_i64() < Some(stored.sequence));
    let events = match (kind, before) {
        _ if outdated => Vec::new(),
        (Kind::Commit, None) if is_recent(&entity["authorTimestamp"]) => vec![Event::CommitCreated],
        (Kind::Branch, None) => vec![Event::BranchCreated],
        (Kind::Commit | Kind::Branch, _) => Vec::new(),
        (Kind::PullRequest, before) => of_pull_request(entity, before),
    };
    let trigger = |event| Trigger {
        event,
        repository: repository.to_owned(),
        entity: entity["id"].as_str().unwrap_or_default().to_owned(),
        issue_keys: keys.to_vec(),
    };
    events.into_iter().map(trigger).collect()
}

fn of_pull_request(entity: &Value, before: Option<&Stored>) -> Vec<Event> {
    if before.is_none() && !is_recent(&entity["lastUpdate"]) {
        return Vec::new();
    }
    let mut events = Vec::new();
    let old = before.map(|stored| stored.body["status"].as_str().unwrap_or_default());
    if old.is_none() {
        events.push(Event::PullRequestCreated);
    }
    match entity["status"].as_str().unwrap_or_default() {
        "OPEN" if matches!(old, Some("DECLINED" | "MERGED")) => events.push(Event::PullRequestReopened),
        "MERGED" if old != Some("MERGED") => events.push(Event::PullRequestMerged),
        "DECLINED" if old != Some("DECLINED") => events.push(Event::PullRequestDeclined),
        _ => {}
    }
    events
}

fn is_recent(date: &Value) -> bool {
    let date = date.as_str().and_then(|date| OffsetDateTime::parse(date, &Rfc3339).ok());
    date.is_some_and(|date| OffsetDateTime::now_utc() - date < TOO_OLD)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jira::store::Properties;

    fn events(kind: Kind, entity: &Value, before: Option<&Value>) -> Vec<Event> {
        let before = before.map(|body| Stored {
            sequence: 1,
            keys: Vec::new(),
            properties: Properties::new(),
            body: body.clone(),
        });
        fired("1", kind, entity, before.as_ref(), &[]).into_iter().map(|trigger| trigger.event).collect()
    }

    fn days_ago(days: i64) -> String {
        (OffsetDateTime::now_utc() - Duration::days(days)).format(&Rfc3339).unwrap()
    }

    #[test]
    fn old_and_known_commits_fire_nothing() {
        let commit = |days| json!({ "id": "c", "updateSequenceId": 1, "authorTimestamp": days_ago(days) });
        assert_eq!(events(Kind::Commit, &commit(13), None), [Event::CommitCreated]);
        assert_eq!(events(Kind::Commit, &commit(15), None), []);
        assert_eq!(events(Kind::Commit, &commit(1), Some(&commit(1))), []);
    }

    #[test]
    fn a_new_branch_fires_once() {
        let branch = json!({ "id": "b", "updateSequenceId": 1 });
        assert_eq!(events(Kind::Branch, &branch, None), [Event::BranchCreated]);
        assert_eq!(events(Kind::Branch, &branch, Some(&branch)), []);
    }

    #[test]
    fn pull_requests_fire_by_status() {
        let at = |status: &str, days| json!({ "id": "p", "updateSequenceId": 1, "status": status, "lastUpdate": days_ago(days) });
        let cases: [(&str, i64, Option<&str>, &[Event]); 8] = [
            ("OPEN", 1, None, &[Event::PullRequestCreated]),
            ("MERGED", 1, None, &[Event::PullRequestCreated, Event::PullRequestMerged]),
            ("MERGED", 20, None, &[]),
            ("OPEN", 1, Some("OPEN"), &[]),
            ("OPEN", 1, Some("DECLINED"), &[Event::PullRequestReopened]),
            ("MERGED", 1, Some("OPEN"), &[Event::PullRequestMerged]),
            ("MERGED", 1, Some("MERGED"), &[]),
            ("DECLINED", 20, Some("DRAFT"), &[Event::PullRequestDeclined]),
        ];
        for (status, days, before, expected) in cases {
            let before = before.map(|status| at(status, 1));
            assert_eq!(
                events(Kind::PullRequest, &at(status, days), before.as_ref()),
                expected,
                "{status} {days}"
            );
        }
    }

    #[test]
    fn an_outdated_update_fires_nothing() {
        let late = json!({ "id": "p", "updateSequenceId": 0, "status": "MERGED", "lastUpdate": days_ago(1) });
        assert_eq!(events(Kind::PullRequest, &late, Some(&json!({ "status": "OPEN" }))), []);
    }
}
