//! Pipelines: their merge requests and what their tests said.

use std::sync::Arc;

use super::cache::Listed;
use super::{GitlabError, IssueKeys, MergeRequest, PendingEntity, Pipeline, ProjectReader, Read, remember};
use crate::gitlab::model::PipelineMergeRequest;
use crate::store::ignored_deliveries::IgnoreReason;
use crate::sync::transform::{issue_keys, short};

/// Pages of the merge requests of a commit that are looked through: one is in few, but for those that many branches begin at.
const MERGE_REQUEST_PAGES: u32 = 5;

impl ProjectReader<'_> {
    pub(super) async fn pipeline(&self, known: &Pipeline) -> Read<Vec<PendingEntity>> {
        let (known_at, mut pipeline) = match self.batch.pipelines.get(&known.id) {
            Some((known_at, pipeline)) => {
                (*known_at, Pipeline { web_url: known.web_url.clone(), ..pipeline.clone() })
            }
            None => (self.reader.now(), self.pipeline_with_tests(known.id).await?),
        };
        if !has_ended(&pipeline) {
            pipeline.tests = None;
        }
        pipeline.iid = pipeline.iid.or(known.iid);
        pipeline.tag |= known.tag;
        pipeline.commit_keys = match &known.commit_keys {
            None => self.commit_keys(&pipeline.sha).await?,
            known => known.clone(),
        };
        let on = self.merge_requests_on(&pipeline.sha, &pipeline.git_ref).await?;
        pipeline.merge_requests = on.items;
        // It may have keys that can't be read any more.
        let are_all_known = on.is_all && pipeline.commit_keys.is_some();
        if !are_all_known && issue_keys(&pipeline).is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.source.build(&pipeline, known_at, false).into_iter().map(PendingEntity::from).collect())
    }

    /// The keys in a commit's message; none when it is gone.
    async fn commit_keys(&self, sha: &str) -> Read<Option<IssueKeys>> {
        match self.commit(sha).await {
            Ok(commit) => Ok(Some(commit.keys)),
            Err(GitlabError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pipeline_with_tests(&self, id: u64) -> Read<Pipeline> {
        let project = &self.source.project;
        let mut pipeline = self.reader.client.pipeline(project, id).await?;
        if has_ended(&pipeline) {
            pipeline.tests = match self.reader.client.test_counts(project, id).await {
                // No tests, or not for this token: then nothing is said of them.
                Err(GitlabError::NotFound | GitlabError::Forbidden) => None,
                counts => counts?,
            };
        }
        Ok(pipeline)
    }

    /// The merge requests that contain a commit.
    async fn merge_requests_of(&self, sha: &str) -> Read<Listed<Arc<Vec<MergeRequest>>>> {
        let cache = &self.reader.access.cache.of_commit;
        let key = self.reader.cache_key(self.source.project.id, sha.to_owned());
        if let Some(known) = cache.get(&key).await {
            return Ok(known);
        }
        let read = match self.list_merge_requests_of(sha).await {
            // The commit is gone, and which merge requests contained it can't be told any more.
            Err(GitlabError::NotFound) => Listed { items: Arc::default(), is_all: false },
            read => read?,
        };
        remember(cache, key, &read).await;
        Ok(read)
    }

    async fn list_merge_requests_of(&self, sha: &str) -> Read<Listed<Arc<Vec<MergeRequest>>>> {
        let project = &self.source.project;
        let (mut found, mut next) = (Vec::new(), Some(1));
        while let Some(page) = next.filter(|page| *page <= MERGE_REQUEST_PAGES) {
            let read = self.reader.client.merge_requests_of_commit(project, sha, page).await?;
            found.extend(read.items);
            next = read.next;
        }
        if next.is_some() {
            let keys = found.iter().fold(IssueKeys::default(), |keys, it| keys.union(&it.keys));
            let label = format!("{}@{}", project.path, short(sha));
            self.reader.note_ignored(label, &keys, IgnoreReason::MergeRequestsLeftOut).await;
        }
        Ok(Listed { items: Arc::new(found), is_all: next.is_none() })
    }

    /// The merge request that a ref is of (`refs/merge-requests/41/merge`), or those that contain a commit and come from the
    /// branch with the ref's name.
    pub(super) async fn merge_requests_on(
        &self,
        sha: &str,
        git_ref: &str,
    ) -> Read<Listed<Vec<PipelineMergeRequest>>> {
        let all = |items| Listed { items, is_all: true };
        let own = git_ref.strip_prefix("refs/merge-requests/").and_then(|rest| rest.split('/').next());
        if let Some(iid) = own.and_then(|iid| iid.parse().ok()) {
            if let Some((_, known)) = self.batch.merge_requests.get(&iid) {
                return Ok(all(vec![of_pipeline(known)]));
            }
            return match self.reader.client.merge_request(&self.source.project, iid).await {
                Ok(merge_request) => Ok(all(vec![of_pipeline(&merge_request)])),
                Err(GitlabError::NotFound) => Ok(Listed { items: Vec::new(), is_all: false }),
                Err(error) => Err(error),
            };
        }
        if let Some(known) = self.batch.of_branches.get(git_ref)
            && known.iter().all(|of_branch| of_branch.head.as_deref() == Some(sha))
        {
            return Ok(all(known.iter().map(|of_branch| of_pipeline(&of_branch.merge_request)).collect()));
        }
        let found = self.merge_requests_of(sha).await?;
        let of_ref = found.items.iter().filter(|found| found.source_branch == git_ref);
        Ok(Listed { items: of_ref.map(of_pipeline).collect(), is_all: found.is_all })
    }
}

/// Whether its tests are all there. Others may follow when it is retried; then it says so itself.
fn has_ended(pipeline: &Pipeline) -> bool {
    matches!(pipeline.status.as_str(), "success" | "failed")
}

fn of_pipeline(merge_request: &MergeRequest) -> PipelineMergeRequest {
    let of_branch = IssueKeys::extract([merge_request.source_branch.as_str()]);
    PipelineMergeRequest {
        iid: merge_request.iid,
        source_branch: merge_request.source_branch.clone(),
        keys: of_branch.union(&merge_request.keys),
    }
}
