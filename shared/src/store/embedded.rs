//! The DynamoDB API over a file of this process: an SDK client whose requests never reach a network. What is stored
//! under which key belongs to the store's other modules; for them this engine is DynamoDB.
//!
//! Every request that the SDK has serialized is handed to the engine by its `X-Amz-Target`
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>), and the engine's
//! answer goes back as the service's JSON 1.0 would.
//!
//! # Durability
//!
//! The engine holds one SQLite connection, in WAL mode with `synchronous` at SQLite's default, FULL: every write is
//! fsynced before it is acknowledged (<https://www.sqlite.org/pragma.html#pragma_synchronous>). What was acknowledged
//! survives `kill -9` and a loss of power, as far as the disk keeps what it confirms. The engine does not lock the file
//! against other processes; that is for whoever owns the data directory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Region, StalledStreamProtectionConfig};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

/// What precedes the operation's name in `X-Amz-Target`.
const TARGET_PREFIX: &str = "DynamoDB_20120810.";

/// DynamoDB's answer to an operation that it doesn't know; the real service sends no message either.
const UNKNOWN_OPERATION: &str = r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#;

/// The engine could not be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine names its file by text.
    #[error("the path {} is not UTF-8", .0.display())]
    Path(PathBuf),
    /// The file can't be opened: no such folder, no permission, not a database, or written by a newer engine.
    #[error("the store {} can't be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the engine says.
        #[source]
        source: DynoxideError,
    },
    /// The operating system starts no thread.
    #[error("the store's thread can't be started")]
    Thread(#[source] std::io::Error),
    /// The engine failed while it swept.
    #[error("expired items can't be swept")]
    Sweep(#[source] DynoxideError),
}

/// A DynamoDB engine in this process. Clones share it; the file is closed when the last clone and the last client are
/// gone.
#[derive(Clone)]
pub struct EmbeddedEngine {
    database: Database,
    worker: Arc<Worker>,
}

impl EmbeddedEngine {
    /// Opens the file at `path`, or makes it.
    ///
    /// # Errors
    /// The path is not UTF-8, or the file can't be opened.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let name = path.to_str().ok_or_else(|| EngineError::Path(path.to_owned()))?;
        let database = Database::new(name);
        Self::start(database.map_err(|source| EngineError::Open { path: path.to_owned(), source })?)
    }

    /// An engine that forgets everything, for tests.
    ///
    /// # Errors
    /// SQLite is out of memory.
    pub fn memory() -> Result<Self, EngineError> {
        let database = Database::memory();
        Self::start(database.map_err(|source| EngineError::Open { path: PathBuf::from(":memory:"), source })?)
    }

    fn start(database: Database) -> Result<Self, EngineError> {
        let worker = Worker::start(database.clone()).map_err(EngineError::Thread)?;
        Ok(Self { database, worker: Arc::new(worker) })
    }

    /// An SDK client of this engine.
    #[must_use]
    pub fn client(&self) -> aws_sdk_dynamodb::Client {
        // Nothing leaves the process, so nothing is signed; region and URL only satisfy the SDK's endpoint rules. A
        // file that fails does not recover within the SDK's retries, so there are none.
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("local"))
            .endpoint_url("http://embedded.invalid")
            .allow_no_auth()
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .http_client(Connector(Arc::clone(&self.worker)))
            .build();
        aws_sdk_dynamodb::Client::from_conf(config)
    }

    /// Deletes expired items from every table with a time to live, by the machine's clock, and answers how many.
    /// DynamoDB does this by itself within days; the local process calls it now and then. Blocks its thread, but lets
    /// waiting requests in between pages.
    ///
    /// # Errors
    /// The file fails.
    pub fn sweep_ttl(&self) -> Result<usize, EngineError> {
        self.database.sweep_ttl().map_err(EngineError::Sweep)
    }
}

impl fmt::Debug for EmbeddedEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedEngine").finish_non_exhaustive()
    }
}

/// A request and the channel for its answer.
type Job = (HttpRequest, oneshot::Sender<HttpResponse>);

