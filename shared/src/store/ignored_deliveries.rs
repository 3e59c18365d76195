//! Deliveries that were ignored, in whole or in part, and why, the last few of each link: for `explain`, when something is
//! missing on its issue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Key, Store, StoreError, When};
use crate::clock::Timestamp;
use crate::domain::SubscriptionId;

/// As long as GitLab shows a delivery.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many items are kept of a link, each with the deliveries that were noted together. The id of its first delivery
/// decides an item's place, so a new item may replace any other.
const KEPT: u64 = 64;

/// Why a delivery is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IgnoreReason {
    /// It names no issue.
    NoIssueKeys,
    /// It is about a project outside the linked group.
    Outside,
    /// It does not say what it is about.
    NotUnderstood,
    /// It came through the hook of another project than the one it is about.
    OtherProject,
    /// What it is about can only be read with a token, and the link has none.
    TokenMissing,
    /// GitLab did not let what it is about be read, and it names no issue itself.
    NotRead,
    /// It went on, but it brings so many commits that only the newest were looked through.
    CommitsLeftOut,
    /// It went on, but its commit is in so many merge requests that only the newest were looked through.
    MergeRequestsLeftOut,
    /// It went on, but so much was deployed after it that what was deployed before it was not found.
    DeploymentsLeftOut,
}

/// A delivery that was ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredDelivery {
    /// When it came in.
    pub at: Timestamp,
    /// What GitLab calls it.
    pub delivery: Option<String>,
    /// What it is about, as people call it: `acme/api branch main`.
    pub label: String,
    /// The issues that it names.
    pub issue_keys: Vec<String>,
    /// Why it was ignored.
    pub answer: IgnoreReason,
}

impl Store {
    /// Remembers ignored deliveries of `subscription`. One write, no read.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn record_ignored(
        &self,
        subscription: SubscriptionId,
        deliveries: &[IgnoredDelivery],
    ) -> Result<(), StoreError> {
        let Some(first) = deliveries.first() else { return Ok(()) };
        let name = first.delivery.clone().unwrap_or_else(|| first.at.0.to_string());
        let place =
            name.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())) % KEPT;
        let key = Key::new(partition(subscription), format!("{place:02}"));
        self.put(&key, &deliveries, When::Always, Some(LIFETIME)).await
    }

    /// The last ignored deliveries of `subscription`, newest first.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn ignored(&self, subscription: SubscriptionId) -> Result<Vec<IgnoredDelivery>, StoreError> {
        let noted: Vec<Vec<IgnoredDelivery>> = self.query(&partition(subscription), "").await?;
        let mut ignored = noted.concat();
        ignored.sort_by_key(|delivery| std::cmp::Reverse(delivery.at));
        Ok(ignored)
    }
}

fn partition(subscription: SubscriptionId) -> String {
    format!("ANSWERS#{subscription}")
}
