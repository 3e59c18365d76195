//! Pipelines: their merge requests and what their tests said.

use super::{GitlabError, IssueKeys, MergeRequest, PendingEntity, Pipeline, ProjectReader, Read};
use crate::gitlab::model::PipelineMergeRequest;

impl ProjectReader<'_> {
    pub(super) async fn pipeline(&self, known: &Pipeline) -> Read<Vec<PendingEntity>> {
        let project = &self.source.project;
        let known_at = self.reader.now();
        let mut pipeline = self.reader.client.pipeline(project, known.id).await?;
        pipeline.iid = pipeline.iid.or(known.iid);
        pipeline.tag |= known.tag;
        pipeline.commit_keys = known.commit_keys.clone();
        pipeline.merge_requests = self.merge_requests_on(&pipeline.sha, &pipeline.git_ref).await?;
        if matches!(pipeline.status.as_str(), "success" | "failed") {
            pipeline.tests = match self.reader.client.test_counts(project, known.id).await {
                // No tests, or not for this token: then nothing is said of them.
                Err(GitlabError::NotFound | GitlabError::Forbidden) => None,
                counts => counts?,
            };
        }
        Ok(self.source.build(&pipeline, known_at, false).into_iter().map(PendingEntity::from).collect())
    }

    /// The merge request that a ref is of (`refs/merge-requests/41/merge`), or those that contain a commit and come from the
    /// branch with the ref's name.
    pub(super) async fn merge_requests_on(
        &self,
        sha: &str,
        git_ref: &str,
    ) -> Read<Vec<PipelineMergeRequest>> {
        let own = git_ref.strip_prefix("refs/merge-requests/").and_then(|rest| rest.split('/').next());
        if let Some(iid) = own.and_then(|iid| iid.parse().ok()) {
            return match self.reader.client.merge_request(&self.source.project, iid).await {
                Ok(merge_request) => Ok(vec![of_pipeline(&merge_request)]),
                Err(GitlabError::NotFound) => Ok(Vec::new()),
                Err(error) => Err(error),
            };
        }
        let found = self.merge_requests_of(sha).await?;
        Ok(found.iter().filter(|found| found.source_branch == git_ref).map(of_pipeline).collect())
    }
}

fn of_pipeline(merge_request: &MergeRequest) -> PipelineMergeRequest {
    let of_branch = IssueKeys::extract([merge_request.source_branch.as_str()]);
    PipelineMergeRequest {
        iid: merge_request.iid,
        source_branch: merge_request.source_branch.clone(),
        keys: of_branch.union(&merge_request.keys),
    }
}
