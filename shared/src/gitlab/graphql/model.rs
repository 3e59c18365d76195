//! The shapes of GraphQL's answers, and what of them we keep. An element that can't be read is missing, and costs nothing
//! else.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::GraphqlError;
use crate::clock::Timestamp;
use crate::domain::IssueKeys;
use crate::gitlab::date;
use crate::gitlab::model::{ChangedFile, MergeRequest, Person, Pipeline, Project, ReviewState, Reviewer};
use crate::gitlab::rest::{RawDiff, TestTotals};
use crate::lenient;
use crate::text::clean;

/// What is read of a merge request, for any query that lists some.
pub const MERGE_REQUEST: &str = "fragment MergeRequestFields on MergeRequest {
id iid title description state draft sourceBranch targetBranch sourceProjectId updatedAt webUrl userNotesCount diffHeadSha
reference(full: true)
sourceProject { webUrl }
author { username name publicEmail webUrl avatarUrl }
approvedBy { nodes { username } }
reviewers { nodes { username name publicEmail webUrl avatarUrl mergeRequestInteraction { reviewState } } }
}
";

/// What GitLab knows of what was asked about a project.
#[derive(Clone, Debug, Default)]
pub struct ProjectAnswer {
    /// Merge requests that were asked for, with their reviewers' states and the addresses that people show.
    pub merge_requests: Vec<MergeRequest>,
    /// All merge requests from the branches that were asked for; `None` where there are more.
    pub of_branches: Option<Vec<BranchMergeRequest>>,
    /// Pipelines that were asked for, with their tests.
    pub pipelines: Vec<Pipeline>,
    /// Files of the commits that were asked for.
    pub commits: Vec<CommitFiles>,
    /// What the request has cost.
    pub complexity: Option<Complexity>,
}

/// A merge request as its source branch's and its pipelines' keys need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchMergeRequest {
    /// Its head.
    pub head: Option<String>,
    /// The merge request; only what says which it is and which issues it names.
    pub merge_request: MergeRequest,
}

/// The files that a commit changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitFiles {
    /// The commit.
    pub sha: String,
    /// All of its files.
    pub files: Vec<ChangedFile>,
}

/// What a request has cost, and what one may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Complexity {
    /// What it has cost.
    pub score: u32,
    /// What it may cost.
    pub limit: u32,
}

