//! Jira's frames around the pages of apps: the document that holds one, with the sandbox and the messages of the real ones.
//! What an app's page shows is the app's; its calls go where Jira and Forge would send them.
//!
//! Follows <https://developer.atlassian.com/cloud/jira/platform/about-the-javascript-api/> for Connect, where a script of
//! Atlassian's own gives the page `AP`, and <https://developer.atlassian.com/platform/forge/custom-ui/> for Forge, where
//! the page's bundle holds `@forge/bridge`. How the two sides communicate is not documented, and here as simple as can be;
//! that each checks the other's origin is documented.

use std::sync::Arc;

use axum::extract::{Path as Segments, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::forge::ForgeInstallation;
use super::site::SiteHandle;

/// What Jira's frames of apps may do.
const SANDBOX: &str = "allow-downloads allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox allow-same-origin allow-scripts allow-top-navigation-by-user-activation";

/// Atlassian's script, as far as the page needs it: asks the frame around it for a token.
pub(super) const CONNECT_JS: &str = r#"(() => {
  const host = new URLSearchParams(location.search).get("xdm_e");
  const waiting = new Map();
  let last = 0;
  addEventListener("message", (event) => {
    if (event.origin !== host || event.source !== parent) return;
    waiting.get(event.data.id)?.(event.data.token);
    waiting.delete(event.data.id);
  });
  const getToken = (callback) => {
    last += 1;
    waiting.set(last, callback);
    parent.postMessage({ type: "get-token", id: last }, host);
  };
  window.AP = { context: { getToken }, sizeToParent() {}, theming: { initializeTheming() {} } };
})();
"#;

/// `@forge/bridge`, as far as the page needs it.
const BRIDGE: &str = r#"
const waiting = new Map();
let last = 0;
addEventListener("message", (event) => {
  if (event.source !== parent) return;
  waiting.get(event.data.id)?.(event.data.answer);
  waiting.delete(event.data.id);
});
const ask = (type, value) => new Promise((resolve) => {
  last += 1;
  waiting.set(last, resolve);
  parent.postMessage({ type, id: last, value }, "*");
});
export const invokeRemote = (input) => ask("invoke-remote", input);
export const router = { open: (url) => ask("open", url) };
export const view = { theme: { enable: async () => {} } };
"#;

/// A server of frames. Ends with its handle.
#[derive(Debug)]
pub struct Frames {
    url: String,
    servers: Vec<JoinHandle<()>>,
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

impl Frames {
    /// Where a person opens the page, in Jira.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

#[derive(Clone)]
struct Connect {
    site: SiteHandle,
    module: Arc<str>,
    account: Arc<str>,
}

#[derive(Clone)]
struct Forge {
    installation: ForgeInstallation,
    account: Arc<str>,
    page_origin: Arc<str>,
}

async fn listen(router: Router) -> anyhow::Result<(String, JoinHandle<()>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "a frame is not served any more");
        }
    });
    Ok((origin, server))
}

impl SiteHandle {
    /// Jira's page around a page module of the Connect app, such as `postInstallPage`, for somebody who looks at it. It
    /// is at an origin of its own, which becomes the site's `displayUrl`: Jira sends it with the next install. Shows
    /// nothing before an app is installed that has such a module.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn frame(&self, module: &str, account_id: &str) -> anyhow::Result<Frames> {
        let state = Connect { site: self.clone(), module: module.into(), account: account_id.into() };
        let router = Router::new()
            .route("/", get(connect_frame))
            .route("/token", post(connect_token))
            .with_state(state);
        let (origin, server) = listen(router).await?;
        self.set_display_url(&origin);
        Ok(Frames { url: format!("{origin}/"), servers: vec![server] })
    }
}

async fn connect_frame(State(state): State<Connect>) -> Result<Html<String>, StatusCode> {
    let page = state.site.page_url_framed_by(&state.module, &state.account, true);
    let page = page.map_err(|_| StatusCode::NOT_FOUND)?;
    let app = reqwest::Url::parse(&page).map_err(|_| StatusCode::NOT_FOUND)?.origin().ascii_serialization();
    let page = page.replace('&', "&amp;");
    Ok(Html(format!(
        r#"<!doctype html><html lang="en"><title>Jira</title><style>body{{margin:0}}iframe{{display:block;border:0;width:100%;height:100vh}}</style>
<iframe id="app" title="GitLab" sandbox="{SANDBOX}" src="{page}"></iframe>
<script>
addEventListener("message", async (event) => {{
  const frame = document.getElementById("app").contentWindow;
  if (event.origin !== "{app}" || event.source !== frame || event.data.type !== "get-token") return;
  const token = await (await fetch("/token", {{ method: "POST" }})).text();
  frame.postMessage({{ id: event.data.id, token }}, "{app}");
}});
</script></html>"#
    )))
}

