//! GitLab's GraphQL API (<https://docs.gitlab.com/api/graphql/>): several objects of a project in one request, where REST
//! takes one or more calls for each. What the answers look like is in `model`. Nothing here is needed to read an object:
//! whoever asks goes on with REST for what is missing from an answer, and for everything when there is none.
//!
//! GitLab refuses a request whose complexity is above its limit, and a release may change what a field costs; so each
//! request asks for its own score, and [`Query::cost`] says beforehand what it will be.

use http::Method;
use serde_json::{Map, Value, json};

use super::client::{GitlabClient, GitlabError};
use super::model::{MergeRequest, Pipeline, Project};

mod model;

pub use model::{BranchMergeRequest, CommitFiles, Complexity, MERGE_REQUEST, ProjectAnswer};

/// GitLab answers the diffs of this many commits in a request
/// (<https://docs.gitlab.com/api/graphql/reference/#commit>).
pub const MAX_COMMITS: usize = 10;

/// What a signed-in caller may spend on a request, by default
/// (<https://docs.gitlab.com/api/graphql/#max-query-complexity>). What an instance says of itself counts more.
pub const DEFAULT_LIMIT: u32 = 250;

/// What parts of a request cost, by GitLab's own formula: one for each field, one more where the repository is read, and
/// twice all of it for a list of up to 100.
const BASE_COST: u32 = 10;
const MERGE_REQUESTS_COST: u32 = 66;
const OF_BRANCHES_COST: u32 = 26;
const PIPELINE_COST: u32 = 14;
const COMMIT_COST: u32 = 14;

/// What is asked of one project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Merge requests, by iid.
    pub merge_requests: Vec<u64>,
    /// Branches of which all merge requests are wanted that come from them.
    pub source_branches: Vec<String>,
    /// Pipelines, by iid.
    pub pipelines: Vec<u64>,
    /// Commits of which the files are wanted; at most [`MAX_COMMITS`].
    pub commits: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GraphqlError {
    /// As for a call of the REST API.
    #[error(transparent)]
    Call(#[from] GitlabError),
    /// GitLab answers with errors instead: a field that this version lacks, or a request that is too complex.
    #[error("GitLab refuses the query: {0}")]
    Refused(String),
    /// No such project, or not for this token.
    #[error("GitLab does not know the project, or hides it from this token")]
    NoProject,
}

impl Query {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What it costs, about.
    #[must_use]
    pub fn cost(&self) -> u32 {
        let once = |wanted: bool, cost: u32| if wanted { cost } else { 0 };
        let each = |count: usize, cost: u32| u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(cost);
        BASE_COST
            .saturating_add(once(!self.merge_requests.is_empty(), MERGE_REQUESTS_COST))
            .saturating_add(once(!self.source_branches.is_empty(), OF_BRANCHES_COST))
            .saturating_add(each(self.pipelines.len(), PIPELINE_COST))
            .saturating_add(each(self.commits.len(), COMMIT_COST))
    }

    /// The same in requests that cost at most `limit` each, as far as a single object does.
    #[must_use]
    pub fn within(self, limit: u32) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut add = |take: &dyn Fn(&mut Self)| {
            if let Some(open) = parts.last_mut() {
                let mut grown = open.clone();
                take(&mut grown);
                if grown.cost() <= limit && grown.commits.len() <= MAX_COMMITS {
                    *open = grown;
                    return;
                }
            }
            let mut next = Self::default();
            take(&mut next);
            parts.push(next);
        };
        if !self.merge_requests.is_empty() {
            add(&|part| part.merge_requests.clone_from(&self.merge_requests));
        }
        if !self.source_branches.is_empty() {
            add(&|part| part.source_branches.clone_from(&self.source_branches));
        }
        for iid in &self.pipelines {
            add(&|part| part.pipelines.push(*iid));
        }
        for sha in &self.commits {
            add(&|part| part.commits.push(sha.clone()));
        }
        parts
    }

    /// The document and its variables. Nothing that comes from outside stands in the document itself.
    fn document(&self, project: &Project) -> (String, Map<String, Value>) {
        let mut variables = Map::from_iter([("path".to_owned(), json!(project.path))]);
        let (mut declared, mut fields) = ("$path: ID!".to_owned(), String::new());
        let mut declare = |name: String, kind: &str, value: Value| {
            declared.push_str(&format!(", ${name}: {kind}"));
            variables.insert(name, value);
        };
        if !self.merge_requests.is_empty() {
            let iids: Vec<_> = self.merge_requests.iter().map(u64::to_string).collect();
            declare("iids".to_owned(), "[String!]", json!(iids));
            fields.push_str("asked: mergeRequests(iids: $iids) { nodes { ...MergeRequestFields } }\n");
        }
        if !self.source_branches.is_empty() {
            declare("branches".to_owned(), "[String!]", json!(self.source_branches));
            fields.push_str(
                "ofBranches: mergeRequests(sourceBranches: $branches, first: 100) { pageInfo { hasNextPage } \
                 nodes { iid title description state sourceBranch sourceProjectId diffHeadSha } }\n",
            );
        }
        for (number, iid) in self.pipelines.iter().enumerate() {
            declare(format!("pipeline{number}"), "ID", json!(iid.to_string()));
            fields.push_str(&format!(
                "pipeline{number}: pipeline(iid: $pipeline{number}) {{ id iid ref sha status updatedAt \
                 testReportSummary {{ total {{ count success failed skipped error }} }} }}\n"
            ));
        }
        if !self.commits.is_empty() {
            fields.push_str("repository {\n");
            for (number, sha) in self.commits.iter().enumerate() {
                declare(format!("commit{number}"), "String", json!(sha));
                // The tree's last commit is the one that is asked for: at its root every commit changes something.
                fields.push_str(&format!(
                    "commit{number}: tree(ref: $commit{number}) {{ lastCommit {{ sha \
                     diffs {{ oldPath newPath newFile deletedFile renamedFile diff }} }} }}\n"
                ));
            }
            fields.push_str("}\n");
        }
        let fragment = if self.merge_requests.is_empty() { "" } else { MERGE_REQUEST };
        let document = format!(
            "query({declared}) {{\nproject(fullPath: $path) {{\nid\n{fields}}}\n\
             queryComplexity {{ score limit }}\n}}\n{fragment}"
        );
        (document, variables)
    }
}