impl ProjectAnswer {
    /// Reads an answer about `project`.
    pub(super) fn read(answer: &Value, project: &Project) -> Result<Self, GraphqlError> {
        let data = &answer["data"];
        let errors = answer["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = &data["project"];
        if found.is_null() {
            let texts: Vec<_> = errors.iter().filter_map(|error| error["message"].as_str()).collect();
            return Err(if errors.is_empty() && data.is_object() {
                GraphqlError::NoProject
            } else {
                GraphqlError::Refused(clean(&texts.join(" "), 300))
            });
        }
        // Another project may have the path by now.
        if number(&found["id"]) != Some(project.id) {
            return Err(GraphqlError::NoProject);
        }
        let fields = found.as_object().into_iter().flatten();
        let pipelines = fields.filter(|(name, _)| name.starts_with("pipeline"));
        let commits = found["repository"].as_object().into_iter().flatten();
        Ok(Self {
            merge_requests: nodes::<RawMergeRequest>(&found["asked"])
                .filter_map(|raw| raw.merge_request(project))
                .collect(),
            of_branches: of_branches(&found["ofBranches"]),
            pipelines: pipelines.filter_map(|(_, raw)| read::<RawPipeline>(raw)?.pipeline()).collect(),
            commits: commits.filter_map(|(_, tree)| commit_files(&tree["lastCommit"])).collect(),
            complexity: read(&data["queryComplexity"]),
        })
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

fn nodes<T: DeserializeOwned>(connection: &Value) -> impl Iterator<Item = T> {
    connection["nodes"].as_array().into_iter().flatten().filter_map(read)
}

/// The number at the end of a global id: `gid://gitlab/Project/42`.
fn number(id: &Value) -> Option<u64> {
    id.as_str()?.rsplit('/').next()?.parse().ok()
}

/// The files of a commit; `None` unless all of them say how many lines they change. GitLab leaves out the text of diffs that
/// it collapses.
fn commit_files(commit: &Value) -> Option<CommitFiles> {
    let diffs = commit["diffs"].as_array()?;
    let is_whole = |diff: &Value| diff["diff"].as_str().is_some_and(|text| !text.is_empty());
    if !diffs.iter().all(is_whole) {
        return None;
    }
    let files: Option<Vec<_>> =
        diffs.iter().map(|diff| Some(read::<RawDiff>(diff)?.changed_file())).collect();
    Some(CommitFiles { sha: commit["sha"].as_str()?.to_owned(), files: files? })
}

fn of_branches(connection: &Value) -> Option<Vec<BranchMergeRequest>> {
    // One that can't be read may be the one that matters, and so may one on a further page.
    let all = connection["nodes"].as_array()?;
    if connection["pageInfo"]["hasNextPage"] != false {
        return None;
    }
    all.iter().map(|raw| Some(read::<RawBranchMergeRequest>(raw)?.merge_request())).collect()
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
)]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBranchMergeRequest {
    #[serde_with(skip_apply)]
    #[serde(deserialize_with = "text_number")]
    iid: u64,
    title: Option<String>,
    description: Option<String>,
    state: String,
    source_branch: String,
    source_project_id: Option<u64>,
    diff_head_sha: Option<String>,
}

impl RawBranchMergeRequest {
    fn merge_request(self) -> BranchMergeRequest {
        let texts = [self.title.unwrap_or_default(), self.description.unwrap_or_default()];
        let merge_request = MergeRequest {
            iid: self.iid,
            keys: IssueKeys::extract(texts.iter().map(String::as_str)),
            state: self.state,
            source_branch: self.source_branch,
            source_project_id: self.source_project_id,
            ..MergeRequest::default()
        };
        BranchMergeRequest { head: self.diff_head_sha, merge_request }
    }
}

/// GraphQL writes iids as text.
fn text_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64());
    number.ok_or_else(|| serde::de::Error::custom("not a number"))
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
)]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMergeRequest {
    id: Value,
    #[serde(deserialize_with = "text_number")]
    iid: u64,
    #[serde(default, deserialize_with = "lenient::field")]
    title: String,
    description: Option<String>,
    state: String,
    #[serde(default, deserialize_with = "lenient::field")]
    draft: bool,
    source_branch: String,
    target_branch: String,
    source_project_id: Option<u64>,
    source_project: Option<RawPage>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    updated_at: Option<Timestamp>,
    web_url: Option<String>,
    #[serde(default, deserialize_with = "lenient::field")]
    user_notes_count: u32,
    reference: Option<String>,
    author: Option<RawPerson>,
    #[serde(default)]
    approved_by: Value,
    #[serde(default)]
    reviewers: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPage {
    web_url: String,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
)]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPerson {
    username: Option<String>,
    #[serde(default, deserialize_with = "lenient::field")]
    name: String,
    public_email: Option<String>,
    web_url: Option<String>,
    avatar_url: Option<String>,
    merge_request_interaction: Option<RawInteraction>,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
)]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawInteraction {
    review_state: Option<String>,
}

impl RawPerson {
    fn person(self) -> Person {
        Person {
            id: None,
            name: self.name,
            email: self.public_email.filter(|email| email.contains('@')),
            username: self.username,
            web_url: self.web_url,
            avatar_url: self.avatar_url,
        }
    }

    /// A reviewer; one whose state is not told has approved if they are among those who did.
    fn reviewer(mut self, approved_by: &[RawPerson]) -> Reviewer {
        let state = self.merge_request_interaction.take().and_then(|interaction| interaction.review_state);
        let has_approved = || approved_by.iter().any(|person| person.username == self.username);
        let review_state = match state {
            Some(state) => ReviewState::parse(Some(&state.to_lowercase())),
            None if has_approved() => ReviewState::Approved,
            None => ReviewState::Unreviewed,
        };
        Reviewer { person: self.person(), review_state }
    }
}

