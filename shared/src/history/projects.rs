//! Listing the projects of a linked group, and putting the history of each on the queue.

use super::History;
use crate::domain::{HistoryFailure, HistoryPlan, HistorySlot, HoldReason, ProjectHistory};
use crate::queue::disposition::Disposition;
use crate::queue::worker::Deadline;
use crate::store::StoreError;
use crate::sync::read::{GroupListing, ReadError};
use crate::sync::step::{LinkStep, enqueue};

use std::time::Duration;
use ulid::Ulid;

/// Reserved of a step's time for a page of projects.
const TIME_OF_A_PAGE: Duration = Duration::from_secs(40);

/// How long a listing waits that GitLab fails to answer.
const FAILED_BACKOFF: Duration = Duration::from_secs(30);

impl History {
    /// Lists what is left of the group's projects, as far as there is time.
    ///
    /// # Errors
    /// Our own table; the step can be done again.
    pub async fn list_projects(
        &self,
        slot: HistorySlot,
        plan: Ulid,
        deadline: Deadline,
    ) -> Result<Disposition, StoreError> {
        let (link, mut plan) = match self.running(slot, plan).await? {
            Ok(running) => running,
            Err(disposition) => return Ok(disposition),
        };
        let Some(reader) = self.reader(&link, slot).await? else {
            return Ok(Disposition::Drop { reason: "The link has no token.".to_owned() });
        };
        while let Some(page) = plan.next_page {
            if !deadline.leaves(TIME_OF_A_PAGE) {
                let reason = HoldReason::OutOfTime.to_string();
                return Ok(Disposition::Wait { until: self.clock.now(), reason });
            }
            let listed = match reader.group_projects(page).await {
                Ok(listed) => listed,
                Err(error) => return self.not_listed(slot, &error).await,
            };
            plan = match self.take_page(slot, &plan, page, listed).await? {
                Ok(plan) => plan,
                Err(disposition) => return Ok(disposition),
            };
            if let Some(until) = self.count_requests(&link, 1).await? {
                return Ok(Disposition::Wait { until, reason: HoldReason::GitlabRateLimited.to_string() });
            }
        }
        Ok(Disposition::Done)
    }

    /// Stores the projects of a page, and puts them on the queue.
    async fn take_page(
        &self,
        slot: HistorySlot,
        plan: &HistoryPlan,
        page: u32,
        listed: GroupListing,
    ) -> Result<Result<HistoryPlan, Disposition>, StoreError> {
        let (id, now) = (plan.id, self.clock.now());
        let mut steps = Vec::with_capacity(listed.items.len());
        for project in listed.items {
            steps.push(LinkStep::history_of_project(slot, id, project.id));
            self.store.begin_project_history(slot, &ProjectHistory::new(slot.kind, id, project, now)).await?;
        }
        if let Err(error) = enqueue(&self.queue, now, steps).await {
            return Ok(Err(Disposition::Retry { reason: error.to_string() }));
        }
        // Last, so that nothing is left out; what is listed twice is begun once.
        let (total, next) = (listed.total, listed.next);
        let advance = |plan: &mut HistoryPlan| {
            if plan.id == id && plan.next_page == Some(page) {
                plan.total = total.or(plan.total);
                plan.next_page = next;
            }
        };
        let changed = self.store.update_history(slot, advance).await?;
        let running = changed.filter(|plan| plan.id == id && plan.is_running());
        let superseded =
            || Disposition::Drop { reason: "The plan has ended, is paused, or was replaced.".to_owned() };
        Ok(running.ok_or_else(superseded))
    }

    async fn not_listed(&self, slot: HistorySlot, error: &ReadError) -> Result<Disposition, StoreError> {
        if let Some(disposition) = self.interrupted(slot, error).await? {
            return Ok(disposition);
        }
        match error {
            ReadError::Failed { reason, .. } => Ok(Disposition::Wait {
                until: self.clock.now().after(FAILED_BACKOFF),
                reason: reason.clone(),
            }),
            _ => self.stop(slot, HistoryFailure::GroupHidden).await,
        }
    }
}
