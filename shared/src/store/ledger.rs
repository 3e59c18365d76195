//! What was last sent of each entity, and which branches are gone. Numbers and dates only, and names of branches; no
//! other content.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::{Key, Store, StoreError, When};
use crate::clock::Timestamp;
use crate::domain::{BranchHistory, EntityKey, EntityKind, SiteId};

/// Longer than any message can wait, so that no message is older than what it is compared with.
const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long a branch stays deleted for messages that were on their way, and how long it is known that something may have been
/// sent: the queue's retention.
const TOMBSTONE_LIFETIME: Duration = Duration::from_secs(14 * 24 * 3600);

/// Concurrent writes. A conditional write can't be batched, and a batch of messages leads to some hundred of them, at a few
/// milliseconds each: with this many they take a fraction of a second, and leave connections to the other sites of the
/// batch.
const WRITES: usize = 16;

/// The last version of an entity that Jira accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The number it was sent with; by this name, writes are compared with what is stored. 0: it is not known that Jira
    /// accepted any.
    pub number: i64,
    /// When its content was known to be true, if its number does not say so.
    #[serde(default)]
    pub known_at: Option<Timestamp>,
    /// When GitLab says it had last changed.
    #[serde(default)]
    pub changed_at: Option<Timestamp>,
    /// How far it had come.
    #[serde(default)]
    pub rank: u8,
    /// For a branch that is gone: the head it had.
    #[serde(default)]
    pub deleted_head: Option<String>,
    /// A number that Jira may have seen although its answer did not get here.
    #[serde(default)]
    pub reserved: Option<i64>,
    /// For a branch: the history that its pushes gave.
    #[serde(default)]
    pub branch: Option<BranchHistory>,
    /// For a branch that is there: its name, which its id at Jira does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_name: Option<String>,
    /// Whether it was sent as history, which starts nothing in Jira: an event about the same is still news.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_history: bool,
}

impl LedgerEntry {
    /// Whether it says that a branch is gone.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.deleted_head.is_some()
    }

    /// Whether a version was about to be sent, and nothing is known of what Jira did with it.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        self.number == 0
    }

    /// When its content was known to be true.
    #[must_use]
    pub fn known_at(&self) -> Timestamp {
        self.known_at.unwrap_or(Timestamp(self.number))
    }

    /// The highest number that Jira may have seen.
    #[must_use]
    pub fn last_number(&self) -> i64 {
        self.reserved.map_or(self.number, |reserved| reserved.max(self.number))
    }
}

/// Entities whose versions met those of another worker when they were recorded.
#[derive(Debug, Default)]
pub struct Met {
    /// A higher number was remembered already, and stays.
    pub higher: Vec<EntityKey>,
    /// What was remembered with a lower number, and is no more.
    pub lower: HashMap<EntityKey, LedgerEntry>,
}

impl Store {
    /// The ledger entries of `entities`, where there are any.
    pub async fn ledger(
        &self,
        site: SiteId,
        entities: impl IntoIterator<Item = &EntityKey>,
    ) -> Result<HashMap<EntityKey, LedgerEntry>, StoreError> {
        let wanted: HashMap<Key, &EntityKey> =
            entities.into_iter().map(|entity| (key(site, entity), entity)).collect();
        let keys: Vec<Key> = wanted.keys().cloned().collect();
        let mut found = self.get_many::<LedgerEntry>(&keys).await?;
        Ok(wanted
            .into_iter()
            .filter_map(|(key, entity)| Some((entity.clone(), found.remove(&key)?)))
            .collect())
    }

    /// The ledger entries of a project's entities of one kind, in the order of their ids. `project` is its id at Jira.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn project_ledger(
        &self,
        site: SiteId,
        project: &str,
        kind: EntityKind,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        self.query(&format!("LEDGER#{site}#{project}"), &format!("{kind}#")).await
    }

    /// Remembers what Jira has now, and answers what was remembered already: of versions that several workers send at the same
    /// time, Jira keeps the one with the highest number, and so does the ledger, in whatever order they get here.
    ///
    /// # Errors
    /// Not all is remembered. What is not is sent again with its message, and Jira ignores what it has.
    pub async fn record_sent(
        &self,
        site: SiteId,
        entries: Vec<(EntityKey, LedgerEntry)>,
    ) -> Result<Met, StoreError> {
        let writes = entries.into_iter().map(|(entity, entry)| {
            let below = entry.number;
            self.record_version(site, entity, entry, below)
        });
        let recorded = stream::iter(writes).buffer_unordered(WRITES).try_collect::<Vec<_>>().await?;
        let mut met = Met::default();
        for (entity, written) in recorded {
            match written {
                Written::Refused => met.higher.push(entity),
                Written::Over(entry) => drop(met.lower.insert(entity, *entry)),
                Written::New => {}
            }
        }
        Ok(met)
    }

    /// Changes what is remembered beside a version that Jira has, unless something newer is remembered by now.
    ///
    /// # Errors
    /// Not all is changed.
    pub async fn annotate_sent(
        &self,
        site: SiteId,
        entries: Vec<(EntityKey, LedgerEntry)>,
    ) -> Result<(), StoreError> {
        let writes = entries.into_iter().map(|(entity, entry)| {
            let below = entry.number.saturating_add(1);
            self.record_version(site, entity, entry, below)
        });
        stream::iter(writes).buffer_unordered(WRITES).map_ok(drop).try_collect().await
    }

    /// Writes the entity's entry, if the number of the one that is there is below `below`.
    fn record_version(
        &self,
        site: SiteId,
        entity: EntityKey,
        entry: LedgerEntry,
        below: i64,
    ) -> BoxFuture<'_, Result<(EntityKey, Written), StoreError>> {
        async move {
            let lifetime = match (entry.is_tombstone() || entry.is_unconfirmed(), entity.kind) {
                (true, _) => Some(TOMBSTONE_LIFETIME),
                // Which branches Jira shows must be known as long as it shows them.
                (false, EntityKind::Branch) => None,
                _ => Some(LIFETIME),
            };
            let when = When::Below("number", below);
            let written = match self.put_over(&key(site, &entity), &entry, when, lifetime).await {
                Err(StoreError::Conflict) => Written::Refused,
                written => written?.map_or(Written::New, |entry| Written::Over(Box::new(entry))),
            };
            Ok((entity, written))
        }
        .boxed()
    }
}

/// What became of a write.
enum Written {
    /// There was nothing before it.
    New,
    /// It is in the place of this one.
    Over(Box<LedgerEntry>),
    /// What is there has a number that is not lower.
    Refused,
}

fn key(site: SiteId, entity: &EntityKey) -> Key {
    Key::new(format!("LEDGER#{site}#{}", entity.project), format!("{}#{}", entity.kind, entity.id))
}

#[cfg(all(test, feature = "embedded"))]
mod tests;
