//! Credentials: forms, scopes, ends, and their replacement.

use axum::http::StatusCode;
use secrecy::SecretString;
use serde_json::json;
use time::Duration;

use super::{Api, Role, Scene, Tier, Version};

async fn bearer(scene: &Scene, token: &str) -> StatusCode {
    let client = Api::anonymous(&scene.gitlab);
    let request = client.http.get(format!("{}/user", client.base)).bearer_auth(token);
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn personal_tokens_come_either_way_and_oauth_tokens_as_bearer_only() {
    let scene = Scene::new(Version::V19_1).await;
    assert_eq!(bearer(&scene, scene.api.token.as_ref().unwrap()).await, StatusCode::OK);
    let oauth = Api::new(&scene.gitlab, &scene.ada.oauth_token(&["api"]));
    assert_eq!(bearer(&scene, oauth.token.as_ref().unwrap()).await, StatusCode::OK);
    assert_eq!(oauth.get("/user").await.status, StatusCode::UNAUTHORIZED);
    scene.gitlab.advance(Duration::hours(2));
    assert_eq!(
        bearer(&scene, oauth.token.as_ref().unwrap()).await,
        StatusCode::UNAUTHORIZED,
        "after two hours"
    );
}

#[tokio::test]
async fn unknown_revoked_and_expired_tokens_are_refused() {
    let scene = Scene::new(Version::V19_1).await;
    let unknown = Api::new(&scene.gitlab, &SecretString::from("glpat-nobody"));
    assert_eq!(unknown.get("/user").await.body, json!({ "message": "401 Unauthorized" }));

    let token = scene.ada.token(&["api"]);
    let client = Api::new(&scene.gitlab, &token);
    scene.gitlab.revoke(&token);
    let refused = client.get("/user").await;
    assert_eq!((refused.status, &refused.body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_token")));

    let token = scene.ada.token(&["api"]);
    let client = Api::new(&scene.gitlab, &token);
    scene.gitlab.expire(&token, (scene.gitlab.now() + Duration::days(1)).date());
    assert_eq!(client.get("/user").await.status, StatusCode::OK);
    scene.gitlab.advance(Duration::days(1));
    assert_eq!(client.get("/user").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn blocked_users_are_refused() {
    let scene = Scene::new(Version::V19_1).await;
    scene.ada.block();
    assert_eq!(scene.api.get("/user").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn scopes_are_enforced() {
    let scene = Scene::new(Version::V19_1).await;
    let reader = Api::new(&scene.gitlab, &scene.ada.token(&["read_api"]));
    assert_eq!(reader.get(&scene.project_path("")).await.status, StatusCode::OK);
    let refused = reader.post(&scene.project_path("/hooks"), json!({ "url": "http://127.0.0.1:9/" })).await;
    assert_eq!(
        (refused.status, &refused.body["error"]),
        (StatusCode::FORBIDDEN, &json!("insufficient_scope"))
    );

    let cloner = Api::new(&scene.gitlab, &scene.ada.token(&["read_repository"]));
    assert_eq!(cloner.get(&scene.project_path("/repository/commits")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(cloner.get("/user").await.status, StatusCode::FORBIDDEN);
    assert_eq!(cloner.get("/personal_access_tokens/self").await.body["scopes"], json!(["read_repository"]));
}

fn next_month(scene: &Scene) -> String {
    (scene.gitlab.now() + Duration::days(30)).date().to_string()
}

#[tokio::test]
async fn a_group_token_belongs_to_a_bot_with_a_role() {
    let scene = Scene::new(Version::V19_1).await;
    let wish = json!({ "name": "gitlab-jira", "scopes": ["read_api", "self_rotate"], "access_level": 30, "expires_at": next_month(&scene) });
    let made = scene.api.post(&scene.group_path("/access_tokens"), wish).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.body["access_level"], 30);

    let bot = Api::new(&scene.gitlab, &SecretString::from(made.body["token"].as_str().unwrap()));
    assert_eq!(bot.get(&scene.project_path("/feature_flags")).await.status, StatusCode::OK);
    assert_eq!(bot.get("/user").await.body["bot"], true);
    let own = bot.get("/personal_access_tokens/self").await.body;
    assert!(own.get("token").is_none(), "a secret is shown once");
    assert_eq!(own["expires_at"], next_month(&scene));

    let path = scene.group_path(&format!("/access_tokens/{}", made.body["id"]));
    assert_eq!(scene.api.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(bot.get("/user").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.api.delete(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn group_tokens_are_refused_without_right_tier_scope_or_end() {
    let scene = Scene::new(Version::V19_1).await;
    let path = scene.group_path("/access_tokens");
    let wish = json!({ "name": "gitlab-jira", "scopes": ["api"], "expires_at": next_month(&scene) });
    let maintainer = scene.member("maintainer", Role::Maintainer);
    assert_eq!(maintainer.post(&path, wish.clone()).await.status, StatusCode::BAD_REQUEST);
    let bot = Api::new(&scene.gitlab, &scene.group.bot_token(Role::Owner, &["api"]));
    assert_eq!(bot.post(&path, wish.clone()).await.status, StatusCode::BAD_REQUEST, "bots make no tokens");

    for (field, value) in [
        ("scopes", json!(["everything"])),
        ("scopes", json!([])),
        ("name", json!(null)),
        ("access_level", json!(35)),
        ("expires_at", json!(null)),
        ("expires_at", json!("2001-01-01")),
        ("expires_at", json!((scene.gitlab.now() + Duration::days(800)).date().to_string())),
    ] {
        let mut wrong = wish.clone();
        wrong[field] = value;
        assert_eq!(scene.api.post(&path, wrong.clone()).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    scene.gitlab.group("acme", Tier::Free);
    assert_eq!(scene.api.post(&path, wish).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_scope_self_rotate_and_ends_are_newer() {
    let scene = Scene::new(Version::V17_3).await;
    let path = scene.group_path("/access_tokens");
    let wish = json!({ "name": "gitlab-jira", "scopes": ["read_api", "self_rotate"], "expires_at": next_month(&scene) });
    assert_eq!(scene.api.post(&path, wish).await.status, StatusCode::BAD_REQUEST);

    let scene = Scene::new(Version::V15_7).await;
    let wish = json!({ "name": "gitlab-jira", "scopes": ["read_api"] });
    let made = scene.api.post(&scene.group_path("/access_tokens"), wish).await;
    assert_eq!((made.status, &made.body["expires_at"]), (StatusCode::CREATED, &json!(null)));
}

#[tokio::test]
async fn a_token_replaces_itself() {
    let scene = Scene::new(Version::V19_1).await;
    let old = scene.group.bot_token(Role::Developer, &["read_api", "self_rotate"]);
    let bot = Api::new(&scene.gitlab, &old);
    let rotated = bot.post(&scene.group_path("/access_tokens/self/rotate"), json!({})).await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.body);
    assert_eq!(rotated.body["expires_at"], (scene.gitlab.now() + Duration::days(7)).date().to_string());
    assert_eq!(bot.get("/groups").await.status, StatusCode::UNAUTHORIZED, "the old one ends at once");

    let next = Api::new(&scene.gitlab, &SecretString::from(rotated.body["token"].as_str().unwrap()));
    assert_eq!(next.get("/groups").await.status, StatusCode::OK);
    let reuse = bot.post(&scene.group_path("/access_tokens/self/rotate"), json!({})).await;
    assert_eq!(reuse.status, StatusCode::UNAUTHORIZED);
    assert_eq!(next.get("/groups").await.status, StatusCode::UNAUTHORIZED, "reuse costs the whole family");
}

#[tokio::test]
async fn tokens_are_not_rotated_by_others_or_old_versions() {
    let scene = Scene::new(Version::V19_1).await;
    let bot = Api::new(&scene.gitlab, &scene.group.bot_token(Role::Developer, &["read_api"]));
    let path = scene.group_path("/access_tokens/self/rotate");
    assert_eq!(bot.post(&path, json!({})).await.status, StatusCode::FORBIDDEN, "the scope is missing");
    let id = bot.get("/personal_access_tokens/self").await.body["id"].clone();
    let path = scene.group_path(&format!("/access_tokens/{id}/rotate"));
    let maintainer = scene.member("maintainer", Role::Maintainer);
    assert_eq!(maintainer.post(&path, json!({})).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.api.post(&path, json!({})).await.status, StatusCode::OK, "an Owner may");

    let scene = Scene::new(Version::V15_7).await;
    let bot = Api::new(&scene.gitlab, &scene.group.bot_token(Role::Developer, &["api"]));
    let path = scene.group_path("/access_tokens/self/rotate");
    assert_eq!(bot.post(&path, json!({})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        bot.post("/personal_access_tokens/self/rotate", json!({})).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_project_bot_sees_its_project_alone() {
    let scene = Scene::new(Version::V19_1).await;
    let other = scene.group.project("other");
    let bot = Api::new(&scene.gitlab, &scene.project.bot_token(Role::Maintainer, &["api"]));
    assert_eq!(bot.get(&scene.project_path("/hooks")).await.status, StatusCode::OK);
    assert_eq!(bot.get(&format!("/projects/{}", other.id())).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bot.delete("/personal_access_tokens/self").await.status, StatusCode::NO_CONTENT);
    assert_eq!(bot.get(&scene.project_path("")).await.status, StatusCode::UNAUTHORIZED);
}
