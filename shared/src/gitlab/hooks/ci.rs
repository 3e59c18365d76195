//! Hooks of pipelines, deployments and feature flags.

use serde::Deserialize;

use super::push::RawCommit;
use super::{Gaps, HookError, HookEvent, ParsedHook, RawProject, is_sha, required};
use crate::clock::Timestamp;
use crate::domain::IssueKeys;
use crate::gitlab::date;
use crate::gitlab::model::{
    Deployment, DeploymentJob, Environment, FeatureFlag, Pipeline, PipelineMergeRequest,
};
use crate::lenient;

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawPipelineEvent {
    #[serde(default, deserialize_with = "lenient::field")]
    project: RawProject,
    object_attributes: Option<RawPipeline>,
    merge_request: Option<RawPipelineMergeRequest>,
    commit: Option<RawCommit>,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
struct RawPipeline {
    id: Option<u64>,
    iid: Option<u64>,
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    tag: Option<bool>,
    sha: Option<String>,
    status: Option<String>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    finished_at: Option<Timestamp>,
    url: Option<String>,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
struct RawPipelineMergeRequest {
    iid: Option<u64>,
    title: Option<String>,
    source_branch: Option<String>,
}

impl RawPipelineEvent {
    pub(super) fn delivery(self) -> Result<ParsedHook, HookError> {
        const KIND: &str = "pipeline";
        let raw = required(self.object_attributes, KIND, "object_attributes")?;
        let project = self.project.project(None, KIND)?;
        let id = required(raw.id, KIND, "object_attributes.id")?;
        let mut gaps = Gaps::of(KIND);
        let message = self.commit.and_then(|commit| commit.message);
        let pipeline = Pipeline {
            id,
            iid: raw.iid,
            git_ref: gaps.fill(raw.git_ref, "object_attributes.ref"),
            tag: raw.tag.unwrap_or(false),
            sha: gaps.fill(raw.sha, "object_attributes.sha"),
            status: gaps.fill(raw.status, "object_attributes.status"),
            updated_at: raw.finished_at,
            web_url: raw.url.unwrap_or_else(|| format!("{}/-/pipelines/{id}", project.web_url)),
            commit_keys: message.map(|message| IssueKeys::extract([message.as_str()])),
            merge_requests: self.merge_request.and_then(RawPipelineMergeRequest::read).into_iter().collect(),
            tests: None,
        };
        Ok(ParsedHook { project, event: HookEvent::Pipeline(pipeline), missing: gaps.first })
    }
}

impl RawPipelineMergeRequest {
    fn read(self) -> Option<PipelineMergeRequest> {
        let source_branch = self.source_branch?;
        let keys = IssueKeys::extract([source_branch.as_str(), self.title.as_deref().unwrap_or_default()]);
        Some(PipelineMergeRequest { iid: self.iid?, source_branch, keys })
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawDeployment {
    deployment_id: Option<u64>,
    status: Option<String>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    status_changed_at: Option<Timestamp>,
    deployable_url: Option<String>,
    environment: Option<String>,
    environment_tier: Option<String>,
    environment_external_url: Option<String>,
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    commit_url: Option<String>,
    #[serde(default, deserialize_with = "lenient::field")]
    project: RawProject,
}

impl RawDeployment {
    pub(super) fn delivery(self) -> Result<ParsedHook, HookError> {
        const KIND: &str = "deployment";
        let project = self.project.project(None, KIND)?;
        let sha = self.commit_url.as_deref().and_then(|url| url.rsplit('/').next()).filter(|sha| is_sha(sha));
        let mut gaps = Gaps::of(KIND);
        let deployment = Deployment {
            id: required(self.deployment_id, KIND, "deployment_id")?,
            iid: None,
            status: gaps.fill(self.status, "status"),
            updated_at: self.status_changed_at,
            git_ref: self.git_ref.unwrap_or_default(),
            sha: sha.unwrap_or_default().to_owned(),
            job: self
                .deployable_url
                .map(|url| DeploymentJob { web_url: Some(url), ..DeploymentJob::default() }),
            environment: Environment {
                id: None,
                name: gaps.fill(self.environment, "environment"),
                tier: self.environment_tier,
                external_url: self.environment_external_url,
            },
            keys: IssueKeys::default(),
        };
        Ok(ParsedHook { project, event: HookEvent::Deployment(deployment), missing: gaps.first })
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawFeatureFlagEvent {
    #[serde(default, deserialize_with = "lenient::field")]
    project: RawProject,
    object_attributes: Option<RawFeatureFlag>,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
struct RawFeatureFlag {
    name: Option<String>,
    description: Option<String>,
    active: Option<bool>,
}

impl RawFeatureFlagEvent {
    pub(super) fn delivery(self) -> Result<ParsedHook, HookError> {
        const KIND: &str = "feature_flag";
        let raw = required(self.object_attributes, KIND, "object_attributes")?;
        let project = self.project.project(None, KIND)?;
        let mut gaps = Gaps::of(KIND);
        let flag = FeatureFlag {
            name: required(raw.name, KIND, "object_attributes.name")?,
            keys: IssueKeys::extract([raw.description.as_deref().unwrap_or_default()]),
            active: gaps.fill(raw.active, "object_attributes.active"),
            updated_at: None,
            strategies: Vec::new(),
        };
        Ok(ParsedHook { project, event: HookEvent::FeatureFlag(flag), missing: gaps.first })
    }
}
