//! The four provider APIs: which operations there are, and the order of checks that every call goes through.
//! Fields and limits are in one module per API; the caller is authenticated before.

mod builds;
mod deployments;
mod devinfo;
mod envelope;
mod flags;
mod links;
mod listed;
mod rules;

use axum::Json;
use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use self::listed::Listed;
use super::answer;
use super::api::{Api, Provider};
use super::faults::Faults;
use super::known::Known;
use super::state::SiteState;
use super::store::{Key, Kind, Properties, Store};
use super::triggers::Trigger;

/// Largest body. Atlassian publishes no number; this is well above 1000 entities of usual size.
const MAX_BODY: usize = 5 * 1024 * 1024;

/// Which undocumented values a site refuses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dialect {
    /// 400 for pull requests with the status DRAFT.
    pub refuses_draft: bool,
    /// 400 for reviewers with the approval status NEEDSWORK.
    pub refuses_needswork: bool,
}

/// What storing a body may touch.
struct Context<'a> {
    known: &'a Known,
    store: &'a mut Store,
    faults: &'a mut Faults,
    triggers: &'a mut Vec<Trigger>,
}

/// What a path below an API's root means.
#[derive(Debug, PartialEq, Eq)]
enum Operation {
    Bulk,
    ByProperties,
    ExistsByProperties,
    Repository(String),
    Entity(String, Kind, String),
    One(Key),
    GatingStatus(Key),
}

/// An answer, with the body that was read if it is to be recorded.
pub(super) struct Handled {
    pub response: Response,
    /// The JSON body; null for calls without one. None if the call did not get as far as having its body read.
    pub body: Option<Value>,
}

impl From<Response> for Handled {
    fn from(response: Response) -> Self {
        Self { response, body: None }
    }
}

/// Answers a call by a known provider. `path` holds the decoded segments below the API's root.
pub(super) fn handle(
    state: &mut SiteState,
    caller: &Provider,
    api: Api,
    path: &[String],
    request: &Parts,
    body: &Bytes,
) -> Handled {
    let operation = match Operation::of(api, path) {
        Ok(operation) => operation,
        Err(status) => return answer::error(api, status, &["There is no such resource".to_owned()]).into(),
    };
    if request.method == Method::POST && operation == Operation::Bulk {
        return submit(state, caller, api, &request.headers, body);
    }
    let query = match Query::parse(request.uri.query(), &operation) {
        Ok(query) => query,
        Err(problem) => return answer::error(api, StatusCode::BAD_REQUEST, &[problem]).into(),
    };
    let store = state.stores.entry(caller.clone()).or_default();
    let response = match request.method {
        Method::GET => read(store, api, operation, &query),
        Method::DELETE => delete(store, api, operation, &query),
        _ => None,
    };
    let response = response.unwrap_or_else(|| {
        answer::error(api, StatusCode::METHOD_NOT_ALLOWED, &["Method Not Allowed".to_owned()])
    });
    Handled { response, body: Some(Value::Null) }
}

impl Operation {
    fn of(api: Api, path: &[String]) -> Result<Self, StatusCode> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let key = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
        Ok(match (api, path.as_slice()) {
            (_, ["bulk"]) => Self::Bulk,
            (_, ["bulkByProperties"]) => Self::ByProperties,
            (Api::DevInfo, ["existsByProperties"]) => Self::ExistsByProperties,
            (Api::DevInfo, ["repository", id]) => Self::Repository((*id).to_owned()),
            (Api::DevInfo, ["repository", repository, kind, id]) => {
                let kind = Kind::ALL.into_iter().find(|own| own.in_path() == *kind);
                let kind = kind.ok_or(StatusCode::BAD_REQUEST)?;
                Self::Entity((*repository).to_owned(), kind, (*id).to_owned())
            }
            (Api::Builds, ["pipelines", pipeline, "builds", number]) => Self::One(key(&[pipeline, number])),
            (Api::Deployments, ["pipelines", p, "environments", e, "deployments", n]) => {
                Self::One(key(&[p, e, n]))
            }
            (Api::Deployments, ["pipelines", p, "environments", e, "deployments", n, "gating-status"]) => {
                Self::GatingStatus(key(&[p, e, n]))
            }
            (Api::FeatureFlags, ["flag", id]) => Self::One(key(&[id])),
            _ => return Err(StatusCode::NOT_FOUND),
        })
    }
}

/// The query of a call: properties, and the limit of a delete.
struct Query {
    properties: Properties,
    limit: i64,
}

impl Query {
    fn parse(query: Option<&str>, operation: &Operation) -> Result<Self, String> {
        let mut parsed = Self { properties: Properties::new(), limit: i64::MAX };
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match name.as_ref() {
                "jwt" => {}
                "_updateSequenceId" | "_updateSequenceNumber" => {
                    parsed.limit = value.parse().map_err(|_| format!("{name} must be a number"))?;
                }
                _ => {
                    if parsed.properties.insert(name.to_string(), value.into_owned()).is_some() {
                        return Err(format!("property {name} must not occur twice"));
                    }
                }
            }
        }
        let by_properties = matches!(operation, Operation::ByProperties | Operation::ExistsByProperties);
        if by_properties && parsed.properties.is_empty() {
            return Err("at least one property is required".to_owned());
        }
        Ok(parsed)
    }
}

