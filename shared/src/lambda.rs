//! Running a function on Lambda: reading its configuration, and serving a router, working on a queue's batches or
//! following a schedule. What a function does belongs to its package, whose `main.rs` is a few lines that call these.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use axum::Router;
use futures::future::BoxFuture;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::de::IgnoredAny;
use tracing::Instrument as _;

use crate::aws::AwsEnvironment;
use crate::config::Variables;
use crate::http::measured;
use crate::queue::Received;
use crate::queue::worker::{Deadline, Handler, Work};
use crate::services::Services;
use crate::telemetry::{self, Format, Scope, with_causes};

/// An error that ends a function.
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

/// Has `handler` handle batches of a queue. What it does not acknowledge is reported as failed, and received again.
///
/// # Errors
/// When Lambda's runtime API fails.
pub async fn work(handler: Handler) -> Result<(), Error> {
    let handler = &handler;
    let service = service_fn(move |event: LambdaEvent<SqsEvent>| async move {
        let span = tracing::info_span!("batch", aws.request_id = event.context.request_id);
        let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let deadline = Deadline::after(left.saturating_sub(ANSWERING_TIME));
        let answer = answer(event.payload.records, deadline, handler.clone());
        Ok::<_, Error>(answer.instrument(span).await)
    });
    lambda_runtime::run(service).await
}

/// Runs `handle` whenever the schedule says so, until the function's time is over. A run that fails is counted as an
/// error of the function.
///
/// # Errors
/// When Lambda's runtime API fails.
pub async fn scheduled<H, T, E>(handle: H) -> Result<(), Error>
where
    H: Fn(Deadline) -> BoxFuture<'static, Result<T, E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let handle = &handle;
    // What the event says is when and by which rule; neither matters.
    let service = service_fn(move |event: LambdaEvent<IgnoredAny>| async move {
        let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        handle(Deadline::after(left)).await.map(drop).map_err(|error| {
            tracing::error!(cause = with_causes(&error), "a scheduled run failed");
            Error::from(error)
        })
    });
    lambda_runtime::run(service).await
}

/// Which messages of a batch are to be received again, at the deadline at the latest.
async fn answer(records: Vec<SqsMessage>, deadline: Deadline, handler: Handler) -> SqsBatchResponse {
    // Not every message has a receipt when somebody invokes the function by hand; its id stands in.
    let mut unfinished: HashMap<String, String> = HashMap::with_capacity(records.len());
    let mut messages = Vec::with_capacity(records.len());
    for record in records {
        let id = record.message_id.unwrap_or_default();
        let receipt = record.receipt_handle.unwrap_or_else(|| id.clone());
        let attribute = |name: &str| record.attributes.get(name);
        let receives = attribute("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
        let group = attribute("MessageGroupId").cloned().unwrap_or_default();
        unfinished.insert(receipt.clone(), id);
        messages.push(Received { receipt, group, body: record.body.unwrap_or_default(), receives });
    }
    let mut work = Work::start(messages, deadline, handler);
    let finished = tokio::time::timeout(deadline.left(), async {
        while let Some(receipts) = work.acknowledged().await {
            unfinished.retain(|receipt, _| !receipts.contains(receipt));
        }
    });
    if finished.await.is_err() {
        tracing::error!(messages = unfinished.len(), "out of time; messages will be received again");
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::queue::worker::Batch;

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

    fn handler() -> Handler {
        Arc::new(|batch: Batch| {
            Box::pin(async move {
                for message in &batch.messages {
                    match message.body.as_str() {
                        "good" => batch.acknowledge(vec![message.receipt.clone()]),
                        "hangs" => std::future::pending().await,
                        _ => {}
                    }
                }
            })
        })
    }

    async fn failures(records: Vec<SqsMessage>) -> Vec<String> {
        failed(answer(records, Deadline::after(Duration::from_secs(60)), handler()).await)
    }

    #[tokio::test]
    async fn what_is_not_acknowledged_is_received_again() {
        let records = vec![message("a", "good"), message("b", "bad"), message("c", "good")];
        assert_eq!(failures(records).await, ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn out_of_time_only_what_is_left_is_received_again() {
        let records = vec![message("a", "good"), message("b", "hangs"), message("c", "good")];
        assert_eq!(failures(records).await, ["b", "c"]);
    }
}