/// The thread that the engine runs on. The engine handles one request at a time, and a write takes as long as the disk's
/// fsync. In the calling task it would block that runtime (timers were seconds late with 16 tasks writing). A pool of
/// blocking threads would queue for the engine's lock: 16 tasks read half as much as through one thread and a channel.
struct Worker {
    /// None only while the worker is being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(database: Database) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let work = move || {
            for (request, answer) in inbox {
                // The caller may be gone; its request is executed all the same, as by a service.
                let _ = answer.send(respond(&database, &request));
            }
        };
        let thread = thread::Builder::new().name("store".to_owned()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Hands the request to the thread; none when the engine has panicked.
    fn submit(&self, request: HttpRequest) -> Option<oneshot::Receiver<HttpResponse>> {
        let (answer, answered) = oneshot::channel();
        self.jobs.as_ref()?.send((request, answer)).ok()?;
        Some(answered)
    }
}

impl Drop for Worker {
    /// Waits until pending requests are done and the file is closed, so that it can be opened again at once.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by its own hook and failed its callers.
            let _ = thread.join();
        }
    }
}

/// The SDK's way to the engine, in place of an HTTP connection.
#[derive(Clone)]
struct Connector(Arc<Worker>);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answered = self.0.submit(request);
        HttpConnectorFuture::new(async move {
            let answer = match answered {
                Some(answered) => answered.await.ok(),
                None => None,
            };
            answer.ok_or_else(|| ConnectorError::other("the embedded engine has stopped".into(), None))
        })
    }
}

/// Answers as the service would over HTTP.
fn respond(database: &Database, request: &HttpRequest) -> HttpResponse {
    let target = request.headers().get("x-amz-target").and_then(|target| target.strip_prefix(TARGET_PREFIX));
    let body = request.body().bytes().unwrap_or_default();
    let (status, body) = match target.and_then(|operation| dispatch(database, operation, body)) {
        Some(Ok(body)) => (200, body),
        Some(Err(error)) => (error.status_code(), error.to_json().into_bytes()),
        None => (400, UNKNOWN_OPERATION.as_bytes().to_vec()),
    };
    let status = StatusCode::try_from(status).expect("the engine answers with HTTP's status codes");
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}

/// The engine's answer; `None` for an operation that the store does not use.
fn dispatch(database: &Database, operation: &str, body: &[u8]) -> Option<Result<Vec<u8>, DynoxideError>> {
    Some(match operation {
        "GetItem" => run(body, |request| database.get_item(request)),
        "PutItem" => run(body, |request| database.put_item(request)),
        "UpdateItem" => run(body, |request| database.update_item(request)),
        "DeleteItem" => run(body, |request| database.delete_item(request)),
        "Query" => run(body, |request| database.query(request)),
        "Scan" => run(body, |request| database.scan(request)),
        "BatchGetItem" => run(body, |request| database.batch_get_item(request)),
        "BatchWriteItem" => run(body, |request| database.batch_write_item(request)),
        "TransactGetItems" => run(body, |request| database.transact_get_items(request)),
        "TransactWriteItems" => run(body, |request| database.transact_write_items(request)),
        "CreateTable" => run(body, |request| database.create_table(request)),
        "DescribeTable" => run(body, |request| database.describe_table(request)),
        "UpdateTimeToLive" => run(body, |request| database.update_time_to_live(request)),
        "DescribeTimeToLive" => run(body, |request| database.describe_time_to_live(request)),
        _ => return None,
    })
}

fn run<Request: DeserializeOwned, Answer: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Request) -> Result<Answer, DynoxideError>,
) -> Result<Vec<u8>, DynoxideError> {
    let request = serde_json::from_slice(body).map_err(|error| refusal(&error.to_string()))?;
    let answer = operation(request)?;
    serde_json::to_vec(&answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// The SDK's JSON is well formed, so what can't be read is a value that DynamoDB refuses, such as an empty set. The
/// engine's readers put the kind of refusal, in capitals, before their text; serde puts the position behind it.
fn refusal(text: &str) -> DynoxideError {
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    let marked =
        text.split_once(':').filter(|(kind, _)| kind.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
    match marked {
        Some((kind, text)) if kind.starts_with("SERIALIZATION") => {
            DynoxideError::SerializationException(text.to_owned())
        }
        Some((_, text)) => DynoxideError::ValidationException(text.to_owned()),
        None => DynoxideError::ValidationException(text.to_owned()),
    }
}
