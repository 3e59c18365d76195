//! A page of what a project has had so far: listed, and of what was listed whatever names an issue. Which pages are read, and
//! what is sent of them, belongs to `history`.

use std::collections::{BTreeSet, HashMap};

use super::{
    Commit, Deployment, FeatureFlag, MergeRequest, Object, Pipeline, ProjectBatch, ProjectReader, Read,
    ReadError,
};
use crate::clock::Timestamp;
use crate::domain::{Cursor, HistoryPlan, HistoryTask, IssueKeys, TaskFailure};
use crate::gitlab::client::{GitlabError, Page};
use crate::gitlab::model::Branch;
use crate::store::StoreError;

/// Pages of commits that are looked through for those of a page of pipelines, before each is asked for by itself.
const COMMIT_PAGES: u32 = 3;

/// A branch that issues show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownBranch {
    /// Its name.
    pub name: String,
    /// The head that it had when it was sent.
    pub head: String,
}

/// A page of a listing.
#[derive(Debug)]
pub struct HistoryPage {
    /// How many things it lists.
    pub listed: u64,
    /// Those of them that name an issue, or may do so; in an audit also those that issues show all the same.
    pub found: Found,
    /// Where the listing goes on; none at its end.
    pub next: Option<Cursor>,
    /// When the last of what is listed had changed.
    pub last: Option<Timestamp>,
    /// What is known already of what was found.
    pub(super) batch: ProjectBatch,
}

/// What a listing has found.
#[derive(Debug)]
pub enum Found {
    /// Merge requests.
    MergeRequests(Vec<MergeRequest>),
    /// Branches, by name.
    Branches(Vec<Branch>),
    /// Commits.
    Commits(Vec<Commit>),
    /// Pipelines.
    Pipelines(Vec<Pipeline>),
    /// Deployments.
    Deployments(Vec<Deployment>),
    /// Feature flags.
    FeatureFlags(Vec<FeatureFlag>),
    /// Branches that issues show and GitLab no longer has.
    DeletedBranches(Vec<ShownBranch>),
}

/// Why a page was not listed.
#[derive(Debug)]
pub enum ListError {
    /// The listing can't be read in this project.
    Task(TaskFailure),
    /// GitLab can't be read.
    Read(ReadError),
    /// Our own table can't be.
    Store(StoreError),
}

impl Found {
    /// Leaves out what was changed before `since`, or whose head was.
    pub fn retain_since(&mut self, since: Timestamp) {
        let is_wanted = |changed: Option<Timestamp>| changed.is_none_or(|changed| changed >= since);
        match self {
            Self::MergeRequests(found) => found.retain(|it| is_wanted(it.updated_at)),
            Self::Branches(found) => found.retain(|it| is_wanted(it.head.committed_at)),
            Self::Commits(found) => found.retain(|it| is_wanted(it.committed_at)),
            Self::Pipelines(found) => found.retain(|it| is_wanted(it.updated_at)),
            Self::Deployments(found) => found.retain(|it| is_wanted(it.updated_at)),
            Self::FeatureFlags(found) => found.retain(|it| is_wanted(it.updated_at)),
            // When a branch was deleted is not known.
            Self::DeletedBranches(_) => {}
        }
    }

    /// What is to be read.
    #[must_use]
    pub fn objects(&self) -> Vec<Object<'_>> {
        match self {
            Self::MergeRequests(found) => found.iter().map(Object::MergeRequest).collect(),
            Self::Branches(found) => {
                let names = found.iter().map(|branch| branch.name.as_str());
                names.map(|name| Object::Branch { name, pushes: Vec::new(), deleted_head: None }).collect()
            }
            Self::Commits(found) => found.iter().map(Object::Commit).collect(),
            Self::Pipelines(found) => found.iter().map(Object::Pipeline).collect(),
            Self::Deployments(found) => found.iter().map(Object::Deployment).collect(),
            Self::FeatureFlags(found) => found.iter().map(Object::FeatureFlag).collect(),
            Self::DeletedBranches(found) => {
                let names = found.iter().map(|branch| (branch.name.as_str(), branch.head.as_str()));
                names
                    .map(|(name, head)| Object::Branch { name, pushes: Vec::new(), deleted_head: Some(head) })
                    .collect()
            }
        }
    }
}

