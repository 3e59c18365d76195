//! From a request to the part that answers it, with everything that stands in between: renamed and suspended sites,
//! injected failures, counting and recording. The paths are listed in the parent module.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::answer::{self, Refusal};
use super::api::{Api, Connection, Provider};
use super::calls::{RecordedCall, timestamp};
use super::faults::Instead;
use super::provider::{self, Handled};
use super::server::Reply;
use super::state::{Site, SiteState, World};
use super::{auth, frames, rest, view};

/// What a path leads to.
enum Target {
    Provider(Api, Connection, Vec<String>),
    Rest(Connection, Vec<String>),
    TenantInfo,
    Status,
}

impl Target {
    fn api(&self) -> Api {
        match self {
            Self::Provider(api, ..) => *api,
            Self::Rest(..) => Api::Rest,
            Self::TenantInfo | Self::Status => Api::Edge,
        }
    }
}

/// Answers a request to a site's origin. `origin` is the base URL the listener was opened for.
pub(super) async fn on_site(
    world: Arc<World>,
    site: Arc<Site>,
    origin: Arc<str>,
    request: Request<Bytes>,
) -> Reply {
    let (request, body) = request.into_parts();
    let Some(path) = segments(request.uri.path()) else {
        return not_found();
    };
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let target = match path.as_slice() {
        ["stand-in", "issues"] => return Reply::Answer(Json(view::summaries(&site.state())).into_response()),
        ["stand-in", "issues", key] => {
            return Reply::Answer(Json(view::issue(&site.state(), key)).into_response());
        }
        ["_edge", "tenant_info"] => Target::TenantInfo,
        ["status"] => Target::Status,
        ["rest", rest @ ..] => match below_rest(rest, Connection::Connect) {
            Some(target) => target,
            None => return not_found(),
        },
        _ => return not_found(),
    };
    let base = site.state().base_url.clone();
    let moved = (*base != *origin).then(|| redirect(&base, &request));
    guarded(&site, target.api(), &request.method, moved, || respond(&world, &site, &target, &request, &body))
        .await
}

/// Answers a request to the API gateway, which also hands out the keys of lifecycle callbacks.
pub(super) async fn on_gateway(world: Arc<World>, request: Request<Bytes>) -> Reply {
    let (request, body) = request.into_parts();
    let Some(path) = segments(request.uri.path()) else {
        return not_found();
    };
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let (cloud_id, target) = match path.as_slice() {
        ["install-keys", kid @ ..] => return Reply::Answer(install_key(&world, &kid.join("/"))),
        ["all.js"] => {
            let script = ([(header::CONTENT_TYPE, "text/javascript")], frames::CONNECT_JS);
            return Reply::Answer(script.into_response());
        }
        [".well-known", "jwks.json"] => return Reply::Answer(key_set(&world)),
        ["oauth", "token"] => return token(&world, &request, &body).await,
        ["jira", api, version, "cloud", cloud_id, rest @ ..] => match Api::on_gateway(api, version) {
            Some(api) => (*cloud_id, Target::Provider(api, Connection::OAuth, owned(rest))),
            None => return not_found(),
        },
        ["ex", "jira", cloud_id, "rest", rest @ ..] => match below_rest(rest, Connection::Forge) {
            Some(target) => (*cloud_id, target),
            None => return not_found(),
        },
        _ => return not_found(),
    };
    let Some(site) = world.site_of_cloud(cloud_id) else {
        return not_found();
    };
    guarded(&site, target.api(), &request.method, None, || respond(&world, &site, &target, &request, &body))
        .await
}

fn below_rest(path: &[&str], connection: Connection) -> Option<Target> {
    match path {
        ["api", "3", rest @ ..] => Some(Target::Rest(connection, owned(rest))),
        [api, version, rest @ ..] => {
            Some(Target::Provider(Api::on_site(api, version)?, connection, owned(rest)))
        }
        _ => None,
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|segment| (*segment).to_owned()).collect()
}

/// The path's segments, each decoded on its own, so that an encoded slash stays inside one.
fn segments(path: &str) -> Option<Vec<String>> {
    let decoded =
        |segment: &str| percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    path.strip_prefix('/')?.split('/').map(decoded).collect()
}

fn not_found() -> Reply {
    Reply::Answer(StatusCode::NOT_FOUND.into_response())
}

