//! The part of GitLab's REST API (<https://docs.gitlab.com/api/rest/>) that a reader of groups and a maker of
//! hooks needs. One file per kind of thing; every route is in the table below.

mod access_tokens;
mod answer;
mod call;
mod deployments;
pub(super) mod error;
mod feature_flags;
mod groups;
mod hook_runs;
mod hooks;
mod instance;
mod merge_requests;
mod people;
mod pipelines;
mod projects;
mod repository;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on, post};

use super::gate;
use super::graphql;
use super::oauth;
use super::pages;
use super::shared::Shared;
use super::state::World;
use answer::extended;
pub(super) use answer::{Answer, Outcome};
pub(super) use call::Call;
use error::Refusal;

/// What a credential must be allowed to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// To be valid.
    Nothing,
    Read,
    ReadUser,
    Write,
    Rotate,
}

impl Need {
    /// The scopes of which one is enough.
    fn scopes(self) -> &'static [&'static str] {
        match self {
            Need::Nothing => &[],
            Need::Read => &["api", "read_api"],
            Need::ReadUser => &["api", "read_api", "read_user"],
            Need::Write => &["api"],
            Need::Rotate => &["api", "self_rotate"],
        }
    }
}

type Handler = fn(&mut World, &Call) -> Outcome;

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PUT: MethodFilter = MethodFilter::PUT;
const DELETE: MethodFilter = MethodFilter::DELETE;

/// Every route but the two that send a webhook.
const ROUTES: &[(MethodFilter, &str, Need, Handler)] = &[
    (GET, "/metadata", Need::ReadUser, instance::metadata),
    (GET, "/version", Need::ReadUser, instance::version),
    (GET, "/user", Need::ReadUser, instance::current_user),
    (GET, "/users/{user_id}", Need::ReadUser, instance::user),
    (GET, "/personal_access_tokens/self", Need::Nothing, access_tokens::own),
    (DELETE, "/personal_access_tokens/self", Need::Nothing, access_tokens::revoke_own),
    (POST, "/personal_access_tokens/self/rotate", Need::Rotate, access_tokens::rotate_own),
    (GET, "/groups", Need::Read, groups::list),
    (GET, "/groups/{id}", Need::Read, groups::show),
    (GET, "/groups/{id}/members/all/{user_id}", Need::Read, groups::member),
    (GET, "/groups/{id}/projects", Need::Read, groups::projects),
    (GET, "/groups/{id}/merge_requests", Need::Read, merge_requests::of_group),
    (GET, "/groups/{id}/subgroups", Need::Read, groups::subgroups),
    (GET, "/groups/{id}/descendant_groups", Need::Read, groups::descendants),
    (POST, "/groups/{id}/access_tokens", Need::Write, access_tokens::create),
    (DELETE, "/groups/{id}/access_tokens/{token_id}", Need::Write, access_tokens::revoke),
    (POST, "/groups/{id}/access_tokens/{token_id}/rotate", Need::Rotate, access_tokens::rotate),
    (GET, "/groups/{id}/hooks", Need::Read, hooks::list_of_group),
    (POST, "/groups/{id}/hooks", Need::Write, hooks::create_in_group),
    (GET, "/groups/{id}/hooks/{hook_id}", Need::Read, hooks::show_of_group),
    (PUT, "/groups/{id}/hooks/{hook_id}", Need::Write, hooks::update_in_group),
    (DELETE, "/groups/{id}/hooks/{hook_id}", Need::Write, hooks::delete_in_group),
    (GET, "/groups/{id}/hooks/{hook_id}/events", Need::Read, hooks::events_of_group),
    (GET, "/projects/{id}/hooks", Need::Read, hooks::list_of_project),
    (POST, "/projects/{id}/hooks", Need::Write, hooks::create_in_project),
    (GET, "/projects/{id}/hooks/{hook_id}", Need::Read, hooks::show_of_project),
    (PUT, "/projects/{id}/hooks/{hook_id}", Need::Write, hooks::update_in_project),
    (DELETE, "/projects/{id}/hooks/{hook_id}", Need::Write, hooks::delete_in_project),
    (GET, "/projects/{id}/hooks/{hook_id}/events", Need::Read, hooks::events_of_project),
    (GET, "/projects/{id}", Need::Read, projects::show),
    (GET, "/projects/{id}/members/all/{user_id}", Need::Read, projects::member),
    (GET, "/projects/{id}/merge_requests", Need::Read, merge_requests::list),
    (GET, "/projects/{id}/merge_requests/{iid}", Need::Read, merge_requests::show),
    (GET, "/projects/{id}/merge_requests/{iid}/reviewers", Need::Read, merge_requests::reviewers),
    (GET, "/projects/{id}/merge_requests/{iid}/approvals", Need::Read, merge_requests::approvals),
    (GET, "/projects/{id}/merge_requests/{iid}/commits", Need::Read, merge_requests::commits),
    (GET, "/projects/{id}/merge_requests/{iid}/pipelines", Need::Read, merge_requests::pipelines),
    (GET, "/projects/{id}/repository/branches", Need::Read, repository::branches),
    (GET, "/projects/{id}/repository/branches/{branch}", Need::Read, repository::branch),
    (GET, "/projects/{id}/repository/commits", Need::Read, repository::commits),
    (GET, "/projects/{id}/repository/commits/{sha}", Need::Read, repository::commit),
    (GET, "/projects/{id}/repository/commits/{sha}/diff", Need::Read, repository::diff),
    (GET, "/projects/{id}/repository/commits/{sha}/refs", Need::Read, repository::refs),
    (GET, "/projects/{id}/repository/commits/{sha}/merge_requests", Need::Read, merge_requests::of_commit),
    (GET, "/projects/{id}/repository/compare", Need::Read, repository::compare),
    (GET, "/projects/{id}/repository/merge_base", Need::Read, repository::merge_base),
    (GET, "/projects/{id}/pipelines", Need::Read, pipelines::list),
    (GET, "/projects/{id}/pipelines/{pipeline_id}", Need::Read, pipelines::show),
    (
        GET,
        "/projects/{id}/pipelines/{pipeline_id}/test_report_summary",
        Need::Read,
        pipelines::test_report_summary,
    ),
    (GET, "/projects/{id}/pipelines/{pipeline_id}/jobs", Need::Read, pipelines::jobs),
    (GET, "/projects/{id}/deployments", Need::Read, deployments::list),
    (GET, "/projects/{id}/deployments/{deployment_id}", Need::Read, deployments::show),
    (
        GET,
        "/projects/{id}/deployments/{deployment_id}/merge_requests",
        Need::Read,
        merge_requests::of_deployment,
    ),
    (GET, "/projects/{id}/environments", Need::Read, deployments::environments),
    (GET, "/projects/{id}/environments/{environment_id}", Need::Read, deployments::environment),
    (GET, "/projects/{id}/feature_flags", Need::Read, feature_flags::list),
    (GET, "/projects/{id}/feature_flags/{name}", Need::Read, feature_flags::show),
];

