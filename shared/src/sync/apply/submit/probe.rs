//! Finding out, with one entity in a call of its own, whether a site takes what Atlassian does not document; what it refuses
//! is said in documented words from then on.

use super::answer::{all, read};
use super::backoff::FIRST_BACKOFF;
use super::call::CallResult;
use super::{SubmitOutcome, Submitted, Submitter};
use crate::domain::{Capability, HoldReason, Site};
use crate::store::StoreError;
use crate::sync::apply::pack::{BulkCall, Undocumented};
use crate::sync::apply::pending::PendingEntity;

impl Submitter<'_> {
    /// Probes what is not known yet, and replaces in `entities` what the site does not take.
    pub(super) async fn probe(
        &mut self,
        entities: &mut Vec<PendingEntity>,
        submitted: &mut Vec<Submitted>,
    ) -> Result<(), StoreError> {
        for undocumented in Undocumented::ALL {
            let uses = |pending: &PendingEntity| undocumented.is_used_by(&pending.entity);
            if undocumented.capability(&self.site) == Capability::Unknown
                && let Some(index) = entities.iter().position(uses)
            {
                let mut pending = entities.swap_remove(index);
                // One probe per call: nothing else in it may be what Jira refuses.
                for other in Undocumented::ALL {
                    if other != undocumented && other.capability(&self.site) != Capability::Accepted {
                        other.replace(&mut pending.entity);
                    }
                }
                submitted.push(self.probe_with(undocumented, pending).await?);
            }
            // Not accepted means refused, or that the probe could not be made just now.
            if undocumented.capability(&self.site) != Capability::Accepted {
                entities.iter_mut().for_each(|pending| undocumented.replace(&mut pending.entity));
            }
        }
        Ok(())
    }

    async fn probe_with(
        &mut self,
        undocumented: Undocumented,
        pending: PendingEntity,
    ) -> Result<Submitted, StoreError> {
        let probed = self.submit_alone(pending.clone()).await?;
        if !matches!(probed.outcome, SubmitOutcome::Rejected(_)) {
            // An entity that waits, or whose issues are unknown, proves nothing.
            if probed.outcome == SubmitOutcome::Accepted {
                self.learn(undocumented, Capability::Accepted).await?;
            }
            return Ok(probed);
        }
        let mut documented = pending;
        undocumented.replace(&mut documented.entity);
        let probed = self.submit_alone(documented).await?;
        // Rejected in documented words, too, it was rejected for something else.
        if probed.outcome == SubmitOutcome::Accepted {
            self.learn(undocumented, Capability::Refused).await?;
        }
        Ok(probed)
    }

    async fn submit_alone(&mut self, pending: PendingEntity) -> Result<Submitted, StoreError> {
        let api = pending.entity.key.kind.api();
        let (call, held) = self.hold(BulkCall { api, entities: vec![pending.clone()] }).await?;
        let submitted = if held.is_empty() {
            match self.call(&call).await? {
                CallResult::Answered(answer) => read(call, &answer),
                CallResult::All(outcome) | CallResult::Refused(outcome) => all(call, &outcome),
                // Whether the API is down or this entity brings it down is found out with others.
                CallResult::Failed(error) => {
                    let until = self.clock.now().after(FIRST_BACKOFF);
                    let reason = HoldReason::ApiUnavailable(error.status);
                    all(call, &SubmitOutcome::Waiting(until, reason))
                }
            }
        } else {
            held
        };
        self.measure(api, &submitted);
        let unnamed = SubmitOutcome::Failed("Jira's answer does not name the entity".to_owned());
        Ok(submitted.into_iter().next().unwrap_or_else(|| Submitted::new(pending, unnamed)))
    }

    async fn learn(&mut self, undocumented: Undocumented, capability: Capability) -> Result<(), StoreError> {
        let note = |site: &mut Site| match undocumented {
            Undocumented::Draft => site.draft = capability,
            Undocumented::NeedsWork => site.needs_work = capability,
        };
        note(&mut self.site);
        self.store.update_site(self.site.id, note).await?;
        Ok(())
    }
}
