//! Which projects lie inside a subscription. A hook's project id is a claim; this is what is known about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Key, Store, StoreError, When};
use crate::domain::SubscriptionId;

/// Projects rarely move into a group, but when one does, people wait for its events.
const OUTSIDE_LIFETIME: Duration = Duration::from_secs(3600);

/// Projects rarely move out of a group.
const INSIDE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How long an assumption holds: enough to ask GitLab once a batch.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(60);

/// Whether a project lies inside a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// It belongs to the group or a subgroup.
    Inside,
    /// It does not.
    Outside,
}

/// How certain the coverage of a project is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// GitLab's answer or, on a link without a token, the hook.
    Known,
    /// The hook alone, although GitLab was asked: its answer proves nothing.
    Assumed,
}

/// What the sort keys of projects begin with.
const PROJECT: &str = "PROJECT#";

impl Store {
    /// What is known of a project; `None` when nothing is.
    pub async fn coverage(
        &self,
        subscription: SubscriptionId,
        project: u64,
    ) -> Result<Option<Coverage>, StoreError> {
        Ok(self.get(&key(subscription, project)).await?.map(|stored| stored.value))
    }

    /// Remembers it for a while.
    pub async fn record_coverage(
        &self,
        subscription: SubscriptionId,
        project: u64,
        coverage: Coverage,
        certainty: Certainty,
    ) -> Result<(), StoreError> {
        let lifetime = match (certainty, coverage) {
            (Certainty::Assumed, _) => ASSUMED_LIFETIME,
            (Certainty::Known, Coverage::Inside) => INSIDE_LIFETIME,
            (Certainty::Known, Coverage::Outside) => OUTSIDE_LIFETIME,
        };
        self.put(&key(subscription, project), &coverage, When::Always, Some(lifetime)).await
    }

    /// The projects known to lie inside a subscription: those that had events within the last day.
    pub async fn inside_projects(&self, subscription: SubscriptionId) -> Result<Vec<u64>, StoreError> {
        let known: Vec<(Key, Coverage)> = self.query_keyed(&partition(subscription), PROJECT).await?;
        let inside = known.into_iter().filter(|(_, coverage)| *coverage == Coverage::Inside);
        Ok(inside.filter_map(|(key, _)| key.sk.strip_prefix(PROJECT)?.parse().ok()).collect())
    }
}

fn key(subscription: SubscriptionId, project: u64) -> Key {
    Key::new(partition(subscription), format!("{PROJECT}{project}"))
}

fn partition(subscription: SubscriptionId) -> String {
    format!("SUBSCRIPTION#{subscription}")
}
