//! Pipelines, deployments and feature flags as GitLab's REST API answers them.

use serde::Deserialize;

use crate::clock::Timestamp;
use crate::domain::IssueKeys;
use crate::gitlab::date;
use crate::gitlab::model::{
    Deployment, DeploymentJob, Environment, FeatureFlag, FlagStrategy, Pipeline, Project, TestCounts,
};
use crate::lenient;

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(in crate::gitlab) struct RawPipeline {
    id: u64,
    iid: Option<u64>,
    #[serde(rename = "ref")]
    #[serde(default, deserialize_with = "lenient::field")]
    git_ref: String,
    tag: Option<bool>,
    sha: String,
    status: String,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    updated_at: Option<Timestamp>,
    web_url: Option<String>,
}

impl RawPipeline {
    pub(in crate::gitlab) fn pipeline(self, project: &Project) -> Pipeline {
        Pipeline {
            web_url: self.web_url.unwrap_or_else(|| format!("{}/-/pipelines/{}", project.web_url, self.id)),
            id: self.id,
            iid: self.iid,
            git_ref: self.git_ref,
            tag: self.tag.unwrap_or(false),
            sha: self.sha,
            status: self.status,
            updated_at: self.updated_at,
            ..Pipeline::default()
        }
    }
}

#[derive(Deserialize)]
pub(in crate::gitlab) struct RawTestSummary {
    pub(in crate::gitlab) total: TestTotals,
}

#[derive(Deserialize, Default)]
pub(in crate::gitlab) struct TestTotals {
    #[serde(default, deserialize_with = "lenient::field")]
    count: u64,
    #[serde(default, deserialize_with = "lenient::field")]
    success: u64,
    #[serde(default, deserialize_with = "lenient::field")]
    failed: u64,
    #[serde(default, deserialize_with = "lenient::field")]
    skipped: u64,
    #[serde(default, deserialize_with = "lenient::field")]
    error: u64,
}

impl TestTotals {
    pub(in crate::gitlab) fn counts(&self) -> Option<TestCounts> {
        (self.count > 0).then_some(TestCounts {
            total: self.count,
            passed: self.success,
            failed: self.failed + self.error,
            skipped: self.skipped,
        })
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(in crate::gitlab) struct RawEnvironment {
    id: Option<u64>,
    #[serde(default, deserialize_with = "lenient::field")]
    name: String,
    pub(in crate::gitlab) tier: Option<String>,
    external_url: Option<String>,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(in crate::gitlab) struct RawDeployment {
    id: u64,
    iid: Option<u64>,
    #[serde(rename = "ref")]
    #[serde(default, deserialize_with = "lenient::field")]
    git_ref: String,
    #[serde(default, deserialize_with = "lenient::field")]
    sha: String,
    status: String,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    updated_at: Option<Timestamp>,
    environment: RawEnvironment,
    deployable: Option<RawJob>,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
struct RawJob {
    #[serde(default, deserialize_with = "lenient::field")]
    name: String,
    web_url: Option<String>,
    pipeline: Option<RawJobPipeline>,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
struct RawJobPipeline {
    id: u64,
    iid: Option<u64>,
    web_url: Option<String>,
}

impl RawDeployment {
    pub(in crate::gitlab) fn deployment(self) -> Deployment {
        Deployment {
            id: self.id,
            iid: self.iid,
            status: self.status,
            updated_at: self.updated_at,
            git_ref: self.git_ref,
            sha: self.sha,
            job: self.deployable.map(RawJob::job),
            environment: Environment {
                id: self.environment.id,
                name: self.environment.name,
                tier: self.environment.tier,
                external_url: self.environment.external_url,
            },
            keys: IssueKeys::default(),
        }
    }
}

impl RawJob {
    fn job(self) -> DeploymentJob {
        let pipeline = self.pipeline;
        DeploymentJob {
            name: self.name,
            web_url: self.web_url,
            pipeline_id: pipeline.as_ref().map(|pipeline| pipeline.id),
            pipeline_iid: pipeline.as_ref().and_then(|pipeline| pipeline.iid),
            pipeline_url: pipeline.and_then(|pipeline| pipeline.web_url),
        }
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(in crate::gitlab) struct RawFlag {
    name: String,
    description: Option<String>,
    #[serde(default, deserialize_with = "lenient::field")]
    active: bool,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    updated_at: Option<Timestamp>,
    strategies: Vec<RawStrategy>,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
struct RawStrategy {
    #[serde(default, deserialize_with = "lenient::field")]
    name: String,
    #[serde(default, deserialize_with = "lenient::field")]
    parameters: serde_json::Value,
    scopes: Vec<RawScope>,
}

#[derive(Deserialize)]
struct RawScope {
    #[serde(default, deserialize_with = "lenient::field")]
    environment_scope: String,
}

impl RawFlag {
    pub(in crate::gitlab) fn feature_flag(self) -> FeatureFlag {
        FeatureFlag {
            keys: IssueKeys::extract([self.description.as_deref().unwrap_or_default()]),
            name: self.name,
            active: self.active,
            updated_at: self.updated_at,
            strategies: self.strategies.into_iter().map(RawStrategy::strategy).collect(),
        }
    }
}

impl RawStrategy {
    /// `flexibleRollout` calls its percentage `rollout`; both come as text.
    fn strategy(self) -> FlagStrategy {
        let percentage = ["rollout", "percentage"].into_iter().find_map(|name| self.parameters.get(name));
        FlagStrategy {
            name: self.name,
            percentage: percentage
                .and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()))
                .filter(|percentage| (0.0..=100.0).contains(percentage)),
            scopes: self.scopes.into_iter().map(|scope| scope.environment_scope).collect(),
        }
    }
}
