//! The page that links groups, for whoever runs the bundle: on a loopback address, let in by a secret that works once and
//! comes from the bundle itself. What the page does belongs to `shared::page`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use shared::domain::{Site, SiteId};
use shared::gitlab::signature::generate_token;
use shared::http::Error;
use shared::page::{self, Administrator};

use crate::operate::Operator;

/// Where the page is.
const PAGE: &str = "/page";

/// How the first site is added, in HTML.
const FIRST_SITE: &str = "Install the app in Jira, or add OAuth credentials with <code>gitlab-jira site add</code>; then reload this page.";

/// The cookie of a session.
const COOKIE: &str = "gitlab-jira-page";

/// How long a link that works once is good for.
const INVITATION_TIME: Duration = Duration::from_secs(300);

/// How long a session lasts: a working day.
const SESSION_TIME: Duration = Duration::from_secs(8 * 3600);

/// Sessions at once; the oldest ends for a new one.
const MAX_SESSIONS: usize = 16;

/// A request of the page is a few hundred bytes.
const MAX_BODY: usize = 64 * 1024;

/// Who may use the local page.
#[derive(Debug, Default)]
pub struct PageSessions {
    /// Scheme, host and port of the listener, once there is one.
    origin: OnceLock<String>,
    secrets: Mutex<Secrets>,
}

#[derive(Debug, Default)]
struct Secrets {
    invitations: VecDeque<(SecretString, Instant)>,
    sessions: VecDeque<(SecretString, Instant)>,
}

/// No link to the page can be made.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// Nothing listens.
    #[error(
        "The page is served by `gitlab-jira serve`, which does not run on this data directory: start it first."
    )]
    NotServed,
    /// No secret can be made.
    #[error("The operating system gives no random numbers: try again.")]
    NoRandomness,
}

impl PageSessions {
    /// Notes that the page is served at this origin.
    pub fn serve_at(&self, origin: String) {
        let _ = self.origin.set(origin);
    }

    /// A link that lets whoever follows it first in.
    ///
    /// # Errors
    /// [`InviteError`].
    pub fn invite(&self) -> Result<String, InviteError> {
        let origin = self.origin.get().ok_or(InviteError::NotServed)?;
        let secret = generate_token().map_err(|_| InviteError::NoRandomness)?;
        let url = format!("{origin}{PAGE}/open?secret={}", secret.expose_secret());
        keep(&mut self.secrets().invitations, secret, INVITATION_TIME);
        Ok(url)
    }

    /// A session for a secret that nobody used before.
    fn redeem(&self, secret: &str) -> Option<SecretString> {
        let mut secrets = self.secrets();
        let place = find(&secrets.invitations, secret)?;
        secrets.invitations.remove(place);
        let session = generate_token().ok()?;
        keep(&mut secrets.sessions, session.clone(), SESSION_TIME);
        Some(session)
    }