/// A renamed site redirects everything, calls with a body included.
fn redirect(base: &str, request: &Parts) -> Response {
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    let location = HeaderValue::from_str(&format!("{base}{path}"));
    let location = location.expect("a base URL and the path of a request are visible ASCII");
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

fn install_key(world: &World, kid: &str) -> Response {
    if kid == world.signing_key.kid() {
        ([(header::CONTENT_TYPE, "text/plain")], world.signing_key.public_pem()).into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

fn key_set(world: &World) -> Response {
    Json(json!({ "keys": [world.signing_key.public_jwk()] })).into_response()
}

async fn token(world: &World, request: &Parts, body: &Bytes) -> Reply {
    if request.method != Method::POST {
        return Reply::Answer(StatusCode::METHOD_NOT_ALLOWED.into_response());
    }
    let cloud_id = world.credentials().cloud_of_request(body);
    let exchange = || world.credentials().exchange(body);
    match cloud_id.and_then(|cloud_id| world.site_of_cloud(&cloud_id)) {
        // Only a known client says which site's rules and counts the request belongs to.
        Some(site) => under_rules(&site, Api::Token, &request.method, exchange).await,
        None => Reply::Answer(exchange()),
    }
}

/// Lets a call through to `work` unless its site has moved or is suspended, or a failure rule says otherwise.
async fn guarded(
    site: &Site,
    api: Api,
    method: &Method,
    moved: Option<Response>,
    work: impl FnOnce() -> Response,
) -> Reply {
    let elsewhere = moved.or_else(|| {
        let suspended = site.state().suspended;
        suspended.then(|| StatusCode::SERVICE_UNAVAILABLE.into_response())
    });
    if let Some(response) = elsewhere {
        site.state().calls.count(api, method.as_str(), response.status().as_u16());
        return Reply::Answer(response);
    }
    under_rules(site, api, method, work).await
}

/// Applies the failure rules, does the work, and counts.
async fn under_rules(site: &Site, api: Api, method: &Method, work: impl FnOnce() -> Response) -> Reply {
    let verdict = site.state().faults.on_arrival(api, method.as_str());
    if !verdict.delay.is_zero() {
        tokio::time::sleep(verdict.delay).await;
    }
    let response = match verdict.instead {
        Some(Instead::Response(response)) => Some(response),
        Some(Instead::DropConnection) => None,
        None => Some(work()).filter(|_| !verdict.lose_answer),
    };
    let status = response.as_ref().map_or(0, |response| response.status().as_u16());
    site.state().calls.count(api, method.as_str(), status);
    response.map_or(Reply::Drop, Reply::Answer)
}

fn respond(world: &World, site: &Site, target: &Target, request: &Parts, body: &Bytes) -> Response {
    match target {
        Target::TenantInfo => Json(json!({ "cloudId": site.cloud_id })).into_response(),
        Target::Status => Json(json!({ "state": "RUNNING" })).into_response(),
        Target::Rest(connection, path) => match caller(world, site, *connection, Api::Rest, request) {
            Ok(_) => rest::handle(&site.state(), path, request, body),
            Err(refusal) => refusal.into_response(),
        },
        Target::Provider(api, connection, path) => match caller(world, site, *connection, *api, request) {
            Ok(caller) => {
                let mut state = site.state();
                let handled = provider::handle(&mut state, &caller, *api, path, request, body);
                record(world, site, &mut state, (*api, *connection, path), request, handled, body.len())
            }
            Err(refusal) => refusal.into_response(),
        },
    }
}

fn caller(
    world: &World,
    site: &Site,
    connection: Connection,
    api: Api,
    request: &Parts,
) -> Result<Provider, Refusal> {
    match connection {
        Connection::Connect => auth::connect(&site.state(), request, api),
        Connection::OAuth | Connection::Forge => {
            auth::bearer(&world.credentials(), request, connection, &site.cloud_id, api)
        }
    }
}

/// Records a call whose body was read. If the journal can't be written the call fails, so that nobody relies on a
/// journal with gaps.
fn record(
    world: &World,
    site: &Site,
    state: &mut SiteState,
    (api, connection, path): (Api, Connection, &[String]),
    request: &Parts,
    handled: Handled,
    size: usize,
) -> Response {
    let Some(body) = handled.body else {
        return handled.response;
    };
    let call = RecordedCall {
        at: timestamp(),
        cloud_id: site.cloud_id.clone(),
        connection,
        api,
        method: request.method.to_string(),
        path: below_root(request.uri.path(), path.len()),
        query: request.uri.query().map(without_token),
        body,
        status: handled.response.status().as_u16(),
    };
    if let Some(error) = world.journal.as_ref().and_then(|journal| journal.append(&call).err()) {
        return answer::error(api, StatusCode::INTERNAL_SERVER_ERROR, &[error.to_string()]);
    }
    state.recorded.keep(call, size);
    handled.response
}

/// The last segments of a path, as they were sent.
fn below_root(path: &str, count: usize) -> String {
    let segments: Vec<&str> = path.rsplitn(count + 1, '/').take(count).collect();
    segments.iter().rev().map(|segment| format!("/{segment}")).collect()
}

/// A query as sent, without the JWT that may be in it.
fn without_token(query: &str) -> String {
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("jwt=")).collect();
    kept.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_slash_stays_inside_its_segment() {
        assert_eq!(
            segments("/repository/a%2Fb/branch/%C3%A4").unwrap(),
            ["repository", "a/b", "branch", "ä"]
        );
        assert_eq!(segments("/bad/%ff"), None);
    }

    #[test]
    fn recorded_paths_start_below_the_root() {
        assert_eq!(below_root("/rest/devinfo/0.10/bulk", 1), "/bulk");
        assert_eq!(below_root("/jira/devinfo/0.1/cloud/c/repository/a%2Fb", 2), "/repository/a%2Fb");
        assert_eq!(without_token("a=b&jwt=x.y.z&c=d"), "a=b&c=d");
    }
}
