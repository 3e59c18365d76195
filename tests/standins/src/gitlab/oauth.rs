//! OAuth 2.0 as GitLab's applications speak it (<https://docs.gitlab.com/api/oauth2/>): the authorization code flow of public
//! clients, with PKCE. A person who authorizes is whoever clicks: the stand-in has no passwords.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use url::Url;

use super::GitlabStandin;
use super::random;
use super::shared::Shared;
use super::story::UserHandle;

/// How long a code is good for.
const CODE_LIFETIME: Duration = Duration::minutes(10);

/// Applications, and codes that nobody has exchanged yet.
#[derive(Default)]
pub(crate) struct Oauth(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    applications: BTreeMap<String, Application>,
    codes: BTreeMap<String, Code>,
}

struct Application {
    redirect_uris: Vec<String>,
    confidential: bool,
    scopes: Vec<String>,
}

struct Code {
    application: String,
    redirect_uri: String,
    challenge: String,
    user: u64,
    scopes: Vec<String>,
    until: OffsetDateTime,
}

/// What an application sends a person's browser with.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Authorize {
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    response_type: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    code_challenge: String,
    #[serde(default)]
    code_challenge_method: String,
    /// Not GitLab's: who clicks on *Authorize*, or on *Cancel*.
    #[serde(default, rename = "as")]
    user: String,
}

impl Oauth {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GitlabStandin {
    /// Registers a public application of the scope `api`, and answers its id.
    #[must_use]
    pub fn oauth_application(&self, redirect_uri: &str) -> String {
        self.register(redirect_uri, false, &["api"])
    }

    /// Registers an application that has a secret.
    #[must_use]
    pub fn confidential_application(&self, redirect_uri: &str) -> String {
        self.register(redirect_uri, true, &["api"])
    }

    /// Registers a public application under an id that was given out before it was there.
    pub fn oauth_application_with_id(&self, id: &str, redirect_uri: &str) {
        let application = application(redirect_uri, false, &["api"]);
        self.shared().oauth.registry().applications.insert(id.to_owned(), application);
    }

    fn register(&self, redirect_uri: &str, confidential: bool, scopes: &[&str]) -> String {
        let id = random::uuid().replace('-', "").repeat(2);
        let application = application(redirect_uri, confidential, scopes);
        self.shared().oauth.registry().applications.insert(id.clone(), application);
        id
    }

    /// What a browser does in which `user` is signed in and clicks on *Authorize*: answers where it is sent back to.
    ///
    /// # Errors
    /// With GitLab's page where it shows an error instead.
    pub fn authorize(&self, user: &UserHandle, authorize_url: &str) -> anyhow::Result<String> {
        let url = Url::parse(authorize_url)?;
        ensure!(authorize_url.starts_with(self.url()), "this is not a page of this GitLab");
        let pairs: serde_json::Map<String, Value> =
            url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
        let request: Authorize = serde_json::from_value(pairs.into())?;
        let shared = self.shared();
        let application = check(shared, &request).map_err(|page| anyhow::anyhow!("GitLab says: {page}"))?;
        Ok(grant(shared, application, user.id(), &request))
    }

    /// Whether an OAuth token of `user` still works.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn has_oauth_token(&self, user: &UserHandle) -> anyhow::Result<bool> {
        let world = self.shared().world();
        world.users.get(&user.id()).context("no such user")?;
        let now = world.clock.peek();
        let mut tokens = world.tokens.values();
        Ok(tokens.any(|token| {
            token.user == user.id()
                && token.kind == super::state::TokenKind::OAuth
                && !token.revoked
                && !token.expired(now)
        }))
    }
}

fn application(redirect_uri: &str, confidential: bool, scopes: &[&str]) -> Application {
    Application {
        redirect_uris: redirect_uri.split_whitespace().map(str::to_owned).collect(),
        confidential,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
    }
}

/// What is wrong with a request of an application, as GitLab's page words it.
fn check(shared: &Shared, request: &Authorize) -> Result<String, &'static str> {
    let registry = shared.oauth.registry();
    if request.client_id.is_empty() {
        return Err("Missing required parameter: client_id.");
    }
    let unknown = "Client authentication failed due to unknown client, no client authentication included, or unsupported authentication method.";
    let application = registry.applications.get(&request.client_id).ok_or(unknown)?;
    if !application.redirect_uris.contains(&request.redirect_uri) {
        return Err("The redirect URI included is not valid.");
    }
    if request.response_type != "code" {
        return Err("The authorization server does not support this response type.");
    }
    if request.scope.split_whitespace().any(|scope| !application.scopes.iter().any(|own| own == scope)) {
        return Err("The requested scope is invalid, unknown, or malformed.");
    }
    if !application.confidential
        && (request.code_challenge.is_empty() || request.code_challenge_method != "S256")
    {
        return Err("Code challenge is required.");
    }
    Ok(request.client_id.clone())
}

