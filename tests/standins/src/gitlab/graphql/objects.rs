//! What the objects of the schema say. Those whose fields take arguments are here; everything below them is rendered as a
//! whole, and the query picks from it.

use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use serde_json::{Value, json};

use super::complexity::Complexity;
use crate::gitlab::clock;
use crate::gitlab::hooks::payload::{avatar, merge_request as payload};
use crate::gitlab::state::{
    ChangeKind, Commit, FileChange, MergeRequest, Pipeline, Project, Reviewer, World,
};

/// GitLab collapses a longer diff, and leaves out its text.
const LONGEST_DIFF: usize = 10 * 1024;

/// No page is larger.
const LARGEST_PAGE: usize = 100;

type Resolved<'a> = Result<ResolvedValue<'a>, FieldError>;

/// Where a query begins.
pub(crate) struct Root<'w> {
    pub(crate) world: &'w World,
    pub(crate) user: Option<u64>,
    pub(crate) complexity: Complexity,
}

impl ObjectValue for Root<'_> {
    fn type_name(&self) -> &str {
        "Query"
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        match info.field_name() {
            "queryComplexity" => {
                let Complexity { score, limit, .. } = self.complexity;
                Ok(rendered("QueryComplexity", json!({ "score": score, "limit": limit })))
            }
            "project" => {
                let path = text(info, "fullPath").unwrap_or_default();
                // Unlike REST, it takes no number.
                let found =
                    self.world.projects.values().find(|project| self.world.project_path(project) == path);
                let seen = found.filter(|project| self.world.sees_project(self.user, project));
                Ok(ResolvedValue::nullable_object(seen.map(|project| ProjectNode {
                    world: self.world,
                    user: self.user,
                    project,
                })))
            }
            _ => Err(self.unknown_field_error(info)),
        }
    }
}

struct ProjectNode<'w> {
    world: &'w World,
    user: Option<u64>,
    project: &'w Project,
}

impl ObjectValue for ProjectNode<'_> {
    fn type_name(&self) -> &str {
        "Project"
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        let (world, project) = (self.world, self.project);
        let reads_code = world.reads_code(self.user, project);
        match info.field_name() {
            "id" => Ok(ResolvedValue::leaf(gid("Project", project.id))),
            "fullPath" => Ok(ResolvedValue::leaf(world.project_path(project))),
            "webUrl" => Ok(ResolvedValue::leaf(world.project_url(project))),
            // What may not be read is null, and no error.
            _ if !reads_code => Ok(ResolvedValue::null()),
            "mergeRequests" => Ok(rendered("MergeRequestConnection", self.merge_requests(info)?)),
            "pipeline" => Ok(match self.pipeline(info) {
                Some(pipeline) => rendered("Pipeline", show_pipeline(pipeline)),
                None => ResolvedValue::null(),
            }),
            "repository" => Ok(ResolvedValue::object(RepositoryNode { world, project })),
            _ => Err(self.unknown_field_error(info)),
        }
    }
}

impl ProjectNode<'_> {
    fn merge_requests(&self, info: &ResolveInfo<'_>) -> Result<Value, FieldError> {
        let (iids, branches) = (texts(info, "iids"), texts(info, "sourceBranches"));
        let state = text(info, "state").filter(|state| state != "all");
        let after = text(info, "updatedAfter").and_then(|after| clock::parse(&after));
        let first = info.arguments().get("first").and_then(|first| first.as_u64());
        let first = first.and_then(|first| usize::try_from(first).ok()).unwrap_or(LARGEST_PAGE);
        if first > LARGEST_PAGE || info.arguments().get("after").is_some_and(|after| !after.is_null()) {
            return Err(FieldError { message: "the stand-in has one page of 100".to_owned() });
        }
        // Newest first.
        let found: Vec<&MergeRequest> = self
            .project
            .merge_requests
            .values()
            .rev()
            .filter(|request| iids.as_ref().is_none_or(|iids| iids.contains(&request.iid.to_string())))
            .filter(|request| branches.as_ref().is_none_or(|names| names.contains(&request.source_branch)))
            .filter(|request| state.as_ref().is_none_or(|state| request.state == state))
            .filter(|request| after.is_none_or(|after| request.updated_at >= after))
            .collect();
        let nodes: Vec<Value> = found.iter().take(first).map(|request| self.merge_request(request)).collect();
        Ok(json!({ "nodes": nodes, "pageInfo": { "hasNextPage": found.len() > first, "endCursor": null } }))
    }

    fn merge_request(&self, request: &MergeRequest) -> Value {
        let (world, project) = (self.world, self.project);
        let reviewers: Vec<Value> =
            request.reviewers.iter().map(|reviewer| show_reviewer(world, request, reviewer)).collect();
        let approved_by: Vec<Value> = request.approvals.iter().map(|id| show_user(world, *id)).collect();
        json!({
            "id": gid("MergeRequest", request.id),
            "iid": request.iid.to_string(),
            "title": request.title,
            "description": request.description,
            "state": request.state,
            "draft": request.draft(),
            "sourceBranch": request.source_branch,
            "targetBranch": request.target_branch,
            "sourceProjectId": project.id,
            "targetProjectId": project.id,
            "sourceProject": {
                "id": gid("Project", project.id), "fullPath": world.project_path(project), "webUrl": world.project_url(project),
            },
            "createdAt": clock::rest(request.created_at),
            "updatedAt": clock::rest(request.updated_at),
            "webUrl": payload::url(world, project, request),
            "userNotesCount": request.user_notes_count,
            "diffHeadSha": request.sha,
            "reference": format!("!{}", request.iid),
            "fullReference": format!("{}!{}", world.project_path(project), request.iid),
            "author": show_user(world, request.author),
            "approvedBy": { "nodes": approved_by },
            "reviewers": { "nodes": reviewers },
        })
    }

    fn pipeline(&self, info: &ResolveInfo<'_>) -> Option<&Pipeline> {
        let (id, iid, sha) = (text(info, "id"), text(info, "iid"), text(info, "sha"));
        self.project.pipelines.values().rev().find(|pipeline| {
            id.as_ref().is_none_or(|id| *id == gid("Ci::Pipeline", pipeline.id))
                && iid.as_ref().is_none_or(|iid| *iid == pipeline.iid.to_string())
                && sha.as_ref().is_none_or(|sha| *sha == pipeline.sha)
        })
    }
}

