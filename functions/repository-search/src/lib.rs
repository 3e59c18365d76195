//! Answers Jira's toolchain, where people associate repositories with a Jira project: linked groups are its workspaces, their
//! projects its repositories, as
//! <https://developer.atlassian.com/cloud/jira/platform/modules/development-actions/> has it. What Jira asks for is read in
//! `search`; GitLab is asked in `projects`, with the token of each link.

mod config;
mod links;
mod projects;
mod search;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRef, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use shared::bundle::{REPOSITORIES_ASSOCIATE, REPOSITORIES_SEARCH, WORKSPACES_SEARCH};
use shared::http::{Error, JiraUser, TenantGate};
use shared::sync::transform;

pub use config::{Config, build};
pub use projects::Gitlab;

use links::{Workspace, Workspaces};
use projects::Found;
use search::Search;

/// A repository's id and some white space.
const MAX_BODY: usize = 4 * 1024;

/// What the function needs.
#[derive(Clone, Debug)]
pub struct RepositorySearch {
    /// Verifies callers.
    pub gate: TenantGate,
    /// Asks GitLab.
    pub gitlab: Gitlab,
}

impl FromRef<RepositorySearch> for TenantGate {
    fn from_ref(state: &RepositorySearch) -> Self {
        state.gate.clone()
    }
}

/// Answers [`WORKSPACES_SEARCH`], [`REPOSITORIES_SEARCH`] and [`REPOSITORIES_ASSOCIATE`].
pub fn router(state: RepositorySearch) -> Router {
    Router::new()
        .route(WORKSPACES_SEARCH.path, get(search_workspaces))
        .route(REPOSITORIES_SEARCH.path, get(search_repositories))
        .route(REPOSITORIES_ASSOCIATE.path, post(associate_repository))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}

/// A project as Jira lists it.
#[derive(Debug, Serialize)]
struct ListedRepository<'a> {
    id: String,
    name: String,
    workspace: &'a Workspace,
}

/// A project as Jira keeps it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AssociatedRepository {
    id: String,
    name: String,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
    last_updated_date: String,
}

async fn search_workspaces(
    State(state): State<RepositorySearch>,
    user: JiraUser,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let search = Search::read(query.as_deref().unwrap_or_default());
    let workspaces = workspaces(&state, user).await?;
    let found = workspaces.named_like(&search.words).skip(search.offset).take(search.limit);
    let found: Vec<Value> = found
        .map(|workspace| json!({"id": workspace.id, "name": workspace.name, "canCreateContainer": false}))
        .collect();
    Ok(answer(&json!({"success": true, "workspaces": found})))
}

async fn search_repositories(
    State(state): State<RepositorySearch>,
    user: JiraUser,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let search = Search::read(query.as_deref().unwrap_or_default());
    let workspaces = workspaces(&state, user).await?;
    let searched = workspaces.searched_for(search.workspace.as_deref());
    let found = state.gitlab.search(searched, &search).await.map_err(Error::unavailable)?;
    let repositories: Vec<_> = found
        .iter()
        .map(|Found { workspace, found }| {
            let (link, index) = (&workspace.link, workspace.instance_index);
            let repository = transform::repository(&found.project, &link.instance, index);
            ListedRepository { id: repository.id, name: repository.name, workspace }
        })
        .collect();
    Ok(answer(&json!({"success": true, "repositories": repositories})))
}

async fn associate_repository(
    State(state): State<RepositorySearch>,
    user: JiraUser,
    body: Bytes,
) -> Response {
    match associated(&state, user, &body).await {
        Ok(repository) => answer(&repository),
        Err(error) => error.into_json(),
    }
}

/// Nothing is kept: what happens in the project is sent anyway, because its group is linked.
async fn associated(
    state: &RepositorySearch,
    user: JiraUser,
    body: &[u8],
) -> Result<AssociatedRepository, Error> {
    let id = search::repository_id(body)
        .ok_or_else(|| Error::new(StatusCode::BAD_REQUEST, r#"Name the repository, as in {"id": "42"}."#))?;
    let workspaces = workspaces(state, user).await?;
    let (project, candidates) = workspaces.that_may_have(&id);
    let found = state.gitlab.find(project, candidates).await.map_err(Error::unavailable)?;
    let Some(Found { workspace, found }) = found else {
        return Err(Error::new(StatusCode::NOT_FOUND, "Repository not found."));
    };
    let repository =
        transform::repository(&found.project, &workspace.link.instance, workspace.instance_index);
    let updated_at = found.last_activity_at.unwrap_or_else(|| state.gate.clock.now());
    Ok(AssociatedRepository {
        id: repository.id,
        name: repository.name,
        url: repository.url,
        avatar_url: repository.avatar,
        last_updated_date: updated_at.iso8601(),
    })
}

async fn workspaces(state: &RepositorySearch, user: JiraUser) -> Result<Workspaces, Error> {
    let links = state.gate.store.subscriptions(user.site.id).await.map_err(Error::unavailable)?;
    Ok(Workspaces::of(&user.site, links))
}

/// Names of private projects, which nothing on the way is to keep.
fn answer(body: &impl Serialize) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, Json(body)).into_response()
}
