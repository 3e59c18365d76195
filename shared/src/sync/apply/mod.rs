//! From what was read to a settled ledger, for one site: filtered, compared with what was sent, submitted and recorded. The
//! same for a batch of events and for a page of history. What is read, and what a disposition means for a queue, belongs to
//! the caller.

mod filter;
mod freshness;
mod operation;
pub mod pack;
mod pending;
mod record;
pub mod submit;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

pub use filter::AllowedKeys;
pub use operation::Operation;
pub use pending::{Origin, PendingEntity};

use self::record::Record;
use self::submit::{SubmitOutcome, Submitted, Submitter};
use crate::clock::SharedClock;
use crate::domain::{EntityKey, HoldReason, Site, SiteId};
use crate::jira::client::JiraClient;
use crate::queue::disposition::Disposition;
use crate::queue::worker::Deadline;
use crate::store::ledger::{LedgerEntry, Met};
use crate::store::{Store, StoreError};

/// Kept of the deadline beside a call's own time: to record what became of it and to settle its messages.
const SETTLING_TIME: Duration = Duration::from_secs(3);

/// What applying needs.
#[derive(Clone, Debug)]
pub struct Apply {
    /// Ledger, outcomes and backoffs.
    pub store: Store,
    /// Tells the time.
    pub clock: SharedClock,
    /// What is sent for.
    pub operation: Operation,
}

/// What became of the messages of a batch, by their positions in it.
#[derive(Debug, Default)]
pub struct Applied {
    /// Dispositions. A message whose entities Jira has already gets none: it is done.
    pub dispositions: Vec<(usize, Disposition)>,
    /// Messages whose delivery may bring more when it is sent again: not all of it was accepted or outdated.
    pub may_bring_more: BTreeSet<usize>,
    /// Messages with an entity whose keys are all unknown to Jira.
    pub left_out: BTreeSet<usize>,
    /// Messages with an entity whose keys the link does not send.
    pub unwanted: BTreeSet<usize>,
    /// Messages with an entity that Jira took, branches apart unless they were deleted.
    pub added: BTreeSet<usize>,
}

impl Applied {
    /// Takes what became of other entities of the same batch.
    pub fn extend(&mut self, other: Self) {
        self.dispositions.extend(other.dispositions);
        self.may_bring_more.extend(other.may_bring_more);
        self.left_out.extend(other.left_out);
        self.unwanted.extend(other.unwanted);
        self.added.extend(other.added);
    }
}

impl Apply {
    /// Brings `versions` to `site` through `client`, as far as there is time. They are in the order in which they came in.
    ///
    /// # Errors
    /// When the table can't be read or written. What Jira was sent by then is sent again, and Jira ignores what it has.
    pub async fn apply(
        &self,
        site: Site,
        client: &JiraClient,
        allowed: &AllowedKeys<'_>,
        deadline: Deadline,
        versions: Vec<PendingEntity>,
    ) -> Result<Applied, StoreError> {
        let (id, now, mut record) = (site.id, self.clock.now(), Record::default());
        let versions = filter::filter(&site, allowed, versions, self.operation, now, &mut record);
        let ledger = self.store.ledger(id, versions.iter().map(|version| &version.entity.key)).await?;
        let decided = freshness::decide(versions, &ledger, self.operation, now);
        self.store.annotate_sent(id, decided.annotations).await?;
        let mut submitter = Submitter::new(client, &self.store, self.clock.as_ref(), site, deadline).await?;
        submitter.operation = self.operation;
        let mut submitted = submitter.submit(decided.fresh).await?;
        tracing::info!(site.id = %id, jira.calls = submitter.calls, entities = submitted.len(), "synced");
        let waiting = decided.waiting.into_iter().map(|(pending, until)| {
            Submitted::new(pending, SubmitOutcome::Waiting(until, HoldReason::EarlierEventMissing))
        });
        submitted.extend(waiting);
        record.add(&submitted, self.operation, self.clock.now());
        let met = self.store.record_sent(id, std::mem::take(&mut record.ledger)).await?;
        self.look_at_others(id, met, &ledger, &submitted, &mut record).await?;
        self.store.record_outcomes(id, std::mem::take(&mut record.outcomes)).await?;
        let time = (self.clock.now(), deadline);
        let learned = record::learn_projects(&self.store, &submitter.site, client, &submitted, time);
        if let Err(error) = learned.await {
            tracing::warn!(%error, "could not note which projects Jira has");
        }
        Ok(record.applied())
    }

    /// Another worker sent versions of the same entities meanwhile, and Jira keeps those with higher numbers. Where its number
    /// is higher and ours says more, or ours is higher and the other's may say more, our messages come back; what they are
    /// about is read again, and numbered after both.
    async fn look_at_others(
        &self,
        site: SiteId,
        met: Met,
        before: &HashMap<EntityKey, LedgerEntry>,
        submitted: &[Submitted],
        record: &mut Record,
    ) -> Result<(), StoreError> {
        let seen = |key| before.get(key).map_or(0, |entry: &LedgerEntry| entry.number);
        let now = self.clock.now();
        let higher =
            if met.higher.is_empty() { HashMap::new() } else { self.store.ledger(site, &met.higher).await? };
        for Submitted { pending, .. } in submitted {
            let key = &pending.entity.key;
            let lower = met.lower.get(key).filter(|entry| entry.number != seen(key));
            if higher.get(key).is_some_and(|entry| freshness::says_more(pending, entry, now))
                || lower.is_some_and(|entry| freshness::may_say_less(pending, entry))
            {
                record.overtaken(pending, now);
            }
        }
        Ok(())
    }
}
