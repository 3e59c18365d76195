//! Which projects lie inside a subscription. A hook's project id is a claim; this is what is known about it.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};

use super::{Key, PK, SK, Store, StoreError, When, read_item, unavailable};
use crate::domain::SubscriptionId;

/// Projects move in seldom, but when they do, people wait for it.
const OUTSIDE_LIFETIME: Duration = Duration::from_secs(3600);

/// Projects move out seldom.
const INSIDE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Whether a project lies inside a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// It belongs to the group or a subgroup.
    Inside,
    /// It does not.
    Outside,
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
    ) -> Result<(), StoreError> {
        let lifetime = match coverage {
            Coverage::Inside => INSIDE_LIFETIME,
            Coverage::Outside => OUTSIDE_LIFETIME,
        };
        self.put(&key(subscription, project), &coverage, When::Always, Some(lifetime)).await
    }

    /// The projects known to lie inside a subscription: those that had events within the last day.
    pub async fn inside_projects(&self, subscription: SubscriptionId) -> Result<Vec<u64>, StoreError> {
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND begins_with(#sk, :sk)")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":pk", AttributeValue::S(partition(subscription)))
            .expression_attribute_values(":sk", AttributeValue::S(PROJECT.to_owned()))
            .into_paginator()
            .items()
            .send();
        let mut inside = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(unavailable)?;
            let project = Key::of(&item).and_then(|key| key.sk.strip_prefix(PROJECT)?.parse().ok());
            if let Some(project) = project.filter(|_| self.is_alive(&item))
                && read_item::<Coverage>(item)?.value == Coverage::Inside
            {
                inside.push(project);
            }
        }
        Ok(inside)
    }
}

fn key(subscription: SubscriptionId, project: u64) -> Key {
    Key::new(partition(subscription), format!("{PROJECT}{project}"))
}

fn partition(subscription: SubscriptionId) -> String {
    format!("SUBSCRIPTION#{subscription}")
}
