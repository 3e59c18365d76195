//! The shapes of GitLab's REST answers, and what of them we keep.

use serde::{Deserialize, Deserializer};

use super::date;
use super::diff::count_lines;
use super::model::{
    Branch, ChangedFile, Commit, FileChange, MergeRequest, Person, Project, ReviewState, Reviewer,
};
use crate::clock::Timestamp;
use crate::domain::IssueKeys;
use crate::lenient;
use crate::text::clean;

mod ci;

pub(super) use ci::{RawDeployment, RawEnvironment, RawFlag, RawPipeline, RawTestSummary, TestTotals};

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawProject {
    id: u64,
    #[serde(default, deserialize_with = "lenient::field")]
    name: String,
    description: Option<String>,
    web_url: String,
    avatar_url: Option<String>,
    path_with_namespace: String,
    default_branch: Option<String>,
}

impl RawProject {
    pub(super) fn project(self) -> Project {
        Project {
            id: self.id,
            name: self.name,
            description: self.description.filter(|text| !text.is_empty()).map(|text| clean(&text, 1024)),
            web_url: self.web_url.trim_end_matches('/').to_owned(),
            avatar_url: self.avatar_url,
            path: self.path_with_namespace,
            default_branch: self.default_branch,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct RawBranch {
    name: String,
    commit: RawCommit,
}

impl RawBranch {
    pub(super) fn branch(self, project: &Project) -> Branch {
        Branch { name: self.name, head: self.commit.commit(project) }
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawCommit {
    id: String,
    message: Option<String>,
    title: Option<String>,
    author_name: Option<String>,
    author_email: Option<String>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    created_at: Option<Timestamp>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    committed_date: Option<Timestamp>,
    web_url: Option<String>,
    parent_ids: Vec<String>,
}

impl RawCommit {
    pub(super) fn commit(self, project: &Project) -> Commit {
        let message = self.message.or(self.title).unwrap_or_default();
        Commit {
            keys: IssueKeys::extract([message.as_str()]),
            message: clean(&message, 1024),
            author: Person {
                name: self.author_name.unwrap_or_default(),
                email: self.author_email.filter(|email| email.contains('@')),
                ..Person::default()
            },
            committed_at: self.committed_date.or(self.created_at),
            web_url: self.web_url.unwrap_or_else(|| format!("{}/-/commit/{}", project.web_url, self.id)),
            merge: self.parent_ids.len() > 1,
            file_count: None,
            files: Vec::new(),
            parent: self.parent_ids.into_iter().next(),
            sha: self.id,
        }
    }
}

/// Whether something is so: GraphQL writes it as text.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_bool().unwrap_or(value == "true"))
}

/// A file of a diff, by REST or GraphQL.
#[derive(Deserialize)]
pub(super) struct RawDiff {
    #[serde(alias = "oldPath")]
    old_path: String,
    #[serde(alias = "newPath")]
    new_path: String,
    #[serde(default, alias = "newFile", deserialize_with = "flag")]
    new_file: bool,
    #[serde(default, alias = "deletedFile", deserialize_with = "flag")]
    deleted_file: bool,
    #[serde(default, alias = "renamedFile", deserialize_with = "flag")]
    renamed_file: bool,
    #[serde(default, deserialize_with = "lenient::field")]
    diff: String,
}

impl RawDiff {
    pub(super) fn changed_file(self) -> ChangedFile {
        let (added, removed) = count_lines(&self.diff);
        let change = match (self.new_file, self.deleted_file, self.renamed_file) {
            (true, _, _) => FileChange::New,
            (_, true, _) => FileChange::Deleted,
            (_, _, true) => FileChange::Renamed,
            _ => FileChange::Modified,
        };
        ChangedFile { old_path: self.old_path, new_path: self.new_path, change, added, removed }
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawUser {
    id: Option<u64>,
    #[serde(default, deserialize_with = "lenient::field")]
    name: String,
    username: Option<String>,
    public_email: Option<String>,
    web_url: Option<String>,
    avatar_url: Option<String>,
}

impl RawUser {
    pub(super) fn person(self) -> Person {
        Person {
            id: self.id,
            name: self.name,
            email: self.public_email.filter(|email| email.contains('@')),
            username: self.username,
            web_url: self.web_url,
            avatar_url: self.avatar_url,
        }
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawReviewer {
    user: RawUser,
    state: Option<String>,
}

impl RawReviewer {
    pub(super) fn reviewer(self) -> Reviewer {
        Reviewer { person: self.user.person(), review_state: ReviewState::parse(self.state.as_deref()) }
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawApprovals {
    approved_by: Vec<RawApproval>,
}

#[derive(Deserialize)]
struct RawApproval {
    user: RawUser,
}

impl RawApprovals {
    pub(super) fn reviewers(self) -> Vec<Reviewer> {
        let approved = |approval: RawApproval| Reviewer {
            person: approval.user.person(),
            review_state: ReviewState::Approved,
        };
        self.approved_by.into_iter().map(approved).collect()
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawMergeRequest {
    id: u64,
    iid: u64,
    #[serde(default, deserialize_with = "lenient::field")]
    title: String,
    description: Option<String>,
    state: String,
    draft: Option<bool>,
    work_in_progress: Option<bool>,
    author: Option<RawUser>,
    reviewers: Vec<RawUser>,
    #[serde(default, deserialize_with = "lenient::field")]
    user_notes_count: u32,
    source_branch: String,
    target_branch: String,
    source_project_id: Option<u64>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    updated_at: Option<Timestamp>,
    web_url: Option<String>,
    references: Option<RawReferences>,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
struct RawReferences {
    full: Option<String>,
}

impl RawMergeRequest {
    pub(super) fn merge_request(self, project: &Project) -> MergeRequest {
        let description = self.description.unwrap_or_default();
        let iid = self.iid;
        MergeRequest {
            id: self.id,
            iid,
            keys: IssueKeys::extract([self.title.as_str(), description.as_str()]),
            title: clean(&self.title, 1024),
            state: self.state,
            draft: self.draft.or(self.work_in_progress).unwrap_or(false),
            author: self.author.map(RawUser::person),
            reviewers: self
                .reviewers
                .into_iter()
                .map(|user| Reviewer { person: user.person(), review_state: ReviewState::Unreviewed })
                .collect(),
            notes: self.user_notes_count,
            source_branch: self.source_branch,
            target_branch: self.target_branch,
            source_project_id: self.source_project_id,
            source_project_url: None,
            updated_at: self.updated_at,
            web_url: self.web_url.unwrap_or_else(|| format!("{}/-/merge_requests/{iid}", project.web_url)),
            reference: self
                .references
                .and_then(|references| references.full)
                .unwrap_or_else(|| format!("{}!{iid}", project.path)),
            last_commit: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    /// Each field of `answer`, at any depth, null and of other types, costs the answer only within those that are `required`.
    fn odd_fields_cost_only<T: DeserializeOwned>(answer: &Value, required: &[&str]) {
        let name = std::any::type_name::<T>();
        serde_json::from_value::<T>(answer.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (path, odd) in lenient::odd::variants(answer) {
            let field = path.split('/').nth(1).unwrap_or_default();
            let read = T::deserialize(&odd);
            assert!(read.is_ok() || required.contains(&field), "{name}: {path}: {odd}");
        }
    }

    /// R02, R03.
    #[test]
    fn an_odd_field_costs_nothing_else() {
        let user = json!({"id": 1, "name": "Ada", "username": "ada", "public_email": "", "web_url": "u", "avatar_url": "a"});
        odd_fields_cost_only::<RawUser>(&user, &[]);
        odd_fields_cost_only::<RawProject>(
            &json!({"id": 42, "name": "api", "description": "", "web_url": "u", "avatar_url": "a", "path_with_namespace": "acme/api",
                "default_branch": "main"}),
            &["id", "web_url", "path_with_namespace"],
        );
        odd_fields_cost_only::<RawCommit>(
            &json!({"id": "a", "message": "m", "title": "t", "author_name": "Ada", "author_email": "e", "created_at": "d",
                "committed_date": "d", "web_url": "u", "parent_ids": ["b"]}),
            &["id"],
        );
        odd_fields_cost_only::<RawDiff>(
            &json!({"old_path": "a", "new_path": "b", "new_file": false, "deleted_file": false, "renamed_file": true, "diff": ""}),
            &["old_path", "new_path"],
        );
        odd_fields_cost_only::<RawMergeRequest>(
            &json!({"id": 900, "iid": 7, "title": "t", "description": "d", "state": "opened", "draft": false, "work_in_progress": false,
                "author": user, "reviewers": [user], "user_notes_count": 3, "source_branch": "s", "target_branch": "m",
                "source_project_id": 42, "updated_at": "d", "web_url": "u", "references": {"full": "acme/api!7"}}),
            &["id", "iid", "state", "source_branch", "target_branch"],
        );
        odd_fields_cost_only::<RawPipeline>(
            &json!({"id": 31, "iid": 3, "ref": "main", "tag": false, "sha": "a", "status": "success", "updated_at": "d", "web_url": "u"}),
            &["id", "sha", "status"],
        );
        odd_fields_cost_only::<RawDeployment>(
            &json!({"id": 5, "iid": 5, "ref": "main", "sha": "a", "status": "success", "updated_at": "d",
                "environment": {"id": 3, "name": "live"}, "deployable": {"name": "deploy"}}),
            &["id", "status", "environment"],
        );
        odd_fields_cost_only::<RawFlag>(
            &json!({"name": "f", "description": "d", "active": true, "updated_at": "d",
                "strategies": [{"name": "default", "parameters": {}, "scopes": [{"environment_scope": "*"}]}]}),
            &["name"],
        );
    }
}
