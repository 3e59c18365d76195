//! What is left of the history of one project, page by page.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use ulid::Ulid;

use super::History;
use super::measure::measure;
use crate::clock::Timestamp;
use crate::domain::{
    EntityKind, HistoryDepth, HistoryKind, HistoryPlan, HistoryScope, HistorySlot, HoldReason, MissingCause,
    MissingEntity, PageCounts, ProjectHistory, Subscription, TaskFailure, TaskProgress,
};
use crate::queue::disposition::Disposition;
use crate::queue::worker::Deadline;
use crate::store::{StoreError, Stored};
use crate::sync::apply::{AllowedKeys, Applied, Apply, Operation, Origin, PendingEntity};
use crate::sync::read::history::{HistoryPage, ListError};
use crate::sync::read::{GitlabReader, Object, ProjectBatch, ProjectReader, ReadError};
use crate::sync::site_access::OpenSite;
use crate::sync::transform::Source;

/// Objects read at the same time: enough to hide latency, few enough for GitLab's rate limits.
const CONCURRENCY: usize = 8;

/// Reserved of a step's time for a page: reading it, and two calls to Jira.
const TIME_OF_A_PAGE: Duration = Duration::from_secs(75);

/// Attempts at a page that GitLab or Jira fails on, and the first wait between them.
const MAX_ATTEMPTS: u32 = 5;
const FAILED_FIRST: Duration = Duration::from_secs(5);

/// What an audit finds missing is sent as its event would have been if it changed within this time before: rules and
/// transitions may start. What is older is sent as history.
const RECENT: Duration = Duration::from_secs(14 * 24 * 3600);

/// How a page ended.
enum PageEnd {
    /// It is done, or its task can't be: this is how the project stands now.
    Advanced(Box<ProjectHistory>),
    /// It is to be read again later.
    Later(Disposition),
    /// It failed, and is to be read again a few times.
    Failed(String),
}

impl PageEnd {
    fn advanced(project: ProjectHistory) -> Self {
        Self::Advanced(Box::new(project))
    }
}

/// What became of the objects of a page.
struct Objects {
    entities: Vec<PendingEntity>,
    unread: BTreeMap<usize, String>,
    /// Those that turned out to name no issue, by their positions.
    keyless: BTreeSet<usize>,
}

/// What a project's pages are read and sent with.
struct Work<'a> {
    link: &'a Subscription,
    plan: &'a HistoryPlan,
    reader: &'a GitlabReader<'a>,
    open: &'a OpenSite,
    /// For how long the step has waited and been tried.
    held_for: Duration,
    deadline: Deadline,
}

impl History {
    /// Does what is left of a project, as far as there is time, by a step that was `held_for` so long.
    ///
    /// # Errors
    /// Our own table; the step can be done again.
    pub async fn project(
        &self,
        slot: HistorySlot,
        plan: Ulid,
        project: u64,
        held_for: Duration,
        deadline: Deadline,
    ) -> Result<Disposition, StoreError> {
        let (link, plan) = match self.running(slot, plan).await? {
            Ok(running) => running,
            Err(disposition) => return Ok(disposition),
        };
        let open = match self.sites.open(link.site).await? {
            Ok(open) => open,
            Err(disposition) => return Ok(disposition),
        };
        let Some(reader) = self.reader(&link, slot).await? else {
            return Ok(Disposition::Drop { reason: "The link has no token.".to_owned() });
        };
        let work = Work { link: &link, plan: &plan, reader: &reader, open: &open, held_for, deadline };
        let mut held = self.count_requests(&link, 0).await?;
        loop {
            if let Some(until) = held {
                return Ok(Disposition::Wait { until, reason: HoldReason::GitlabRateLimited.to_string() });
            }
            if !deadline.leaves(TIME_OF_A_PAGE) {
                let reason = HoldReason::OutOfTime.to_string();
                return Ok(Disposition::Wait { until: self.clock.now(), reason });
            }
            let stored = self.store.project_history(slot, project).await?;
            let Some(stored) = stored.filter(|stored| stored.value.plan == plan.id) else {
                return Ok(Disposition::Drop { reason: "The plan was replaced.".to_owned() });
            };
            if stored.value.has_ended() {
                return Ok(Disposition::Done);
            }
            let before = reader.requests();
            let end = self.page(&work, &stored.value).await?;
            held = self.count_requests(&link, reader.requests() - before).await?;
            if let Some(disposition) = self.end_page(slot, &stored, end).await? {
                return Ok(disposition);
            }
            if self.running(slot, plan.id).await?.is_err() {
                return Ok(Disposition::Drop {
                    reason: "The plan has ended, is paused, or was replaced.".to_owned(),
                });
            }
        }
    }

