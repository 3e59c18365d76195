//! The keys that lifecycle tokens are signed by: where they are fetched from and how long they are remembered.
//! Follows "Security for Connect apps"
//! (<https://developer.atlassian.com/cloud/jira/platform/security-for-connect-apps/>). Keys that this bundle itself
//! publishes are not kept here.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use reqwest::{Client, StatusCode};
use url::Url;

use super::key_id::KeyId;
use super::public_key::PublicKey;
use crate::clock::{SharedClock, Timestamp};
use crate::outbound::{BodyError, read_body};
use crate::telemetry::with_causes;

/// Atlassian's key servers, in the order they are asked: the documented one, and the one that its newer framework asks.
pub const ATLASSIAN_KEY_SERVERS: [&str; 2] =
    ["https://connect-install-keys.atlassian.com", "https://asap-distribution.us-west-2.prod.atl-asap.net"];

/// How long a proxy publishes a key.
const PROXY_KEY_LIFETIME: Duration = Duration::from_secs(300);

/// Below a proxy's URL, the path of the keys it publishes.
const PROXY_KEYS_PATH: &str = "/-/jira_connect/public_keys";

/// For all key servers together; Jira gives up on a lifecycle call not much later.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// An RSA-8192 key in PEM is 1.5 KB.
const MAX_KEY_BYTES: usize = 8192;

/// Atlassian signs by a handful of keys at a time; a proxy makes one per event.
const MAX_KEYS: u64 = 100;

/// More than keys, because these are what strangers can make us remember.
const MAX_UNKNOWN: u64 = 1000;

/// How long an unknown key id is not asked for again.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Every key server answered, and none has the key.
    #[error("no key server knows the key")]
    Unknown,
    /// A key server that may have the key could not be asked. Holds the cause.
    #[error("the key server is unavailable: {0}")]
    Unavailable(String),
}

/// Where keys come from, which also decides whether tokens signed by them must name an expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySource {
    servers: Vec<String>,
    expiry_required: bool,
}

impl KeySource {
    /// Atlassian's key servers, or stand-ins for them, asked in this order. Its tokens always name an expiry.
    #[must_use]
    pub fn atlassian<'a>(servers: impl IntoIterator<Item = &'a Url>) -> Self {
        Self { servers: servers.into_iter().map(base).collect(), expiry_required: true }
    }

    /// The proxy at `url`, which publishes the keys of the events it forwards. GitLab's proxy names no expiry.
    #[must_use]
    pub fn proxy(url: &Url) -> Self {
        Self { servers: vec![base(url) + PROXY_KEYS_PATH], expiry_required: false }
    }

    /// As configured: the proxy if there is one, else `servers`. A blank proxy URL means none.
    ///
    /// # Errors
    ///
    /// If the proxy's URL is none.
    pub fn configured<'a>(
        proxy_url: Option<&str>,
        servers: impl IntoIterator<Item = &'a Url>,
    ) -> Result<Self, url::ParseError> {
        match proxy_url.map(str::trim).filter(|url| !url.is_empty()) {
            Some(url) => Ok(Self::proxy(&Url::parse(url)?)),
            None => Ok(Self::atlassian(servers)),
        }
    }

    /// Whether tokens signed by these keys must name an expiry.
    #[must_use]
    pub fn expiry_required(&self) -> bool {
        self.expiry_required
    }

    fn urls(&self, kid: &KeyId) -> impl Iterator<Item = String> {
        self.servers.iter().map(move |server| format!("{server}/{kid}"))
    }

    fn timeout_of_each(&self) -> Duration {
        FETCH_TIMEOUT / u32::try_from(self.servers.len()).unwrap_or(u32::MAX).max(1)
    }
}

fn base(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Fetches public keys and remembers them: a key for as long as there is room, because a rotated key always gets a new
/// id; an unknown id for a minute; an outage not at all. Calls for the same key at the same time become one fetch.
#[derive(Clone, Debug)]
pub struct KeyStore {
    client: Client,
    source: KeySource,
    clock: SharedClock,
    keys: Cache<KeyId, Arc<PublicKey>>,
    unknown: Cache<KeyId, Timestamp>,
}

impl KeyStore {
    /// A store that asks the servers of `source` through `client`.
    #[must_use]
    pub fn new(client: Client, source: KeySource, clock: SharedClock) -> Self {
        let keys = Cache::builder().max_capacity(MAX_KEYS);
        // A proxy's token has no end of its own: it ends with its key, before it would be forgotten that it was used.
        let keys = if source.expiry_required() { keys } else { keys.time_to_live(PROXY_KEY_LIFETIME) };
        Self { client, source, clock, keys: keys.build(), unknown: Cache::new(MAX_UNKNOWN) }
    }

    /// Where this store's keys come from.
    #[must_use]
    pub fn source(&self) -> &KeySource {
        &self.source
    }

    /// The key called `kid`.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub async fn key(&self, kid: &KeyId) -> Result<Arc<PublicKey>, KeyError> {
        self.keys
            .try_get_with_by_ref(kid, self.fetch(kid))
            .await
            .map_err(|error: Arc<KeyError>| (*error).clone())
    }

    async fn fetch(&self, kid: &KeyId) -> Result<Arc<PublicKey>, KeyError> {
        if let Some(seen) = self.unknown.get(kid).await
            && self.clock.now().since(seen) < UNKNOWN_FOR
        {
            return Err(KeyError::Unknown);
        }
        let fetched = self.ask_servers(kid).await;
        if matches!(fetched, Err(KeyError::Unknown)) {
            self.unknown.insert(kid.clone(), self.clock.now()).await;
        }
        fetched
    }

    /// The first key found. An outage on the way counts only if no later server has the key.
    async fn ask_servers(&self, kid: &KeyId) -> Result<Arc<PublicKey>, KeyError> {
        let mut outcome = KeyError::Unknown;
        for url in self.source.urls(kid) {
            match self.ask(&url).await {
                Ok(key) => return Ok(Arc::new(key)),
                Err(KeyError::Unknown) => {}
                Err(unavailable) => outcome = unavailable,
            }
        }
        Err(outcome)
    }

    async fn ask(&self, url: &str) -> Result<PublicKey, KeyError> {
        let request = self.client.get(url).timeout(self.source.timeout_of_each());
        // Without the URL, whose last part a stranger chose.
        let unavailable = |error: reqwest::Error| KeyError::Unavailable(with_causes(&error.without_url()));
        let response = request.send().await.map_err(unavailable)?;
        match response.status() {
            StatusCode::OK => match read_body(response, MAX_KEY_BYTES).await {
                Ok(body) => parse(&body),
                Err(BodyError::Interrupted(error)) => Err(unavailable(error)),
                Err(BodyError::TooLong(_)) => Err(KeyError::Unknown),
            },
            // These speak of the server's state; any other 4xx says that it has no such key.
            status @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) => {
                Err(KeyError::Unavailable(status.to_string()))
            }
            status if status.is_client_error() => Err(KeyError::Unknown),
            status => Err(KeyError::Unavailable(status.to_string())),
        }
    }
}

/// Something else than a key under a key's name is as good as no key.
fn parse(body: &[u8]) -> Result<PublicKey, KeyError> {
    let text = std::str::from_utf8(body).map_err(|_| KeyError::Unknown)?;
    PublicKey::from_pem(text).map_err(|_| KeyError::Unknown)
}

#[cfg(test)]
mod tests;
