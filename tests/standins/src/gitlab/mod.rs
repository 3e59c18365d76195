//! A stateful GitLab: groups, projects, repositories, merge requests, pipelines, deployments and feature flags,
//! the parts of the REST and GraphQL APIs that read them, and webhooks that are really delivered.
//!
//! A test acts in it through Rust ([`GitlabStandin`] and the handles it gives out); the product sees only
//! HTTP. The stand-in follows GitLab's public documentation (<https://docs.gitlab.com/api/rest/>,
//! <https://docs.gitlab.com/user/project/integrations/webhook_events/>) and refuses what GitLab refuses. It
//! knows nothing of Jira, and shares no code with the product.
//!
//! ```no_run
//! # use standins::gitlab::{GitlabStandin, Tier, Version, commit};
//! # async fn story() -> anyhow::Result<()> {
//! let gitlab = GitlabStandin::start(Version::V19_1).await?;
//! let api = gitlab.group("acme/payments", Tier::Premium).project("api");
//! api.push("main", [commit("PAY-7 retry").file("src/a.rs", 9, 3)]).await;
//! # Ok(()) }
//! ```

mod clock;
mod gate;
mod graphql;
mod hooks;
mod oauth;
mod pages;
mod random;
mod rest;
mod shared;
mod standin;
mod state;
mod story;
#[cfg(test)]
mod tests;
mod version;

pub use gate::{ApiCall, Fault};
pub use hooks::{Delivery, HeldDeliveries, SentDelivery};
pub use standin::GitlabStandin;
pub use state::{Role, Tier};
pub use story::{
    CommitSpec, DeploymentHandle, FeatureFlagHandle, GroupHandle, MergeRequestHandle, MergeRequestSpec,
    PipelineHandle, ProjectHandle, Pushed, UserHandle, commit, merge_request,
};
pub use version::Version;
