//! A store for tests: over an engine in memory, with faults on the way to it that the engine has none of, as DynamoDB
//! and the network have them (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use ulid::Ulid;

use super::Store;
use super::embedded::EmbeddedEngine;
use crate::jira::client::scripted_server::HandClock;

/// As a function has them: a call of the store's is over within [`CALL_TIMEOUT`].
const ATTEMPTS: u32 = 3;
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1500);
pub(super) const CALL_TIMEOUT: Duration = Duration::from_millis(3500);

/// What goes wrong with a call.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing.
    Pass,
    /// DynamoDB refuses it with this status and body.
    Refusal(u16, Value),
    /// The connection breaks before DynamoDB has the request.
    Reset,
    /// DynamoDB does it, and the connection breaks before the answer is here.
    AnswerLost,
    /// Nobody ever answers.
    Silence,
    /// Of a batch, DynamoDB does so many items and hands the others back.
    Undone { done: usize },
}

impl Fault {
    fn refusal(status: u16, kind: &str) -> Self {
        Self::Refusal(status, json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{kind}") }))
    }

    pub(super) fn throughput_exceeded() -> Self {
        Self::refusal(400, "ProvisionedThroughputExceededException")
    }

    pub(super) fn throttled() -> Self {
        Self::refusal(400, "ThrottlingException")
    }

    pub(super) fn internal() -> Self {
        Self::refusal(500, "InternalServerError")
    }

    pub(super) fn transaction_conflict() -> Self {
        Self::refusal(400, "TransactionConflictException")
    }

    pub(super) fn condition_failed() -> Self {
        Self::refusal(400, "ConditionalCheckFailedException")
    }

    /// A transaction, for one reason per item.
    pub(super) fn cancelled(reasons: &[&str]) -> Self {
        let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
        let reasons: Vec<Value> = reasons.iter().map(|code| json!({ "Code": code })).collect();
        Self::Refusal(400, json!({ "__type": kind, "CancellationReasons": reasons }))
    }

    /// What the SDK outlasts by itself, whatever the call is.
    pub(super) fn transient() -> [Self; 6] {
        let refusals = [Self::throughput_exceeded(), Self::throttled(), Self::internal()];
        let [first, second, third] = refusals;
        [first, second, third, Self::Reset, Self::AnswerLost, Self::Silence]
    }
}

/// What is to come for an operation, and what it has seen.
#[derive(Debug, Default)]
struct Operation {
    next: VecDeque<Fault>,
    then: Option<Fault>,
    calls: usize,
    at_once: usize,
    most_at_once: usize,
}

/// The way to the engine. Clones are the same way.
#[derive(Clone)]
pub(super) struct Faults {
    engine: SharedHttpClient,
    operations: Arc<Mutex<HashMap<String, Operation>>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

impl Faults {
    /// A new store with its table, the way to it, and the clock it goes by.
    pub(super) async fn store() -> (Store, Self, Arc<HandClock>) {
        let engine = EmbeddedEngine::memory().expect("an engine").client();
        let http = engine.config().http_client().expect("a way to the engine");
        let faults = Self { engine: http, operations: Arc::default() };
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let config = engine
            .config()
            .to_builder()
            .http_client(faults.clone())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            // All clients of a partition share a budget of retries, and so would all tests of a process.
            .retry_partition(RetryPartition::new(Ulid::new().to_string()))
            .timeout_config(timeouts)
            .build();
        let clock = HandClock::new();
        let store = Store::new(Client::from_conf(config), "table", clock.clone());
        store.create_table().await.expect("a table");
        (store, faults, clock)
    }

    /// The next calls of `operation` go like this, and later ones well.
    pub(super) fn next(&self, operation: &str, faults: impl IntoIterator<Item = Fault>) {
        self.plan(operation, faults, None);
    }

    /// The next calls of `operation` go like this, and all later ones have the fault `then`.
    pub(super) fn plan(
        &self,
        operation: &str,
        faults: impl IntoIterator<Item = Fault>,
        then: impl Into<Option<Fault>>,
    ) {
        let next = faults.into_iter().collect();
        self.lock().insert(operation.to_owned(), Operation { next, then: then.into(), ..Operation::default() });
    }

