//! The key set that Forge's invocation tokens are signed by: one document with all keys, fetched when a token names one
//! that is not known. Keys of lifecycle tokens, each a document of its own, are `keystore`'s.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::key_id::KeyId;
use super::keystore::KeyError;
use super::public_key::PublicKey;
use crate::clock::{SharedClock, Timestamp};
use crate::outbound::read_body;
use crate::telemetry::with_causes;

/// Where Forge publishes its keys
/// (<https://developer.atlassian.com/platform/forge/remote/essentials/#verifying-remote-requests>).
pub const FORGE_KEY_SET: &str = "https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json";

/// Forge waits five seconds for the answer to a trigger.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// Forge's set has a few keys of half a kilobyte each.
const MAX_SET_BYTES: usize = 64 * 1024;

/// How long a set is good for: a withdrawn key is not accepted for longer.
const FRESH_FOR: Duration = Duration::from_secs(3600);

/// How long a set is used while no new one can be fetched.
const USABLE_FOR: Duration = Duration::from_secs(24 * 3600);

/// The least time between two fetches, whatever keys strangers name: after one that worked, and after one that did not.
const FETCH_FLOOR: Duration = Duration::from_secs(60);
const RETRY_FLOOR: Duration = Duration::from_secs(5);

/// The keys at one URL, remembered. Calls at the same time become one fetch.
#[derive(Clone, Debug)]
pub struct KeySet {
    client: Client,
    url: Url,
    clock: SharedClock,
    known: Arc<Mutex<Known>>,
}

/// What the last fetches brought.
#[derive(Debug, Default)]
struct Known {
    keys: HashMap<KeyId, Arc<PublicKey>>,
    /// When `keys` were fetched.
    fetched_at: Option<Timestamp>,
    /// When the last fetch was begun, and what went wrong with it.
    tried_at: Option<Timestamp>,
    failure: Option<String>,
}

impl KeySet {
    /// The set at `url`, fetched through `client` when it is first needed.
    #[must_use]
    pub fn new(client: Client, url: Url, clock: SharedClock) -> Self {
        Self { client, url, clock, known: Arc::default() }
    }

    /// The key called `kid`.
    ///
    /// # Errors
    /// [`KeyError`]: unknown, also for the next minute after the set was fetched without it.
    pub async fn key(&self, kid: &KeyId) -> Result<Arc<PublicKey>, KeyError> {
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        let is_within = |at: Option<Timestamp>, limit: Duration| at.is_some_and(|at| now.since(at) < limit);
        if is_within(known.fetched_at, FRESH_FOR)
            && let Some(key) = known.keys.get(kid)
        {
            return Ok(key.clone());
        }
        let floor = if known.failure.is_some() { RETRY_FLOOR } else { FETCH_FLOOR };
        if !is_within(known.tried_at, floor) {
            known.tried_at = Some(now);
            known.failure = match self.fetch().await {
                Ok(keys) => {
                    known.keys = keys;
                    known.fetched_at = Some(now);
                    None
                }
                Err(cause) => Some(cause),
            };
        }
        let key = known.keys.get(kid).filter(|_| is_within(known.fetched_at, USABLE_FOR));
        match (key, &known.failure) {
            (Some(key), _) => Ok(key.clone()),
            (None, Some(cause)) => Err(KeyError::Unavailable(cause.clone())),
            (None, None) => Err(KeyError::Unknown),
        }
    }

    async fn fetch(&self) -> Result<HashMap<KeyId, Arc<PublicKey>>, String> {
        let request = self.client.get(self.url.clone()).timeout(FETCH_TIMEOUT);
        let response = request.send().await.map_err(|error| with_causes(&error.without_url()))?;
        if response.status() != StatusCode::OK {
            return Err(response.status().to_string());
        }
        let body = read_body(response, MAX_SET_BYTES).await.map_err(|error| with_causes(&error))?;
        parse(&body).ok_or_else(|| "the answer is not a key set".to_owned())
    }
}

/// The usable keys of a set (RFC 7517, 5): what is of no use to us is left out, not an error.
fn parse(body: &[u8]) -> Option<HashMap<KeyId, Arc<PublicKey>>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Key>,
    }
    #[derive(Deserialize)]
    struct Key {
        kty: String,
        #[serde(default)]
        kid: String,
        #[serde(default)]
        n: String,
        #[serde(default)]
        e: String,
    }
    let set: Set = serde_json::from_slice(body).ok()?;
    let usable = set.keys.into_iter().filter(|key| key.kty == "RSA").filter_map(|key| {
        let component = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        let public = PublicKey::from_components(&component(&key.n)?, &component(&key.e)?).ok()?;
        Some((KeyId::parse(&key.kid).ok()?, Arc::new(public)))
    });
    Some(usable.collect())
}

#[cfg(test)]
mod tests;
