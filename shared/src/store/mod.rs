//! State in one DynamoDB table, through DynamoDB's own API: on AWS the service answers it, in the local process an
//! embedded engine. One implementation, so what holds for one holds for the other.
//!
//! | access pattern | partition key | sort key | lives |
//! | --- | --- | --- | --- |
//! | site by id | `SITE#<site>` | `SITE` | for ever |
//! | all sites | `SITES` | `<site>` | for ever |
//! | site by cloud id | `CLOUD#<cloud id>` | `SITE` | for ever |
//! | installations of a site | `SITE#<site>` | `INSTALLATION#<installation>` | for ever |
//! | installation by clientKey | `CLIENT#<SHA-256 of clientKey>` | `INSTALLATION` | for ever |
//! | installation by Forge's id of it | `FORGE#<SHA-256 of the id>` | `INSTALLATION` | for ever |
//! | sign-in to GitLab on the page | `SIGNIN#<id>` | `SIGNIN` | 10 minutes, then 2 hours |
//! | used lifecycle token | `TOKEN#<SHA-256 of token>` | `USED` | until it expires |
//! | subscription by id | `SUBSCRIPTION#<id>` | `SUBSCRIPTION` | for ever |
//! | subscriptions of a site | `SITE#<site>` | `SUBSCRIPTION#<id>` | for ever |
//! | hook of one project | `SUBSCRIPTION#<id>` | `HOOK#<project id>` | for ever |
//! | who changes a link's token or hooks | `SUBSCRIPTION#<id>` | `LEASE` | five minutes |
//! | who sends what only a link's hooks tell | `SUBSCRIPTION#<id>` | `SENDING` | five minutes |
//! | deliveries that could not be queued | `SUBSCRIPTION#<id>` | `MISSED` | until they are resent or the link is removed |
//! | deliveries that were not understood | `SUBSCRIPTION#<id>` | `NOT_UNDERSTOOD` | 7 days after the last |
//! | when the last delivery came in, to the minute | `SUBSCRIPTION#<id>` | `LAST_EVENT` | with the link |
//! | whether a project is covered | `SUBSCRIPTION#<id>` | `PROJECT#<project id>` | an hour when outside, a day when inside, a minute when assumed |
//! | last version sent, branch tombstone | `LEDGER#<site>#<project>` | `<kind>#<entity id>` | 90 days, 14 days; branches for ever |
//! | last successful deployment | `DEPLOYED#<site>#<project>` | `<SHA-256 of the environment>` | a year |
//! | plan of a link's history | `HISTORY#<subscription>` | `PLAN` | with the link |
//! | history of one project | `HISTORY#<subscription>` | `PROJECT#<project id>` | with the link |
//! | requests made for history | `HISTORY#<subscription>` | `REQUESTS#<span>#<its begin>` | 2 hours |
//! | backoff | `REST#<scope>` | `REST` | a day longer than it lasts |
//! | delivery of which Jira has everything | `SEEN#<subscription>` | `<SHA-256 of id and part>` | 8 days |
//! | first intake of a delivery, without a token | `INTAKE#<subscription>` | `<SHA-256 of id>` | 8 days |
//! | deliveries that led to nothing, several at a time | `ANSWERS#<subscription>` | `<place, of 64>` | 7 days |
//! | outcomes of an issue key | `OUTCOME#<site>#<issue key>` | `<kind>#<project>#<entity id>` | 30 days |
//!
//! This file, `write` and `batch` hold how items are read and written; the files beside them hold which. DynamoDB
//! removes expired items late, so every read filters them.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TimeToLiveSpecification,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::{SharedClock, Timestamp};

pub mod backoffs;
mod batch;
pub mod coverage;
pub mod deployed;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(all(test, feature = "embedded"))]
mod faulty;
pub mod first_deliveries;
pub mod forge_installations;
pub mod history;
pub mod ignored_deliveries;
pub mod last_events;
pub mod leases;
pub mod ledger;
pub mod missed;
pub mod outcomes;
pub mod seen;
pub mod sign_ins;
mod site_keys;
pub mod sites;
pub mod subscriptions;
mod write;

use write::When;

/// Written to every item, so that a later release recognises what it reads.
const SCHEMA_VERSION: &str = "1";

/// Rounds of one operation: for what DynamoDB left unprocessed, or because of a conflict on the item.
const MAX_ROUNDS: u32 = 8;

/// The pause before an operation's second round; it doubles before each further one, to two and a half seconds in all.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

const PK: &str = "pk";
const SK: &str = "sk";
const DATA: &str = "data";
const REVISION: &str = "revision";
const EXPIRES_AT: &str = "expires_at";
const VERSION: &str = "schema_version";

type Item = HashMap<String, AttributeValue>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An operation on the table failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, throttles or fails. Trying again later helps.
    #[error("the state table is unavailable")]
    Unavailable(#[source] BoxError),
    /// A condition failed: the item was changed in between.
    #[error("somebody else changed it at the same time")]
    Conflict,
    /// An item is not what this release writes.
    #[error("a stored item can't be read")]
    Corrupt(#[source] BoxError),
}

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pk: String,
    sk: String,
}

