//! Merge requests.

use super::html::{Page, Value};
use super::{Place, date, words};

pub(super) fn show(place: &Place<'_>, iid: u64) -> Option<Page> {
    let request = place.project.merge_requests.get(&iid)?;
    let state = if request.draft() && request.state == "opened" { "Draft" } else { request.state };
    let reviewers = request
        .reviewers
        .iter()
        .map(|reviewer| vec![place.user(reviewer.user), Value::text(words(reviewer.state))])
        .collect();
    let source = &request.source_branch;
    let exists = place.project.repository.branches.contains_key(source);
    let page = place
        .page("Merge request", format!("!{iid} {}", request.title))
        .fact("State", Value::text(words(state)))
        .fact("Author", place.user(request.author))
        .fact("From", if exists { place.git_ref(source) } else { Value::code(source) })
        .fact("Into", place.git_ref(&request.target_branch))
        .fact("Last commit", place.commit(&request.sha))
        .fact("Comments", Value::text(request.user_notes_count.to_string()))
        .fact("Created", date(request.created_at))
        .fact("Updated", date(request.updated_at))
        .fact_if("Merged", request.merged_at.map(date))
        .fact_if("Merge commit", request.merge_commit_sha.as_deref().map(|sha| place.commit(sha)))
        .fact_if("Description", request.description.as_deref().map(Value::text));
    Some(page.table("Reviewers", reviewers))
}

/// Where GitLab has the form that opens one.
pub(super) fn new(place: &Place<'_>) -> Page {
    let note = "GitLab has a form here. Pages of the stand-in change nothing.";
    place.page("Merge request", "New merge request").fact("Form", Value::text(note))
}
