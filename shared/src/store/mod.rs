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
//! | used lifecycle token | `TOKEN#<SHA-256 of token>` | `USED` | until it expires |
//! | subscription by id | `SUBSCRIPTION#<id>` | `SUBSCRIPTION` | for ever |
//! | subscriptions of a site | `SITE#<site>` | `SUBSCRIPTION#<id>` | for ever |
//! | hook of one project | `SUBSCRIPTION#<id>` | `HOOK#<project id>` | for ever |
//! | whether a project is covered | `SUBSCRIPTION#<id>` | `PROJECT#<project id>` | an hour when outside, a day when inside |
//! | last version sent, branch tombstone | `LEDGER#<site>#<project>` | `<kind>#<entity id>` | 90 days, 14 days; branches for ever |
//! | last successful deployment | `DEPLOYED#<site>#<project>` | `<environment>#<ref>` | a year |
//! | rests | `REST#<scope>` | `REST` | until it ends |
//! | delivery that was worked off | `SEEN#<subscription>` | `<SHA-256 of idempotency key and part>` | 8 days |
//! | outcomes of an issue key | `OUTCOME#<site>#<issue key>` | `<kind>#<project>#<entity id>` | 30 days |
//!
//! This file holds how items are read and written; the files beside it hold which. DynamoDB removes expired items late,
//! so every read filters them.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, DeleteRequest, KeySchemaElement, KeyType,
    KeysAndAttributes, Put, PutRequest, ScalarAttributeType, TimeToLiveSpecification, TransactWriteItem,
    WriteRequest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::SharedClock;

pub mod coverage;
pub mod deployed;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod ledger;
pub mod outcomes;
pub mod rests;
pub mod seen;
pub mod sites;
pub mod subscriptions;

/// Written to every item, so that a later release can tell what it reads.
const SCHEMA_VERSION: &str = "1";

/// DynamoDB's limits on batches.
const MAX_BATCH_READ: usize = 100;
const MAX_BATCH_WRITE: usize = 25;

/// How often a batch is repeated for what DynamoDB left undone.
const MAX_BATCH_ROUNDS: u32 = 6;

/// How often an optimistic update starts over.
const MAX_UPDATE_ROUNDS: u32 = 8;

const PK: &str = "pk";
const SK: &str = "sk";
const DATA: &str = "data";
const REVISION: &str = "revision";
const EXPIRES_AT: &str = "expires_at";
const VERSION: &str = "schema_version";