/// The whole server.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    let mut api = Router::new()
        .route("/groups/{id}/hooks/{hook_id}/test/{trigger}", post(hook_runs::test_in_group))
        .route("/groups/{id}/hooks/{hook_id}/events/{event_id}/resend", post(hook_runs::resend_in_group))
        .route("/projects/{id}/hooks/{hook_id}/test/{trigger}", post(hook_runs::test_in_project))
        .route("/projects/{id}/hooks/{hook_id}/events/{event_id}/resend", post(hook_runs::resend_in_project));
    for (method, path, need, handler) in ROUTES {
        let run = move |State(shared): State<Arc<Shared>>, request: Request| async move {
            run(&shared, *need, *handler, request).await
        };
        api = api.route(path, on(*method, run));
    }
    Router::new()
        .nest("/api/v4", api)
        .route("/oauth/authorize", get(oauth::authorize))
        .route("/oauth/token", post(oauth::token))
        .route("/oauth/revoke", post(oauth::revoke))
        .route(graphql::PATH, post(query))
        .fallback(pages::show)
        .layer(from_fn_with_state(Arc::clone(shared), gate::guard))
        .with_state(Arc::clone(shared))
}

async fn query(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    run(&shared, Need::Read, graphql::answer, request).await
}

async fn run(shared: &Shared, need: Need, handler: Handler, request: Request) -> Response {
    let base_url = shared.world().url.clone();
    let mut call = match Call::read(request, &base_url).await {
        Ok(call) => call,
        Err(refusal) => return refusal.into_response(),
    };
    let mut world = shared.world();
    let outcome = call.authenticate(&mut world, need).and_then(|()| handler(&mut world, &call));
    outcome.into_response()
}