impl Key {
    fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    fn attributes(&self) -> Item {
        HashMap::from([
            (PK.to_owned(), AttributeValue::S(self.pk.clone())),
            (SK.to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }

    fn of(item: &Item) -> Option<Self> {
        let text = |name: &str| item.get(name)?.as_s().ok().cloned();
        Some(Self { pk: text(PK)?, sk: text(SK)? })
    }
}

/// A value that was read, with its revision for a conditional write.
#[derive(Clone, Debug)]
pub struct Stored<T> {
    /// The value.
    pub value: T,
    revision: u64,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    table: String,
    clock: SharedClock,
}

impl Store {
    /// The table called `table` behind `client`.
    #[must_use]
    pub fn new(client: Client, table: &str, clock: SharedClock) -> Self {
        Self { client, table: table.to_owned(), clock }
    }

    /// The time by which items expire.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Makes the table if it is not there; on AWS the template does.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        let attribute = |name: &str| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .map_err(unavailable)
        };
        let key = |name: &str, kind| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(unavailable)
        };
        let created = self
            .client
            .create_table()
            .table_name(&self.table)
            .attribute_definitions(attribute(PK)?)
            .attribute_definitions(attribute(SK)?)
            .key_schema(key(PK, KeyType::Hash)?)
            .key_schema(key(SK, KeyType::Range)?)
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await;
        match created {
            Ok(_) => self.enable_ttl().await,
            Err(error) if error.code() == Some("ResourceInUseException") => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn enable_ttl(&self) -> Result<(), StoreError> {
        let specification = TimeToLiveSpecification::builder()
            .attribute_name(EXPIRES_AT)
            .enabled(true)
            .build()
            .map_err(unavailable)?;
        self.client
            .update_time_to_live()
            .table_name(&self.table)
            .time_to_live_specification(specification)
            .send()
            .await
            .map(drop)
            .map_err(unavailable)
    }

    async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<Stored<T>>, StoreError> {
        self.get_item(key).await?.map(read_item).transpose()
    }

    async fn get_item(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .consistent_read(true)
            .send()
            .await
            .map_err(unavailable)?;
        Ok(answer.item.filter(|item| self.is_alive(item)))
    }

    async fn query<T: DeserializeOwned>(&self, pk: &str, sk_prefix: &str) -> Result<Vec<T>, StoreError> {
        Ok(self.query_keyed(pk, sk_prefix).await?.into_iter().map(|(_, value)| value).collect())
    }

    async fn query_keyed<T: DeserializeOwned>(
        &self,
        pk: &str,
        sk_prefix: &str,
    ) -> Result<Vec<(Key, T)>, StoreError> {
        let mut found = Vec::new();
        self.query_each(pk, sk_prefix, |key, value| found.push((key, value))).await?;
        Ok(found)
    }

    /// Gives each item to `take` as it comes, so that no more than a page of them is in memory.
    async fn query_each<T: DeserializeOwned>(
        &self,
        pk: &str,
        sk_prefix: &str,
        mut take: impl FnMut(Key, T),
    ) -> Result<(), StoreError> {
        let partition = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()));
        // DynamoDB refuses an empty text for a key, even where it only asks for a beginning.
        let query = match sk_prefix {
            "" => partition.key_condition_expression("#pk = :pk"),
            _ => partition
                .key_condition_expression("#pk = :pk AND begins_with(#sk, :sk)")
                .expression_attribute_names("#sk", SK)
                .expression_attribute_values(":sk", AttributeValue::S(sk_prefix.to_owned())),
        };
        let mut pages = query.into_paginator().items().send();
        while let Some(item) = pages.next().await {
            let item = item.map_err(unavailable)?;
            if let Some(key) = Key::of(&item).filter(|_| self.is_alive(&item)) {
                take(key, read_item(item)?.value);
            }
        }
        Ok(())
    }

    /// Backs off before a round of one operation, other than its first.
    async fn pause(&self, round: u32) {
        if round > 0 {
            tokio::time::sleep(FIRST_PAUSE * (1 << (round - 1))).await;
        }
    }

    fn item<T: Serialize>(
        &self,
        key: &Key,
        value: &T,
        revision: u64,
        lifetime: Option<Duration>,
    ) -> Result<Item, StoreError> {
        let mut item = key.attributes();
        let data =
            serde_dynamo::to_attribute_value(value).map_err(|error| StoreError::Corrupt(Box::new(error)))?;
        item.insert(DATA.to_owned(), data);
        item.insert(REVISION.to_owned(), AttributeValue::N(revision.to_string()));
        item.insert(VERSION.to_owned(), AttributeValue::N(SCHEMA_VERSION.to_owned()));
        if let Some(lifetime) = lifetime {
            let expires_at = self.clock.now().after(lifetime).seconds();
            item.insert(EXPIRES_AT.to_owned(), AttributeValue::N(expires_at.to_string()));
        }
        Ok(item)
    }

    fn is_alive(&self, item: &Item) -> bool {
        let expires_at = item.get(EXPIRES_AT).and_then(|value| value.as_n().ok()?.parse::<i64>().ok());
        expires_at.is_none_or(|expires_at| expires_at >= self.clock.now().seconds())
    }
}

fn read_item<T: DeserializeOwned>(mut item: Item) -> Result<Stored<T>, StoreError> {
    let data = item.remove(DATA).ok_or_else(|| StoreError::Corrupt("the item has no data".into()))?;
    let value =
        serde_dynamo::from_attribute_value(data).map_err(|error| StoreError::Corrupt(Box::new(error)))?;
    let revision = item.get(REVISION).and_then(|value| value.as_n().ok()?.parse().ok()).unwrap_or(1);
    Ok(Stored { value, revision })
}

fn unavailable(error: impl Into<BoxError>) -> StoreError {
    StoreError::Unavailable(error.into())
}

/// A hash for keys that are secret, long, or of unknown characters.
fn digest(text: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}

#[cfg(all(test, feature = "embedded"))]
pub(crate) mod tests;
