//! One delivery: the exact bytes that go to a hook's address. A test may hold it back, copy it, tamper with it
//! and send it at any time, any number of times.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Trigger, signature};
use crate::gitlab::shared::Shared;
use crate::gitlab::state::{Hook, HookLog, World};

/// GitLab.com's time-out
/// (<https://docs.gitlab.com/user/gitlab_com/#other-limits>).
const TIMEOUT: Duration = Duration::from_secs(10);
/// What the history shows in place of a secret.
const REDACTED: &str = "[REDACTED]";
/// The status of a delivery in the history when there was no answer.
const NO_ANSWER: &str = "internal error";
/// More of an answer is not kept.
const KEPT_ANSWER: usize = 8 * 1024;

/// A webhook request that is ready to go out.
#[derive(Clone)]
pub struct Delivery {
    shared: Arc<Shared>,
    hook: u64,
    trigger: Trigger,
    idempotency_key: String,
    event_uuid: String,
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("url", &self.url)
            .field("event", &self.trigger.header())
            .finish_non_exhaustive()
    }
}

/// A delivery that went out, as its hook's history has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SentDelivery {
    /// When it was answered, or timed out; RFC 3339.
    pub at: String,
    /// The value of `X-Gitlab-Event`: `Push Hook`.
    pub event: &'static str,
    /// The status it was answered with, or `internal error`.
    pub status: String,
}

/// What became of a delivery.
pub(crate) struct Sent {
    pub(crate) status: Option<StatusCode>,
    pub(crate) error: Option<anyhow::Error>,
}

