//! Pages and their headers.

use axum::http::StatusCode;

use super::{Scene, Version};

#[tokio::test]
async fn lists_come_in_pages() {
    let scene = Scene::new(Version::V19_1).await;
    for number in 0..24 {
        scene.group.project(&format!("p{number}"));
    }
    let first = scene.api.get(&scene.group_path("/projects?order_by=id&sort=asc")).await;
    assert_eq!(first.body.as_array().unwrap().len(), 20, "the usual page");
    assert_eq!(
        (first.header("x-page"), first.header("x-next-page"), first.header("x-prev-page")),
        ("1", "2", "")
    );
    assert_eq!(
        (first.header("x-total"), first.header("x-total-pages"), first.header("x-per-page")),
        ("25", "2", "20")
    );
    let link = first.header("link");
    let next = link.split(", ").find(|link| link.ends_with("rel=\"next\"")).unwrap();
    let next = next.trim_start_matches('<').split('>').next().unwrap().replace(&scene.api.base, "");
    assert!(next.contains("order_by=id"), "{next}");

    let second = scene.api.get(&next).await;
    assert_eq!(second.body.as_array().unwrap().len(), 5);
    assert_eq!((second.header("x-next-page"), second.header("x-prev-page")), ("", "1"));
    assert!(!second.header("link").contains("rel=\"next\""));
    let beyond = scene.api.get(&scene.group_path("/projects?page=9")).await;
    assert_eq!(beyond.body.as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn pages_have_limits() {
    let scene = Scene::new(Version::V19_1).await;
    let cut = scene.api.get(&scene.group_path("/projects?per_page=1000")).await;
    assert_eq!(cut.header("x-per-page"), "100");
    for wrong in ["page=0", "per_page=0", "page=two"] {
        let refused = scene.api.get(&scene.group_path(&format!("/projects?{wrong}"))).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let keyset = scene.api.get(&scene.group_path("/projects?pagination=keyset&order_by=id")).await;
    assert_eq!(keyset.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn long_lists_and_commits_are_not_counted() {
    let scene = Scene::new(Version::V19_1).await;
    let commits = scene.api.get(&scene.project_path("/repository/commits")).await;
    assert_eq!((commits.header("x-total"), commits.header("x-page")), ("", "1"));

    for number in 0..10_001 {
        let _ = scene.project.feature_flag(&format!("flag-{number}"));
    }
    let flags = scene.api.get(&scene.project_path("/feature_flags?per_page=100")).await;
    assert_eq!((flags.header("x-total"), flags.header("x-next-page")), ("", "2"));
}

#[tokio::test]
async fn projects_of_a_group_are_narrowed() {
    let scene = Scene::new(Version::V19_1).await;
    scene.group.subgroup("inner").project("deep");
    scene.group.project("old").archive(true);
    let paths = |query: &str| scene.group_path(&format!("/projects?sort=asc&order_by=id{query}"));
    assert_eq!(scene.api.get(&paths("")).await.texts("path"), ["api", "old"]);
    assert_eq!(scene.api.get(&paths("&include_subgroups=true")).await.texts("path"), ["api", "deep", "old"]);
    assert_eq!(scene.api.get(&paths("&archived=false")).await.texts("path"), ["api"]);
    assert_eq!(scene.api.get("/groups/acme/descendant_groups").await.texts("path"), ["inner", "payments"]);
}
