//! What the events of a batch need of one project, read in a few calls for all of them. An object whose answer is missing
//! here is read by itself; so nothing that goes wrong here costs anything but those calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::future::join3;

use super::{Commit, Deployment, FeatureFlag, GitlabError, MergeRequest, Object, Pipeline, ProjectReader};
use crate::clock::Timestamp;
use crate::gitlab::client::MAX_FILES;
use crate::gitlab::graphql::{BranchMergeRequest, DEFAULT_LIMIT, GraphqlError, ProjectAnswer, Query};
use crate::gitlab::model::Branch;

/// Pages of a project's newest commits that are looked through for those of a batch.
const COMMIT_PAGES: u32 = 3;

/// Hooks cut dates to seconds, and Git's clocks differ a little.
const DATE_SLACK: Duration = Duration::from_secs(5);

/// What was read together of one project, each with the moment just before. Holds for one batch.
#[derive(Debug, Default)]
pub struct ProjectBatch {
    /// Branches; `None` for those that are not there.
    pub(super) branches: HashMap<String, (Timestamp, Option<Branch>)>,
    /// Merge requests by iid, with everything that is sent of them.
    pub(super) merge_requests: HashMap<u64, (Timestamp, MergeRequest)>,
    /// All merge requests that come from a branch, whatever their state.
    pub(super) of_branches: HashMap<String, Vec<BranchMergeRequest>>,
    /// Pipelines by id, with their tests.
    pub(super) pipelines: HashMap<u64, (Timestamp, Pipeline)>,
    /// The newest deployments of an environment, newest first, and whether these are all.
    pub(super) deployments: HashMap<String, (Timestamp, Vec<Deployment>, bool)>,
    /// Feature flags by name, with their strategies.
    pub(super) feature_flags: HashMap<String, (Timestamp, FeatureFlag)>,
}

/// What GraphQL is good for on a link: as an instance's versions and a link's token decide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct GraphqlSupport {
    /// Whether it answers at all.
    answers: bool,
    /// Whether it knows the files of commits.
    files: bool,
    /// What a request may cost, in our own reckoning: half of what GitLab allows.
    budget: u32,
}

impl Default for GraphqlSupport {
    fn default() -> Self {
        Self { answers: true, files: true, budget: DEFAULT_LIMIT / 2 }
    }
}

/// What the objects of a batch need.
#[derive(Debug, Default)]
struct Needs<'a> {
    branches: BTreeSet<&'a str>,
    source_branches: BTreeSet<&'a str>,
    merge_requests: BTreeSet<u64>,
    pipelines: BTreeMap<u64, u64>,
    environments: BTreeSet<&'a str>,
    /// Commits with keys that a hook lists, of pushes that it lists in full.
    commits: Vec<&'a Commit>,
}

impl<'a> Needs<'a> {
    fn of(objects: &'a [Object<'a>], project: u64) -> Self {
        let mut needs = Self::default();
        for object in objects {
            match object {
                Object::Branch { name, pushes, .. } => {
                    needs.add_branch(name);
                    let whole = pushes.iter().filter(|push| push.carries_all());
                    let commits =
                        whole.flat_map(|push| &push.commits).filter(|commit| !commit.keys.is_empty());
                    needs.commits.extend(commits);
                }
                Object::Commit(known) => needs.commits.push(known),
                Object::MergeRequest(known) => {
                    needs.merge_requests.insert(known.iid);
                    if known.is_open() && known.source_project_id == Some(project) {
                        needs.add_branch(&known.source_branch);
                    }
                }
                Object::Pipeline(known) => {
                    needs.pipelines.extend(known.iid.map(|iid| (iid, known.id)));
                    needs
                        .merge_requests
                        .extend(known.merge_requests.iter().map(|merge_request| merge_request.iid));
                    if !known.tag && !known.git_ref.is_empty() {
                        needs.source_branches.insert(&known.git_ref);
                    }
                }
                Object::Deployment(known) => {
                    if !known.environment.name.is_empty() {
                        needs.environments.insert(&known.environment.name);
                    }
                    if !known.git_ref.is_empty() {
                        needs.source_branches.insert(&known.git_ref);
                    }
                }
                Object::FeatureFlag(_) => {}
            }
        }
        needs
    }

    /// The same without what `known` has.
    fn without(mut self, known: &ProjectBatch) -> Self {
        self.branches.retain(|name| !known.branches.contains_key(*name));
        self.source_branches.retain(|name| !known.of_branches.contains_key(*name));
        self.merge_requests.retain(|iid| !known.merge_requests.contains_key(iid));
        self.environments.retain(|name| !known.deployments.contains_key(*name));
        self
    }

    fn add_branch(&mut self, name: &'a str) {
        self.branches.insert(name);
        self.source_branches.insert(name);
    }
}

