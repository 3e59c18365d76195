//! What every API call goes through first: counting, injected faults and rate limits.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use time::OffsetDateTime;

use super::shared::Shared;

/// One API call as it arrived. Credentials are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCall {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The route it matched, `/projects/:id/hooks`, or the bare path when there is none.
    pub route: String,
    /// Path and query as sent, from `/api/v4` on.
    pub target: String,
    /// What it was answered.
    pub status: u16,
}

/// A fault to be injected into API calls. Make one, say where and how often, give it to
/// [`GitlabStandin::inject`](super::GitlabStandin::inject).
#[derive(Clone, Debug)]
pub struct Fault {
    kind: FaultKind,
    method: Option<String>,
    prefix: String,
    part: String,
    left: Option<u32>,
    /// Applies to one call in so many; and how many there were.
    one_in: usize,
    met: usize,
}

#[derive(Clone, Debug)]
enum FaultKind {
    Status(StatusCode, Option<Duration>),
    Slow(Duration),
    Drop,
    Lose,
}

impl Fault {
    fn new(kind: FaultKind) -> Self {
        let (prefix, part) = (String::new(), String::new());
        Fault { kind, method: None, prefix, part, left: None, one_in: 1, met: 0 }
    }

    /// The call is answered with this status and does nothing.
    ///
    /// # Panics
    /// If the number is not an HTTP status.
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("the test names an HTTP status");
        Fault::new(FaultKind::Status(status, None))
    }

    /// The answer says when to try again, in whole seconds. Only for faults with a status.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        if let FaultKind::Status(_, retry_after) = &mut self.kind {
            *retry_after = Some(wait);
        }
        self
    }

    /// The call is answered properly, but late.
    pub fn slow(by: Duration) -> Self {
        Fault::new(FaultKind::Slow(by))
    }

    /// The connection is closed without an answer.
    pub fn dropped() -> Self {
        Fault::new(FaultKind::Drop)
    }

    /// The call is carried out, and the connection closed without an answer.
    pub fn lost() -> Self {
        Fault::new(FaultKind::Lose)
    }

    /// Only for paths that begin so, without `/api/v4`: `/projects`.
    #[must_use]
    pub fn on(mut self, path_prefix: &str) -> Self {
        path_prefix.clone_into(&mut self.prefix);
        self
    }

    /// Only for paths with this in them, as they are sent: `%2F`.
    #[must_use]
    pub fn with(mut self, part: &str) -> Self {
        part.clone_into(&mut self.part);
        self
    }

    /// Only for this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only this many times; otherwise until [`GitlabStandin::clear_faults`](super::GitlabStandin::clear_faults).
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    /// Applies to one call in `calls` of those that it is about, evenly.
    #[must_use]
    pub fn one_in(mut self, calls: usize) -> Self {
        self.one_in = calls.max(1);
        self
    }

    /// Whether it applies to this call, of those that it is about.
    fn is_due(&mut self) -> bool {
        self.met += 1;
        self.met.is_multiple_of(self.one_in)
    }

    fn is_about(&self, method: &str, path: &str) -> bool {
        self.left != Some(0)
            && self.method.as_deref().is_none_or(|own| own == method)
            && path.starts_with(&self.prefix)
            && path.contains(&self.part)
    }
}

/// So many calls per window, for each credential on its own.
struct Limit {
    prefix: String,
    max: u64,
    window: Duration,
    used: HashMap<String, (Instant, u64)>,
}

/// The state of one limit after a call, as the `RateLimit-*` headers say it.
struct Allowance {
    max: u64,
    observed: u64,
    resets_in: Duration,
}

#[derive(Default)]
struct Rules {
    faults: Vec<Fault>,
    limits: Vec<Limit>,
    calls: Vec<ApiCall>,
}

#[derive(Default)]
pub(crate) struct Gate {
    rules: Mutex<Rules>,
}

impl Gate {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inject(&self, fault: Fault) {
        self.rules().faults.push(fault);
    }

    pub(crate) fn clear_faults(&self) {
        self.rules().faults.clear();
    }

    pub(crate) fn limit(&self, prefix: &str, max: u64, window: Duration) {
        self.rules().limits.push(Limit { prefix: prefix.to_owned(), max, window, used: HashMap::new() });
    }

    pub(crate) fn clear_limits(&self) {
        self.rules().limits.clear();
    }