    /// Stores how a page ended; none when the next one may follow.
    async fn end_page(
        &self,
        slot: HistorySlot,
        stored: &Stored<ProjectHistory>,
        end: PageEnd,
    ) -> Result<Option<Disposition>, StoreError> {
        let now = self.clock.now();
        let (next, disposition) = match end {
            PageEnd::Advanced(next) => (*next, None),
            PageEnd::Later(disposition) => return Ok(Some(disposition)),
            PageEnd::Failed(reason) => {
                let mut next = stored.value.clone();
                next.attempts += 1;
                if next.attempts < MAX_ATTEMPTS {
                    let until = now.after(FAILED_FIRST.saturating_mul(1 << next.attempts));
                    (next, Some(Disposition::Wait { until, reason }))
                } else {
                    next.fail(&TaskFailure::Failed(reason), now);
                    (next, None)
                }
            }
        };
        match self.store.advance_project_history(slot, stored, &next).await {
            Ok(()) => {
                measure(slot, &stored.value, &next);
                Ok(disposition)
            }
            Err(StoreError::Conflict) => {
                Ok(Some(Disposition::Drop { reason: "Another worker does the same project.".to_owned() }))
            }
            Err(error) => Err(error),
        }
    }

    /// The page that comes next.
    async fn page(&self, work: &Work<'_>, project: &ProjectHistory) -> Result<PageEnd, StoreError> {
        let Some(task) = project.current() else { return Ok(PageEnd::advanced(project.clone())) };
        let started_at = self.clock.now();
        let source = Source::of_link(&work.open.site, work.link, project.project.clone());
        let nothing = ProjectBatch::default();
        let reader =
            ProjectReader { reader: work.reader, source: &source, site: work.open.site.id, batch: &nothing };
        let mut page = match reader.list(task.task, task.cursor, work.plan).await {
            Ok(page) => page,
            Err(ListError::Task(cause)) => return Ok(PageEnd::advanced(self.failed(project, &cause))),
            Err(ListError::Read(error)) => return self.unread(work, project, error).await,
            Err(ListError::Store(error)) => return Err(error),
        };
        if let Some(since) = since(&work.plan.depth, task).filter(|_| work.plan.depth.at_least == 0) {
            page.found.retain_since(since);
        }
        let batch = reader.read_page(&mut page).await;
        let reader = ProjectReader { batch: &batch, ..reader };
        let (objects, read) = read_all(&reader, &page, work.held_for).await;
        if let Some(error) = read {
            return self.unread(work, project, error).await;
        }
        let found = page.found.objects();
        let mut applied = self.send(work, objects.entities, &found, started_at).await?;
        let refused = match self.refused(work, project, std::mem::take(&mut applied.dispositions)) {
            Ok(refused) => refused,
            Err(end) => return Ok(end),
        };
        let causes = causes(objects.unread, refused, &applied.left_out);
        let wanted = |index: &usize| !applied.unwanted.contains(index) && !objects.keyless.contains(index);
        let missing = causes.into_iter().filter(|(index, _)| wanted(index)).map(|(index, cause)| {
            let label = found[index].label(&project.project);
            MissingEntity { label, cause }
        });
        let missing: Vec<_> = missing.collect();
        let number = |is: fn(&MissingCause) -> bool| missing.iter().filter(|it| is(&it.cause)).count() as u64;
        let keyed = (0..found.len()).filter(wanted).count() as u64;
        let counts = PageCounts {
            started_at,
            listed: page.listed,
            keyed,
            sent: keyed - missing.len() as u64,
            // What left its issues was there before.
            added: applied.added.difference(&objects.keyless).count() as u64,
            refused: number(|cause| matches!(cause, MissingCause::Refused(_))),
            unread: number(|cause| matches!(cause, MissingCause::Unread(_))),
        };
        let next = page.next.filter(|_| goes_on(&work.plan.depth, task, &counts, page.last));
        let mut advanced = project.clone();
        advanced.take_missing(missing);
        advanced.advance(&counts, next, self.clock.now());
        Ok(PageEnd::advanced(advanced))
    }