    /// Everything goes well from here on.
    pub(super) fn end(&self) {
        self.lock().clear();
    }

    /// How many calls of `operation` there were since something was planned for it, and how many at most side by side.
    pub(super) fn calls(&self, operation: &str) -> (usize, usize) {
        self.lock().get(operation).map_or((0, 0), |seen| (seen.calls, seen.most_at_once))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Operation>> {
        self.operations.lock().expect("no panic while it is held")
    }

    fn begin(&self, operation: &str) -> Fault {
        let mut operations = self.lock();
        let seen = operations.entry(operation.to_owned()).or_default();
        seen.calls += 1;
        seen.at_once += 1;
        seen.most_at_once = seen.most_at_once.max(seen.at_once);
        seen.next.pop_front().or_else(|| seen.then.clone()).unwrap_or(Fault::Pass)
    }

    fn finish(&self, operation: &str) {
        if let Some(seen) = self.lock().get_mut(operation) {
            seen.at_once = seen.at_once.saturating_sub(1);
        }
    }
}

impl HttpClient for Faults {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let engine = self.engine.http_connector(settings, components);
        SharedHttpConnector::new(Way { faults: self.clone(), engine })
    }
}

#[derive(Clone, Debug)]
struct Way {
    faults: Faults,
    engine: SharedHttpConnector,
}

impl HttpConnector for Way {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").expect("a target").to_owned();
        let way = self.clone();
        HttpConnectorFuture::new(async move {
            let operation = target.rsplit('.').next().expect("its last part");
            let fault = way.faults.begin(operation);
            let answer = way.answer(fault, request).await;
            way.faults.finish(operation);
            answer
        })
    }
}

impl Way {
    async fn answer(&self, fault: Fault, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let reset = || ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into());
        match fault {
            Fault::Pass => self.pass(request).await,
            Fault::Refusal(status, body) => Ok(response(status, &body)),
            Fault::Reset => Err(reset()),
            Fault::AnswerLost => {
                self.pass(request).await?;
                Err(reset())
            }
            Fault::Silence => std::future::pending().await,
            Fault::Undone { done } => self.leave_undone(request, done).await,
        }
    }

    /// While a blocking thread is at work, paused time stands still; while only the engine's own thread is, it would run
    /// to the next timeout.
    async fn pass(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let (engine, runtime) = (self.engine.clone(), tokio::runtime::Handle::current());
        let call = move || runtime.block_on(engine.call(request));
        tokio::task::spawn_blocking(call).await.expect("no panic")
    }

    async fn leave_undone(
        &self,
        mut request: HttpRequest,
        done: usize,
    ) -> Result<HttpResponse, ConnectorError> {
        let mut wanted: Value = body(request.body());
        let (table, of_table) = wanted["RequestItems"].as_object_mut().expect("items").iter_mut().next().expect("a table");
        let table = table.clone();
        let mut rest = of_table.clone();
        let is_read = of_table.get("Keys").is_some();
        let items = |value: &mut Value| {
            let list = if is_read { &mut value["Keys"] } else { value };
            std::mem::take(list.as_array_mut().expect("a list"))
        };
        let mut all = items(of_table);
        let left = all.split_off(done.min(all.len()));
        let put = |value: &mut Value, list: Vec<Value>| {
            if is_read { value["Keys"] = list.into() } else { *value = list.into() }
        };
        let is_empty = all.is_empty();
        put(of_table, all);
        let undone = if left.is_empty() { json!({}) } else {
            put(&mut rest, left);
            json!({ table: rest })
        };
        let name = if is_read { "UnprocessedKeys" } else { "UnprocessedItems" };
        let mut answer = if is_empty { json!({}) } else {
            *request.body_mut() = SdkBody::from(wanted.to_string());
            body(self.pass(request).await?.body())
        };
        answer[name] = undone;
        Ok(response(200, &answer))
    }
}

fn body(body: &SdkBody) -> Value {
    serde_json::from_slice(body.bytes().expect("bytes in memory")).expect("JSON")
}

fn response(status: u16, body: &Value) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("a status");
    HttpResponse::new(status, SdkBody::from(body.to_string()))
}
