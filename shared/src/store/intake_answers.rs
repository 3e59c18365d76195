//! Why deliveries led to nothing, or not to all they are about, the last few of each link: for `explain`, when something is
//! missing on its issue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Key, Store, StoreError, When};
use crate::clock::Timestamp;
use crate::domain::SubscriptionId;

/// As long as GitLab shows a delivery.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many items are kept of a link, each with the deliveries that were noted together. An item has its place by the id of its
/// first delivery, so a new one replaces any of the others.
const KEPT: u64 = 64;

/// Why a delivery leads to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntakeAnswer {
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
    /// It went on, but it brings so many commits that only the newest were looked through.
    CommitsLeftOut,
    /// It went on, but its commit is in so many merge requests that only the newest were looked through.
    MergeRequestsLeftOut,
    /// It went on, but so much was deployed after it that what was deployed before it was not found.
    DeploymentsLeftOut,
}

/// A delivery that led to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredDelivery {
    /// When it came in.
    pub at: Timestamp,
    /// What GitLab calls it.
    pub delivery: Option<String>,
    /// What it is about, as people call it: `acme/api branch main`.
    pub label: String,
    /// The issues that it names.
    pub issue_keys: Vec<String>,
    /// Why it leads to nothing.
    pub answer: IntakeAnswer,
}

impl Store {
    /// Remembers deliveries of `subscription` that lead to nothing. One write, no read.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn record_answers(
        &self,
        subscription: SubscriptionId,
        deliveries: &[AnsweredDelivery],
    ) -> Result<(), StoreError> {
        let Some(first) = deliveries.first() else { return Ok(()) };
        let name = first.delivery.clone().unwrap_or_else(|| first.at.0.to_string());
        let place =
            name.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())) % KEPT;
        let key = Key::new(partition(subscription), format!("{place:02}"));
        self.put(&key, &deliveries, When::Always, Some(LIFETIME)).await
    }

    /// The last deliveries of `subscription` that led to nothing, newest first.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn answers(&self, subscription: SubscriptionId) -> Result<Vec<AnsweredDelivery>, StoreError> {
        let noted: Vec<Vec<AnsweredDelivery>> = self.query(&partition(subscription), "").await?;
        let mut answers = noted.concat();
        answers.sort_by_key(|answer| std::cmp::Reverse(answer.at));
        Ok(answers)
    }
}

fn partition(subscription: SubscriptionId) -> String {
    format!("ANSWERS#{subscription}")
}