    /// What Jira refuses of a page, with its texts; an error when the page is to be read again.
    fn refused(
        &self,
        work: &Work<'_>,
        project: &ProjectHistory,
        dispositions: Vec<(usize, Disposition)>,
    ) -> Result<BTreeMap<usize, String>, PageEnd> {
        let mut refused = BTreeMap::new();
        for (index, mut disposition) in dispositions {
            work.open.cap_wait_for_token(&mut disposition, self.clock.now());
            match disposition {
                Disposition::Wait { .. } | Disposition::Drop { .. } => {
                    return Err(PageEnd::Later(disposition));
                }
                Disposition::Retry { reason } if project.attempts + 1 < MAX_ATTEMPTS => {
                    return Err(PageEnd::Failed(reason));
                }
                Disposition::Retry { reason: text }
                | Disposition::Refused { text }
                | Disposition::Fail { reason: text } => {
                    refused.insert(index, text);
                }
                Disposition::Done => {}
            }
        }
        Ok(refused)
    }

    fn failed(&self, project: &ProjectHistory, cause: &TaskFailure) -> ProjectHistory {
        let mut failed = project.clone();
        failed.fail(cause, self.clock.now());
        failed
    }

    /// What becomes of a page that GitLab did not answer.
    async fn unread(
        &self,
        work: &Work<'_>,
        project: &ProjectHistory,
        error: ReadError,
    ) -> Result<PageEnd, StoreError> {
        if let Some(disposition) = self.interrupted(work.plan.slot(), &error).await? {
            return Ok(PageEnd::Later(disposition));
        }
        Ok(match error {
            ReadError::Failed { reason, .. } => PageEnd::Failed(reason),
            _ => PageEnd::advanced(self.failed(project, &TaskFailure::Forbidden)),
        })
    }

