//! Branches, commits, diffs and comparisons (<https://docs.gitlab.com/api/commits/>).

use serde_json::{Value, json};

use super::{Answer, Call, Outcome, Refusal, pipelines};
use crate::gitlab::clock;
use crate::gitlab::state::{Branch, ChangeKind, Commit, FileChange, Project, World};

/// The text of a longer diff is left out (<https://docs.gitlab.com/user/project/merge_requests/diff_limits/>).
const LONGEST_DIFF: usize = 200 * 1024;

/// `GET /projects/:id/repository/branches`
pub(crate) fn branches(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let sort = call.choice("sort", &["name_asc", "updated_asc", "updated_desc"])?;
    let mut found: Vec<(&String, &Branch)> = project.repository.branches.iter().collect();
    if let Some(search) = call.text("search").filter(|search| !search.is_empty()) {
        found.retain(|(name, _)| matches_search(name, &search));
    }
    if let Some(regex) = call.text("regex") {
        let regex = regex::Regex::new(&regex).map_err(|_| Refusal::invalid("regex"))?;
        found.retain(|(name, _)| regex.is_match(name));
    }
    if sort != "name_asc" {
        found
            .sort_by_key(|(_, branch)| project.repository.commit(&branch.head).map(|head| head.committed_at));
    }
    if sort == "updated_desc" {
        found.reverse();
    }
    Answer::page(call, &found, |(name, branch)| show_branch(world, project, name, branch))
}

/// `^begin`, `end$` or part of the name.
fn matches_search(name: &str, search: &str) -> bool {
    match (search.strip_prefix('^'), search.strip_suffix('$')) {
        (Some(start), _) => name.starts_with(start),
        (None, Some(end)) => name.ends_with(end),
        (None, None) => name.contains(search),
    }
}

/// `GET /projects/:id/repository/branches/:branch`
pub(crate) fn branch(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let name = call.path("branch");
    let branch = project.repository.branches.get(name).ok_or_else(|| Refusal::not_found("Branch"))?;
    Ok(Answer::ok(show_branch(world, project, name, branch)))
}

fn show_branch(world: &World, project: &Project, name: &str, branch: &Branch) -> Value {
    json!({
        "name": name,
        "merged": false,
        "protected": branch.protected,
        "default": name == project.default_branch,
        "developers_can_push": false,
        "developers_can_merge": false,
        "can_push": true,
        "web_url": format!("{}/-/tree/{name}", world.project_url(project)),
        "commit": project.repository.commit(&branch.head).map(|head| show_commit(world, project, head)),
    })
}

/// `GET /projects/:id/repository/commits`, never counted. An unknown ref has no commits.
pub(crate) fn commits(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let (since, until) = (call.date("since")?, call.date("until")?);
    let first_parent = call.flag("first_parent")?.unwrap_or_default();
    let with_stats = call.flag("with_stats")?.unwrap_or_default();
    let all = call.flag("all")?.unwrap_or_default();
    let range = call.text("ref_name").unwrap_or_else(|| project.default_branch.clone());
    let (exclude, include) =
        range.split_once("..").map_or((None, range.as_str()), |(from, to)| (Some(from), to));
    let sha = |name: &str| project.repository.resolve(name).map(|commit| commit.sha.clone());
    let (wanted, known) = (sha(include), exclude.map(sha));
    let heads = project.repository.branches.values().map(|branch| branch.head.as_str());
    let heads: Vec<&str> = heads.chain(project.repository.tags.values().map(String::as_str)).collect();
    let mut found = match (wanted, known) {
        _ if all => project.repository.log(&heads, &[], first_parent),
        (Some(wanted), None) => project.repository.log(&[&wanted], &[], first_parent),
        (Some(wanted), Some(Some(known))) => project.repository.log(&[&wanted], &[&known], first_parent),
        _ => Vec::new(),
    };
    found.retain(|commit| since.is_none_or(|since| commit.committed_at >= since));
    found.retain(|commit| until.is_none_or(|until| commit.committed_at <= until));
    Answer::uncounted_page(call, &found, |commit| {
        let mut body = show_commit(world, project, commit);
        if with_stats {
            body["stats"] = stats(commit);
        }
        body
    })
}

/// `GET /projects/:id/repository/commits/:sha`
pub(crate) fn commit(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let commit = find_commit(project, call)?;
    let pipeline = project.pipelines.values().rev().find(|pipeline| pipeline.sha == commit.sha);
    let mut body = show_commit(world, project, commit);
    if call.flag("stats")?.unwrap_or(true) {
        body["stats"] = stats(commit);
    }
    body["status"] = json!(pipeline.map(|pipeline| &pipeline.status));
    body["project_id"] = json!(project.id);
    body["last_pipeline"] =
        pipeline.map_or(Value::Null, |pipeline| pipelines::basic(world, project, pipeline));
    Ok(Answer::ok(body))
}