impl RawMergeRequest {
    fn merge_request(self, project: &Project) -> Option<MergeRequest> {
        let description = self.description.unwrap_or_default();
        let approved_by: Vec<RawPerson> = nodes(&self.approved_by).collect();
        let reviewers = nodes::<RawPerson>(&self.reviewers).map(|person| person.reviewer(&approved_by));
        let iid = self.iid;
        Some(MergeRequest {
            id: number(&self.id)?,
            iid,
            keys: IssueKeys::extract([self.title.as_str(), description.as_str()]),
            title: clean(&self.title, 1024),
            state: self.state,
            draft: self.draft,
            author: self.author.map(RawPerson::person),
            reviewers: reviewers.collect(),
            notes: self.user_notes_count,
            source_branch: self.source_branch,
            target_branch: self.target_branch,
            source_project_id: self.source_project_id,
            source_project_url: self.source_project.map(|page| page.web_url),
            updated_at: self.updated_at,
            web_url: self.web_url.unwrap_or_else(|| format!("{}/-/merge_requests/{iid}", project.web_url)),
            reference: self.reference.unwrap_or_else(|| format!("{}!{iid}", project.path)),
            last_commit: None,
        })
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
)]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPipeline {
    id: Value,
    #[serde(deserialize_with = "text_number")]
    iid: u64,
    #[serde(rename = "ref")]
    git_ref: String,
    sha: String,
    status: String,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    updated_at: Option<Timestamp>,
    test_report_summary: Option<RawTestSummary>,
}

#[derive(Deserialize)]
struct RawTestSummary {
    total: TestTotals,
}

