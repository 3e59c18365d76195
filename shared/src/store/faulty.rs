//! A store for tests: over an engine in memory, with the faults that DynamoDB and the network have and the engine does not
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>).

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
use crate::clock::stopped::StoppedClock;

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
    /// There is never an answer.
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

    /// The faults that the SDK retries by itself, whatever the call is, and how often in a row: of two silent attempts the
    /// time-outs alone leave hardly any time for a third.
    pub(super) fn transient() -> [(Self, usize); 6] {
        [
            (Self::throughput_exceeded(), 2),
            (Self::throttled(), 2),
            (Self::internal(), 2),
            (Self::Reset, 2),
            (Self::AnswerLost, 2),
            (Self::Silence, 1),
        ]
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

/// The faults of calls to the engine. Clones share them.
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
    /// A new store with its table, its faults, and its clock.
    pub(super) async fn store() -> (Store, Self, Arc<StoppedClock>) {
        let engine = EmbeddedEngine::memory().expect("an engine").client();
        let http = engine.config().http_client().expect("a connector to the engine");
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
        let clock = StoppedClock::new();
        let store = Store::new(Client::from_conf(config), "table", clock.clone());
        store.create_table().await.expect("a table");
        (store, faults, clock)
    }

    /// The next calls of `operation` have these faults, and later ones succeed.
    pub(super) fn next(&self, operation: &str, faults: impl IntoIterator<Item = Fault>) {
        self.plan(operation, faults, None);
    }

    /// The next calls of `operation` have these faults, and all later ones have the fault `then`.
    pub(super) fn plan(
        &self,
        operation: &str,
        faults: impl IntoIterator<Item = Fault>,
        then: impl Into<Option<Fault>>,
    ) {
        let next = faults.into_iter().collect();
        self.lock()
            .insert(operation.to_owned(), Operation { next, then: then.into(), ..Operation::default() });
    }

    /// Ends all faults.
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

    fn begin(&self, operation: &str) -> (Fault, Begun) {
        let mut operations = self.lock();
        let seen = operations.entry(operation.to_owned()).or_default();
        seen.calls += 1;
        seen.at_once += 1;
        seen.most_at_once = seen.most_at_once.max(seen.at_once);
        let fault = seen.next.pop_front().or_else(|| seen.then.clone()).unwrap_or(Fault::Pass);
        (fault, Begun { faults: self.clone(), operation: operation.to_owned() })
    }
}

/// A call that is under way, until it is answered or dropped.
struct Begun {
    faults: Faults,
    operation: String,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(seen) = self.faults.lock().get_mut(&self.operation) {
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
        SharedHttpConnector::new(FaultyConnector { faults: self.clone(), engine })
    }
}

#[derive(Clone, Debug)]
struct FaultyConnector {
    faults: Faults,
    engine: SharedHttpConnector,
}

impl HttpConnector for FaultyConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").expect("a target").to_owned();
        let connector = self.clone();
        HttpConnectorFuture::new(async move {
            let operation = target.rsplit('.').next().expect("its last part");
            let (fault, _begun) = connector.faults.begin(operation);
            connector.answer(fault, request).await
        })
    }
}

impl FaultyConnector {
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
        let mut wanted = body(request.body());
        let mut undone = wanted.clone();
        let items = items_of(&mut wanted);
        let left = items.split_off(done.min(items.len()));
        let (is_nothing_done, is_all_done) = (items.is_empty(), left.is_empty());
        *items_of(&mut undone) = left;
        let mut answer = json!({});
        if !is_nothing_done {
            *request.body_mut() = SdkBody::from(wanted.to_string());
            answer = body(self.pass(request).await?.body());
        }
        let undone = if is_all_done { json!({}) } else { undone["RequestItems"].take() };
        // An answer is to a read or to a write, and each looks for its own.
        answer["UnprocessedKeys"] = undone.clone();
        answer["UnprocessedItems"] = undone;
        Ok(response(200, &answer))
    }
}

/// What a batch asks for; all batches are of one table.
fn items_of(batch: &mut Value) -> &mut Vec<Value> {
    let tables = batch["RequestItems"].as_object_mut().expect("a batch");
    let items = tables.values_mut().next().expect("a table");
    let items = if items.is_array() { items } else { &mut items["Keys"] };
    items.as_array_mut().expect("a list")
}

fn body(body: &SdkBody) -> Value {
    serde_json::from_slice(body.bytes().expect("bytes in memory")).expect("JSON")
}

fn response(status: u16, body: &Value) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("a status");
    HttpResponse::new(status, SdkBody::from(body.to_string()))
}