async fn connect_token(State(state): State<Connect>) -> Result<String, StatusCode> {
    let token = state.site.context_token().map_err(|_| StatusCode::NOT_FOUND)?;
    Ok(token.account(&state.account).compact())
}

impl ForgeInstallation {
    /// Jira's page around the app's admin page, for somebody who looks at it. `file` knows the page's modules by name;
    /// `host` is the one that runs it. Forge would serve them bundled; here an import map stands for the bundler.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn frame(
        &self,
        file: impl Fn(&str) -> Option<Vec<u8>> + Clone + Send + Sync + 'static,
        host: &str,
        account_id: &str,
    ) -> anyhow::Result<Frames> {
        let document = format!(
            r#"<!doctype html><html lang="en"><title>GitLab</title><meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="/page/page.css"><script type="importmap">{{"imports": {{"@forge/bridge": "/bridge.js"}}}}</script>
<body><main id="page"></main><script type="module" src="/page/{host}"></script></body></html>"#
        );
        let files = Router::new()
            .route("/", get(|| async { Html(document) }))
            .route("/bridge.js", get(|| async { ([(header::CONTENT_TYPE, "text/javascript")], BRIDGE) }))
            .route(
                "/page/{*name}",
                get(move |Segments(name): Segments<String>| async move { module(&name, file(&name)) }),
            );
        let (page_origin, files) = listen(files).await?;
        let state =
            Forge { installation: self.clone(), account: account_id.into(), page_origin: page_origin.into() };
        let router =
            Router::new().route("/", get(forge_frame)).route("/invoke", post(forge_invoke)).with_state(state);
        let (origin, server) = listen(router).await?;
        Ok(Frames { url: format!("{origin}/"), servers: vec![server, files] })
    }
}

fn module(name: &str, content: Option<Vec<u8>>) -> Response {
    let kind = match name.rsplit_once('.') {
        Some((_, "js")) => "text/javascript",
        Some((_, "css")) => "text/css",
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match content {
        Some(content) => ([(header::CONTENT_TYPE, kind)], content).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn forge_frame(State(state): State<Forge>) -> Html<String> {
    let page = &state.page_origin;
    Html(format!(
        r#"<!doctype html><html lang="en"><title>Jira</title><style>body{{margin:0}}iframe{{display:block;border:0;width:100%;height:100vh}}</style>
<iframe id="app" title="GitLab" sandbox="{SANDBOX}" src="{page}/"></iframe>
<script>
addEventListener("message", async (event) => {{
  const frame = document.getElementById("app").contentWindow;
  if (event.origin !== "{page}" || event.source !== frame) return;
  const {{ type, id, value }} = event.data;
  let answer;
  if (type === "open") {{
    open(value, "_blank", "popup");
  }} else if (type === "invoke-remote") {{
    answer = await (await fetch("/invoke", {{ method: "POST", headers: {{ "Content-Type": "application/json" }}, body: JSON.stringify(value) }})).json();
  }}
  frame.postMessage({{ id, answer }}, "{page}");
}});
</script></html>"#
    ))
}

#[derive(Deserialize)]
struct Invocation {
    path: String,
    #[serde(default)]
    body: Value,
}

/// What `invokeRemote` answers: status and body of the remote, or why there is none.
async fn forge_invoke(State(state): State<Forge>, Json(invocation): Json<Invocation>) -> Json<Value> {
    let call = state.installation.page(&state.account, &invocation.path);
    let answer = match call {
        Ok(call) => call.body(invocation.body).send().await,
        Err(error) => Err(error),
    };
    Json(match answer {
        Ok(answer) => json!({ "status": answer.status, "body": answer.body }),
        Err(error) => json!({ "status": 504, "message": error.to_string() }),
    })
}
