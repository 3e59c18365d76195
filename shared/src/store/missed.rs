//! Authentic deliveries that led to nothing for a reason of ours, counted: those that could not be queued, which GitLab never
//! resends by itself, so that a person has to; and those that were not understood.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};

use super::{EXPIRES_AT, Key, SCHEMA_VERSION, Store, StoreError, VERSION};
use crate::clock::Timestamp;
use crate::domain::SubscriptionId;

/// As long as GitLab shows a delivery.
const NOT_UNDERSTOOD_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a link has missed. Its fields are attributes of the item itself, so that concurrent updates are all counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// When the first of the deliveries came in.
    pub since: Timestamp,
    /// When the last one came in; approximate where several processes count at the same time.
    pub last: Timestamp,
    /// How many there were; one may be counted twice when the table's answer was lost.
    pub deliveries: u64,
}

impl Store {
    /// Counts a delivery of `subscription` that came in at `at` and is lost. One write, no read.
    pub async fn mark_missed(&self, subscription: SubscriptionId, at: Timestamp) -> Result<(), StoreError> {
        self.count_delivery(&key(subscription), at, None).await
    }

    /// Counts a delivery of `subscription` that came in at `at` and was not understood; forgotten some days after the last.
    pub async fn mark_not_understood(
        &self,
        subscription: SubscriptionId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.count_delivery(&not_understood_key(subscription), at, Some(NOT_UNDERSTOOD_LIFETIME)).await
    }

    /// The deliveries of `subscription` that were not understood.
    pub async fn not_understood(&self, subscription: SubscriptionId) -> Result<Option<Missed>, StoreError> {
        self.counted(&not_understood_key(subscription)).await
    }

    async fn count_delivery(
        &self,
        key: &Key,
        at: Timestamp,
        lifetime: Option<Duration>,
    ) -> Result<(), StoreError> {
        let number = |number: i64| AttributeValue::N(number.to_string());
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .expression_attribute_names("#since", "since")
            .expression_attribute_names("#last", "last")
            .expression_attribute_names("#deliveries", "deliveries")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":at", number(at.0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":version", AttributeValue::N(SCHEMA_VERSION.to_owned()));
        let request = match lifetime {
            Some(lifetime) => request
                .update_expression(
                    "SET #since = if_not_exists(#since, :at), #last = :at, #version = :version, #expires = :expires ADD #deliveries :one",
                )
                .expression_attribute_names("#expires", EXPIRES_AT)
                .expression_attribute_values(":expires", number(at.after(lifetime).seconds())),
            None => request.update_expression(
                "SET #since = if_not_exists(#since, :at), #last = :at, #version = :version ADD #deliveries :one",
            ),
        };
        self.write(|| request.clone().send()).await.map(drop)
    }

    /// What `subscription` has missed since that was last cleared.
    pub async fn missed(&self, subscription: SubscriptionId) -> Result<Option<Missed>, StoreError> {
        self.counted(&key(subscription)).await
    }

    async fn counted(&self, key: &Key) -> Result<Option<Missed>, StoreError> {
        let item = self.get_item(key).await?;
        let missed = item.map(serde_dynamo::from_item).transpose();
        missed.map_err(|error| StoreError::Corrupt(Box::new(error)))
    }

    /// Clears what `subscription` has missed, once it was resent or removed.
    pub async fn clear_missed(&self, subscription: SubscriptionId) -> Result<(), StoreError> {
        self.delete_many(&[key(subscription)]).await
    }
}

fn key(subscription: SubscriptionId) -> Key {
    Key::new(format!("SUBSCRIPTION#{subscription}"), "MISSED")
}

fn not_understood_key(subscription: SubscriptionId) -> Key {
    Key::new(format!("SUBSCRIPTION#{subscription}"), "NOT_UNDERSTOOD")
}

#[cfg(all(test, feature = "embedded"))]
mod tests;
