//! The environment of a function: Lambda's runtime API (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>)
//! with one event, AWS with nothing in it, and Atlassian's keys. All on the loopback interface and without TLS, and quick,
//! so that what is measured is the function.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use standins::jira::{JiraStandin, RsaKey};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::subject::Subject;

/// How long a function may take to answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The host.
pub struct Host {
    address: String,
    jira: JiraStandin,
    stage: Arc<Stage>,
    said: tokio::sync::Mutex<Receiver<Said>>,
}

/// What the servers share.
struct Stage {
    /// The next event, until somebody takes it.
    event: Mutex<Option<Value>>,
    said: Sender<Said>,
}

/// What a function reported, and when.
enum Said {
    Polled(Instant),
    Answered(Instant, Value),
}

/// How one start went.
pub struct Run {
    /// From the process's start to its asking for an event.
    pub first_poll: Duration,
    /// From then to its answer.
    pub first_answer: Duration,
    /// Its peak memory, in KiB.
    pub peak_kib: u64,
}

impl Host {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, said) = channel(8);
        let stage = Arc::new(Stage { event: Mutex::default(), said: sender });
        let invocation = "/2018-06-01/runtime/invocation";
        let router = Router::new()
            .route(&format!("{invocation}/next"), get(next))
            .route(&format!("{invocation}/{{id}}/response"), post(answered))
            .route(&format!("{invocation}/{{id}}/error"), post(failed))
            .route("/2018-06-01/runtime/init/error", post(failed_to_start))
            .route("/", post(aws))
            .with_state(stage.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let jira = JiraStandin::start().await.unwrap();
        Self { address, jira, stage, said: said.into() }
    }

    /// Atlassian's key.
    pub fn key(&self) -> Arc<RsaKey> {
        self.jira.signing_key()
    }

    /// The variables of a function; each reads of them what it needs.
    fn variables(&self) -> Vec<(&str, String)> {
        let here = format!("http://{}", self.address);
        let queue = format!("{here}/123456789012/events");
        vec![
            ("ALLOWED_PRIVATE_HOSTS", "http://127.0.0.1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "testing".to_owned()),
            ("AWS_ENDPOINT_URL", here),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_FUNCTION_NAME", "function".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "log".to_owned()),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "log".to_owned()),
            ("AWS_LAMBDA_RUNTIME_API", self.address.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "testing".to_owned()),
            ("BACKFILL_DEAD_LETTER_QUEUE_URL", queue.clone()),
            ("BACKFILL_QUEUE_URL", queue.clone()),
            ("BASE_URL", super::subject::BASE_URL.to_owned()),
            ("EVENTS_DEAD_LETTER_QUEUE_URL", queue.clone()),
            ("EVENTS_QUEUE_URL", queue),
            ("INSTALL_KEYS_URL", self.jira.install_keys_url()),
            ("KMS_KEY_ID", "alias/secrets".to_owned()),
            ("OAUTH_APPLICATION_ID", "1f2e3d4c5b6a".to_owned()),
            ("RUST_LOG", "info".to_owned()),
            ("TABLE_NAME", "table".to_owned()),
            ("WEBHOOK_URL", "https://webhook.example.com".to_owned()),
        ]
    }

    /// Starts a function, hands it its event, and ends it after the answer.
    pub async fn run(&self, subject: &Subject) -> Run {
        *self.stage.event.lock().unwrap() = Some(subject.event.clone());
        let mut command = Command::new(&subject.program);
        command.args(&subject.arguments).env_clear().envs(self.variables());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let started = Instant::now();
        let mut process = command.spawn().unwrap();
        let Said::Polled(polled) = self.hear(subject, &mut process).await else {
            panic!("{} answered without having asked", subject.name)
        };
        let Said::Answered(answered, answer) = self.hear(subject, &mut process).await else {
            panic!("{} asked again without having answered", subject.name)
        };
        assert_eq!(answer.get("statusCode"), subject.status.as_ref(), "{} answered {answer}", subject.name);
        // It asks for a second event; by then its first is over.
        self.hear(subject, &mut process).await;
        let peak_kib = peak_kib(&process);
        process.kill().await.unwrap();
        Run { first_poll: polled - started, first_answer: answered - polled, peak_kib }
    }

    async fn hear(&self, subject: &Subject, process: &mut Child) -> Said {
        let mut said = self.said.lock().await;
        tokio::select! {
            said = said.recv() => said.unwrap(),
            ended = process.wait() => panic!("{} ended: {ended:?}", subject.name),
            () = tokio::time::sleep(TIMEOUT) => panic!("{} is silent", subject.name),
        }
    }
}

/// The peak of a running process's memory, as Linux counts it.
fn peak_kib(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id().unwrap())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn next(State(stage): State<Arc<Stage>>) -> Response {
    let now = Instant::now();
    let event = stage.event.lock().unwrap().take();
    stage.said.send(Said::Polled(now)).await.unwrap();
    let Some(event) = event else { return std::future::pending().await };
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + TIMEOUT;
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:123456789012:function:function".to_owned(),
        ),
        ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".to_owned()),
    ];
    (headers, Json(event)).into_response()
}

async fn answered(State(stage): State<Arc<Stage>>, Path(_): Path<String>, answer: String) -> StatusCode {
    let now = Instant::now();
    let answer = serde_json::from_str(&answer).unwrap_or_default();
    stage.said.send(Said::Answered(now, answer)).await.unwrap();
    StatusCode::ACCEPTED
}

async fn failed(State(stage): State<Arc<Stage>>, Path(_): Path<String>, error: String) -> StatusCode {
    failed_to_start(State(stage), error).await
}

async fn failed_to_start(State(stage): State<Arc<Stage>>, error: String) -> StatusCode {
    stage.said.send(Said::Answered(Instant::now(), json!({"error": error}))).await.unwrap();
    StatusCode::ACCEPTED
}

/// DynamoDB, SQS and KMS: nothing is found, everything is taken.
async fn aws(headers: HeaderMap) -> Json<Value> {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    Json(match target.rsplit('.').next().unwrap_or_default() {
        "BatchGetItem" => json!({"Responses": {}, "UnprocessedKeys": {}}),
        "BatchWriteItem" => json!({"UnprocessedItems": {}}),
        "Query" => json!({"Items": [], "Count": 0, "ScannedCount": 0}),
        "GetItem" | "PutItem" | "TransactWriteItems" => json!({}),
        // 32 bytes, and what a ciphertext of them might be.
        "GenerateDataKey" => json!({
            "KeyId": "alias/secrets",
            "Plaintext": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "CiphertextBlob": "Y2lwaGVydGV4dA==",
        }),
        "SendMessage" => json!({"MessageId": "059f36b4-87a3-44ab-83d2-661975830a7d"}),
        other => panic!("{other} is called, and no answer to it is known here"),
    })
}
