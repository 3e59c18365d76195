//! Pipelines, which Jira calls builds.

use super::{Source, date, sha256_hex};
use crate::clock::Timestamp;
use crate::domain::EntityKind;
use crate::domain::IssueKeys;
use crate::gitlab::model::{Pipeline, TestCounts};
use crate::jira::model::{Build, BuildReference, BuildState, CommitReference, RefReference, TestInfo};
use crate::sync::entity::{Content, Entity, EntityVersion};
use crate::text::{clean, url_or};

/// How much of the hash tells refs of one project apart.
const REF_HASH: usize = 32;

impl Source {
    /// A pipeline; `None` when it has no number of its own, which only versions before 15.7 did.
    #[must_use]
    pub fn build(&self, pipeline: &Pipeline, known_at: Timestamp, from_hook: bool) -> Option<Entity> {
        let build_number = pipeline.iid?;
        let issue_keys = issue_keys(pipeline);
        let git_ref = resolved_ref(pipeline);
        let pipeline_id = self.pipeline_id(git_ref, pipeline.tag);
        let (state, rank) = state(&pipeline.status);
        let build = Build {
            schema_version: "1.0".to_owned(),
            pipeline_id: pipeline_id.clone(),
            build_number,
            update_sequence_number: known_at.0,
            display_name: clean(git_ref, 255),
            url: url_or(&pipeline.web_url, &self.page(&format!("/-/pipelines/{}", pipeline.id))),
            state,
            last_updated: date(pipeline.updated_at, known_at),
            issue_keys: issue_keys.as_slice().to_vec(),
            test_info: pipeline.tests.map(test_info),
            references: vec![BuildReference {
                commit: CommitReference {
                    id: pipeline.sha.clone(),
                    repository_uri: self.repository.url.clone(),
                },
                git_ref: RefReference { name: clean(git_ref, 255), uri: self.commits_page(git_ref) },
            }],
        };
        let version = EntityVersion { known_at, changed_at: pipeline.updated_at, rank, from_hook };
        let label = format!("{} pipeline {build_number}", self.project.path);
        let key = self.key(EntityKind::Build, format!("{pipeline_id}/{build_number}"));
        Some(self.entity(key, label, issue_keys, version, Content::Build(Box::new(build))))
    }

    /// Constant per project and ref. GitLab's own app uses a private id; live events and history must agree on ours.
    fn pipeline_id(&self, git_ref: &str, tag: bool) -> String {
        let kind = if tag { "tag" } else { "branch" };
        self.id(format!("{}-{}", self.project.id, &sha256_hex(&format!("{kind}:{git_ref}"))[..REF_HASH]))
    }
}

/// The keys of a pipeline: those of its commit's message and of its merge requests.
#[must_use]
pub fn issue_keys(pipeline: &Pipeline) -> IssueKeys {
    pipeline
        .merge_requests
        .iter()
        .fold(pipeline.commit_keys.clone().unwrap_or_default(), |keys, merge_request| {
            keys.union(&merge_request.keys)
        })
}

/// A merge request's pipeline runs on `refs/merge-requests/7/head`; people know its source branch.
fn resolved_ref(pipeline: &Pipeline) -> &str {
    let of_merge_request =
        pipeline.git_ref.strip_prefix("refs/merge-requests/").and_then(|rest| rest.split('/').next());
    of_merge_request
        .and_then(|iid| iid.parse::<u64>().ok())
        .and_then(|iid| pipeline.merge_requests.iter().find(|merge_request| merge_request.iid == iid))
        .map_or(pipeline.git_ref.as_str(), |merge_request| merge_request.source_branch.as_str())
}

fn state(status: &str) -> (BuildState, u8) {
    match status {
        "created" | "waiting_for_resource" | "preparing" | "pending" | "scheduled" => {
            (BuildState::Pending, 0)
        }
        "running" => (BuildState::InProgress, 1),
        "success" => (BuildState::Successful, 2),
        "failed" => (BuildState::Failed, 2),
        "canceled" | "skipped" => (BuildState::Cancelled, 2),
        _ => (BuildState::Unknown, 1),
    }
}

fn test_info(tests: TestCounts) -> TestInfo {
    TestInfo {
        total_number: tests.total,
        number_passed: tests.passed,
        number_failed: tests.failed,
        number_skipped: tests.skipped,
    }
}