impl ProjectReader<'_> {
    /// Reads together what `objects` need of the project. Errors are left to whoever reads the objects, but for those that
    /// ask for a pause.
    pub async fn read_together(&self, objects: &[Object<'_>]) -> ProjectBatch {
        self.read_together_with(objects, ProjectBatch::default()).await
    }

    /// The same, where `batch` is known already.
    pub(super) async fn read_together_with(
        &self,
        objects: &[Object<'_>],
        mut batch: ProjectBatch,
    ) -> ProjectBatch {
        if self.reader.backing_off().is_some() {
            return batch;
        }
        let needs = Needs::of(objects, self.source.project.id).without(&batch);
        let (branches, commits, deployments) =
            join3(self.read_branches(&needs), self.read_commits(&needs), self.read_deployments(&needs)).await;
        let mut errors = Vec::new();
        match branches {
            Ok(branches) => batch.branches.extend(branches),
            Err(error) => errors.push(error),
        }
        match deployments {
            Ok(deployments) => batch.deployments.extend(deployments),
            Err(error) => errors.push(error),
        }
        errors.extend(commits.err());
        if errors.is_empty() {
            errors.extend(self.ask_graphql(&needs, &mut batch).await.err());
        }
        for error in errors {
            if matches!(error, GitlabError::RateLimited { .. } | GitlabError::Unavailable(_)) {
                self.reader.read_error(error).await;
            }
        }
        batch
    }

    /// Reads all merge requests that come from branches. What is missing in the answer is not known.
    pub(super) async fn read_merge_requests_of(&self, branches: impl Iterator<Item = &str>) -> ProjectBatch {
        let mut batch = ProjectBatch::default();
        let is_branch = |name: &&str| !name.starts_with("refs/") && !name.is_empty();
        let needs = Needs { source_branches: branches.filter(is_branch).collect(), ..Needs::default() };
        if let Err(error) = self.ask_graphql(&needs, &mut batch).await {
            self.reader.read_error(error).await;
        }
        batch
    }

    async fn read_branches(
        &self,
        needs: &Needs<'_>,
    ) -> Result<HashMap<String, (Timestamp, Option<Branch>)>, GitlabError> {
        let names: Vec<&str> = needs.branches.iter().copied().collect();
        if names.len() < 2 {
            return Ok(HashMap::new());
        }
        let known_at = self.reader.now();
        let (found, is_all) = self.reader.client.branches(&self.source.project, &names).await?;
        let absent = names.iter().filter(|_| is_all).map(|name| ((*name).to_owned(), (known_at, None)));
        let mut branches: HashMap<_, _> = absent.collect();
        for branch in found {
            self.keep(&branch.head).await;
            branches.insert(branch.name.clone(), (known_at, Some(branch)));
        }
        Ok(branches)
    }

    /// Fills the cache of commits. One push is listed by itself in as many calls.
    async fn read_commits(&self, needs: &Needs<'_>) -> Result<(), GitlabError> {
        let mut missing = BTreeMap::new();
        for commit in &needs.commits {
            if self.known_commit(&commit.sha).await.is_none() {
                missing.insert(commit.sha.as_str(), commit.committed_at);
            }
        }
        let Some(Some(since)) = missing.values().min().copied().filter(|_| missing.len() > 1) else {
            return Ok(());
        };
        let (since, mut next) = (since.before(DATE_SLACK), Some(1));
        while let Some(page) = next.filter(|page| *page <= COMMIT_PAGES && !missing.is_empty()) {
            let commits = self.reader.client.commits_since(&self.source.project, since, page).await?;
            for commit in commits.items {
                missing.remove(commit.sha.as_str());
                self.keep(&commit).await;
            }
            next = commits.next;
        }
        Ok(())
    }

    async fn read_deployments(
        &self,
        needs: &Needs<'_>,
    ) -> Result<HashMap<String, (Timestamp, Vec<Deployment>, bool)>, GitlabError> {
        let mut deployments = HashMap::new();
        for environment in &needs.environments {
            let known_at = self.reader.now();
            let (found, is_all) = self.reader.client.deployments(&self.source.project, environment).await?;
            deployments.insert((*environment).to_owned(), (known_at, found, is_all));
        }
        Ok(deployments)
    }

    async fn ask_graphql(&self, needs: &Needs<'_>, batch: &mut ProjectBatch) -> Result<(), GitlabError> {
        let key = self.reader.cache_key(0, self.reader.link());
        let cache = &self.reader.access.cache.graphql;
        let mut support = cache.get(&key).await.unwrap_or_default();
        if !support.answers {
            return Ok(());
        }
        let query = self.query(needs, batch).await;
        let mut parts = query.within(support.budget);
        parts.reverse();
        while let Some(mut part) = parts.pop() {
            if !support.files {
                part.commits.clear();
            }
            if part.is_empty() {
                continue;
            }
            let known_at = self.reader.now();
            match self.reader.client.query(&self.source.project, &part).await {
                Ok(answer) => {
                    support.learn(&part, &answer);
                    self.take(needs, &part, answer, known_at, batch).await;
                }
                // Another project may be answered.
                Err(GraphqlError::NoProject) => return Ok(()),
                // Files of commits came after the rest.
                Err(GraphqlError::Refused(reason)) if support.files && !part.commits.is_empty() => {
                    tracing::info!(reason, "GraphQL gives no files of commits");
                    support.files = false;
                    parts.push(part);
                }
                Err(GraphqlError::Refused(reason)) => {
                    tracing::info!(reason, "GraphQL refuses a query; REST is asked instead");
                    support.answers = false;
                    parts.clear();
                }
                Err(GraphqlError::Call(error @ GitlabError::RateLimited { .. })) => return Err(error),
                // It took too long for this once, or something on the way does not let it through. Whether GitLab as a whole
                // is unavailable, REST says.
                Err(GraphqlError::Call(GitlabError::Failed(_) | GitlabError::Unavailable(_))) => {
                    return Ok(());
                }
                Err(GraphqlError::Call(error)) => {
                    tracing::info!(%error, "GraphQL does not answer; REST is asked instead");
                    support.answers = false;
                    parts.clear();
                }
            }
        }
        cache.insert(key, support).await;
        Ok(())
    }

    /// What is asked, now that branches and deployments are known.
    async fn query(&self, needs: &Needs<'_>, batch: &ProjectBatch) -> Query {
        let mut source_branches = needs.source_branches.clone();
        let deployments = batch.deployments.values().flat_map(|(_, found, _)| found);
        source_branches.extend(deployments.take(MAX_DEPLOYED_REFS).map(|found| found.git_ref.as_str()));
        let mut commits: BTreeSet<&str> = BTreeSet::new();
        let heads = batch.branches.values().filter_map(|(_, branch)| Some(&branch.as_ref()?.head));
        for commit in needs.commits.iter().copied().chain(heads) {
            // Of larger ones only the first files are wanted, which REST gives. A listing does not count them; where one
            // turns out to be so large that GitLab leaves out lines, REST is asked for it, too.
            let is_small = commit.file_count.is_none_or(|count| count <= MAX_FILES);
            if is_small && !self.knows_files(&commit.sha).await {
                commits.insert(&commit.sha);
            }
        }
        let is_ref = |name: &&str| name.starts_with("refs/");
        Query {
            merge_requests: needs.merge_requests.iter().copied().collect(),
            source_branches: source_branches
                .into_iter()
                .filter(|name| !is_ref(name))
                .map(str::to_owned)
                .collect(),
            pipelines: needs.pipelines.keys().copied().collect(),
            commits: commits.into_iter().map(str::to_owned).collect(),
        }
    }

    async fn take(
        &self,
        needs: &Needs<'_>,
        asked: &Query,
        answer: ProjectAnswer,
        known_at: Timestamp,
        batch: &mut ProjectBatch,
    ) {
        for merge_request in answer.merge_requests {
            batch.merge_requests.insert(merge_request.iid, (known_at, merge_request));
        }
        if let Some(found) = answer.of_branches {
            for branch in &asked.source_branches {
                let of_branch = found.iter().filter(|it| it.merge_request.source_branch == *branch);
                batch.of_branches.insert(branch.clone(), of_branch.cloned().collect());
            }
        }
        for pipeline in answer.pipelines {
            let is_asked = pipeline.iid.and_then(|iid| needs.pipelines.get(&iid)) == Some(&pipeline.id);
            if is_asked {
                batch.pipelines.insert(pipeline.id, (known_at, pipeline));
            }
        }
        for commit in answer.commits {
            let count = u32::try_from(commit.files.len()).unwrap_or(u32::MAX);
            let key = self.reader.cache_key(self.source.project.id, commit.sha);
            self.reader.access.cache.files.insert(key, (Some(count), commit.files)).await;
        }
    }
}

/// Refs of deployments whose merge requests are asked for beside those of a batch.
const MAX_DEPLOYED_REFS: usize = 5;

impl GraphqlSupport {
    /// Takes what GitLab says that a request has cost for what our reckoning is worth.
    fn learn(&mut self, asked: &Query, answer: &ProjectAnswer) {
        let Some(said) = answer.complexity.filter(|said| said.score > 0 && said.limit > 0) else { return };
        let half = u64::from(said.limit / 2) * u64::from(asked.cost()) / u64::from(said.score);
        // A small query says less of a large one's cost; never more than doubles what is asked at once.
        self.budget = u32::try_from(half).unwrap_or(u32::MAX).clamp(1, said.limit / 2);
    }
}