impl GitlabClient {
    /// What GitLab answers to `query` about `project`. What it can't answer is missing.
    ///
    /// # Errors
    /// [`GraphqlError`]; then nothing is known.
    pub async fn query(&self, project: &Project, query: &Query) -> Result<ProjectAnswer, GraphqlError> {
        let (document, variables) = query.document(project);
        let body = json!({"query": document, "variables": variables});
        let text = self.send_to(&["api"], Method::POST, &["graphql"], &[], Some(&body)).await?.1;
        let answer: Value =
            serde_json::from_slice(&text).map_err(|error| GitlabError::Unexpected(Some(error)))?;
        ProjectAnswer::read(&answer, project)
    }
}

impl ProjectAnswer {
    /// The pipeline `iid`.
    #[must_use]
    pub fn pipeline(&self, iid: u64) -> Option<&Pipeline> {
        self.pipelines.iter().find(|pipeline| pipeline.iid == Some(iid))
    }

    /// The merge request `iid`.
    #[must_use]
    pub fn merge_request(&self, iid: u64) -> Option<&MergeRequest> {
        self.merge_requests.iter().find(|merge_request| merge_request.iid == iid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_split_below_the_limit_and_loses_nothing() {
        let query = Query {
            merge_requests: vec![1, 2],
            source_branches: vec!["main".to_owned()],
            pipelines: (1..=9).collect(),
            commits: (0..23).map(|number| format!("{number:040}")).collect(),
        };
        let parts = query.clone().within(125);
        let mut together = Query::default();
        for part in parts {
            assert!(part.cost() <= 125 && part.commits.len() <= MAX_COMMITS, "{part:?}");
            together.merge_requests.extend(part.merge_requests);
            together.source_branches.extend(part.source_branches);
            together.pipelines.extend(part.pipelines);
            together.commits.extend(part.commits);
        }
        assert_eq!(together, query);
        assert_eq!(Query::default().within(125), []);
    }

    #[test]
    fn names_from_outside_are_variables() {
        let odd = "x\") { id } } #";
        let query = Query {
            source_branches: vec![odd.to_owned()],
            commits: vec![odd.to_owned()],
            ..Query::default()
        };
        let (document, variables) = query.document(&Project { path: odd.to_owned(), ..Project::default() });
        assert!(!document.contains(odd), "{document}");
        assert_eq!(variables["commit0"], odd);
    }
}
