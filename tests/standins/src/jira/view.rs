//! An issue as its development panel shows it: what is stored, over all providers, and attached to the issue.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::api::Api;
use super::state::SiteState;
use super::store::{Kind, Repository, Stored};

/// Everything attached to one issue.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IssueView {
    /// The issue's key.
    pub key: String,
    /// Branches.
    pub branches: Vec<BranchView>,
    /// Commits, by repository and id.
    pub commits: Vec<CommitView>,
    /// Pull requests.
    pub pull_requests: Vec<PullRequestView>,
    /// Builds, by pipeline and number.
    pub builds: Vec<BuildView>,
    /// Deployments, by pipeline, environment and number.
    pub deployments: Vec<DeploymentView>,
    /// Feature flags.
    pub flags: Vec<FlagView>,
}

impl IssueView {
    /// Whether nothing is attached.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self { key: self.key.clone(), ..Self::default() }
    }
}

/// How much is attached to an issue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IssueSummary {
    /// The issue's key.
    pub key: String,
    /// Number of branches.
    pub branches: usize,
    /// Number of commits.
    pub commits: usize,
    /// Number of pull requests.
    pub pull_requests: usize,
    /// Number of builds.
    pub builds: usize,
    /// Number of deployments.
    pub deployments: usize,
    /// Number of feature flags.
    pub flags: usize,
}

/// A branch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BranchView {
    /// The repository's name.
    pub repository: String,
    /// The id it was submitted under.
    pub id: String,
    /// The branch's name.
    pub name: String,
    /// Its page.
    pub url: String,
    /// Display id of the last commit.
    pub last_commit: String,
    /// Where to open a pull request.
    pub create_pull_request_url: Option<String>,
    /// The submitted entity.
    pub submitted: Value,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitView {
    /// The repository's name.
    pub repository: String,
    /// The full hash.
    pub id: String,
    /// The short hash.
    pub display_id: String,
    /// The message, cut to what Jira keeps.
    pub message: String,
    /// The author's name or e-mail address.
    pub author: String,
    /// ISO 8601.
    pub author_timestamp: String,
    /// Number of files changed.
    pub file_count: i64,
    /// Whether it is flagged as a merge commit.
    pub is_merge: bool,
    /// Its page.
    pub url: String,
    /// The submitted entity.
    pub submitted: Value,
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequestView {
    /// The repository's name.
    pub repository: String,
    /// The id it was submitted under.
    pub id: String,
    /// The reference shown to people.
    pub display_id: String,
    /// The title.
    pub title: String,
    /// OPEN, MERGED, DECLINED, UNKNOWN or DRAFT.
    pub status: String,
    /// The author's name or e-mail address.
    pub author: String,
    /// Where the changes come from.
    pub source_branch: String,
    /// Where they go.
    pub destination_branch: Option<String>,
    /// Name or e-mail address, and approval status, of each reviewer.
    pub reviewers: Vec<(String, String)>,
    /// Number of comments.
    pub comment_count: i64,
    /// ISO 8601.
    pub last_update: String,
    /// Its page.
    pub url: String,
    /// The submitted entity.
    pub submitted: Value,
}

/// A build.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildView {
    /// The sequence of builds it belongs to.
    pub pipeline_id: String,
    /// Its number in the sequence.
    pub build_number: i64,
    /// The name shown.
    pub display_name: String,
    /// The state.
    pub state: String,
    /// Its page.
    pub url: String,
    /// RFC 3339.
    pub last_updated: String,
    /// The submitted entity.
    pub submitted: Value,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentView {
    /// The pipeline's name.
    pub pipeline: String,
    /// The environment's name.
    pub environment: String,
    /// The environment's type.
    pub environment_type: String,
    /// The deployment's number in pipeline and environment.
    pub deployment_sequence_number: i64,
    /// The name shown.
    pub display_name: String,
    /// The state.
    pub state: String,
    /// Its page.
    pub url: String,
    /// RFC 3339.
    pub last_updated: String,
    /// The submitted entity.
    pub submitted: Value,
}

/// A feature flag.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlagView {
    /// The id it was submitted under.
    pub id: String,
    /// The flag's name in code.
    pub key: String,
    /// The name shown.
    pub display_name: String,
    /// Whether it is on.
    pub enabled: bool,
    /// The names of its environments.
    pub environments: Vec<String>,
    /// The submitted entity.
    pub submitted: Value,
}

/// The development panel of an issue. Unknown issues have an empty one.
pub(super) fn issue(state: &SiteState, key: &str) -> IssueView {
    let mut view = IssueView { key: key.to_owned(), ..IssueView::default() };
    let here = |stored: &Stored| stored.keys.iter().any(|own| own == key);
    for store in state.stores.values() {
        for repository in store.repositories.values() {
            for ((kind, id), stored) in repository.entities.iter().filter(|(_, stored)| here(stored)) {
                match kind {
                    Kind::Branch => view.branches.push(branch(repository, id, &stored.body)),
                    Kind::Commit => view.commits.push(commit(repository, id, &stored.body)),
                    Kind::PullRequest => view.pull_requests.push(pull_request(repository, id, &stored.body)),
                }
            }
        }
        for ((api, _), stored) in store.others.iter().filter(|(_, stored)| here(stored)) {
            match api {
                Api::Builds => view.builds.push(build(&stored.body)),
                Api::Deployments => view.deployments.push(deployment(&stored.body)),
                _ => view.flags.push(flag(&stored.body)),
            }
        }
    }
    view
}