impl ProjectReader<'_> {
    /// Lists the page of `task` at `cursor`, without what changed after `plan` ends.
    ///
    /// # Errors
    /// [`ListError`].
    pub async fn list(
        &self,
        task: HistoryTask,
        cursor: Cursor,
        plan: &HistoryPlan,
    ) -> Result<HistoryPage, ListError> {
        if let Some(error) = self.reader.backing_off() {
            return Err(ListError::Read(error));
        }
        let cursor = Cursor { before: cursor.before.or(Some(plan.ends_at())), ..cursor };
        let page = match task {
            HistoryTask::MergeRequests => self.list_merge_requests(cursor).await,
            HistoryTask::Branches => self.list_branches(cursor).await,
            HistoryTask::Commits => self.list_commits(cursor).await,
            HistoryTask::Pipelines => self.list_pipelines(cursor).await,
            HistoryTask::Deployments => self.list_deployments(cursor).await,
            HistoryTask::FeatureFlags => self.list_feature_flags(cursor).await,
            HistoryTask::DeletedBranches => return self.list_deleted_branches(cursor, plan).await,
        };
        let mut page = match page {
            Ok(page) => page,
            Err(error) => return Err(self.not_listed(error).await),
        };
        self.reader.succeeded().await;
        self.leave_out_keyless(&mut page, plan.kind).await?;
        Ok(page)
    }

    /// What it means that a listing of the project is not answered.
    pub(super) async fn not_listed(&self, error: GitlabError) -> ListError {
        match error {
            GitlabError::NotFound => match self.reader.client.project(self.source.project.id).await {
                Ok(_) => ListError::Task(TaskFailure::Forbidden),
                Err(GitlabError::NotFound) => ListError::Task(TaskFailure::ProjectGone),
                Err(error) => ListError::Read(self.reader.read_error(error).await),
            },
            // A feature that is disabled says nothing of the link's token.
            GitlabError::Forbidden => ListError::Task(TaskFailure::Forbidden),
            error => ListError::Read(self.reader.read_error(error).await),
        }
    }

    /// Reads together what a page has found.
    pub async fn read_page(&self, page: &mut HistoryPage) -> ProjectBatch {
        let known = std::mem::take(&mut page.batch);
        if let Found::DeletedBranches(_) = page.found {
            // Each is asked for by itself: a second answer without it, after the listing.
            return known;
        }
        self.read_together_with(&page.found.objects(), known).await
    }

    async fn list_merge_requests(&self, cursor: Cursor) -> Read<HistoryPage> {
        let (client, project) = (&self.reader.client, &self.source.project);
        let page = client.merge_requests_before(project, cursor.before, cursor.page).await?;
        let listing = Listing::of(&page, cursor, |merge_request| merge_request.updated_at);
        Ok(listing.page(Found::MergeRequests(page.items), ProjectBatch::default()))
    }

    async fn list_branches(&self, cursor: Cursor) -> Read<HistoryPage> {
        let known_at = self.reader.now();
        let page = self.reader.client.branches_with_keys(&self.source.project, cursor.page).await?;
        // Branches can't be listed by date, only ordered by it.
        let listing = Listing::of(&page, Cursor { before: None, ..cursor }, |_| None);
        let last = page.items.last().and_then(|branch| branch.head.committed_at);
        let mut batch = ProjectBatch::default();
        let mut found = page.items;
        found.retain(|branch| !IssueKeys::extract([branch.name.as_str()]).is_empty());
        for branch in &found {
            self.keep(&branch.head).await;
            batch.branches.insert(branch.name.clone(), (known_at, Some(branch.clone())));
        }
        Ok(HistoryPage { last, ..listing.page(Found::Branches(found), batch) })
    }

    async fn list_commits(&self, cursor: Cursor) -> Read<HistoryPage> {
        let (client, project) = (&self.reader.client, &self.source.project);
        let page = client.commits_before(project, cursor.before, cursor.page).await?;
        let listing = Listing::of(&page, cursor, |commit| commit.committed_at);
        for commit in &page.items {
            self.keep(commit).await;
        }
        Ok(listing.page(Found::Commits(page.items), ProjectBatch::default()))
    }

    async fn list_pipelines(&self, cursor: Cursor) -> Read<HistoryPage> {
        let (client, project) = (&self.reader.client, &self.source.project);
        let mut page = client.pipelines_before(project, cursor.before, cursor.page).await?;
        let listing = Listing::of(&page, cursor, |pipeline| pipeline.updated_at);
        self.find_commits(&page.items, cursor.before).await?;
        for pipeline in &mut page.items {
            pipeline.commit_keys = match self.commit(&pipeline.sha).await {
                Ok(commit) => Some(commit.keys),
                Err(GitlabError::NotFound) => None,
                Err(error) => return Err(error),
            };
        }
        let refs = page.items.iter().map(|pipeline| pipeline.git_ref.as_str());
        let batch = self.read_merge_requests_of(refs).await;
        Ok(listing.page(Found::Pipelines(page.items), batch))
    }

    /// Fills the cache of commits for pipelines.
    async fn find_commits(&self, pipelines: &[Pipeline], before: Option<Timestamp>) -> Read<()> {
        let mut missing = BTreeSet::new();
        for pipeline in pipelines {
            if self.known_commit(&pipeline.sha).await.is_none() {
                missing.insert(pipeline.sha.clone());
            }
        }
        let mut next = Some(1);
        while let Some(page) = next.filter(|page| *page <= COMMIT_PAGES && missing.len() > 1) {
            let commits = self.reader.client.commits_before(&self.source.project, before, page).await?;
            for commit in &commits.items {
                missing.remove(&commit.sha);
                self.keep(commit).await;
            }
            next = commits.next;
        }
        Ok(())
    }

    async fn list_deployments(&self, cursor: Cursor) -> Read<HistoryPage> {
        let (client, project, known_at) = (&self.reader.client, &self.source.project, self.reader.now());
        let page = client.deployments_before(project, cursor.before, cursor.page).await?;
        let listing = Listing::of(&page, cursor, |deployment| deployment.updated_at);
        let mut environments: HashMap<String, (Timestamp, Vec<Deployment>, bool)> = HashMap::new();
        for deployment in &page.items {
            let of_environment = environments
                .entry(deployment.environment.name.clone())
                .or_insert_with(|| (known_at, Vec::new(), page.next.is_none()));
            of_environment.1.push(deployment.clone());
        }
        for (_, deployments, _) in environments.values_mut() {
            deployments.sort_by_key(|deployment| std::cmp::Reverse(deployment.iid));
        }
        let batch = ProjectBatch { deployments: environments, ..ProjectBatch::default() };
        Ok(listing.page(Found::Deployments(page.items), batch))
    }

    async fn list_feature_flags(&self, cursor: Cursor) -> Read<HistoryPage> {
        let known_at = self.reader.now();
        let page = self.reader.client.feature_flags(&self.source.project, cursor.page).await?;
        let listing = Listing::of(&page, Cursor { before: None, ..cursor }, |_| None);
        let known = page.items.iter().map(|flag| (flag.name.clone(), (known_at, flag.clone())));
        let batch = ProjectBatch { feature_flags: known.collect(), ..ProjectBatch::default() };
        Ok(listing.page(Found::FeatureFlags(page.items), batch))
    }
}

/// What is to be remembered of a page before its items are looked through.
struct Listing {
    listed: u64,
    next: Option<Cursor>,
    last: Option<Timestamp>,
}

impl Listing {
    fn of<T>(page: &Page<T>, cursor: Cursor, changed_at: impl Fn(&T) -> Option<Timestamp>) -> Self {
        let last = page.items.last().and_then(changed_at);
        let next = page.next.map(|next| cursor.after(last, next));
        Self { listed: page.items.len() as u64, next, last }
    }

    fn page(self, found: Found, batch: ProjectBatch) -> HistoryPage {
        HistoryPage { listed: self.listed, found, next: self.next, last: self.last, batch }
    }
}
