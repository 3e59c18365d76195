//! The stand-in over HTTP, as an app meets it. Rules of single bodies are tested beside the modules that hold them.

mod bearer;
mod connect;
mod data;
mod faults;
mod lifecycle;

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use shared::jwt::qsh::query_string_hash;
use time::OffsetDateTime;

use super::server::{self, Listening, Reply};
use super::{JiraStandin, Signature, SiteHandle, compact_token};

pub(super) const APP_KEY: &str = "app-under-test";

/// An app that accepts every lifecycle callback, or answers as the test says.
pub(super) struct App {
    pub base_url: String,
    state: Arc<Mutex<AppState>>,
    _listening: Listening,
}

struct AppState {
    descriptor: Value,
    answer: StatusCode,
    received: Vec<Received>,
}

/// A request that the app got.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// Path and query.
    pub target: String,
    pub authorization: Option<String>,
    pub body: Value,
}

impl App {
    pub(super) async fn start() -> Self {
        let bound = server::bind().await.unwrap();
        let base_url = format!("{}/base", bound.url);
        let state = AppState {
            descriptor: descriptor(&base_url),
            answer: StatusCode::NO_CONTENT,
            received: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let listening = bound.serve(move |request| {
            let mut state = shared.lock().unwrap();
            let reply = if request.uri().path() == "/base/app_descriptor.json" {
                Json(state.descriptor.clone()).into_response()
            } else {
                let authorization = request.headers().get("authorization");
                state.received.push(Received {
                    target: request.uri().to_string(),
                    authorization: authorization.map(|header| header.to_str().unwrap().to_owned()),
                    body: serde_json::from_slice(request.body()).unwrap_or_default(),
                });
                state.answer.into_response()
            };
            async { Reply::Answer(reply) }
        });
        Self { base_url, state, _listening: listening }
    }

    pub(super) fn answer(&self, status: u16) {
        self.state.lock().unwrap().answer = StatusCode::from_u16(status).unwrap();
    }

    pub(super) fn change_descriptor(&self, change: impl FnOnce(&mut Value)) {
        change(&mut self.state.lock().unwrap().descriptor);
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }
}

fn descriptor(base_url: &str) -> Value {
    let branches = format!(
        "{base_url}/branches?key={{issue.key}}&summary={{issue.summary}}&jwt={{jwt}}&app={{addonkey}}"
    );
    json!({
        "key": APP_KEY, "name": "App", "baseUrl": base_url, "authentication": { "type": "jwt" },
        "lifecycle": { "installed": "/events/installed", "uninstalled": "/events/uninstalled" },
        "scopes": ["READ", "WRITE", "DELETE"], "apiMigrations": { "signed-install": true, "context-qsh": true },
        "modules": {
            "postInstallPage": { "key": "configuration", "url": "/subscriptions" },
            "jiraDevelopmentTool": { "key": "dev-tool", "actions": { "createBranch": { "templateUrl": branches } } },
            "jiraBuildInfoProvider": { "key": "builds" },
            "jiraDeploymentInfoProvider": { "key": "deployments" },
            "jiraFeatureFlagInfoProvider": { "key": "flags" },
        },
    })
}

/// A site with issues PAY-1 to PAY-50 and the app installed.
pub(super) struct Installed {
    pub jira: JiraStandin,
    pub site: SiteHandle,
    pub app: App,
    pub http: reqwest::Client,
}

impl Installed {
    pub(super) async fn start() -> Self {
        let jira = JiraStandin::start().await.unwrap();
        let site = jira.site("acme").await.unwrap();
        site.add_issue_range("PAY", 1..=50);
        let app = App::start().await;
        site.install(&app.base_url).await.unwrap();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { jira, site, app, http }
    }

    /// The token that the app would send with a request.
    pub(super) fn token(&self, method: &str, target: &str) -> String {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let qsh = query_string_hash(method, path, query);
        self.signed(&json!({ "iss": APP_KEY, "iat": now, "exp": now + 180, "qsh": qsh }))
    }

    pub(super) fn signed(&self, claims: &Value) -> String {
        let (_, secret) = self.site.app_credentials().unwrap();
        compact_token(&json!({ "typ": "JWT", "alg": "HS256" }), claims, &Signature::Hmac(secret.into_bytes()))
    }

    /// A call by the app. `target` is path and query on the site.
    pub(super) async fn call(&self, method: Method, target: &str, body: Option<&Value>) -> Response {
        self.try_call(method, target, body).await.unwrap()
    }

    pub(super) async fn try_call(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Response> {
        let token = self.token(method.as_str(), target);
        let request = self.http.request(method, format!("{}{target}", self.site.base_url()));
        let request = request.header("authorization", format!("JWT {token}"));
        match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        }
    }

    pub(super) async fn post(&self, target: &str, body: &Value) -> (u16, Value) {
        answer_of(self.call(Method::POST, target, Some(body)).await).await
    }

    pub(super) async fn get(&self, target: &str) -> (u16, Value) {
        answer_of(self.call(Method::GET, target, None).await).await
    }

    pub(super) async fn delete(&self, target: &str) -> u16 {
        self.call(Method::DELETE, target, None).await.status().as_u16()
    }
}

/// Status and body; null if the body is not JSON.
pub(super) async fn answer_of(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

pub(super) const DEV_INFO: &str = "/rest/devinfo/0.10/bulk";
pub(super) const BUILDS: &str = "/rest/builds/0.1/bulk";
pub(super) const DEPLOYMENTS: &str = "/rest/deployments/0.1/bulk";
pub(super) const FLAGS: &str = "/rest/featureflags/0.1/bulk";
