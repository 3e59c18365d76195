//! The few resources of Jira's own REST API that an app of this kind reads.
//!
//! Follows <https://developer.atlassian.com/cloud/jira/platform/rest/v3/>: users, permissions, projects, issues.

use axum::Json;
use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer;
use super::api::Api;
use super::known::User;
use super::state::SiteState;

/// Answers an authenticated call. `path` holds the decoded segments below `/rest/api/3`.
pub(super) fn handle(state: &SiteState, path: &[String], request: &Parts, body: &Bytes) -> Response {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match (&request.method, path.as_slice()) {
        (&Method::GET, ["serverInfo"]) => server_info(state),
        (&Method::GET, ["user"]) => user(state, request.uri.query().unwrap_or_default()),
        (&Method::POST, ["permissions", "check"]) => permissions(state, body),
        (&Method::GET, ["project", key]) => project(state, key),
        (&Method::GET, ["issue", key]) => issue(state, key),
        (_, ["user" | "permissions", ..] | ["project" | "issue", _]) => {
            error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        }
        _ => error(StatusCode::NOT_FOUND, "There is no such resource"),
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    answer::error(Api::Rest, status, &[message.to_owned()])
}

fn server_info(state: &SiteState) -> Response {
    let base = &state.base_url;
    Json(json!({ "baseUrl": base, "displayUrl": state.display_url(), "deploymentType": "Cloud" }))
        .into_response()
}

fn user(state: &SiteState, query: &str) -> Response {
    let parameter = |wanted: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    };
    let Some(account_id) = parameter("accountId") else {
        return error(StatusCode::BAD_REQUEST, "The query parameter 'accountId' is required");
    };
    let Some(user) = state.users.get(&account_id) else {
        return error(
            StatusCode::NOT_FOUND,
            "Specified user does not exist or you do not have required permissions",
        );
    };
    let with_groups =
        parameter("expand").is_some_and(|expand| expand.split(',').any(|part| part == "groups"));
    Json(user_object(state, user, with_groups)).into_response()
}

fn user_object(state: &SiteState, user: &User, with_groups: bool) -> Value {
    let base = &state.base_url;
    let mut object = json!({
        "self": format!("{base}/rest/api/3/user?accountId={}", user.account_id),
        "accountId": user.account_id,
        "accountType": "atlassian",
        "displayName": user.display_name,
        "active": true,
    });
    if let Some(email) = &user.email {
        object["emailAddress"] = json!(email);
    }
    // Without the expansion Jira sends the number of groups only.
    object["groups"] = json!({ "size": user.groups.len(), "items": [] });
    if with_groups {
        object["groups"]["items"] = user.groups.iter().map(|group| json!({ "name": group })).collect();
    }
    object
}

fn permissions(state: &SiteState, body: &Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return error(StatusCode::BAD_REQUEST, "The body is not JSON");
    };
    let Some(user) = request["accountId"].as_str().and_then(|id| state.users.get(id)) else {
        return error(StatusCode::BAD_REQUEST, "The account id is not that of a user");
    };
    let asked = request["globalPermissions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let granted: Vec<&str> = asked.filter(|asked| user.permissions.iter().any(|own| own == asked)).collect();
    Json(json!({ "globalPermissions": granted, "projectPermissions": [] })).into_response()
}

fn project(state: &SiteState, key: &str) -> Response {
    if !state.known.has_project(key) {
        return error(StatusCode::NOT_FOUND, &format!("No project could be found with key '{key}'."));
    }
    let base = &state.base_url;
    Json(json!({ "self": format!("{base}/rest/api/3/project/{key}"), "key": key, "name": key }))
        .into_response()
}

fn issue(state: &SiteState, key: &str) -> Response {
    if !state.known.has_issue(key) {
        return error(StatusCode::NOT_FOUND, "Issue does not exist or you do not have permission to see it.");
    }
    let base = &state.base_url;
    let fields = json!({ "summary": format!("Summary of {key}") });
    Json(json!({ "self": format!("{base}/rest/api/3/issue/{key}"), "key": key, "fields": fields }))
        .into_response()
}
