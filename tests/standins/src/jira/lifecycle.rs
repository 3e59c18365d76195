//! Lifecycle callbacks: what a site sends when an app is installed or removed, and ways to send something wrong.
//!
//! Follows <https://developer.atlassian.com/cloud/jira/platform/security-for-connect-apps/> (signed install).

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use shared::jwt::qsh::query_string_hash;
use time::OffsetDateTime;
use url::Url;

use super::api::{Connection, Provider};
use super::descriptor;
use super::keys::{Signature, compact_token};
use super::random;
use super::site::SiteHandle;
use super::state::Installation;

/// How long a callback's token is valid, in seconds. Atlassian's are valid for about as long.
const TOKEN_LIFETIME: i64 = 900;

/// A lifecycle callback before it is sent. It starts out right; every method makes it say something else.
#[derive(Clone, Debug)]
pub struct LifecycleCall {
    http: reqwest::Client,
    url: String,
    header: Value,
    claims: Value,
    body: Value,
    signature: Signature,
    authorized: bool,
}

impl LifecycleCall {
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

    /// Leaves the Authorization header out.
    #[must_use]
    pub fn unauthorized(mut self) -> Self {
        self.authorized = false;
        self
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> String {
        compact_token(&self.header, &self.claims, &self.signature)
    }

    /// The JSON body.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// Where it goes.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends it and returns the app's status.
    ///
    /// # Errors
    /// When no answer arrives.
    pub async fn send(&self) -> anyhow::Result<u16> {
        let mut request = self.http.post(&self.url).json(&self.body);
        if self.authorized {
            request = request.header("authorization", format!("JWT {}", self.token()));
        }
        let response = request.send().await.with_context(|| format!("calling {}", self.url))?;
        Ok(response.status().as_u16())
    }
}

/// Sets a field of a token or a body; null removes it.
pub(super) fn set(object: &mut Value, name: &str, value: Value) {
    match object.as_object_mut() {
        Some(object) if value.is_null() => drop(object.remove(name)),
        _ => object[name] = value,
    }
}

impl SiteHandle {
    /// Installs the app behind this Connect base URL: reads `<app_base_url>/app_descriptor.json`, then sends `installed`.
    /// An app that is installed already is updated from its descriptor and gets a new secret.
    ///
    /// # Errors
    /// When the descriptor can't be read or is refused, or the app answers neither 200 nor 204. The site is then as
    /// it was before.
    pub async fn install(&self, app_base_url: &str) -> anyhow::Result<()> {
        let url = format!("{}/app_descriptor.json", app_base_url.trim_end_matches('/'));
        let response = self.world.http.get(&url).send().await.with_context(|| format!("reading {url}"))?;
        ensure!(response.status().is_success(), "{url} answered {}", response.status());
        let descriptor = response.json().await.with_context(|| format!("reading {url}"))?;
        let mut installation =
            descriptor::installation(descriptor).with_context(|| format!("refusing {url}"))?;
        // Tests may reach an app elsewhere than where it says to be; callbacks go where the descriptor came from.
        installation.reached_at = app_base_url.trim_end_matches('/').to_owned();
        self.deliver_installed(installation).await
    }

    /// Sends `installed` once more with everything unchanged, as Jira does after upgrades and renames.
    ///
    /// # Errors
    /// As [`SiteHandle::install`], and when no app is installed.
    pub async fn redeliver_installed(&self) -> anyhow::Result<()> {
        let installation = self.site.state().current_app()?.clone();
        self.deliver_installed(installation).await
    }

    /// Rotates the shared secret and sends `installed` to the app.
    ///
    /// # Errors
    /// As [`SiteHandle::redeliver_installed`].
    pub async fn reinstall_with_new_secret(&self) -> anyhow::Result<()> {
        let mut installation = self.site.state().current_app()?.clone();
        installation.shared_secret = random::secret();
        self.deliver_installed(installation).await
    }