    pub(crate) fn calls(&self) -> Vec<ApiCall> {
        self.rules().calls.clone()
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for call in &self.rules().calls {
            *counts.entry(format!("{} {}", call.method, call.route)).or_default() += 1;
        }
        counts
    }

    fn fault(&self, method: &str, path: &str) -> Option<FaultKind> {
        let mut rules = self.rules();
        let strikes = |fault: &mut Fault| fault.is_about(method, path) && fault.is_due();
        let fault = rules.faults.iter_mut().find_map(|fault| strikes(fault).then_some(fault))?;
        fault.left = fault.left.map(|left| left - 1);
        Some(fault.kind.clone())
    }

    /// Counts the call against every limit it falls under and gives the tightest.
    fn spend(&self, path: &str, who: &str) -> Option<Allowance> {
        let now = Instant::now();
        let mut rules = self.rules();
        let limits = rules.limits.iter_mut().filter(|limit| path.starts_with(&limit.prefix));
        limits
            .map(|limit| {
                let (start, used) = limit.used.entry(who.to_owned()).or_insert((now, 0));
                if now.duration_since(*start) >= limit.window {
                    (*start, *used) = (now, 0);
                }
                *used += 1;
                let resets_in = limit.window.saturating_sub(now.duration_since(*start));
                Allowance { max: limit.max, observed: *used, resets_in }
            })
            .min_by_key(|allowance| allowance.max.saturating_sub(allowance.observed))
    }
}

impl Allowance {
    /// The headers of <https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/#response-headers>.
    fn add_headers(&self, response: &mut Response, over: bool) {
        let reset = OffsetDateTime::now_utc() + self.resets_in;
        let wait = self.resets_in.as_secs() + 1;
        let mut headers = vec![
            ("ratelimit-limit", self.max.to_string()),
            ("ratelimit-name", "throttle_authenticated_api".to_owned()),
            ("ratelimit-observed", self.observed.to_string()),
            ("ratelimit-remaining", self.max.saturating_sub(self.observed).to_string()),
            ("ratelimit-reset", reset.unix_timestamp().to_string()),
        ];
        if over {
            headers.push(("retry-after", wait.to_string()));
        }
        for (name, value) in headers {
            let value: HeaderValue = value.parse().expect("digits and lower-case words stand in a header");
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

/// Runs before every route, also before those that do not exist.
pub(crate) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let method = request.method().to_string();
    let path = request.uri().path().trim_start_matches("/api/v4").to_owned();
    let target = request.uri().path_and_query().map_or_else(|| path.clone(), ToString::to_string);
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| path.clone(), route_name);
    let response = pass(&shared, &method, &path, request, next).await;
    let status = response.status().as_u16();
    shared.gate.rules().calls.push(ApiCall { method, route, target, status });
    response
}

/// `/api/v4/projects/{id}` as GitLab's documentation writes it, `/projects/:id`.
fn route_name(matched: &MatchedPath) -> String {
    matched.as_str().trim_start_matches("/api/v4").replace('{', ":").replace('}', "")
}

async fn pass(shared: &Shared, method: &str, path: &str, request: Request, next: Next) -> Response {
    match shared.gate.fault(method, path) {
        Some(FaultKind::Status(status, retry_after)) => return failure(status, retry_after),
        Some(FaultKind::Drop) => return broken_connection(),
        Some(FaultKind::Lose) => {
            next.run(request).await;
            return broken_connection();
        }
        Some(FaultKind::Slow(by)) => tokio::time::sleep(by).await,
        None => {}
    }
    let Some(allowance) = shared.gate.spend(path, &credential(&request)) else {
        return next.run(request).await;
    };
    let over = allowance.observed > allowance.max;
    let mut response = if over {
        (StatusCode::TOO_MANY_REQUESTS, "Retry later\n").into_response()
    } else {
        next.run(request).await
    };
    allowance.add_headers(&mut response, over);
    response
}

fn credential(request: &Request) -> String {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let given = header("private-token").or_else(|| header(header::AUTHORIZATION.as_str()));
    given.unwrap_or_default().trim_start_matches("Bearer ").to_owned()
}

fn failure(status: StatusCode, retry_after: Option<Duration>) -> Response {
    let body = format!("{{\"message\":\"{status}\"}}");
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(wait) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    }
    response
}

/// A body that fails before its first byte: the server closes the connection instead of finishing the answer.
fn broken_connection() -> Response {
    let cut = Err::<Bytes, _>(std::io::Error::other("injected by the test"));
    Response::new(Body::from_stream(futures::stream::iter([cut])))
}