fn read(store: &Store, api: Api, operation: Operation, query: &Query) -> Option<Response> {
    let found = match operation {
        Operation::Repository(id) => store.repository_answer(&id),
        Operation::ExistsByProperties => {
            Some(json!({ "hasDataMatchingProperties": store.has_properties(&query.properties, query.limit) }))
        }
        Operation::One(key) => store.others.get(&(api, key)).map(|stored| stored.body.clone()),
        Operation::GatingStatus(key) => gating_status(store, key),
        Operation::Bulk | Operation::ByProperties | Operation::Entity(..) => return None,
    };
    Some(match found {
        Some(body) => Json(body).into_response(),
        None => answer::error(api, StatusCode::NOT_FOUND, &["No data found".to_owned()]),
    })
}

/// A deployment that asked for gating waits for its approval; one that didn't has no valid status.
fn gating_status(store: &Store, key: Key) -> Option<Value> {
    let deployment = &store.others.get(&(Api::Deployments, key))?.body;
    let gated = deployment["commands"].as_array().is_some_and(|commands| !commands.is_empty());
    Some(json!({
        "deploymentSequenceNumber": deployment["deploymentSequenceNumber"],
        "pipelineId": deployment["pipeline"]["id"],
        "environmentId": deployment["environment"]["id"],
        "updatedTimestamp": deployment["lastUpdated"],
        "gatingStatus": if gated { "awaiting" } else { "invalid" },
        "details": [],
    }))
}

fn delete(store: &mut Store, api: Api, operation: Operation, query: &Query) -> Option<Response> {
    match operation {
        // The limit is no longer supported for deletes by property.
        Operation::ByProperties => store.delete_by_properties(api, &query.properties),
        Operation::Repository(id) => store.delete_repository(&id, query.limit),
        Operation::Entity(repository, kind, id) => store.delete_entity(&repository, kind, &id, query.limit),
        Operation::One(key) => drop(store.others.remove(&(api, key))),
        Operation::Bulk | Operation::ExistsByProperties | Operation::GatingStatus(_) => return None,
    }
    Some(StatusCode::ACCEPTED.into_response())
}

fn submit(state: &mut SiteState, caller: &Provider, api: Api, headers: &HeaderMap, body: &Bytes) -> Handled {
    if body.len() > MAX_BODY {
        return answer::error(api, StatusCode::PAYLOAD_TOO_LARGE, &["Data is too large".to_owned()]).into();
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        let problem = "Content-Type must be application/json".to_owned();
        return answer::error(api, StatusCode::UNSUPPORTED_MEDIA_TYPE, &[problem]).into();
    }
    let body: Value = match serde_json::from_slice(body) {
        Ok(body) => body,
        Err(error) => {
            return answer::error(api, StatusCode::BAD_REQUEST, &[format!("malformed JSON: {error}")]).into();
        }
    };
    let response = match accept(state, caller, api, &body) {
        Ok(answer) => (StatusCode::ACCEPTED, Json(answer)).into_response(),
        Err((status, problems)) => answer::error(api, status, &problems),
    };
    Handled { response, body: Some(body) }
}

/// Checks and stores a body.
fn accept(
    state: &mut SiteState,
    caller: &Provider,
    api: Api,
    body: &Value,
) -> Result<Value, (StatusCode, Vec<String>)> {
    let mut problems = Vec::new();
    let properties = envelope::check(body, &mut problems);
    if problems.is_empty() {
        problems = match listed(api) {
            Some(listed) => listed.check(body),
            None => devinfo::check(body, state.dialect),
        };
    }
    if !problems.is_empty() {
        return Err((StatusCode::BAD_REQUEST, problems));
    }
    let ids = listed(api).map_or_else(|| devinfo::ids(body), |listed| listed.ids(body));
    if let Some((status, message)) = state.faults.on_entities(api, &ids) {
        return Err((status, vec![message]));
    }
    let mut context = Context {
        known: &state.known,
        store: state.stores.entry(caller.clone()).or_default(),
        faults: &mut state.faults,
        triggers: &mut state.triggers,
    };
    Ok(match listed(api) {
        Some(listed) => listed.store(body, &properties, &mut context),
        None => devinfo::store(body, &properties, &mut context),
    })
}

/// The API's description, if it is one of the three that take a plain list.
fn listed(api: Api) -> Option<&'static Listed> {
    match api {
        Api::Builds => Some(&builds::BUILDS),
        Api::Deployments => Some(&deployments::DEPLOYMENTS),
        Api::FeatureFlags => Some(&flags::FLAGS),
        Api::DevInfo | Api::Token | Api::Rest | Api::Edge => None,
    }
}

#[cfg(test)]
pub(super) mod samples;
#[cfg(test)]
mod tests;
