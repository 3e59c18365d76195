//! Serves the Connect app descriptor
//! (<https://developer.atlassian.com/cloud/jira/platform/connect-app-descriptor/>) and the picture it names. The descriptor
//! names only what this bundle answers.

use axum::http::header;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use shared::bundle::{
    BRANCHES_ROUTE, DESCRIPTOR, INSTALLED, LOGO, REPOSITORIES_ASSOCIATE, REPOSITORIES_SEARCH, Route,
    SUBSCRIPTIONS, UNINSTALLED, WORKSPACES_SEARCH, below_connect_base,
};
use shared::config::Identity;

/// Answers [`DESCRIPTOR`] and [`LOGO`].
pub fn router(identity: &Identity) -> Router {
    let descriptor = descriptor(identity);
    Router::new().route(DESCRIPTOR.path, get(|| async { Json(descriptor) })).route(
        LOGO.path,
        get(|| async { ([(header::CONTENT_TYPE, "image/svg+xml")], include_str!("logo.svg")) }),
    )
}

/// What Jira is to know of the app.
#[must_use]
pub fn descriptor(identity: &Identity) -> Value {
    let documentation = "https://docs.gitlab.com/integration/jira/";
    let name = json!({"value": identity.display_name()});
    let url = |route: Route| format!("{}{}", identity.base_url, route.path);
    let logo = url(LOGO);
    let provider = |key: &str, value: &str| {
        json!({
            "key": key, "name": {"value": value}, "actions": {},
            "homeUrl": "https://gitlab.com", "logoUrl": logo, "documentationUrl": documentation,
        })
    };
    // One page, which Jira offers after the install as "Get started", and later as "Configure".
    let page = |key: &str| {
        json!({
            "key": key, "name": {"value": "GitLab Configuration"}, "url": below_connect_base(SUBSCRIPTIONS),
            "conditions": [{"condition": "user_is_admin", "invert": false}],
        })
    };
    json!({
        "name": identity.name(),
        "description": "Integrate commits, branches and merge requests from GitLab into Jira",
        "key": identity.app_key,
        "baseUrl": identity.connect_base_url(),
        "lifecycle": {"installed": below_connect_base(INSTALLED), "uninstalled": below_connect_base(UNINSTALLED)},
        "vendor": {"name": "GitLab", "url": "https://gitlab.com"},
        "links": {"documentation": documentation},
        "authentication": {"type": "jwt"},
        "scopes": ["READ", "WRITE", "DELETE"],
        "apiVersion": 1,
        "apiMigrations": {"context-qsh": true, "signed-install": true, "gdpr": true},
        "modules": {
            "postInstallPage": page("gitlab-configuration"),
            "configurePage": page("gitlab-settings"),
            "jiraDevelopmentTool": {
                "key": "gitlab-development-tool", "application": name, "name": name,
                "url": "https://gitlab.com", "logoUrl": logo, "capabilities": ["branch", "commit", "pull_request"],
                "actions": {
                    "createBranch": {"templateUrl": create_branch(identity)},
                    "searchConnectedWorkspaces": {"templateUrl": url(WORKSPACES_SEARCH)},
                    "searchRepositories": {"templateUrl": url(REPOSITORIES_SEARCH)},
                    "associateRepository": {"templateUrl": url(REPOSITORIES_ASSOCIATE)},
                },
            },
            "jiraBuildInfoProvider": provider("gitlab-ci", "GitLab CI"),
            "jiraDeploymentInfoProvider": provider("gitlab-deployments", "GitLab Deployments"),
            "jiraFeatureFlagInfoProvider": provider("gitlab-feature-flags", "GitLab Feature Flags"),
        },
    })
}

fn create_branch(identity: &Identity) -> String {
    format!(
        "{}{}?issue_key={{issue.key}}&issue_summary={{issue.summary}}&jwt={{jwt}}&addonkey={}",
        identity.base_url, BRANCHES_ROUTE.path, identity.app_key
    )
}