impl RawPipeline {
    /// The pipeline, without its page and the keys of its commit and merge requests.
    fn pipeline(self) -> Option<Pipeline> {
        Some(Pipeline {
            id: number(&self.id)?,
            iid: Some(self.iid),
            git_ref: self.git_ref,
            sha: self.sha,
            status: self.status.to_lowercase(),
            updated_at: self.updated_at,
            tests: self.test_report_summary.and_then(|summary| summary.total.counts()),
            ..Pipeline::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gitlab::model::FileChange;

    fn project() -> Project {
        Project {
            id: 42,
            path: "acme/api".to_owned(),
            web_url: "https://g/acme/api".to_owned(),
            ..Project::default()
        }
    }

    fn answer(project: Value) -> Value {
        json!({"data": {"project": project, "queryComplexity": {"score": 90, "limit": 250}}})
    }

    #[test]
    fn an_element_that_cannot_be_read_costs_itself() {
        let merge_request = json!({"id": "gid://gitlab/MergeRequest/900", "iid": "7", "title": "PAY-7", "state": "opened",
            "sourceBranch": "s", "targetBranch": "m", "draft": "odd", "approvedBy": {"nodes": [{"username": "ada"}]},
            "reviewers": {"nodes": [null, {"username": "ada"}, {"username": "grace",
                "mergeRequestInteraction": {"reviewState": "REQUESTED_CHANGES"}}]}});
        let read = ProjectAnswer::read(
            &answer(json!({"id": "gid://gitlab/Project/42", "asked": {"nodes": [null, 7, {"iid": "8"}, merge_request]},
                "pipeline0": null, "pipeline1": {"id": "gid://gitlab/Ci::Pipeline/31", "iid": "3", "ref": "main", "sha": "a",
                    "status": "WAITING_FOR_RESOURCE"}})),
            &project(),
        )
        .expect("an answer");
        assert_eq!(read.merge_requests.len(), 1);
        let found = read.merge_request(7).expect("it is there");
        assert_eq!((found.id, found.keys.as_slice()), (900, ["PAY-7".to_owned()].as_slice()));
        let states: Vec<_> = found.reviewers.iter().map(|reviewer| reviewer.review_state).collect();
        assert_eq!(states, [ReviewState::Approved, ReviewState::Reviewed]);
        let pipeline = read.pipeline(3).expect("it is there");
        assert_eq!((pipeline.id, pipeline.status.as_str()), (31, "waiting_for_resource"));
        assert_eq!(read.complexity, Some(Complexity { score: 90, limit: 250 }));
    }

    /// R02, R03. A list of branches' merge requests is whole or of no use.
    #[test]
    fn an_odd_field_costs_its_element_and_nothing_else() {
        let user = json!({"username": "ada", "name": "Ada", "publicEmail": "a@example.com", "webUrl": "u", "avatarUrl": "a"});
        let merge_request = |iid: &str| {
            json!({"id": "gid://gitlab/MergeRequest/900", "iid": iid, "title": "PAY-7", "description": "d", "state": "opened",
                "draft": false, "sourceBranch": "s", "targetBranch": "m", "sourceProjectId": 42, "updatedAt": "d", "webUrl": "u",
                "userNotesCount": 3, "diffHeadSha": "a", "reference": "acme/api!7", "sourceProject": {"webUrl": "u"},
                "author": user, "approvedBy": {"nodes": [user]}, "reviewers": {"nodes": [user]}})
        };
        let pipeline = |iid: &str| json!({"id": "gid://gitlab/Ci::Pipeline/31", "iid": iid, "ref": "main", "sha": "a", "status": "SUCCESS"});
        let file = json!({"oldPath": "a", "newPath": "a", "newFile": "true", "deletedFile": "false", "renamedFile": "false",
            "diff": "@@ -0,0 +1 @@\n+x\n"});
        let whole = json!({"id": "gid://gitlab/Project/42", "asked": {"nodes": [merge_request("7"), merge_request("8")]},
            "ofBranches": {"pageInfo": {"hasNextPage": false}, "nodes": [merge_request("9")]},
            "pipeline0": pipeline("3"), "pipeline1": pipeline("4"),
            "repository": {"commit0": {"lastCommit": {"sha": "a", "diffs": [file]}}}});
        let count = |project: Value| {
            let read = ProjectAnswer::read(&answer(project), &self::project());
            read.map(|read| {
                let of_branches = usize::from(read.of_branches.is_some());
                read.merge_requests.len() + read.pipelines.len() + read.commits.len() + of_branches
            })
        };
        assert_eq!(count(whole.clone()).expect("an answer"), 6);
        for (path, odd) in lenient::odd::variants(&whole).filter(|(path, _)| path != "/id") {
            let below = if ["/asked", "/asked/nodes"].contains(&path.as_str()) { 2 } else { 1 };
            let read = count(odd.clone()).expect("an answer");
            assert!(read >= 6 - below, "{path}: {read} of {odd}");
        }
    }

    #[test]
    fn an_incomplete_list_counts_as_no_answer() {
        let read = |connection: Value| {
            let project = json!({"id": "gid://gitlab/Project/42", "ofBranches": connection});
            ProjectAnswer::read(&answer(project), &self::project()).expect("an answer").of_branches
        };
        let one = json!({"iid": "7", "state": "opened", "sourceBranch": "s"});
        assert_eq!(
            read(json!({"pageInfo": {"hasNextPage": false}, "nodes": [one]})).map(|all| all.len()),
            Some(1)
        );
        assert_eq!(read(json!({"pageInfo": {"hasNextPage": true}, "nodes": [one]})), None);
        assert_eq!(read(json!({"pageInfo": {"hasNextPage": false}, "nodes": [one, null]})), None);
        assert_eq!(read(Value::Null), None);
    }

    #[test]
    fn lines_of_a_collapsed_diff_are_not_guessed() {
        let files = |diff: &str| {
            let file = json!({"oldPath": "a", "newPath": "a", "newFile": "true", "deletedFile": "false", "renamedFile": "false", "diff": diff});
            commit_files(&json!({"sha": "a", "diffs": [file]}))
        };
        let file = files("@@ -0,0 +1 @@\n+x\n").expect("files").files.remove(0);
        assert_eq!((file.change, file.added), (FileChange::New, 1));
        assert_eq!(files(""), None);
    }

    #[test]
    fn no_answer_is_told_from_an_empty_one() {
        let read = |answer: Value| ProjectAnswer::read(&answer, &project());
        let errors = json!([{"message": "Field 'diffs' doesn't exist on type 'Commit'"}]);
        assert!(
            matches!(read(json!({"errors": errors})), Err(GraphqlError::Refused(text)) if text.contains("diffs"))
        );
        assert!(matches!(read(answer(Value::Null)), Err(GraphqlError::NoProject)));
        assert!(matches!(
            read(answer(json!({"id": "gid://gitlab/Project/43"}))),
            Err(GraphqlError::NoProject)
        ));
        assert!(matches!(read(json!([])), Err(GraphqlError::Refused(_))));
    }
}
