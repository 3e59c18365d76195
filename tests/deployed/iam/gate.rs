//! A proxy between the functions and AWS: every call is passed on if the caller's role allows it, and answered as AWS
//! answers otherwise. The caller is known by the name that each function's clients send.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Call, Role};
use crate::front::forward;

/// The emulator's, when nobody asks for another.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

/// A gate; closed with the value.
pub struct Gate {
    inner: Arc<Inner>,
    /// Where functions find it.
    pub url: String,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Inner {
    http: reqwest::Client,
    /// The emulator, once it runs.
    aws: OnceLock<String>,
    /// The functions' roles, once they are deployed.
    roles: OnceLock<BTreeMap<String, Role>>,
    journal: Mutex<Journal>,
}

/// What was asked for.
#[derive(Default)]
struct Journal {
    /// Functions, each with what its role allows.
    used: BTreeSet<(String, String)>,
    /// Functions, each with how often it opened a data key.
    keys_opened: BTreeMap<String, usize>,
    denied: Vec<String>,
    /// A function, and the `X-Amz-Target` that is out of order for it.
    outage: Option<(&'static str, &'static str)>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    /// A gate that lets nobody through yet.
    pub async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner::default());
        let router = Router::new().fallback(pass).with_state(inner.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { inner, url, task }
    }

    /// Opens it: to the emulator at `aws`, for functions with these roles.
    pub fn open(&self, aws: &str, roles: BTreeMap<String, Role>) {
        assert!(self.inner.aws.set(aws.to_owned()).is_ok(), "the gate is open already");
        assert!(self.inner.roles.set(roles).is_ok(), "the gate is open already");
    }

    /// Answers 503 from now on when `function` calls `target`.
    pub fn break_down(&self, function: &'static str, target: &'static str) {
        self.inner.journal.lock().unwrap().outage = Some((function, target));
    }

    /// Ends the outage.
    pub fn repair(&self) {
        self.inner.journal.lock().unwrap().outage = None;
    }

    /// How often functions opened a data key since the last time that somebody asked.
    pub fn take_keys_opened(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.inner.journal.lock().unwrap().keys_opened)
    }

    /// What was denied since the last time that somebody asked.
    pub fn take_denied(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.journal.lock().unwrap().denied)
    }

    /// What roles allow and nobody made use of: functions, each with a grant.
    pub fn unused(&self) -> Vec<(String, String)> {
        let journal = self.inner.journal.lock().unwrap();
        let roles = self.inner.roles.get().into_iter().flatten();
        let granted = roles.flat_map(|(function, role)| role.grants().map(|grant| (function.clone(), grant)));
        granted.filter(|grant| !journal.used.contains(grant)).collect()
    }
}

/// A request to AWS.
struct Request<'a> {
    function: &'a str,
    target: &'a str,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    fn of(headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = header("user-agent").split(' ').find_map(|part| part.strip_prefix("app/"));
        Self { function: name.unwrap_or_default(), target: header("x-amz-target"), body }
    }
}

impl Inner {
    /// Whether the request may pass; otherwise a sentence in AWS's words.
    fn judge(&self, request: &Request<'_>) -> Result<(), String> {
        let function = request.function;
        let role = self.roles.get().and_then(|roles| roles.get(function));
        let role = role.ok_or_else(|| format!("nobody knows the role of {function:?}"))?;
        let body: Value = serde_json::from_slice(request.body).map_err(|error| error.to_string())?;
        for call in Call::all_of(request.target, &body, ACCOUNT, REGION)? {
            let grants = role.allows(&call).ok_or_else(|| {
                format!(
                    "{function} is not authorized to perform: {} on resource: {} with the encryption context {:?} and \
                     the leading keys {:?}, because no identity-based policy allows it",
                    call.action, call.resource, call.context, call.leading_keys
                )
            })?;
            let mut journal = self.journal.lock().unwrap();
            journal.used.extend(grants.into_iter().map(|grant| (function.to_owned(), grant)));
            if call.action == "kms:Decrypt" {
                *journal.keys_opened.entry(function.to_owned()).or_default() += 1;
            }
        }
        Ok(())
    }
}

async fn pass(State(gate): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let request = Request::of(&headers, &body);
    if let Err(sentence) = gate.judge(&request) {
        gate.journal.lock().unwrap().denied.push(sentence.clone());
        let denial = json!({ "__type": "AccessDeniedException", "message": sentence });
        return (StatusCode::BAD_REQUEST, Json(denial)).into_response();
    }
    let outage = gate.journal.lock().unwrap().outage;
    if outage == Some((request.function, request.target)) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match forward(&gate.http, aws(&gate), headers, body).await {
        Ok(answer) => answer.into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

fn aws(gate: &Inner) -> &str {
    gate.aws.get().map(String::as_str).unwrap_or_default()
}