    /// Becomes a new tenant at the same base URL, as a restored backup does: new client key, new secret, no provider
    /// data. The app gets `installed`.
    ///
    /// # Errors
    /// As [`SiteHandle::redeliver_installed`]; the tenant is a new one all the same.
    pub async fn import_into_new_tenant(&self) -> anyhow::Result<()> {
        {
            let mut state = self.site.state();
            state.client_key = random::uuid();
            state.stores.clear();
        }
        self.reinstall_with_new_secret().await
    }

    /// Removes the app with all its data and sends `uninstalled`, whatever the app answers. Returns that status.
    ///
    /// # Errors
    /// When no app is installed, or no answer arrives; the app is removed in the latter case too.
    pub async fn uninstall(&self) -> anyhow::Result<u16> {
        let call = self.lifecycle_call("uninstalled")?;
        {
            let mut state = self.site.state();
            if let Some(key) = state.current_app.take() {
                state.apps.remove(&key);
                state.stores.remove(&Provider { connection: Connection::Connect, id: key });
            }
        }
        call.send().await
    }

    /// The callback that Jira would send now about the app installed last. `event` is `installed` or `uninstalled`.
    ///
    /// # Errors
    /// When no app is installed.
    pub fn lifecycle_call(&self, event: &str) -> anyhow::Result<LifecycleCall> {
        let installation = self.site.state().current_app()?.clone();
        self.call_about(&installation, event)
    }

    async fn deliver_installed(&self, installation: Installation) -> anyhow::Result<()> {
        let call = self.call_about(&installation, "installed")?;
        let key = installation.key.clone();
        // The app may use its new credentials before it has answered.
        let (before, current) = {
            let mut state = self.site.state();
            let before = state.apps.insert(key.clone(), installation);
            (before, state.current_app.replace(key.clone()))
        };
        let answer = call.send().await;
        if matches!(answer, Ok(200 | 204)) {
            return Ok(());
        }
        {
            let mut state = self.site.state();
            state.current_app = current;
            match before {
                Some(before) => drop(state.apps.insert(key, before)),
                None => drop(state.apps.remove(&key)),
            }
        }
        bail!("the app did not accept the installation: it answered {}", answer?)
    }

    fn call_about(&self, installation: &Installation, event: &str) -> anyhow::Result<LifecycleCall> {
        let path = installation.descriptor["lifecycle"][event].as_str();
        let path = path.with_context(|| format!("the descriptor has no lifecycle.{event}"))?;
        let state = self.site.state();
        let mut url = Url::parse(&format!("{}{path}", installation.reached_at))?;
        let mut claims = json!({ "iss": state.client_key, "aud": [installation.base_url] });
        if let Some(admin) = &state.acting_user {
            url.query_pairs_mut().append_pair("user_key", admin);
            claims["sub"] = json!(admin);
        }
        let now = OffsetDateTime::now_utc().unix_timestamp();
        claims["iat"] = json!(now);
        claims["exp"] = json!(now + TOKEN_LIFETIME);
        claims["qsh"] = json!(query_string_hash("POST", path, url.query()));
        let mut body = json!({
            "key": installation.key,
            "clientKey": state.client_key,
            "baseUrl": state.base_url,
            "displayUrl": state.display_url(),
            "displayUrlServicedeskHelpCenter": state.display_url(),
            "productType": "jira",
            "description": "Atlassian Jira at a stand-in",
            "eventType": event,
        });
        if event == "installed" {
            body["sharedSecret"] = json!(installation.shared_secret);
        }
        let key = self.world.signing_key.clone();
        Ok(LifecycleCall {
            http: self.world.http.clone(),
            url: url.into(),
            header: json!({ "typ": "JWT", "alg": "RS256", "kid": key.kid() }),
            claims,
            body,
            signature: Signature::Rsa(key),
            authorized: true,
        })
    }
}
