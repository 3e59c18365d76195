//! A link's plans for its history and its audit, how far each has come in each project, and how many requests they have made
//! of GitLab. A project is one item, written once a page and only by whoever read it last; so work that is done twice shows
//! as a conflict.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use super::{EXPIRES_AT, Key, SCHEMA_VERSION, Store, StoreError, Stored, VERSION, When, unavailable};
use crate::clock::Timestamp;
use crate::domain::{HistoryKind, HistoryPlan, HistoryProgress, HistorySlot, ProjectHistory, SubscriptionId};

/// How long counted requests are of use.
const REQUESTS_LIFETIME: Duration = Duration::from_secs(2 * 3600);

const REQUESTS: &str = "requests";

impl Store {
    /// The newest plan of its kind.
    pub async fn history_plan(&self, slot: HistorySlot) -> Result<Option<HistoryPlan>, StoreError> {
        Ok(self.get(&plan_key(slot)).await?.map(|stored| stored.value))
    }

    /// Stores a plan in the place of the last one of its kind.
    pub async fn begin_history(&self, plan: &HistoryPlan) -> Result<(), StoreError> {
        self.put(&plan_key(plan.slot()), plan, When::Always, None).await
    }

    /// Changes a plan; `None` when there is none.
    pub async fn update_history(
        &self,
        slot: HistorySlot,
        change: impl Fn(&mut HistoryPlan) + Send + Sync,
    ) -> Result<Option<HistoryPlan>, StoreError> {
        self.update(&plan_key(slot), change).await
    }

    /// How far the plan has come in one project.
    pub async fn project_history(
        &self,
        slot: HistorySlot,
        project: u64,
    ) -> Result<Option<Stored<ProjectHistory>>, StoreError> {
        self.get(&project_key(slot, project)).await
    }

    /// Stores a project of a plan, unless the plan has it already. An earlier plan's is replaced.
    pub async fn begin_project_history(
        &self,
        slot: HistorySlot,
        project: &ProjectHistory,
    ) -> Result<(), StoreError> {
        let key = project_key(slot, project.project.id);
        let when = match self.get::<ProjectHistory>(&key).await? {
            Some(stored) if stored.value.plan == project.plan => return Ok(()),
            Some(stored) => When::Unchanged(stored.revision),
            None => When::Absent,
        };
        match self.put(&key, project, when, None).await {
            // Whoever was first lists the same project for the same plan, or for a newer one.
            Err(StoreError::Conflict) => Ok(()),
            written => written,
        }
    }

    /// Stores what a step has changed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else did the step.
    pub async fn advance_project_history(
        &self,
        slot: HistorySlot,
        read: &Stored<ProjectHistory>,
        next: &ProjectHistory,
    ) -> Result<(), StoreError> {
        self.put(&project_key(slot, next.project.id), next, When::Unchanged(read.revision), None).await
    }

    /// How far the plan has come in all of its projects.
    pub async fn history_projects(&self, slot: HistorySlot) -> Result<Vec<ProjectHistory>, StoreError> {
        self.query(&partition(slot.link), project_prefix(slot.kind)).await
    }

    /// How far the newest plan of its kind has come in all. Reads every project of it, and
    /// keeps none.
    pub async fn history_progress(&self, slot: HistorySlot) -> Result<Option<HistoryProgress>, StoreError> {
        let Some(plan) = self.history_plan(slot).await? else { return Ok(None) };
        let mut progress = HistoryProgress::before(plan);
        let count = |_, project: ProjectHistory| progress.add(&project);
        self.query_each(&partition(slot.link), project_prefix(slot.kind), count).await?;
        Ok(Some(progress.summed_up()))
    }

    /// Forgets what is known of a link's history and audit.
    pub async fn delete_history(&self, link: SubscriptionId) -> Result<(), StoreError> {
        let mut keys = Vec::new();
        for slot in [HistorySlot::history(link), HistorySlot::audit(link)] {
            let prefix = project_prefix(slot.kind);
            let projects = self.query_keyed::<ProjectHistory>(&partition(link), prefix).await?;
            keys.extend(projects.into_iter().map(|(key, _)| key));
            keys.push(plan_key(slot));
        }
        self.delete_many(&keys).await
    }