/// All issues that were declared one by one or have something attached.
pub(super) fn summaries(state: &SiteState) -> Vec<IssueSummary> {
    let mut issues: BTreeMap<&str, IssueSummary> = BTreeMap::new();
    for key in state.known.listed_issues() {
        issues.entry(key).or_default();
    }
    for store in state.stores.values() {
        for ((kind, _), stored) in store.repositories.values().flat_map(|repository| &repository.entities) {
            for key in &stored.keys {
                let summary = issues.entry(key).or_default();
                match kind {
                    Kind::Branch => summary.branches += 1,
                    Kind::Commit => summary.commits += 1,
                    Kind::PullRequest => summary.pull_requests += 1,
                }
            }
        }
        for ((api, _), stored) in &store.others {
            for key in &stored.keys {
                let summary = issues.entry(key).or_default();
                match api {
                    Api::Builds => summary.builds += 1,
                    Api::Deployments => summary.deployments += 1,
                    _ => summary.flags += 1,
                }
            }
        }
    }
    issues.into_iter().map(|(key, summary)| IssueSummary { key: key.to_owned(), ..summary }).collect()
}

fn text(value: &Value, place: &str) -> String {
    optional_text(value, place).unwrap_or_default()
}

fn optional_text(value: &Value, place: &str) -> Option<String> {
    value.pointer(place).and_then(Value::as_str).map(ToOwned::to_owned)
}

fn number(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or_default()
}

fn person(value: &Value) -> String {
    optional_text(value, "/name").or_else(|| optional_text(value, "/email")).unwrap_or_default()
}

fn branch(repository: &Repository, id: &str, body: &Value) -> BranchView {
    BranchView {
        repository: text(&repository.body, "/name"),
        id: id.to_owned(),
        name: text(body, "/name"),
        url: text(body, "/url"),
        last_commit: text(body, "/lastCommit/displayId"),
        create_pull_request_url: optional_text(body, "/createPullRequestUrl"),
        submitted: body.clone(),
    }
}

fn commit(repository: &Repository, id: &str, body: &Value) -> CommitView {
    CommitView {
        repository: text(&repository.body, "/name"),
        id: id.to_owned(),
        display_id: text(body, "/displayId"),
        message: text(body, "/message"),
        author: person(&body["author"]),
        author_timestamp: text(body, "/authorTimestamp"),
        file_count: number(body, "fileCount"),
        is_merge: body["flags"].as_array().is_some_and(|flags| !flags.is_empty()),
        url: text(body, "/url"),
        submitted: body.clone(),
    }
}

fn pull_request(repository: &Repository, id: &str, body: &Value) -> PullRequestView {
    let reviewers = body["reviewers"].as_array().into_iter().flatten();
    let status =
        |reviewer| optional_text(reviewer, "/approvalStatus").unwrap_or_else(|| "UNAPPROVED".to_owned());
    PullRequestView {
        repository: text(&repository.body, "/name"),
        id: id.to_owned(),
        display_id: text(body, "/displayId"),
        title: text(body, "/title"),
        status: text(body, "/status"),
        author: person(&body["author"]),
        source_branch: text(body, "/sourceBranch"),
        destination_branch: optional_text(body, "/destinationBranch"),
        reviewers: reviewers.map(|reviewer| (person(reviewer), status(reviewer))).collect(),
        comment_count: number(body, "commentCount"),
        last_update: text(body, "/lastUpdate"),
        url: text(body, "/url"),
        submitted: body.clone(),
    }
}

fn build(body: &Value) -> BuildView {
    BuildView {
        pipeline_id: text(body, "/pipelineId"),
        build_number: number(body, "buildNumber"),
        display_name: text(body, "/displayName"),
        state: text(body, "/state"),
        url: text(body, "/url"),
        last_updated: text(body, "/lastUpdated"),
        submitted: body.clone(),
    }
}

fn deployment(body: &Value) -> DeploymentView {
    DeploymentView {
        pipeline: text(body, "/pipeline/displayName"),
        environment: text(body, "/environment/displayName"),
        environment_type: text(body, "/environment/type"),
        deployment_sequence_number: number(body, "deploymentSequenceNumber"),
        display_name: text(body, "/displayName"),
        state: text(body, "/state"),
        url: text(body, "/url"),
        last_updated: text(body, "/lastUpdated"),
        submitted: body.clone(),
    }
}

fn flag(body: &Value) -> FlagView {
    let details = body["details"].as_array().into_iter().flatten();
    FlagView {
        id: text(body, "/id"),
        key: text(body, "/key"),
        display_name: text(body, "/displayName"),
        enabled: body.pointer("/summary/status/enabled").and_then(Value::as_bool).unwrap_or_default(),
        environments: details.map(|detail| text(detail, "/environment/name")).collect(),
        submitted: body.clone(),
    }
}
