//! The last successful deployment per project and environment: where the next one's commits begin.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Key, Store, StoreError, When, digest};
use crate::domain::SiteId;

/// Long enough for an environment with one release a year.
const LIFETIME: Duration = Duration::from_secs(366 * 24 * 3600);

/// A successful deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// Its number within the project.
    pub iid: u64,
    /// What was deployed.
    pub sha: String,
}

impl Store {
    /// The last success of an environment, if one was seen.
    pub async fn last_deployed(
        &self,
        site: SiteId,
        project: &str,
        environment: &str,
    ) -> Result<Option<Deployed>, StoreError> {
        Ok(self.get(&key(site, project, environment)).await?.map(|stored| stored.value))
    }

    /// Remembers a success unless a later one is known.
    pub async fn record_deployed(
        &self,
        site: SiteId,
        project: &str,
        environment: &str,
        deployed: &Deployed,
    ) -> Result<(), StoreError> {
        let key = key(site, project, environment);
        let when = match self.get::<Deployed>(&key).await? {
            Some(known) if known.value.iid >= deployed.iid => return Ok(()),
            Some(known) => When::Unchanged(known.revision),
            None => When::Absent,
        };
        match self.put(&key, deployed, when, Some(LIFETIME)).await {
            // Another worker recorded a success at the same time; GitLab's API knows them all.
            Err(StoreError::Conflict) => Ok(()),
            written => written,
        }
    }
}

fn key(site: SiteId, project: &str, environment: &str) -> Key {
    Key::new(format!("DEPLOYED#{site}#{project}"), digest(environment))
}
