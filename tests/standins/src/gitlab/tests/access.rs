//! Who may see and do what.

use axum::http::StatusCode;
use serde_json::json;

use super::{Api, Role, Scene, Tier, Version};

#[tokio::test]
async fn without_credentials_only_public_things_are_visible() {
    let scene = Scene::new(Version::V19_1).await;
    let open = scene.group.project("open").public();
    let stranger = Api::anonymous(&scene.gitlab);

    assert_eq!(stranger.get(&scene.project_path("")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(stranger.get(&format!("/projects/{}", open.id())).await.status, StatusCode::OK);
    assert_eq!(
        stranger.get(&format!("/projects/{}/repository/commits", open.id())).await.status,
        StatusCode::OK
    );
    assert_eq!(
        stranger.get(&format!("/projects/{}/deployments", open.id())).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(stranger.get("/user").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stranger.get("/metadata").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_the_token_cannot_see_is_not_found() {
    let scene = Scene::new(Version::V19_1).await;
    let outsider = Api::new(&scene.gitlab, &scene.gitlab.user("eve").token(&["api"]));

    let project = outsider.get(&scene.project_path("")).await;
    assert_eq!(
        (project.status, &project.body),
        (StatusCode::NOT_FOUND, &json!({ "message": "404 Project Not Found" }))
    );
    let group = outsider.get(&scene.group_path("")).await;
    assert_eq!(
        (group.status, &group.body),
        (StatusCode::NOT_FOUND, &json!({ "message": "404 Group Not Found" }))
    );
    assert_eq!(outsider.get(&scene.group_path("/hooks")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(outsider.get(&scene.project_path("/hooks")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(outsider.get("/groups").await.body, json!([]));
}

#[tokio::test]
async fn ids_are_numbers_or_encoded_full_paths() {
    let scene = Scene::new(Version::V19_1).await;
    for path in ["/projects/acme%2Fpayments%2Fapi", "/groups/acme%2Fpayments", "/groups/acme"] {
        assert_eq!(scene.api.get(path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(scene.api.get("/projects/acme%2Fpayments%2Fnothing").await.status, StatusCode::NOT_FOUND);
    let unknown = scene.api.get("/nothing/here").await;
    assert_eq!(
        (unknown.status, &unknown.body),
        (StatusCode::NOT_FOUND, &json!({ "error": "404 Not Found" }))
    );
}

#[tokio::test]
async fn each_role_may_call_its_own_endpoints() {
    let scene = Scene::new(Version::V19_1).await;
    let endpoints = [
        ("", Role::Guest),
        ("/repository/commits", Role::Reporter),
        ("/merge_requests", Role::Reporter),
        ("/pipelines", Role::Reporter),
        ("/deployments", Role::Reporter),
        ("/environments", Role::Reporter),
        ("/feature_flags", Role::Developer),
        ("/hooks", Role::Maintainer),
    ];
    for (name, role) in [
        ("guest", Role::Guest),
        ("reporter", Role::Reporter),
        ("developer", Role::Developer),
        ("maintainer", Role::Maintainer),
    ] {
        let member = scene.member(name, role);
        for (endpoint, needed) in endpoints {
            let expected = if role >= needed { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(
                member.get(&scene.project_path(endpoint)).await.status,
                expected,
                "{name} at {endpoint}"
            );
        }
        assert_eq!(member.get(&scene.group_path("/hooks")).await.status, StatusCode::FORBIDDEN, "{name}");
    }
    assert_eq!(scene.api.get(&scene.group_path("/hooks")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn group_hooks_are_for_owners_of_paying_groups() {
    let scene = Scene::new(Version::V19_1).await;
    scene.gitlab.group("acme/payments", Tier::Free);
    let refused = scene.api.post(&scene.group_path("/hooks"), json!({ "url": "http://127.0.0.1:9/" })).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);

    scene.gitlab.group("acme", Tier::Premium);
    let made = scene.api.post(&scene.group_path("/hooks"), json!({ "url": "http://127.0.0.1:9/" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "the tier of the root counts for the sub-group");
    let maintainer = scene.member("maintainer", Role::Maintainer);
    let refused = maintainer.post(&scene.group_path("/hooks"), json!({ "url": "http://127.0.0.1:9/" })).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn roles_are_inherited() {
    let scene = Scene::new(Version::V19_1).await;
    let inner = scene.group.subgroup("inner").project("deep");
    let path = format!("/projects/{}/members/all/{}", inner.id(), scene.ada.id());
    assert_eq!(scene.api.get(&path).await.body["access_level"], 50);
    let path = scene.group_path(&format!("/members/all/{}", scene.ada.id()));
    assert_eq!(scene.api.get(&path).await.body["access_level"], 50);
    let eve = scene.gitlab.user("eve");
    let path = scene.group_path(&format!("/members/all/{}", eve.id()));
    assert_eq!(scene.api.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn groups_are_listed_by_role_and_name() {
    let scene = Scene::new(Version::V19_1).await;
    let other = scene.gitlab.group("zebra", Tier::Free);
    other.grant(&scene.ada, Role::Reporter);

    assert_eq!(scene.api.get("/groups").await.texts("full_path"), ["acme", "acme/payments", "zebra"]);
    assert_eq!(scene.api.get("/groups?min_access_level=40").await.texts("full_path"), ["acme/payments"]);
    assert_eq!(scene.api.get("/groups?search=zeb").await.texts("path"), ["zebra"]);
    assert!(scene.api.get("/groups?search=ze").await.texts("path").is_empty(), "two letters find nothing");
    let skip = format!("/groups?skip_groups={},{}", scene.group.id(), other.id());
    assert_eq!(scene.api.get(&skip).await.texts("path"), ["acme"]);
    assert_eq!(scene.api.get("/groups?order_by=size").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_api_describes_the_caller_and_the_instance() {
    let scene = Scene::new(Version::V17_3).await;
    let user = scene.api.get("/user").await.body;
    assert_eq!((&user["username"], &user["email"]), (&json!("ada"), &json!("ada@example.com")));
    assert!(user.get("is_admin").is_none(), "only administrators see the field");
    assert_eq!(scene.api.get("/metadata").await.body["version"], "17.3.7-ee");
    let bob = scene.gitlab.user("bob");
    assert_eq!(scene.api.get(&format!("/users/{}", bob.id())).await.body["public_email"], json!(null));
}
