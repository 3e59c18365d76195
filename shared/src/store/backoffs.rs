//! Backoffs: what is not called after a rate limit or an outage, and until when. In the table, so that every worker knows
//! them.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Key, Store, StoreError, When, digest};
use crate::clock::Timestamp;
use crate::domain::{Api, HoldReason, SiteId};

/// How long a backoff is kept after its end, and with it the count of consecutive failures: a service that fails again
/// within a day has not recovered.
const KEPT_AFTER_END: Duration = Duration::from_secs(24 * 3600);

/// What backs off.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BackoffScope {
    /// A Jira site as a whole.
    Site(SiteId),
    /// One of a site's APIs.
    Api(SiteId, Api),
    /// A GitLab instance for one token, named by its subscription.
    Gitlab(String, String),
}

impl BackoffScope {
    fn key(&self) -> Key {
        let scope = match self {
            Self::Site(site) => format!("REST#{site}"),
            Self::Api(site, api) => format!("REST#{site}#{api}"),
            Self::Gitlab(instance, token) => format!("REST#{}#{token}", digest(instance)),
        };
        Key::new(scope, "REST")
    }
}

/// A pause before the next call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Until when.
    pub until: Timestamp,
    /// Consecutive failures; each makes the next pause longer.
    #[serde(rename = "row")]
    pub consecutive_failures: u32,
    /// When the first of them failed.
    pub since: Timestamp,
    /// Why.
    pub reason: HoldReason,
}

impl Store {
    /// The newest backoff of `scope`, also when it has ended.
    pub async fn backoff(&self, scope: &BackoffScope) -> Result<Option<Backoff>, StoreError> {
        Ok(self.get(&scope.key()).await?.map(|stored| stored.value))
    }

    /// [`Store::backoff`] of several scopes at once.
    pub async fn backoffs(
        &self,
        scopes: &[BackoffScope],
    ) -> Result<HashMap<BackoffScope, Backoff>, StoreError> {
        let keys: Vec<Key> = scopes.iter().map(BackoffScope::key).collect();
        let mut found = self.get_many::<Backoff>(&keys).await?;
        Ok(scopes.iter().filter_map(|scope| Some((scope.clone(), found.remove(&scope.key())?))).collect())
    }

    /// Begins or prolongs a backoff.
    pub async fn begin_backoff(&self, scope: &BackoffScope, backoff: &Backoff) -> Result<(), StoreError> {
        let lifetime = backoff.until.since(self.clock.now()) + KEPT_AFTER_END;
        self.put(&scope.key(), backoff, When::Always, Some(lifetime)).await
    }

    /// Ends all backoffs of a site because its credential or address is new.
    pub async fn end_backoffs(&self, site: SiteId) -> Result<(), StoreError> {
        let of_apis = Api::ALL.map(|api| BackoffScope::Api(site, api).key());
        let keys: Vec<_> = of_apis.into_iter().chain([BackoffScope::Site(site).key()]).collect();
        self.delete_many(&keys).await
    }

    /// Ends a backoff because a call succeeded.
    pub async fn end_backoff(&self, scope: &BackoffScope) -> Result<(), StoreError> {
        self.delete_many(&[scope.key()]).await
    }
}