    fn knows(&self, session: &str) -> bool {
        find(&self.secrets().sessions, session).is_some()
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(kept: &mut VecDeque<(SecretString, Instant)>, secret: SecretString, time: Duration) {
    let now = Instant::now();
    kept.retain(|(_, until)| *until > now);
    if kept.len() == MAX_SESSIONS {
        kept.pop_front();
    }
    kept.push_back((secret, now + time));
}

fn find(kept: &VecDeque<(SecretString, Instant)>, secret: &str) -> Option<usize> {
    let now = Instant::now();
    kept.iter().position(|(known, until)| {
        // 256 random bits: what a comparison's time tells is of no use.
        *until > now && known.expose_secret() == secret
    })
}

/// What the page is served from.
#[derive(Clone, Debug)]
struct Local {
    operator: Arc<Operator>,
    origin: Arc<str>,
}

/// The routes of the page, for a listener at `origin` that loopback addresses alone reach.
pub fn router(operator: Arc<Operator>, origin: String) -> Router {
    operator.page_sessions.serve_at(origin.clone());
    let local = Local { operator, origin: origin.into() };
    let guarded = Router::new()
        .route("/page/", get(sites))
        .route("/page/{site}/", get(document))
        .route("/page/{site}/api", post(api))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(local.clone(), with_session));
    let open =
        Router::new().route("/page/open", get(enter)).route("/page/assets/{version}/{*name}", get(asset));
    guarded.merge(open).with_state(local)
}

/// Admits requests with a session, and none from other pages in the same browser.
async fn with_session(State(local): State<Local>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let origin = headers.get(header::ORIGIN).map(|origin| origin.as_bytes() == local.origin.as_bytes());
    let session = cookie(headers).filter(|session| local.operator.page_sessions.knows(session));
    if session.is_none() || origin == Some(false) {
        let sentence = "Run `gitlab-jira open` for a link to this page.";
        return (StatusCode::FORBIDDEN, sentence).into_response();
    }
    next.run(request).await
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies
        .split(';')
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

#[derive(Deserialize)]
struct Entrance {
    secret: String,
}

async fn enter(State(local): State<Local>, Query(entrance): Query<Entrance>) -> Response {
    match local.operator.page_sessions.redeem(&entrance.secret) {
        Some(session) => {
            let cookie = format!(
                "{COOKIE}={}; HttpOnly; SameSite=Strict; Path={PAGE}; Max-Age={}",
                session.expose_secret(),
                SESSION_TIME.as_secs()
            );
            let headers = [(header::SET_COOKIE, cookie), (header::REFERRER_POLICY, "no-referrer".to_owned())];
            // A browser sends a strict cookie with what our own page asks for, not with a redirect from elsewhere.
            (headers, Html("<!doctype html><meta http-equiv=\"refresh\" content=\"0; url=/page/\">"))
                .into_response()
        }
        None => {
            let sentence = "This link was used or is too old: run `gitlab-jira open` for another.";
            (StatusCode::FORBIDDEN, sentence).into_response()
        }
    }
}

/// Leads on to the site's page: the only one, or the one that is chosen.
async fn sites(State(local): State<Local>) -> Result<Response, Error> {
    let sites = local.operator.store.sites().await.map_err(Error::unavailable)?;
    if let [site] = sites.as_slice() {
        return Ok(Redirect::to(&format!("{PAGE}/{}/", site.id)).into_response());
    }
    let names: BTreeMap<String, String> =
        sites.iter().map(|site| (format!("{PAGE}/{}/", site.id), site.host().to_owned())).collect();
    Ok(with_headers(page::choice(&assets(), &names, FIRST_SITE)))
}

async fn document(State(local): State<Local>, Path(site): Path<String>) -> Result<Response, Error> {
    site_of(&local, &site).await?;
    Ok(with_headers(page::page("local", &assets(), &[])))
}

async fn asset(Path((version, name)): Path<(String, String)>) -> Response {
    match page::asset(&name).filter(|_| version == page::version()) {
        Some(asset) => ([(header::CONTENT_TYPE, asset.content_type)], asset.body).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn api(State(local): State<Local>, Path(site): Path<String>, body: Bytes) -> Response {
    match answer(&local, &site, &body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => error.into_json(),
    }
}

async fn answer(local: &Local, site: &str, body: &[u8]) -> Result<serde_json::Value, Error> {
    let request = page::request(body)?;
    let who = Administrator::operator(site_of(local, site).await?, local.origin.to_string());
    let _no_rotation = match &local.operator.key {
        Some(key) => Some(key.commands.read().await),
        None => None,
    };
    Ok(local.operator.page_api().answer(&who, request).await?)
}

async fn site_of(local: &Local, id: &str) -> Result<Site, Error> {
    let unknown = || Error::new(StatusCode::NOT_FOUND, "There is no such site any more.");
    let id: SiteId = id.parse().map_err(|_| unknown())?;
    local.operator.store.site(id).await.map_err(Error::unavailable)?.ok_or_else(unknown)
}

fn assets() -> String {
    format!("{PAGE}/assets/{}", page::version())
}

fn with_headers(document: String) -> Response {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(document)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_works_once() {
        let sessions = PageSessions::default();
        assert!(matches!(sessions.invite(), Err(InviteError::NotServed)));
        sessions.serve_at("http://127.0.0.1:9".to_owned());
        let url = sessions.invite().expect("served");
        let (at, secret) = url.split_once("?secret=").expect("a secret");
        assert_eq!(at, "http://127.0.0.1:9/page/open");
        assert!(sessions.redeem("guess").is_none());
        let session = sessions.redeem(secret).expect("unused");
        assert!(sessions.redeem(secret).is_none());
        assert!(sessions.knows(session.expose_secret()) && !sessions.knows(secret));
    }

    #[test]
    fn sessions_are_bounded() {
        let sessions = PageSessions::default();
        sessions.serve_at("http://127.0.0.1:9".to_owned());
        let redeem = || {
            let url = sessions.invite().expect("served");
            sessions.redeem(url.rsplit('=').next().expect("a secret")).expect("unused")
        };
        let first = redeem();
        (0..MAX_SESSIONS).for_each(|_| drop(redeem()));
        assert!(!sessions.knows(first.expose_secret()));
    }
}
