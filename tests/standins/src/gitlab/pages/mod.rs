//! A small page for each object that a link from outside leads to, so that following one ends at the object and not at a
//! 404. It shows what the stand-in stores and takes nothing in; who may see what is checked by the API only.

mod ci;
mod code;
mod html;
mod merge_request;
mod place;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;

use super::clock;
use super::rest::error::Refusal;
use super::shared::Shared;
use super::state::{Project, World};
use html::{Page, Value};

/// What stands between a project's path and its objects' in GitLab's addresses.
const SEPARATOR: &str = "/-/";

/// Answers everything that is not the API: with a page if the address is an object's, as the API does otherwise.
pub(super) async fn show(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
    let found = (request.method() == Method::GET).then(|| find(&shared.world(), &path)).flatten();
    found.map_or_else(|| Refusal::no_route().into_response(), IntoResponse::into_response)
}

fn find(world: &World, path: &str) -> Option<Page> {
    let path = path.trim_start_matches('/').trim_end_matches('/');
    let Some((project, object)) = path.split_once(SEPARATOR) else {
        return place::group(world, path.strip_prefix("groups/").unwrap_or(path))
            .or_else(|| place::project(world, path))
            .or_else(|| place::user(world, path));
    };
    let place = Place { world, project: world.project(world.find_project(project)?) };
    let (kind, rest) = object.split_once('/').unwrap_or((object, ""));
    match (kind, rest) {
        ("commit", sha) => code::commit(&place, sha),
        ("commits" | "tree", git_ref) => code::commits(&place, git_ref),
        ("blob", file) => code::file(&place, file),
        ("merge_requests", "new") => Some(merge_request::new(&place)),
        ("merge_requests", iid) => merge_request::show(&place, iid.parse().ok()?),
        ("pipelines", id) => ci::pipeline(&place, id.parse().ok()?),
        ("jobs", id) => ci::job(&place, id.parse().ok()?),
        ("environments", "") => Some(ci::environments(&place)),
        ("environments", rest) => match rest.split_once("/deployments/") {
            Some((_, iid)) => ci::deployment(&place, iid.parse().ok()?),
            None => ci::environment(&place, rest.parse().ok()?),
        },
        ("feature_flags", "") => Some(ci::feature_flags(&place)),
        _ => None,
    }
}

/// A project whose object is shown.
struct Place<'a> {
    world: &'a World,
    project: &'a Project,
}

impl Place<'_> {
    /// The address of one of the project's pages.
    fn url(&self, object: &str) -> String {
        format!("{}{SEPARATOR}{}", self.world.project_url(self.project), html::in_path(object))
    }

    /// A page of one of its objects.
    fn page(&self, kind: &'static str, title: impl Into<String>) -> Page {
        let path = self.world.project_path(self.project);
        Page::new(kind, title).within(self.world.project_url(self.project), path)
    }

    fn commit(&self, sha: &str) -> Value {
        let digits = sha.get(..8).unwrap_or(sha);
        Value::link(self.url(&format!("commit/{sha}")), digits)
    }

    fn git_ref(&self, name: &str) -> Value {
        Value::link(self.url(&format!("commits/{name}")), name)
    }

    fn user(&self, id: u64) -> Value {
        let user = self.world.user(id);
        Value::link(format!("{}/{}", self.world.url, user.username), &user.name)
    }
}

/// `opened` as people read it: `Opened`.
fn words(state: &str) -> String {
    let text = state.replace('_', " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn date(at: OffsetDateTime) -> Value {
    Value::text(clock::readable(at))
}
