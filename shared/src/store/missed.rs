//! Deliveries that were authenticated but could not be queued. GitLab never resends them by itself; a person has to.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};

use super::{Key, SCHEMA_VERSION, Store, StoreError, VERSION};
use crate::clock::Timestamp;
use crate::domain::SubscriptionId;

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
        let number = |number: i64| AttributeValue::N(number.to_string());
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(subscription).attributes()))
            .update_expression(
                "SET #since = if_not_exists(#since, :at), #last = :at, #version = :version ADD #deliveries :one",
            )
            .expression_attribute_names("#since", "since")
            .expression_attribute_names("#last", "last")
            .expression_attribute_names("#deliveries", "deliveries")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":at", number(at.0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":version", AttributeValue::N(SCHEMA_VERSION.to_owned()));
        self.write(|| request.clone().send()).await.map(drop)
    }

    /// What `subscription` has missed since that was last cleared.
    pub async fn missed(&self, subscription: SubscriptionId) -> Result<Option<Missed>, StoreError> {
        let item = self.get_item(&key(subscription)).await?;
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

#[cfg(all(test, feature = "embedded"))]
mod tests;