type Item = HashMap<String, AttributeValue>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The table did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, throttles or fails. Trying again later helps.
    #[error("the state table is unavailable")]
    Unavailable(#[source] BoxError),
    /// Somebody else wrote first.
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

/// Something read, and how to tell whether it has changed since.
#[derive(Clone, Debug)]
pub struct Stored<T> {
    /// What it says.
    pub value: T,
    revision: u64,
}

/// When a write may happen.
#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    Absent,
    Unchanged(u64),
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
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .consistent_read(true)
            .send()
            .await
            .map_err(unavailable)?;
        answer.item.filter(|item| self.is_alive(item)).map(read_item).transpose()
    }

    /// Items in the order DynamoDB gives them, which is none.
    async fn get_many<T: DeserializeOwned>(&self, keys: &[Key]) -> Result<HashMap<Key, T>, StoreError> {
        let mut found = HashMap::with_capacity(keys.len());
        for chunk in keys.chunks(MAX_BATCH_READ) {
            let mut wanted: Vec<Item> = chunk.iter().map(Key::attributes).collect();
            let mut round = 0;
            while !wanted.is_empty() {
                self.pause(round).await?;
                round += 1;
                let keys = KeysAndAttributes::builder()
                    .set_keys(Some(wanted))
                    .consistent_read(true)
                    .build()
                    .map_err(unavailable)?;
                let answer = self
                    .client
                    .batch_get_item()
                    .request_items(&self.table, keys)
                    .send()
                    .await
                    .map_err(unavailable)?;
                let items = answer.responses.unwrap_or_default().remove(&self.table).unwrap_or_default();
                for item in items.into_iter().filter(|item| self.is_alive(item)) {
                    if let Some(key) = Key::of(&item) {
                        found.insert(key, read_item(item)?.value);
                    }
                }
                let rest = answer.unprocessed_keys.unwrap_or_default().remove(&self.table);
                wanted = rest.map(|rest| rest.keys).unwrap_or_default();
            }
        }
        Ok(found)
    }

    async fn query<T: DeserializeOwned>(&self, pk: &str, sk_prefix: &str) -> Result<Vec<T>, StoreError> {
        Ok(self.query_keyed(pk, sk_prefix).await?.into_iter().map(|(_, value)| value).collect())
    }

    async fn query_keyed<T: DeserializeOwned>(
        &self,
        pk: &str,
        sk_prefix: &str,
    ) -> Result<Vec<(Key, T)>, StoreError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND begins_with(#sk, :sk)")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .expression_attribute_values(":sk", AttributeValue::S(sk_prefix.to_owned()))
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(unavailable)?;
            if let Some(key) = Key::of(&item).filter(|_| self.is_alive(&item)) {
                found.push((key, read_item(item)?.value));
            }
        }
        Ok(found)
    }

    async fn put<T: Serialize + Sync>(
        &self,
        key: &Key,
        value: &T,
        when: When,
        lifetime: Option<Duration>,
    ) -> Result<(), StoreError> {
        let put = self.put_of(key, value, when, lifetime)?;
        let written = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(put.item))
            .set_condition_expression(put.condition_expression)
            .set_expression_attribute_names(put.expression_attribute_names)
            .set_expression_attribute_values(put.expression_attribute_values)
            .send()
            .await;
        match written {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => {
                Err(StoreError::Conflict)
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Writes all of `puts` or none.
    async fn transact(&self, puts: Vec<Put>) -> Result<(), StoreError> {
        let items = puts.into_iter().map(|put| TransactWriteItem::builder().put(put).build()).collect();
        let written = self.client.transact_write_items().set_transact_items(Some(items)).send().await;
        match written {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("TransactionCanceledException") => Err(StoreError::Conflict),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn put_of<T: Serialize>(
        &self,
        key: &Key,
        value: &T,
        when: When,
        lifetime: Option<Duration>,
    ) -> Result<Put, StoreError> {
        let revision = if let When::Unchanged(revision) = when { revision + 1 } else { 1 };
        let put =
            Put::builder().table_name(&self.table).set_item(Some(self.item(key, value, revision, lifetime)?));
        let put = match when {
            When::Always => put,
            // An item that has expired is not there, whether or not DynamoDB has got round to it.
            When::Absent => put
                .condition_expression("attribute_not_exists(#pk) OR #expires_at < :now")
                .expression_attribute_names("#pk", PK)
                .expression_attribute_names("#expires_at", EXPIRES_AT)
                .expression_attribute_values(
                    ":now",
                    AttributeValue::N(self.clock.now().seconds().to_string()),
                ),
            When::Unchanged(revision) => put
                .condition_expression("#revision = :revision")
                .expression_attribute_names("#revision", REVISION)
                .expression_attribute_values(":revision", AttributeValue::N(revision.to_string())),
        };
        put.build().map_err(unavailable)
    }

    async fn put_many<T: Serialize>(&self, items: Vec<(Key, T, Option<Duration>)>) -> Result<(), StoreError> {
        let mut requests = Vec::with_capacity(items.len());
        for (key, value, lifetime) in items {
            let put = PutRequest::builder()
                .set_item(Some(self.item(&key, &value, 1, lifetime)?))
                .build()
                .map_err(unavailable)?;
            requests.push(WriteRequest::builder().put_request(put).build());
        }
        self.write_many(requests).await
    }

    async fn delete_many(&self, keys: &[Key]) -> Result<(), StoreError> {
        let mut requests = Vec::with_capacity(keys.len());
        for key in keys {
            let delete =
                DeleteRequest::builder().set_key(Some(key.attributes())).build().map_err(unavailable)?;
            requests.push(WriteRequest::builder().delete_request(delete).build());
        }
        self.write_many(requests).await
    }

    async fn write_many(&self, requests: Vec<WriteRequest>) -> Result<(), StoreError> {
        for chunk in requests.chunks(MAX_BATCH_WRITE) {
            let mut wanted = chunk.to_vec();
            let mut round = 0;
            while !wanted.is_empty() {
                self.pause(round).await?;
                round += 1;
                let answer = self
                    .client
                    .batch_write_item()
                    .request_items(&self.table, wanted)
                    .send()
                    .await
                    .map_err(unavailable)?;
                wanted = answer.unprocessed_items.unwrap_or_default().remove(&self.table).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Reads, changes and writes an item, over again when somebody else was faster. `None`: there is none.
    async fn update<T, F>(&self, key: &Key, change: F) -> Result<Option<T>, StoreError>
    where
        T: Serialize + DeserializeOwned + Sync,
        F: Fn(&mut T) + Send + Sync,
    {
        for round in 0..MAX_UPDATE_ROUNDS {
            self.pause(round).await?;
            let Some(mut stored) = self.get::<T>(key).await? else {
                return Ok(None);
            };
            change(&mut stored.value);
            match self.put(key, &stored.value, When::Unchanged(stored.revision), None).await {
                Err(StoreError::Conflict) => {}
                written => return written.map(|()| Some(stored.value)),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Backs off between the rounds of one operation, and ends it when there were too many.
    async fn pause(&self, round: u32) -> Result<(), StoreError> {
        match round {
            0 => Ok(()),
            round if round < MAX_BATCH_ROUNDS.max(MAX_UPDATE_ROUNDS) => {
                tokio::time::sleep(Duration::from_millis(10 << round)).await;
                Ok(())
            }
            _ => Err(StoreError::Unavailable("DynamoDB keeps leaving work undone".into())),
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

/// A hash for keys that are secret, long, or made of somebody else's characters.
fn digest(text: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}
