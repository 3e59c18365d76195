//! Batch reads and writes, repeated until DynamoDB has left nothing unprocessed. Without conditions and without order: of a
//! batch that fails, any part may have been written.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{DeleteRequest, KeysAndAttributes, PutRequest, WriteRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Item, Key, MAX_ROUNDS, Store, StoreError, read_item, unavailable};

/// DynamoDB's limits on batches.
const MAX_BATCH_READ: usize = 100;
const MAX_BATCH_WRITE: usize = 25;

impl Store {
    /// Items in the order DynamoDB gives them, which is none.
    pub(super) async fn get_many<T: DeserializeOwned>(
        &self,
        keys: &[Key],
    ) -> Result<HashMap<Key, T>, StoreError> {
        let mut found = HashMap::with_capacity(keys.len());
        for chunk in keys.chunks(MAX_BATCH_READ) {
            let mut wanted: Vec<Item> = chunk.iter().map(Key::attributes).collect();
            let mut round = 0;
            while !wanted.is_empty() {
                self.next_round(&mut round).await?;
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

    pub(super) async fn put_many<T: Serialize>(
        &self,
        items: Vec<(Key, T, Option<Duration>)>,
    ) -> Result<(), StoreError> {
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

    pub(super) async fn delete_many(&self, keys: &[Key]) -> Result<(), StoreError> {
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
                self.next_round(&mut round).await?;
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

    /// Backs off between the rounds of one batch, and ends it when there were too many.
    async fn next_round(&self, round: &mut u32) -> Result<(), StoreError> {
        if *round == MAX_ROUNDS {
            return Err(StoreError::Unavailable("DynamoDB keeps leaving work undone".into()));
        }
        self.pause(*round).await;
        *round += 1;
        Ok(())
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests;
