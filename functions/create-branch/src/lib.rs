//! Sends a person who wants a branch for a Jira issue to GitLab, by way of the `chooser` where the site has links to several
//! instances. The person's token stays here: GitLab gets the issue and the app's key, nothing else.

mod chooser;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, OriginalUri, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use shared::bundle::BRANCHES_ROUTE;
use shared::config::{Variables, gitlab_url};
use shared::domain::{Site, Subscription};
use shared::http::{Error, JiraUser, TenantGate};
use shared::services::Services;
use url::Url;

use chooser::Choice;

/// What may go on to GitLab.
const PASSED_ON: [&str; 3] = ["issue_key", "issue_summary", "addonkey"];

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
    /// Where a site without links is sent.
    pub gitlab_url: Url,
}

impl Config {
    /// Reads it from environment variables.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let (table_name, kms_key_id) = (variables.required("TABLE_NAME"), variables.required("KMS_KEY_ID"));
        Some(Self { table_name, kms_key_id, gitlab_url: gitlab_url(variables)? })
    }
}

/// What the function needs.
#[derive(Clone, Debug)]
pub struct CreateBranch {
    /// Verifies callers.
    pub gate: TenantGate,
    /// Where a site without links is sent.
    pub gitlab_url: Arc<Url>,
}

impl FromRef<CreateBranch> for TenantGate {
    fn from_ref(state: &CreateBranch) -> Self {
        state.gate.clone()
    }
}

/// The function as `services` and its configuration make it.
pub fn build(services: &Services, config: Config) -> Router {
    let gate = services.tenant_gate(&config.table_name, &config.kms_key_id);
    router(CreateBranch { gate, gitlab_url: Arc::new(config.gitlab_url) })
}

/// Answers [`BRANCHES_ROUTE`].
pub fn router(state: CreateBranch) -> Router {
    Router::new().route(BRANCHES_ROUTE.path, get(route)).with_state(state)
}

async fn route(
    State(state): State<CreateBranch>,
    user: JiraUser,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Error> {
    let links = state.gate.store.subscriptions(user.site.id).await.map_err(Error::unavailable)?;
    let issue = Issue::read(uri.query().unwrap_or_default());
    let choices = choices(&user.site, &links, &issue)?;
    let answer = match choices.as_slice() {
        [] => redirect(&issue.page_of(state.gitlab_url.as_str())?)?,
        [only] => redirect(&only.page)?,
        several => chooser::page(issue.value("issue_key"), issue.value("issue_summary"), several),
    };
    // The address that led here has the person's token in it.
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")];
    Ok((headers, answer).into_response())
}

/// The linked instances, in the order in which their first groups were linked. A site keeps instances that it has no links to
/// any more; their ids depend on it.
fn choices(site: &Site, links: &[Subscription], issue: &Issue) -> Result<Vec<Choice>, Error> {
    let mut choices = Vec::new();
    for instance in &site.instances {
        let of_instance = links.iter().filter(|link| link.instance == *instance);
        let groups: Vec<String> = of_instance.map(|link| link.group_path.clone()).collect();
        if !groups.is_empty() {
            choices.push(Choice { instance: instance.clone(), groups, page: issue.page_of(instance)? });
        }
    }
    Ok(choices)
}

/// What of the query goes on to GitLab.
struct Issue(Vec<(String, String)>);

impl Issue {
    fn read(query: &str) -> Self {
        let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
        Self(pairs.filter(|(name, _)| PASSED_ON.contains(&name.as_str())).collect())
    }

    fn value(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// GitLab's page for a new branch.
    fn page_of(&self, instance: &str) -> Result<Url, Error> {
        let page = format!("{}/-/jira_connect/branches/new", instance.trim_end_matches('/'));
        let mut page = Url::parse(&page).map_err(failure)?;
        page.query_pairs_mut().extend_pairs(&self.0);
        Ok(page)
    }
}

fn redirect(page: &Url) -> Result<Response, Error> {
    let location = HeaderValue::from_str(page.as_str()).map_err(failure)?;
    Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

fn failure(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::status(StatusCode::INTERNAL_SERVER_ERROR).because(error)
}
