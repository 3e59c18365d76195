//! What became of each entity that named an issue key: the answer to "why is my branch not on the issue?".

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Key, Store, StoreError};
use crate::clock::Timestamp;
use crate::domain::{EntityKey, HoldReason, KeyRule, SiteId, SubscriptionId};

/// Longer than people ask, and short enough for a small table.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// Keys of an entity that outcomes are kept for: an entity with hundreds of keys is a release, and nobody asks `explain`
/// about it.
const MAX_KEYS_PER_ENTITY: usize = 50;

/// What became of an entity for one issue key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The entity.
    pub entity: EntityKey,
    /// The link it came through; releases up to 0.1 did not say.
    #[serde(default)]
    pub link: Option<SubscriptionId>,
    /// How people call it.
    pub label: String,
    /// When.
    pub at: Timestamp,
    /// What.
    pub verdict: Verdict,
    /// Keys of the entity beyond what Jira takes.
    #[serde(default)]
    pub dropped_keys: u32,
}

/// What became of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Verdict {
    /// Jira took it.
    Accepted {
        /// The number it has there.
        number: i64,
    },
    /// Jira took the call but has no such issue.
    UnknownIssue,
    /// Jira refused it.
    Rejected {
        /// Jira's text.
        reason: String,
    },
    /// It was not sent.
    Filtered {
        /// The rule that removed its keys.
        rule: KeyRule,
    },
    /// It waits.
    Waiting {
        /// For what.
        reason: HoldReason,
        /// Until when at least.
        until: Timestamp,
    },
    /// It was removed from the issue.
    Removed,
    /// The link it came through was removed before it was sent.
    Unlinked,
}

impl Store {
    /// Remembers outcomes; a newer one of the same entity and key replaces the older.
    pub async fn record_outcomes(
        &self,
        site: SiteId,
        outcomes: Vec<(Vec<String>, Outcome)>,
    ) -> Result<(), StoreError> {
        let mut items = std::collections::HashMap::new();
        for (issue_keys, outcome) in outcomes {
            for issue_key in issue_keys.into_iter().take(MAX_KEYS_PER_ENTITY) {
                // A batch must not write one item twice.
                items.insert(key(site, &issue_key, &outcome.entity), outcome.clone());
            }
        }
        self.put_many(items.into_iter().map(|(key, outcome)| (key, outcome, Some(LIFETIME))).collect()).await
    }

    /// What became of everything that named `issue_key`, newest first.
    pub async fn outcomes(&self, site: SiteId, issue_key: &str) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes: Vec<Outcome> = self.query(&partition(site, issue_key), "").await?;
        outcomes.sort_by_key(|outcome| std::cmp::Reverse(outcome.at));
        Ok(outcomes)
    }
}

fn partition(site: SiteId, issue_key: &str) -> String {
    format!("OUTCOME#{site}#{issue_key}")
}

fn key(site: SiteId, issue_key: &str, entity: &EntityKey) -> Key {
    Key::new(partition(site, issue_key), format!("{}#{}#{}", entity.kind, entity.project, entity.id))
}