    /// Sends what was read of `objects`. What changed after the plan's end is left to its event.
    async fn send(
        &self,
        work: &Work<'_>,
        mut entities: Vec<PendingEntity>,
        objects: &[Object<'_>],
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let until = work.plan.ends_at();
        entities.retain(|pending| pending.entity.version.changed_at.is_none_or(|changed| changed <= until));
        let again_before = match work.plan.scope {
            HistoryScope::Missing => None,
            HistoryScope::Everything => Some(work.plan.started_at.min(now)),
        };
        let recent_since = work.plan.started_at.before(RECENT);
        let is_news = |pending: &PendingEntity| {
            let changed = pending.origins.first().and_then(|origin| objects[origin.index].changed_at());
            work.plan.kind == HistoryKind::Audit
                && pending.entity.key.kind != EntityKind::Branch
                && changed.is_some_and(|changed| changed >= recent_since)
        };
        let (missed, history): (Vec<_>, Vec<_>) = entities.into_iter().partition(is_news);
        let mut applied = self.apply(work, Operation::Backfill { again_before }, history).await?;
        applied.extend(self.apply(work, Operation::Missed, missed).await?);
        Ok(applied)
    }

    async fn apply(
        &self,
        work: &Work<'_>,
        operation: Operation,
        entities: Vec<PendingEntity>,
    ) -> Result<Applied, StoreError> {
        if entities.is_empty() {
            return Ok(Applied::default());
        }
        let apply = Apply { store: self.store.clone(), clock: self.clock.clone(), operation };
        let allowed = AllowedKeys::from([(work.link.id, work.link.project_keys.as_slice())]);
        apply.apply(work.open.site.clone(), &work.open.client, &allowed, work.deadline, entities).await
    }
}

/// Why things of a page are missing, by their positions in it.
fn causes(
    unread: BTreeMap<usize, String>,
    refused: BTreeMap<usize, String>,
    left_out: &BTreeSet<usize>,
) -> BTreeMap<usize, MissingCause> {
    let left_out = left_out.iter().map(|index| (*index, MissingCause::NoIssue));
    let unread = unread.into_iter().map(|(index, text)| (index, MissingCause::Unread(text)));
    let refused = refused.into_iter().map(|(index, text)| (index, MissingCause::Refused(text)));
    // The last of several counts.
    left_out.chain(unread).chain(refused).collect()
}

/// Reads what a page has found; an error that stops all of it comes second.
async fn read_all(
    reader: &ProjectReader<'_>,
    page: &HistoryPage,
    held_for: Duration,
) -> (Objects, Option<ReadError>) {
    let found = page.found.objects();
    let origin = |index| Origin { index, trace: Ulid::nil(), held_for };
    let reads: Vec<_> =
        found.iter().enumerate().map(|(index, object)| read_one(*reader, origin(index), object)).collect();
    let mut objects = Objects { entities: Vec::new(), unread: BTreeMap::new(), keyless: BTreeSet::new() };
    let mut reads = stream::iter(reads).buffer_unordered(CONCURRENCY);
    while let Some((index, read)) = reads.next().await {
        match read {
            Ok(entities) => {
                let is_branch = matches!(found[index], Object::Branch { .. });
                if !is_branch && entities.iter().all(|it| it.entity.associations.is_empty()) {
                    objects.keyless.insert(index);
                }
                objects.entities.extend(entities);
            }
            Err(ReadError::Gone) => {}
            Err(ReadError::HookOnly) => {
                objects.unread.insert(index, "the token does not see it".to_owned());
            }
            Err(ReadError::Failed { reason, .. }) => {
                objects.unread.insert(index, reason);
            }
            Err(error) => return (objects, Some(error)),
        }
    }
    (objects, None)
}

// Boxed, so that the compiler sees that it is `Send`.
fn read_one<'a>(
    reader: ProjectReader<'a>,
    origin: Origin,
    object: &'a Object<'a>,
) -> BoxFuture<'a, (usize, Result<Vec<PendingEntity>, ReadError>)> {
    async move {
        let read = reader.read(object).await;
        let with_origin = |mut entities: Vec<PendingEntity>| {
            entities.iter_mut().for_each(|pending| pending.origins = vec![origin]);
            entities
        };
        (origin.index, read.map(with_origin))
    }
    .boxed()
}

fn since(depth: &HistoryDepth, task: &TaskProgress) -> Option<Timestamp> {
    if task.task.is_ci() { depth.ci_since } else { depth.since }
}

/// Whether a listing goes on below a page whose last item had changed at `last`.
fn goes_on(depth: &HistoryDepth, task: &TaskProgress, page: &PageCounts, last: Option<Timestamp>) -> bool {
    let at_least = if task.task.is_ci() { 0 } else { u64::from(depth.at_least) };
    let is_deep = since(depth, task).is_some_and(|since| last.is_some_and(|last| last < since));
    !is_deep || task.keyed + page.keyed < at_least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::HistoryTask;

    #[test]
    fn a_listing_goes_on_until_it_is_past_both_bounds() {
        let depth = HistoryDepth { since: Some(Timestamp(100)), ci_since: Some(Timestamp(500)), at_least: 3 };
        let project = ProjectHistory::new(
            HistoryKind::History,
            Ulid::nil(),
            crate::domain::Project::default(),
            Timestamp(0),
        );
        let goes_on = |task: HistoryTask, keyed, last| {
            let task = project.tasks.iter().find(|it| it.task == task).expect("every task");
            goes_on(&depth, task, &PageCounts { keyed, ..PageCounts::default() }, Some(Timestamp(last)))
        };
        assert!(goes_on(HistoryTask::MergeRequests, 3, 100), "it is not past the date");
        assert!(goes_on(HistoryTask::MergeRequests, 2, 99), "too few were found");
        assert!(!goes_on(HistoryTask::MergeRequests, 3, 99));
        assert!(!goes_on(HistoryTask::Pipelines, 0, 499), "pipelines have a bound of their own");
    }
}