/// Makes a code, and answers where the browser goes with it.
fn grant(shared: &Shared, application: String, user: u64, request: &Authorize) -> String {
    let (code, until) =
        (random::uuid().replace('-', "").repeat(2), shared.world().clock.peek() + CODE_LIFETIME);
    let granted = Code {
        application,
        redirect_uri: request.redirect_uri.clone(),
        challenge: request.code_challenge.clone(),
        user,
        scopes: request.scope.split_whitespace().map(str::to_owned).collect(),
        until,
    };
    shared.oauth.registry().codes.insert(code.clone(), granted);
    back(request, &[("code", &code), ("state", &request.state)])
}

fn back(request: &Authorize, parameters: &[(&str, &str)]) -> String {
    let mut url = Url::parse(&request.redirect_uri).expect("a registered redirect URI is a URL");
    url.query_pairs_mut().extend_pairs(parameters);
    url.into()
}

/// `GET /oauth/authorize`: without a click a page with a button per person.
pub(crate) async fn authorize(
    State(shared): State<Arc<Shared>>,
    Query(request): Query<Authorize>,
    axum::extract::RawQuery(query): axum::extract::RawQuery,
) -> Response {
    let application = match check(&shared, &request) {
        Ok(application) => application,
        Err(message) => {
            return (
                StatusCode::UNAUTHORIZED,
                Html(format!("<h1>An error has occurred</h1><p>{message}</p>")),
            )
                .into_response();
        }
    };
    let user = shared.world().users.values().find(|user| user.username == request.user).map(|user| user.id);
    let location = match (request.user.as_str(), user) {
        ("", _) => return consent(&shared, &query.unwrap_or_default()),
        ("-", _) => back(&request, &[("error", "access_denied"), ("state", &request.state)]),
        (_, Some(user)) => grant(&shared, application, user, &request),
        (_, None) => return StatusCode::NOT_FOUND.into_response(),
    };
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

fn consent(shared: &Shared, query: &str) -> Response {
    let query = query.replace('&', "&amp;").replace('"', "&quot;");
    let button = |user: &str, text: &str| {
        format!("<p><a id=\"as-{user}\" href=\"/oauth/authorize?{query}&amp;as={user}\">{text}</a></p>")
    };
    let people: Vec<String> =
        shared.world().users.values().filter(|user| !user.bot).map(|user| user.username.clone()).collect();
    let people: String =
        people.iter().map(|user| button(user, &format!("Authorize GitLab for Jira as @{user}"))).collect();
    let cancel = button("-", "Cancel");
    Html(format!("<!doctype html><title>Authorize</title><h1>GitLab for Jira wants to use your account</h1>{people}{cancel}"))
        .into_response()
}

/// `POST /oauth/token`
pub(crate) async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let fields = fields(&headers, &body);
    let field = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    if field("grant_type") != "authorization_code" {
        return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let mut registry = shared.oauth.registry();
    // A confidential application has to prove itself by its secret, which nobody here has.
    match registry.applications.get(&field("client_id")) {
        Some(application) if !application.confidential => {}
        _ => return refuse(StatusCode::UNAUTHORIZED, "invalid_client"),
    }
    let Some(code) = registry.codes.remove(&field("code")) else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    drop(registry);
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, field("code_verifier").as_bytes()));
    let fits = code.application == field("client_id")
        && code.redirect_uri == field("redirect_uri")
        && code.challenge == challenge
        && shared.world().clock.peek() < code.until;
    if !fits {
        return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
    }
    let scopes: Vec<&str> = code.scopes.iter().map(String::as_str).collect();
    let token = UserHandle::new(&shared, code.user).oauth_token(&scopes);
    let created_at = shared.world().clock.peek().unix_timestamp();
    Json(json!({
        "access_token": token.expose_secret(), "token_type": "Bearer", "expires_in": 7200,
        "refresh_token": random::uuid(), "scope": code.scopes.join(" "), "created_at": created_at,
    }))
    .into_response()
}

/// `POST /oauth/revoke`: of a token that is not known nothing is said (RFC 7009, 2.2).
pub(crate) async fn revoke(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let fields = fields(&headers, &body);
    let client = fields["client_id"].as_str().unwrap_or_default();
    if !shared.oauth.registry().applications.contains_key(client) {
        return refuse(StatusCode::FORBIDDEN, "unauthorized_client");
    }
    let secret = fields["token"].as_str().unwrap_or_default();
    if let Some(token) = shared.world().tokens.values_mut().find(|token| token.secret == secret) {
        token.revoked = true;
    }
    Json(json!({})).into_response()
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error, "error_description": error }))).into_response()
}

fn fields(headers: &HeaderMap, body: &[u8]) -> Value {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        return serde_json::from_slice(body).unwrap_or_default();
    }
    let pairs = url::form_urlencoded::parse(body);
    let fields: serde_json::Map<String, Value> =
        pairs.map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
    fields.into()
}