impl Delivery {
    /// Builds the request to `hook` as this version of GitLab would.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        world: &World,
        hook: &Hook,
        trigger: Trigger,
        event_uuid: &str,
        idempotency_key: &str,
        body: &Value,
    ) -> Self {
        let body = Bytes::from(body.to_string());
        let mut delivery = Delivery {
            shared: Arc::clone(shared),
            hook: hook.id,
            trigger,
            idempotency_key: idempotency_key.to_owned(),
            event_uuid: event_uuid.to_owned(),
            url: hook.settings.url.clone(),
            headers: HeaderMap::new(),
            body,
        };
        delivery.set_headers(world, hook);
        delivery
    }

    fn set_headers(&mut self, world: &World, hook: &Hook) {
        let event = if hook.owner == crate::gitlab::state::HookOwner::Instance {
            "System Hook"
        } else {
            self.trigger.header()
        };
        for (name, value) in &hook.settings.custom_headers {
            self.set_header(name, value);
        }
        self.set_header("content-type", "application/json");
        self.set_header("user-agent", &format!("GitLab/{}", world.version.number()));
        self.set_header("x-gitlab-event", event);
        self.set_header("x-gitlab-event-uuid", &self.event_uuid.clone());
        self.set_header("x-gitlab-instance", &world.url);
        if world.version.sends_webhook_uuid() {
            self.set_header("x-gitlab-webhook-uuid", &hook.uuid);
        }
        if world.version.sends_idempotency_key() {
            self.set_header("idempotency-key", &self.idempotency_key.clone());
        }
        if let Some(token) = &hook.settings.token {
            self.set_header("x-gitlab-token", token);
        }
        if let Some(key) = hook.settings.signing_token.as_deref().and_then(signature::key) {
            let timestamp = world.clock.peek().unix_timestamp().to_string();
            let signed = signature::sign(&key, &self.idempotency_key, &timestamp, &self.body);
            self.set_header("webhook-id", &self.idempotency_key.clone());
            self.set_header("webhook-timestamp", &timestamp);
            self.set_header("webhook-signature", &signed);
        }
    }

    /// Where it goes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers as they go over the wire.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// One header, if it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as it goes over the wire.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, parsed. `null` if a test made it unreadable.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The same delivery with other bytes under the old signature.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same delivery as GitLab would have sent it with another body.
    ///
    /// # Panics
    /// If its hook is gone.
    #[must_use]
    pub fn saying(self, body: impl Into<Bytes>) -> Self {
        let shared = Arc::clone(&self.shared);
        let world = shared.world();
        let mut delivery = self.with_body(body);
        let hook = world.hooks.get(&delivery.hook).expect("the hook of a delivery that is about to be sent");
        delivery.set_headers(&world, hook);
        delivery
    }

    /// The same delivery with one header set.
    ///
    /// # Panics
    /// If the name or the value cannot stand in a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.set_header(name, value);
        self
    }

    /// The same delivery without one header.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// The same delivery to another address.
    #[must_use]
    pub fn to(mut self, url: &str) -> Self {
        url.clone_into(&mut self.url);
        self
    }

    fn set_header(&mut self, name: &str, value: &str) {
        let name: HeaderName = name.parse().expect("a header name GitLab or the test chose is valid");
        let value: HeaderValue = value.parse().expect("a header value GitLab or the test chose is valid");
        self.headers.insert(name, value);
    }

    /// Sends it, counts the outcome for the hook and writes it in the hook's history.
    ///
    /// # Errors
    /// If there is no answer within ten seconds. An answer of any status is `Ok`.
    pub async fn send(&self) -> anyhow::Result<StatusCode> {
        let sent = self.attempt().await;
        match (sent.status, sent.error) {
            (Some(status), _) => Ok(status),
            (None, Some(error)) => Err(error),
            (None, None) => anyhow::bail!("no answer from {}", self.url),
        }
    }

    pub(crate) async fn attempt(&self) -> Sent {
        let start = Instant::now();
        let answer = self.post().await;
        let seconds = start.elapsed().as_secs_f64();
        let (sent, headers, text) = match answer {
            Ok((status, headers, text)) => (Sent { status: Some(status), error: None }, headers, text),
            Err(error) => (Sent { status: None, error: Some(error) }, json!({}), String::new()),
        };
        self.record(&sent, headers, text, seconds);
        sent
    }

    async fn post(&self) -> anyhow::Result<(StatusCode, Value, String)> {
        let request = self.shared.http.post(&self.url).timeout(TIMEOUT).headers(self.headers.clone());
        let answer = request.body(self.body.clone()).send().await.context("no answer to the webhook")?;
        let status = answer.status();
        let headers = shown_headers(answer.headers());
        let mut text = answer.text().await.context("the answer to the webhook broke off")?;
        text.truncate(text.floor_char_boundary(KEPT_ANSWER));
        Ok((status, headers, text))
    }

    fn record(&self, sent: &Sent, response_headers: Value, response_body: String, seconds: f64) {
        let mut world = self.shared.world();
        let (id, at, auto_disable) = (world.fresh_id(), world.now(), world.auto_disable_hooks);
        let status = sent.status.map_or(NO_ANSWER.to_owned(), |status| status.as_u16().to_string());
        let succeeded = sent.status.is_some_and(|status| status.is_success() || status.is_redirection());
        let mut request_headers = shown_headers(&self.headers);
        if self.headers.contains_key("x-gitlab-token") {
            request_headers["x-gitlab-token"] = json!(REDACTED);
        }
        let entry = HookLog {
            id,
            trigger: self.trigger,
            request_headers,
            request_data: self.json(),
            response_headers,
            response_body,
            response_status: status,
            seconds,
            idempotency_key: self.idempotency_key.clone(),
            event_uuid: self.event_uuid.clone(),
            at,
            resent: Vec::new(),
        };
        if let Some(hook) = world.hooks.get_mut(&self.hook) {
            hook.record(entry, succeeded, auto_disable);
        }
    }
}

fn shown_headers(headers: &HeaderMap) -> Value {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), json!(String::from_utf8_lossy(value.as_bytes()))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Deliveries are kept here instead of going out. Dropping it lets later ones out again by themselves.
#[must_use = "deliveries are held only as long as this value lives"]
pub struct HeldDeliveries {
    pub(crate) shared: Arc<Shared>,
}

impl HeldDeliveries {
    /// Takes what was held back so far, oldest first.
    pub fn take(&self) -> Vec<Delivery> {
        self.shared.held().as_mut().map(std::mem::take).unwrap_or_default()
    }
}

impl Drop for HeldDeliveries {
    fn drop(&mut self) {
        *self.shared.held() = None;
    }
}
