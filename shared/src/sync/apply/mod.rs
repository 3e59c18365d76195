//! From what was read to a settled ledger, for one site: filtered, compared with what was sent, submitted and recorded. The
//! same for a batch of events and for a page of history. What is read, and what a disposition means for a queue, belongs to
//! the caller.

mod filter;
mod freshness;
pub mod pack;
mod pending;
mod record;
pub mod submit;

pub use filter::AllowedKeys;
pub use pending::{Origin, PendingEntity, PushedHead};

use self::record::Record;
use self::submit::Submitter;
use crate::clock::SharedClock;
use crate::domain::Site;
use crate::jira::client::JiraClient;
use crate::queue::disposition::Disposition;
use crate::store::{Store, StoreError};

/// What applying needs.
#[derive(Clone, Debug)]
pub struct Apply {
    /// Ledger, outcomes and backoffs.
    pub store: Store,
    /// Tells the time.
    pub clock: SharedClock,
}

impl Apply {
    /// Brings `versions` to `site` through `client`; answers the dispositions of the messages they came from, by position in
    /// the batch. A message whose entities Jira has already gets none: it is done.
    ///
    /// # Errors
    /// When the table can't be read or written. What Jira was sent by then is sent again, and Jira ignores what it has.
    pub async fn apply(
        &self,
        site: Site,
        client: &JiraClient,
        allowed: &AllowedKeys<'_>,
        versions: Vec<PendingEntity>,
    ) -> Result<Vec<(usize, Disposition)>, StoreError> {
        let (id, mut record) = (site.id, Record::default());
        let pending = freshness::newest(versions);
        let pending = filter::filter(&site, allowed, pending, self.clock.now(), &mut record.outcomes);
        let ledger = self.store.ledger(id, pending.iter().map(|pending| &pending.entity.key)).await?;
        let pending = freshness::fresh(pending, &ledger);
        let mut submitter = Submitter::new(client, &self.store, self.clock.as_ref(), site).await?;
        let submitted = submitter.submit(pending).await?;
        tracing::info!(site.id = %id, jira.calls = submitter.calls, entities = submitted.len(), "synced");
        record.add(&submitted, self.clock.now());
        self.store.record_sent(id, record.ledger).await?;
        self.store.record_outcomes(id, record.outcomes).await?;
        if let Err(error) = record::learn_projects(&self.store, &submitter.site, client, &submitted).await {
            tracing::warn!(%error, "could not note which projects Jira has");
        }
        Ok(record.dispositions)
    }
}