fn show_pipeline(pipeline: &Pipeline) -> Value {
    let tests = pipeline.tests.unwrap_or_default();
    json!({
        "id": gid("Ci::Pipeline", pipeline.id),
        "iid": pipeline.iid.to_string(),
        "ref": pipeline.git_ref,
        "sha": pipeline.sha,
        "status": pipeline.status.to_uppercase(),
        "createdAt": clock::rest(pipeline.created_at),
        "updatedAt": clock::rest(pipeline.updated_at),
        "finishedAt": clock::rest_or_null(pipeline.finished_at),
        "testReportSummary": { "total": {
            "count": tests.total(), "success": tests.success, "failed": tests.failed, "skipped": tests.skipped, "error": 0,
        } },
    })
}

fn show_user(world: &World, id: u64) -> Value {
    let user = world.user(id);
    json!({
        "id": gid("User", user.id),
        "username": user.username,
        "name": user.name,
        "publicEmail": if user.public_email { user.email.as_str() } else { "" },
        "webUrl": format!("{}/{}", world.url, user.username),
        "avatarUrl": avatar(world, user),
    })
}

fn show_reviewer(world: &World, request: &MergeRequest, reviewer: &Reviewer) -> Value {
    let mut shown = show_user(world, reviewer.user);
    shown["mergeRequestInteraction"] = json!({
        "approved": request.approvals.contains(&reviewer.user),
        "reviewState": reviewer.state.to_uppercase(),
    });
    shown
}

struct RepositoryNode<'w> {
    world: &'w World,
    project: &'w Project,
}

impl ObjectValue for RepositoryNode<'_> {
    fn type_name(&self) -> &str {
        "Repository"
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        match info.field_name() {
            "rootRef" => Ok(ResolvedValue::leaf(self.project.default_branch.clone())),
            "tree" => {
                let name = text(info, "ref").unwrap_or_default();
                let commit = self.project.repository.resolve(&name);
                Ok(rendered("Tree", json!({ "lastCommit": commit.map(|commit| self.commit(commit)) })))
            }
            _ => Err(self.unknown_field_error(info)),
        }
    }
}

impl RepositoryNode<'_> {
    fn commit(&self, commit: &Commit) -> Value {
        json!({
            "id": format!("gid://gitlab/Commit/{}", commit.sha),
            "sha": commit.sha,
            "message": commit.message,
            "webUrl": format!("{}/-/commit/{}", self.world.project_url(self.project), commit.sha),
            "authorName": commit.author_name,
            "authorEmail": commit.author_email,
            "committedDate": clock::commit_rest(commit.committed_at),
            "diffs": commit.files.iter().map(show_diff).collect::<Vec<_>>(),
        })
    }
}

/// GitLab writes the flags of a file as text.
fn show_diff(file: &FileChange) -> Value {
    let mode = |exists: bool| if exists { "100644" } else { "0" };
    let text = file.diff();
    json!({
        "aMode": mode(file.kind != ChangeKind::Added),
        "bMode": mode(file.kind != ChangeKind::Removed),
        "oldPath": file.old_path,
        "newPath": file.new_path,
        "newFile": (file.kind == ChangeKind::Added).to_string(),
        "renamedFile": (file.kind == ChangeKind::Renamed).to_string(),
        "deletedFile": (file.kind == ChangeKind::Removed).to_string(),
        "diff": if text.len() > LONGEST_DIFF { "" } else { &text },
    })
}

/// An object that is there as a whole.
struct Rendered {
    type_name: String,
    value: Value,
}

fn rendered<'a>(type_name: &str, value: Value) -> ResolvedValue<'a> {
    ResolvedValue::object(Rendered { type_name: type_name.to_owned(), value })
}

impl ObjectValue for Rendered {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        let is_full = info.arguments().get("full").and_then(|full| full.as_bool()) == Some(true);
        let name = match info.field_name() {
            "reference" if is_full => "fullReference",
            name => name,
        };
        let type_name = info.field_definition().ty.inner_named_type().to_string();
        Ok(resolved(&type_name, &self.value[name]))
    }
}

fn resolved<'a>(type_name: &str, value: &Value) -> ResolvedValue<'a> {
    match value {
        Value::Object(_) => rendered(type_name, value.clone()),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| resolved(type_name, item)).collect();
            ResolvedValue::list(items)
        }
        scalar => ResolvedValue::leaf(scalar.clone()),
    }
}

fn gid(kind: &str, id: u64) -> String {
    format!("gid://gitlab/{kind}/{id}")
}

fn text(info: &ResolveInfo<'_>, name: &str) -> Option<String> {
    info.arguments().get(name)?.as_str().map(ToOwned::to_owned)
}

fn texts(info: &ResolveInfo<'_>, name: &str) -> Option<Vec<String>> {
    let list = info.arguments().get(name)?.as_array()?;
    Some(list.iter().filter_map(|item| item.as_str().map(ToOwned::to_owned)).collect())
}
