//! Running a function on Lambda: reading its configuration, and serving a router, working on a queue's batches or
//! following a schedule. What a function does belongs to its package, whose `main.rs` is a few lines that call these.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use axum::Router;
use futures::future::BoxFuture;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::de::IgnoredAny;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::aws::AwsEnvironment;
use crate::config::Variables;
use crate::http::measured;
use crate::queue::Received;
use crate::services::Services;
use crate::telemetry::{self, Format, Scope, with_causes};

/// What ends a function.
pub type Error = lambda_runtime::Error;

/// Kept back of a batch's time, to answer which messages are done before Lambda stops the function.
const ANSWERING_TIME: Duration = Duration::from_secs(2);

/// Starts logging and reads the function's configuration with `read`, for a function that calls AWS.
///
/// # Errors
/// As [`start_alone`], and when TLS can't be set up.
pub fn start<T>(
    function: &'static str,
    read: impl FnOnce(&mut Variables<'_>) -> Option<T>,
) -> Result<(T, Services), Error> {
    let (environment, config) =
        start_alone(function, |variables| Some((AwsEnvironment::read(variables), read(variables)?)))?;
    Ok((config, Services::lambda(function, environment)?))
}

/// Starts logging and reads the function's configuration with `read`, for a function that calls nobody.
///
/// # Errors
/// When a variable is missing or wrong: with all of them in the log, which is where a start that failed is looked into.
pub fn start_alone<T>(
    function: &'static str,
    read: impl FnOnce(&mut Variables<'_>) -> Option<T>,
) -> Result<T, Error> {
    let source = |name: &str| std::env::var(name).ok();
    telemetry::init(Format::Json, source("RUST_LOG").as_deref());
    let function_name = source("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| function.to_owned());
    telemetry::write_for_cloudwatch(Scope::new(function, &function_name));
    let mut variables = Variables::new(&source);
    let config = read(&mut variables);
    variables.finish(config).map_err(|error| {
        tracing::error!(function, problems = ?error.problems, "the configuration is not complete");
        error.into()
    })
}

/// Serves requests of an HTTP API or a function URL.
///
/// # Errors
/// When Lambda's runtime API fails.
pub async fn serve(router: Router) -> Result<(), Error> {
    lambda_http::run(measured(router)).await
}

/// Works on batches of a queue with `handle`, which answers the receipts of the messages that are done. The others are
/// reported as failed, and come back by themselves.
///
/// # Errors
/// When Lambda's runtime API fails.
pub async fn work<H>(handle: H) -> Result<(), Error>
where
    H: Fn(Vec<Received>) -> BoxFuture<'static, Vec<String>>,
{
    let handle = &handle;
    let service = service_fn(move |event: LambdaEvent<SqsEvent>| async move {
        let span = tracing::info_span!("batch", aws.request_id = event.context.request_id);
        let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let time = left.saturating_sub(ANSWERING_TIME);
        Ok::<_, Error>(answer(event.payload.records, time, handle).instrument(span).await)
    });
    lambda_runtime::run(service).await
}

/// Runs `handle` whenever the schedule says so. A run that fails is counted as an error of the function.
///
/// # Errors
/// When Lambda's runtime API fails.
pub async fn scheduled<H, T, E>(handle: H) -> Result<(), Error>
where
    H: Fn() -> BoxFuture<'static, Result<T, E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let handle = &handle;
    // What the event says is when and by which rule; neither matters.
    let service = service_fn(move |_: LambdaEvent<IgnoredAny>| async move {
        handle().await.map(drop).map_err(|error| {
            tracing::error!(cause = with_causes(&error), "a scheduled run failed");
            Error::from(error)
        })
    });
    lambda_runtime::run(service).await
}

/// Which messages of a batch are to come back, after at most `time`.
async fn answer<H>(records: Vec<SqsMessage>, time: Duration, handle: &H) -> SqsBatchResponse
where
    H: Fn(Vec<Received>) -> BoxFuture<'static, Vec<String>>,
{
    // Not every message has a receipt when somebody invokes the function by hand; its id stands in.
    let mut unfinished: HashMap<String, String> = HashMap::with_capacity(records.len());
    let mut batch = Vec::with_capacity(records.len());
    for record in records {
        let id = record.message_id.unwrap_or_default();
        let receipt = record.receipt_handle.unwrap_or_else(|| id.clone());
        let receives = record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
        unfinished.insert(receipt.clone(), id);
        let body = record.body.unwrap_or_default();
        batch.push(Received { receipt, body, receives: receives.unwrap_or(1) });
    }
    let worked = tokio::time::timeout(time, one_by_one_if_need_be(batch, handle, &mut unfinished)).await;
    if worked.is_err() {
        tracing::error!(messages = unfinished.len(), "out of time; messages come back by themselves");
    }
    let failures = unfinished.into_values().map(|item_identifier| {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = item_identifier;
        failure
    });
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failures.collect();
    response
}

/// A panic fails the whole batch, so its messages are then tried alone: only the culprit counts as tried.
async fn one_by_one_if_need_be<H>(batch: Vec<Received>, handle: &H, unfinished: &mut HashMap<String, String>)
where
    H: Fn(Vec<Received>) -> BoxFuture<'static, Vec<String>>,
{
    if let Some(done) = caught(handle(batch.clone())).await {
        unfinished.retain(|receipt, _| !done.contains(receipt));
        return;
    }
    for received in batch {
        if let Some(done) = caught(handle(vec![received])).await {
            unfinished.retain(|receipt, _| !done.contains(receipt));
        }
    }
}

/// `None`: it panicked. Ends the work when it is dropped.
async fn caught(work: BoxFuture<'static, Vec<String>>) -> Option<Vec<String>> {
    let mut tasks = JoinSet::new();
    tasks.spawn(work.in_current_span());
    let worked = tasks.join_next().await?;
    worked.inspect_err(|error| tracing::error!(%error, "a batch panicked")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, body: &str) -> SqsMessage {
        let mut message = SqsMessage::default();
        message.message_id = Some(id.to_owned());
        message.receipt_handle = Some(format!("receipt of {id}"));
        message.body = Some(body.to_owned());
        message
    }

    fn failed(response: SqsBatchResponse) -> Vec<String> {
        let mut ids: Vec<String> =
            response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        ids.sort_unstable();
        ids
    }

    fn work_off(batch: Vec<Received>) -> BoxFuture<'static, Vec<String>> {
        Box::pin(work_off_one_by_one(batch))
    }

    async fn work_off_one_by_one(batch: Vec<Received>) -> Vec<String> {
        for received in &batch {
            assert_ne!(received.body, "panics");
            if received.body == "hangs" {
                std::future::pending::<()>().await;
            }
        }
        let done = batch.into_iter().filter(|received| received.body == "good");
        done.map(|received| received.receipt).collect()
    }

    #[tokio::test]
    async fn what_is_not_done_comes_back() {
        let records = vec![message("a", "good"), message("b", "bad"), message("c", "good")];
        assert_eq!(failed(answer(records, Duration::from_secs(60), &work_off).await), ["b"]);
    }

    #[tokio::test]
    async fn a_panic_fails_one_message_only() {
        let records = vec![message("a", "good"), message("b", "panics"), message("c", "good")];
        assert_eq!(failed(answer(records, Duration::from_secs(60), &work_off).await), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn out_of_time_everything_that_is_left_comes_back() {
        let records = vec![message("a", "good"), message("b", "hangs")];
        assert_eq!(failed(answer(records, Duration::from_secs(60), &work_off).await), ["a", "b"]);
    }
}
