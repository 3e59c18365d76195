//! Looks after the tokens, hooks and history of links, and has them audited: each about once an hour, the one that has
//! waited longest first, and as many as there is time for. What is done about a link belongs to
//! `shared::linking::upkeep` and `shared::history`.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use shared::clock::{SharedClock, Timestamp};
use shared::domain::{HistorySlot, Rotation, Subscription, SubscriptionId, SubscriptionState};
use shared::history::control::{HistoryControl, HistoryError};
use shared::linking::hooks::LinkHooks;
use shared::linking::upkeep::UpkeepDone;
use shared::queue::SharedQueue;
use shared::queue::worker::Deadline;
use shared::store::StoreError;
use shared::telemetry::{Measure, with_causes};

/// How often a link is looked after.
const EVERY: Duration = Duration::from_secs(3600);

/// Links that are looked after at the same time: few, because GitLab is shared with live events.
const CONCURRENCY: usize = 4;

/// Sites in memory at once, of at most some ten kilobytes each.
const SITES_AT_ONCE: usize = 100;

/// Reserved of the time for a link: its calls, each of which may hang until its time-out, and for counting after that.
const TIME_OF_A_LINK: Duration = Duration::from_secs(60);

/// What looking after links needs.
#[derive(Clone, Debug)]
pub struct LinkUpkeep {
    /// Makes and repairs hooks, rotates tokens.
    pub hooks: LinkHooks,
    /// The queue of `backfill`'s steps.
    pub steps: SharedQueue,
    /// Tells the time.
    pub clock: SharedClock,
}

impl LinkUpkeep {
    /// Looks after the links that are due, until `deadline` comes near. One that fails holds up none of the others.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn run(&self, deadline: Deadline) -> Result<(), StoreError> {
        self.resync_sites().await?;
        let mut due = self.due().await?;
        due.sort_unstable();
        let work = due.into_iter().map(|(_, link)| self.look_after(link, deadline));
        let done: Vec<UpkeepDone> = stream::iter(work).buffer_unordered(CONCURRENCY).collect().await;
        let number = |which: fn(&UpkeepDone) -> bool| done.iter().filter(|done| which(done)).count();
        Measure::new("looked after links")
            .counts([
                ("TokensRotated", number(|done| done.token_rotated)),
                ("HooksRepaired", number(|done| done.hook_repaired)),
                ("HookPlansBegun", number(|done| done.plan_begun)),
            ])
            .log();
        Ok(())
    }

    /// Sends again what Jira deleted with a connection, where another one writes now.
    async fn resync_sites(&self) -> Result<(), StoreError> {
        for ids in self.hooks.store.site_ids().await?.chunks(SITES_AT_ONCE) {
            for site in self.hooks.store.sites_by_id(ids).await? {
                if let Err(error) = self.history().resync_site(&site).await {
                    let cause = with_causes(&error);
                    tracing::warn!(site.id = %site.id, cause, "a site's history could not be begun");
                }
            }
        }
        Ok(())
    }

    fn history(&self) -> HistoryControl {
        HistoryControl {
            store: self.hooks.store.clone(),
            steps: self.steps.clone(),
            clock: self.clock.clone(),
        }
    }

    /// The links to look after, with the time when that was done last.
    async fn due(&self) -> Result<Vec<(Timestamp, SubscriptionId)>, StoreError> {
        let (mut due, now) = (Vec::new(), self.clock.now());
        for site in self.hooks.store.site_ids().await? {
            for link in self.hooks.store.subscriptions(site).await? {
                due.extend(is_due(&link, now).then(|| (last(&link), link.id)));
            }
        }
        Ok(due)
    }

    async fn look_after(&self, link: SubscriptionId, deadline: Deadline) -> UpkeepDone {
        if !deadline.leaves(TIME_OF_A_LINK) {
            return UpkeepDone::default();
        }
        let done = self.hooks.look_after(link, &self.steps).await.unwrap_or_else(|error| {
            let cause = with_causes(&error);
            tracing::warn!(subscription.id = %link, cause, "a link could not be looked after");
            UpkeepDone::default()
        });
        if let Err(error) = self.look_after_history(link, done.hook_repaired).await {
            let cause = with_causes(&error);
            tracing::warn!(subscription.id = %link, cause, "a link's history could not be looked at");
        }
        done
    }

    async fn look_after_history(
        &self,
        link: SubscriptionId,
        hook_repaired: bool,
    ) -> Result<(), HistoryError> {
        let history = self.history();
        for slot in [HistorySlot::history(link), HistorySlot::audit(link)] {
            if history.go_on_if_lost(slot).await? {
                tracing::warn!(subscription.id = %link, kind = ?slot.kind, "a link's history had stopped, and goes on");
            }
        }
        if let Some(link) = self.hooks.store.subscription(link).await? {
            history.audit_if_due(&link, hook_repaired).await?;
        }
        Ok(())
    }
}

fn last(link: &Subscription) -> Timestamp {
    link.upkeep.as_ref().map_or(Timestamp(0), |upkeep| upkeep.at)
}

fn is_due(link: &Subscription, now: Timestamp) -> bool {
    let rotation = link.credential.as_ref().and_then(|credential| credential.rotation);
    let is_unsure = matches!(rotation, Some(Rotation::Begun(_)));
    link.state == SubscriptionState::Active && (is_unsure || now.since(last(link)) >= EVERY)
}
