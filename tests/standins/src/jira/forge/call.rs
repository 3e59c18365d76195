//! A call of a Forge app to its remote before it is sent. It starts out right; every method makes it say something else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::jira::keys::{Signature, compact_token};
use crate::jira::lifecycle::set;
use crate::jira::state::World;

/// How long an invocation token lives, in seconds.
pub(super) const TOKEN_LIFETIME: i64 = 25;

/// How long Forge waits for the answer to a trigger.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long it waits for the answer to a page's call.
pub(super) const PAGE_TIMEOUT: Duration = Duration::from_secs(25);

/// A call to a remote.
#[derive(Clone, Debug)]
pub struct RemoteCall {
    http: reqwest::Client,
    url: String,
    header: Value,
    claims: Value,
    body: Value,
    signature: Signature,
    system_token: Option<String>,
    authorized: bool,
    timeout: Duration,
}

/// What a remote answered.
#[derive(Clone, Debug)]
pub struct RemoteAnswer {
    /// The status.
    pub status: u16,
    /// The body, if it is JSON.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

impl RemoteCall {
    pub(super) fn new(
        world: &Arc<World>,
        url: String,
        claims: Value,
        body: Value,
        system_token: Option<String>,
    ) -> Self {
        let key = world.signing_key.clone();
        Self {
            http: world.http.clone(),
            url,
            header: json!({ "typ": "JWT", "alg": "RS256", "kid": key.kid() }),
            claims,
            body,
            signature: Signature::Rsa(key),
            system_token,
            authorized: true,
            timeout: TIMEOUT,
        }
    }

    /// Sets a field of the token's header; null removes it.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.header, name, value.into());
        self
    }

    /// Sets a claim; null removes it.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.claims, name, value.into());
        self
    }

    /// Sets a field of the claim `app`; null removes it.
    #[must_use]
    pub fn app_claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.claims["app"], name, value.into());
        self
    }

    /// Sets a field of the body; null removes it.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.body, name, value.into());
        self
    }

    /// Signs with something else. The header's `alg` and `kid` stay as they are.
    #[must_use]
    pub fn signed_with(mut self, signature: Signature) -> Self {
        self.signature = signature;
        self
    }

    /// Brings another system token, or none.
    #[must_use]
    pub fn with_system_token(mut self, token: Option<&str>) -> Self {
        self.system_token = token.map(str::to_owned);
        self
    }

    /// Leaves the Authorization header out.
    #[must_use]
    pub fn unauthorized(mut self) -> Self {
        self.authorized = false;
        self
    }

    /// Sets the whole body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = body;
        self
    }

    /// Waits longer for the answer.
    #[must_use]
    pub(super) fn waiting(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Goes to another path of the same remote.
    #[must_use]
    pub fn to_path(mut self, path: &str) -> Self {
        if let Ok(mut url) = url::Url::parse(&self.url) {
            url.set_path(path);
            self.url = url.into();
        }
        self
    }

    /// The system token that it brings.
    #[must_use]
    pub fn system_token(&self) -> Option<&str> {
        self.system_token.as_deref()
    }

    /// The invocation token.
    #[must_use]
    pub fn token(&self) -> String {
        compact_token(&self.header, &self.claims, &self.signature)
    }

    /// Sends it.
    ///
    /// # Errors
    /// When no answer arrives within the time that Forge waits: five seconds, and 25 for a page.
    pub async fn send(&self) -> anyhow::Result<RemoteAnswer> {
        let mut request = self.http.post(&self.url).timeout(self.timeout).json(&self.body);
        if self.authorized {
            request = request.bearer_auth(self.token());
        }
        if let Some(token) = &self.system_token {
            request = request.header("x-forge-oauth-system", token);
        }
        let response = request.send().await.with_context(|| format!("calling {}", self.url))?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        Ok(RemoteAnswer { status, body: serde_json::from_str(&text).unwrap_or_default(), text })
    }
}