    /// Counts `requests` made of GitLab for a link's history in the window that began at `window`, and answers how many there
    /// were in it. Counting none asks.
    pub async fn count_history_requests(
        &self,
        link: SubscriptionId,
        (span, window): (&str, Timestamp),
        requests: u64,
    ) -> Result<u64, StoreError> {
        let key = Key::new(partition(link), format!("REQUESTS#{span}#{}", window.seconds()));
        let number = |number: i64| AttributeValue::N(number.to_string());
        let expires_at = self.clock.now().after(REQUESTS_LIFETIME).seconds();
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .update_expression("SET #version = :version, #expires = :expires ADD #requests :requests")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_names("#requests", REQUESTS)
            .expression_attribute_values(":version", AttributeValue::N(SCHEMA_VERSION.to_owned()))
            .expression_attribute_values(":expires", number(expires_at))
            .expression_attribute_values(":requests", AttributeValue::N(requests.to_string()))
            .return_values(ReturnValue::UpdatedNew);
        let written = self.write(|| request.clone().send()).await?;
        let counted =
            written.attributes.as_ref().and_then(|item| item.get(REQUESTS)?.as_n().ok()?.parse().ok());
        counted.ok_or_else(|| unavailable("the table does not say how many requests were counted"))
    }
}

fn project_prefix(kind: HistoryKind) -> &'static str {
    match kind {
        HistoryKind::History => "PROJECT#",
        HistoryKind::Audit => "AUDITED#",
    }
}

fn partition(link: SubscriptionId) -> String {
    format!("HISTORY#{link}")
}

fn plan_key(slot: HistorySlot) -> Key {
    let name = match slot.kind {
        HistoryKind::History => "PLAN",
        HistoryKind::Audit => "AUDIT",
    };
    Key::new(partition(slot.link), name)
}

fn project_key(slot: HistorySlot, project: u64) -> Key {
    Key::new(partition(slot.link), format!("{}{project}", project_prefix(slot.kind)))
}

// The tests need a store, and so the local process's engine.
#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use crate::domain::{HistoryDepth, HistoryScope, HistoryState, Project};
    use crate::store::faulty::Faults;
    use ulid::Ulid;

    fn project(plan: Ulid, id: u64) -> ProjectHistory {
        ProjectHistory::new(HistoryKind::History, plan, Project { id, ..Project::default() }, Timestamp(1))
    }

    #[tokio::test]
    async fn a_step_counts_once_and_a_new_plan_starts_over() {
        let (store, _faults, _clock) = Faults::store().await;
        let slot = HistorySlot::history(SubscriptionId::generate());
        let (first, second) = (Ulid::new(), Ulid::new());
        store.begin_project_history(slot, &project(first, 7)).await.expect("written");
        let read = store.project_history(slot, 7).await.expect("read").expect("there");
        let mut next = read.value.clone();
        next.step = 1;
        store.advance_project_history(slot, &read, &next).await.expect("written");
        let again = store.advance_project_history(slot, &read, &next).await;
        assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
        store.begin_project_history(slot, &project(first, 7)).await.expect("nothing to do");
        let read = store.project_history(slot, 7).await.expect("read").expect("there");
        assert_eq!(read.value.step, 1, "listing a project again does not begin it again");
        store.begin_project_history(slot, &project(second, 7)).await.expect("written");
        let read = store.project_history(slot, 7).await.expect("read").expect("there");
        assert_eq!((read.value.plan, read.value.step), (second, 0));
    }

    #[tokio::test]
    async fn requests_are_counted_by_window_and_forgotten_with_the_link() {
        let (store, _faults, _clock) = Faults::store().await;
        let link = SubscriptionId::generate();
        let minute = |seconds: i64| ("MINUTE", Timestamp(seconds * 1_000));
        assert_eq!(store.count_history_requests(link, minute(0), 3).await.expect("counted"), 3);
        assert_eq!(store.count_history_requests(link, minute(0), 4).await.expect("counted"), 7);
        assert_eq!(store.count_history_requests(link, minute(60), 0).await.expect("counted"), 0);
        let plan = HistoryPlan {
            id: Ulid::new(),
            link,
            kind: HistoryKind::Audit,
            scope: HistoryScope::Missing,
            depth: HistoryDepth { since: None, ci_since: None, at_least: 1 },
            state: HistoryState::Running,
            next_page: Some(1),
            total: None,
            started_at: Timestamp(1),
            ended_at: None,
            only: None,
            deletes_many: false,
        };
        let slot = plan.slot();
        store.begin_history(&plan).await.expect("written");
        store.begin_project_history(slot, &project(plan.id, 1)).await.expect("written");
        assert_eq!(store.history_progress(slot).await.expect("read").map(|it| it.projects), Some(1));
        let history = store.history_progress(HistorySlot::history(link)).await;
        assert_eq!(history.expect("read"), None, "a link's audit is not its history");
        store.delete_history(link).await.expect("deleted");
        assert_eq!(store.history_progress(slot).await.expect("read"), None);
        assert!(store.history_projects(slot).await.expect("read").is_empty());
    }
}
