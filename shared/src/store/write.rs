//! How an item is written: on which condition, and what it means when DynamoDB refuses. What is read or written in
//! batches, which know no conditions, is beside it.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, Put, ReturnValue, TransactWriteItem};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DATA, EXPIRES_AT, Key, MAX_ROUNDS, PK, REVISION, Store, StoreError, read_item, unavailable};

/// That a condition does not hold: of a write by itself, and as a reason why a transaction was cancelled.
const CONDITION_FAILED: [&str; 2] = ["ConditionalCheckFailedException", "ConditionalCheckFailed"];

/// Contention: nothing was written, because another transaction works on the item or capacity for the transaction is
/// missing. The SDK retries throttling of other operations, but none of these
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html#API_TransactWriteItems_Errors>).
const CONTENDED: [&str; 4] = [
    "TransactionConflictException",
    "TransactionConflict",
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
];

/// That nothing is at a key, or something that has expired.
const ABSENT: &str = "attribute_not_exists(#pk) OR #expires_at < :now";

/// When a write may happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Always,
    Absent,
    /// Nothing is there but what this very write has left, when its answer was lost and the SDK repeated it. For values
    /// that nobody else writes.
    AbsentOrMine,
    Unchanged(u64),
    /// Nothing is there, or something with a smaller number in this field.
    Below(&'static str, i64),
}

/// An error of a write, and the reasons behind it when that write was a transaction.
pub(super) trait WriteError: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static {
    fn reasons(&self) -> &[CancellationReason] {
        &[]
    }

    fn says(&self, codes: &[&str]) -> bool {
        let reasons = self.reasons().iter().map(CancellationReason::code);
        reasons.chain([self.code()]).flatten().any(|code| codes.contains(&code))
    }
}

impl WriteError for PutItemError {}

impl WriteError for UpdateItemError {}

impl WriteError for TransactWriteItemsError {
    fn reasons(&self) -> &[CancellationReason] {
        match self {
            Self::TransactionCanceledException(cancelled) => cancelled.cancellation_reasons(),
            _ => &[],
        }
    }
}

impl Store {
    /// Sends a write until DynamoDB has done or refused it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its condition does not hold, and only then.
    pub(super) async fn write<T, E: WriteError, F>(&self, send: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let mut round = 0;
        loop {
            self.pause(round).await;
            round += 1;
            let error = match send().await {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            let says = |codes| error.as_service_error().is_some_and(|refused| refused.says(codes));
            // Of several reasons the condition decides: a retry would not help.
            if says(&CONDITION_FAILED) {
                return Err(StoreError::Conflict);
            }
            if round == MAX_ROUNDS || !says(&CONTENDED) {
                return Err(unavailable(error));
            }
        }
    }

    pub(super) async fn put<T: Serialize + Sync>(
        &self,
        key: &Key,
        value: &T,
        when: When,
        lifetime: Option<Duration>,
    ) -> Result<(), StoreError> {
        let request = self.put_item(key, value, when, lifetime)?;
        self.write(|| request.clone().send()).await.map(drop)
    }

    /// Like [`Self::put`], and answers what was there before.
    pub(super) async fn put_over<T: Serialize + DeserializeOwned + Sync>(
        &self,
        key: &Key,
        value: &T,
        when: When,
        lifetime: Option<Duration>,
    ) -> Result<Option<T>, StoreError> {
        let request = self.put_item(key, value, when, lifetime)?.return_values(ReturnValue::AllOld);
        let written = self.write(|| request.clone().send()).await?;
        let before = written.attributes.filter(|item| self.is_alive(item));
        before.map(|item| read_item(item).map(|stored| stored.value)).transpose()
    }

    fn put_item<T: Serialize>(
        &self,
        key: &Key,
        value: &T,
        when: When,
        lifetime: Option<Duration>,
    ) -> Result<PutItemFluentBuilder, StoreError> {
        let put = self.put_of(key, value, when, lifetime)?;
        Ok(self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(put.item))
            .set_condition_expression(put.condition_expression)
            .set_expression_attribute_names(put.expression_attribute_names)
            .set_expression_attribute_values(put.expression_attribute_values))
    }

    /// Writes all of `puts` or none.
    pub(super) async fn transact(&self, puts: Vec<Put>) -> Result<(), StoreError> {
        let items = puts.into_iter().map(|put| TransactWriteItem::builder().put(put).build()).collect();
        let request = self.client.transact_write_items().set_transact_items(Some(items));
        self.write(|| request.clone().send()).await.map(drop)
    }

    pub(super) fn put_of<T: Serialize>(
        &self,
        key: &Key,
        value: &T,
        when: When,
        lifetime: Option<Duration>,
    ) -> Result<Put, StoreError> {
        let revision = if let When::Unchanged(revision) = when { revision + 1 } else { 1 };
        let item = self.item(key, value, revision, lifetime)?;
        let number = |number: i64| AttributeValue::N(number.to_string());
        let put = Put::builder().table_name(&self.table);
        // An expired item counts as absent, also before DynamoDB has removed it.
        let absent = || {
            put.clone()
                .expression_attribute_names("#pk", PK)
                .expression_attribute_names("#expires_at", EXPIRES_AT)
                .expression_attribute_values(":now", number(self.clock.now().seconds()))
        };
        let put = match when {
            When::Always => put,
            When::Absent => absent().condition_expression(ABSENT),
            When::AbsentOrMine => absent()
                .condition_expression(format!("{ABSENT} OR #data = :data"))
                .expression_attribute_names("#data", DATA)
                .expression_attribute_values(":data", item[DATA].clone()),
            When::Unchanged(revision) => put
                .condition_expression("#revision = :revision")
                .expression_attribute_names("#revision", REVISION)
                .expression_attribute_values(":revision", AttributeValue::N(revision.to_string())),
            When::Below(field, below) => absent()
                .condition_expression(format!("{ABSENT} OR #data.#field < :below"))
                .expression_attribute_names("#data", DATA)
                .expression_attribute_names("#field", field)
                .expression_attribute_values(":below", number(below)),
        };
        put.set_item(Some(item)).build().map_err(unavailable)
    }

    /// Reads, changes and writes an item, and starts over on a conflict. `None`: there is none.
    pub(super) async fn update<T, F>(&self, key: &Key, change: F) -> Result<Option<T>, StoreError>
    where
        T: Serialize + DeserializeOwned + Sync,
        F: Fn(&mut T) + Send + Sync,
    {
        for round in 0..MAX_ROUNDS {
            self.pause(round).await;
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
}

#[cfg(all(test, feature = "embedded"))]
mod tests;
