//! Rests: what a rate limit or an outage told us to leave alone, and until when. Kept in the table so that every worker
//! knows, and kept in no message.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Key, Store, StoreError, When, digest};
use crate::clock::Timestamp;
use crate::domain::SiteId;
use crate::jira::client::Api;

/// What rests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resting {
    /// A Jira site as a whole.
    Site(SiteId),
    /// One of a site's APIs.
    Api(SiteId, Api),
    /// A GitLab instance for one token, named by its subscription.
    Gitlab(String, String),
}

impl Resting {
    fn key(&self) -> Key {
        let scope = match self {
            Self::Site(site) => format!("REST#{site}"),
            Self::Api(site, api) => format!("REST#{site}#{api}"),
            Self::Gitlab(instance, token) => format!("REST#{}#{token}", digest(instance)),
        };
        Key::new(scope, "REST")
    }
}

/// A rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Until when.
    pub until: Timestamp,
    /// How many rests came one after another; the next one is longer.
    pub row: u32,
    /// When the first of them began.
    pub since: Timestamp,
    /// Why, for a person.
    pub reason: String,
}

impl Store {
    /// The rest that is on, or the last one that was.
    pub async fn rest(&self, resting: &Resting) -> Result<Option<Rest>, StoreError> {
        Ok(self.get(&resting.key()).await?.map(|stored| stored.value))
    }

    /// [`Store::rest`] of several at once.
    pub async fn rests(&self, resting: &[Resting]) -> Result<HashMap<Resting, Rest>, StoreError> {
        let keys: Vec<Key> = resting.iter().map(Resting::key).collect();
        let mut found = self.get_many::<Rest>(&keys).await?;
        Ok(resting
            .iter()
            .filter_map(|resting| Some((resting.clone(), found.remove(&resting.key())?)))
            .collect())
    }

    /// Begins or prolongs a rest. It is forgotten a day after its end, and with it how many there were in a row.
    pub async fn begin_rest(&self, resting: &Resting, rest: &Rest) -> Result<(), StoreError> {
        let lifetime = rest.until.since(self.clock.now()) + std::time::Duration::from_secs(24 * 3600);
        self.put(&resting.key(), rest, When::Always, Some(lifetime)).await
    }

    /// Ends all rests of a site because its credential or address is new.
    pub async fn end_rests(&self, site: SiteId) -> Result<(), StoreError> {
        let of_apis = Api::ALL.map(|api| Resting::Api(site, api).key());
        let keys: Vec<_> = of_apis.into_iter().chain([Resting::Site(site).key()]).collect();
        self.delete_many(&keys).await
    }

    /// Ends a rest because a call went through.
    pub async fn end_rest(&self, resting: &Resting) -> Result<(), StoreError> {
        self.delete_many(&[resting.key()]).await
    }
}
