//! Why a call, or part of it, is not made now. Asked before each, because time passes and others act: another connection may
//! have become the writing one, or a link may be being removed, since the batch began.

use std::collections::{BTreeSet, HashMap};

use super::backoff::FIRST_BACKOFF;
use super::{BulkCall, SubmitOutcome, Submitted, Submitter};
use crate::domain::{Api, HoldReason, SiteCondition, Subscription, SubscriptionId, SubscriptionState};
use crate::outbound::TOTAL_TIMEOUT;
use crate::store::StoreError;
use crate::store::backoffs::BackoffScope;
use crate::sync::apply::SETTLING_TIME;

impl Submitter<'_> {
    /// Splits off what can't be sent now.
    pub(super) async fn hold(&self, mut call: BulkCall) -> Result<(BulkCall, Vec<Submitted>), StoreError> {
        let hold = |call: &mut BulkCall, outcome: SubmitOutcome| {
            let entities = std::mem::take(&mut call.entities);
            entities.into_iter().map(|pending| Submitted::new(pending, outcome.clone())).collect()
        };
        if call.entities.is_empty() {
            return Ok((call, Vec::new()));
        }
        if let Some(outcome) = self.backing_off(call.api).or_else(|| self.out_of_time()) {
            let held = hold(&mut call, outcome);
            return Ok((call, held));
        }
        if !self.is_writing().await? {
            let until = self.clock.now().after(FIRST_BACKOFF);
            let held = hold(&mut call, SubmitOutcome::Waiting(until, HoldReason::ConnectionSwitched));
            return Ok((call, held));
        }
        self.hold_changing_links(call).await
    }

    fn backing_off(&self, api: Api) -> Option<SubmitOutcome> {
        let now = self.clock.now();
        [BackoffScope::Site(self.site.id), BackoffScope::Api(self.site.id, api)]
            .iter()
            .filter_map(|scope| self.backoffs.get(scope))
            .find(|backoff| backoff.until > now)
            .map(|backoff| SubmitOutcome::Waiting(backoff.until, backoff.reason.clone()))
    }

    fn out_of_time(&self) -> Option<SubmitOutcome> {
        // A call ends within this time whatever it takes, a new token included (`jira::client`).
        let in_time = self.deadline.leaves(TOTAL_TIMEOUT + SETTLING_TIME);
        (!in_time).then(|| SubmitOutcome::Waiting(self.clock.now(), HoldReason::OutOfTime))
    }

    async fn is_writing(&self) -> Result<bool, StoreError> {
        let site = self.store.site(self.site.id).await?;
        Ok(site.is_some_and(|site| {
            site.writer == self.site.writer && site.state.condition != SiteCondition::Switching
        }))
    }

    /// What would be sent after an unlink has deleted everything would stay in Jira for good.
    async fn hold_changing_links(&self, call: BulkCall) -> Result<(BulkCall, Vec<Submitted>), StoreError> {
        let ids: BTreeSet<SubscriptionId> =
            call.entities.iter().map(|pending| pending.entity.link.subscription).collect();
        let links: HashMap<SubscriptionId, Subscription> = self.store.subscriptions_with(&ids).await?;
        let until = self.clock.now().after(FIRST_BACKOFF);
        let (mut active, mut held) = (Vec::with_capacity(call.entities.len()), Vec::new());
        for pending in call.entities {
            let outcome = match links.get(&pending.entity.link.subscription).map(|link| link.state) {
                Some(SubscriptionState::Active) => {
                    active.push(pending);
                    continue;
                }
                Some(SubscriptionState::Pending) => SubmitOutcome::Waiting(until, HoldReason::LinkChanging),
                None => SubmitOutcome::Unlinked,
            };
            held.push(Submitted::new(pending, outcome));
        }
        Ok((BulkCall { api: call.api, entities: active }, held))
    }
}