/// The commit in the path.
pub(crate) fn find_commit<'p>(project: &'p Project, call: &Call) -> Result<&'p Commit, Refusal> {
    project.repository.resolve(call.path("sha")).ok_or_else(|| Refusal::not_found("Commit"))
}

/// `GET /projects/:id/repository/commits/:sha/diff`
pub(crate) fn diff(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let commit = find_commit(project, call)?;
    Answer::page(call, &commit.files, |file| show_diff(world, file))
}

/// `GET /projects/:id/repository/commits/:sha/refs`: the branches and tags that a commit was pushed to.
pub(crate) fn refs(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let commit = find_commit(project, call)?;
    let kind = call.choice("type", &["all", "branch", "tag"])?;
    let branches = project.repository.branches.iter().map(|(name, branch)| ("branch", name, &branch.head));
    let tags = project.repository.tags.iter().map(|(name, head)| ("tag", name, head));
    let has_it =
        |head: &str| project.repository.log(&[head], &[], false).iter().any(|known| known.sha == commit.sha);
    let found: Vec<(&str, &String)> = branches
        .chain(tags)
        .filter(|(of, _, head)| (kind == "all" || kind == *of) && has_it(head))
        .map(|(of, name, _)| (of, name))
        .collect();
    Answer::page(call, &found, |(of, name)| json!({ "type": of, "name": name }))
}

fn show_diff(world: &World, file: &FileChange) -> Value {
    let mode = |exists: bool| if exists { "100644" } else { "0" };
    let text = file.diff();
    let too_large = text.len() > LONGEST_DIFF;
    let mut body = json!({
        "diff": if too_large { "" } else { &text },
        "new_path": file.new_path,
        "old_path": file.old_path,
        "a_mode": mode(file.kind != ChangeKind::Added),
        "b_mode": mode(file.kind != ChangeKind::Removed),
        "new_file": file.kind == ChangeKind::Added,
        "renamed_file": file.kind == ChangeKind::Renamed,
        "deleted_file": file.kind == ChangeKind::Removed,
    });
    if world.version.sends_newer_hook_fields() {
        body["generated_file"] = json!(false);
        body["collapsed"] = json!(false);
        body["too_large"] = json!(too_large);
    }
    body
}

/// `GET /projects/:id/repository/compare`: what `to` has and `from` lacks, oldest first.
pub(crate) fn compare(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let resolve = |name: &str| {
        let text = call.required(name)?;
        project.repository.resolve(&text).ok_or_else(|| Refusal::not_found("Ref"))
    };
    let (from, to) = (resolve("from")?, resolve("to")?);
    let mut between = project.repository.log(&[&to.sha], &[&from.sha], false);
    between.reverse();
    let files: Vec<Value> =
        between.iter().flat_map(|commit| &commit.files).map(|file| show_diff(world, file)).collect();
    Ok(Answer::ok(json!({
        "commit": between.last().map(|commit| show_commit(world, project, commit)),
        "commits": between.iter().map(|commit| show_commit(world, project, commit)).collect::<Vec<_>>(),
        "diffs": files,
        "compare_timeout": false,
        "compare_same_ref": from.sha == to.sha,
        "web_url": format!("{}/-/compare/{}...{}", world.project_url(project), from.sha, to.sha),
    })))
}

/// `GET /projects/:id/repository/merge_base` (<https://docs.gitlab.com/api/repositories/#merge-base>).
pub(crate) fn merge_base(world: &mut World, call: &Call) -> Outcome {
    let project = call.code(world)?;
    let refs = call.list("refs");
    let [one, other] = refs.as_slice() else {
        return Err(Refusal::bad_request("Provide at least 2 refs"));
    };
    let resolve = |name: &String| {
        let commit = project.repository.resolve(name);
        commit.ok_or_else(|| Refusal::bad_request(&format!("Could not find ref: {name}")))
    };
    let (one, other) = (resolve(one)?, resolve(other)?);
    let base = project.repository.merge_base(&one.sha, &other.sha);
    let base = base.ok_or_else(|| Refusal::not_found("Merge Base"))?;
    Ok(Answer::ok(show_commit(world, project, base)))
}

fn stats(commit: &Commit) -> Value {
    let (added, removed) = (commit.additions(), commit.deletions());
    json!({ "additions": added, "deletions": removed, "total": added + removed })
}

/// A commit as the API shows it: the author's address is not redacted here.
pub(crate) fn show_commit(world: &World, project: &Project, commit: &Commit) -> Value {
    json!({
        "id": commit.sha,
        "short_id": commit.short_id(),
        "created_at": clock::commit_rest(commit.committed_at),
        "parent_ids": commit.parents,
        "title": commit.title(),
        "message": commit.message,
        "author_name": commit.author_name,
        "author_email": commit.author_email,
        "authored_date": clock::commit_rest(commit.authored_at),
        "committer_name": commit.author_name,
        "committer_email": commit.author_email,
        "committed_date": clock::commit_rest(commit.committed_at),
        "trailers": {},
        "web_url": format!("{}/-/commit/{}", world.project_url(project), commit.sha),
    })
}
