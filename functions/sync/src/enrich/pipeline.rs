//! Pipelines: their merge requests and what their tests said.

use super::{Candidate, GitlabError, GitlabReader, IssueKeys, MergeRequest, Pipeline, Read, Task};
use shared::gitlab::model::PipelineMergeRequest;

impl Task<'_> {
    pub(super) async fn read_pipeline(
        &self,
        reader: &GitlabReader<'_>,
        hook: &Pipeline,
    ) -> Read<Vec<Candidate>> {
        let project = &self.source.project;
        let known_at = reader.now();
        let mut pipeline = reader.client.pipeline(project, hook.id).await?;
        pipeline.iid = pipeline.iid.or(hook.iid);
        pipeline.tag |= hook.tag;
        pipeline.commit_keys = hook.commit_keys.clone();
        pipeline.merge_requests = self.pipeline_merge_requests(reader, &pipeline).await?;
        if matches!(pipeline.status.as_str(), "success" | "failed") {
            pipeline.tests = match reader.client.test_counts(project, hook.id).await {
                // No tests, or not for this token: then nothing is said of them.
                Err(GitlabError::NotFound | GitlabError::Forbidden) => None,
                counts => counts?,
            };
        }
        Ok(self.source.build(&pipeline, known_at, false).into_iter().map(Candidate::from).collect())
    }

    /// The merge request a pipeline runs for, or those whose source branch it runs on.
    async fn pipeline_merge_requests(
        &self,
        reader: &GitlabReader<'_>,
        pipeline: &Pipeline,
    ) -> Read<Vec<PipelineMergeRequest>> {
        let own =
            pipeline.git_ref.strip_prefix("refs/merge-requests/").and_then(|rest| rest.split('/').next());
        if let Some(iid) = own.and_then(|iid| iid.parse().ok()) {
            return match reader.client.merge_request(&self.source.project, iid).await {
                Ok(merge_request) => Ok(vec![of_pipeline(&merge_request)]),
                Err(GitlabError::NotFound) => Ok(Vec::new()),
                Err(error) => Err(error),
            };
        }
        self.merge_requests_on(reader, &pipeline.sha, &pipeline.git_ref).await
    }

    /// The merge requests that contain a commit and come from a branch.
    pub(super) async fn merge_requests_on(
        &self,
        reader: &GitlabReader<'_>,
        sha: &str,
        git_ref: &str,
    ) -> Read<Vec<PipelineMergeRequest>> {
        let found = self.merge_requests_of(reader, sha).await?;
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
