//! GraphQL: what is checked before anything is answered, and what is answered then.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Api, Scene, Version};
use crate::gitlab::{commit, merge_request};

async fn ask(api: &Api, query: &str, variables: Value) -> (StatusCode, Value) {
    let url = api.base.replace("/api/v4", "/api/graphql");
    let mut request = api.http.post(url).json(&json!({ "query": query, "variables": variables }));
    if let Some(token) = &api.token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

const PROJECT: &str = "query($path: ID!) { project(fullPath: $path) { id } queryComplexity { score limit } }";

#[tokio::test]
async fn credential_and_scope_are_checked() {
    let scene = Scene::new(Version::V19_1).await;
    let path = json!({ "path": "acme/payments/api" });
    let (status, answer) = ask(&scene.api, PROJECT, path.clone()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["data"]["project"]["id"], format!("gid://gitlab/Project/{}", scene.project.id()));
    assert_eq!(answer["data"]["queryComplexity"], json!({ "score": 5, "limit": 250 }));
    let anonymous = Api::anonymous(&scene.gitlab);
    assert_eq!(ask(&anonymous, PROJECT, path.clone()).await.1["data"]["project"], Value::Null);
    let narrow = Api::new(&scene.gitlab, &scene.ada.token(&["read_user"]));
    assert_eq!(ask(&narrow, PROJECT, path.clone()).await.0, StatusCode::FORBIDDEN);
    let wrong = Api { token: Some("glpat-wrong".to_owned()), ..Api::anonymous(&scene.gitlab) };
    assert_eq!(ask(&wrong, PROJECT, path).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn queries_are_validated() {
    let scene = Scene::new(Version::V19_1).await;
    let refused = async |query: &str, variables: Value| {
        let (status, answer) = ask(&scene.api, query, variables).await;
        assert_eq!((status, answer.get("data")), (StatusCode::OK, None), "{answer}");
        let errors = answer["errors"].as_array().unwrap().iter();
        errors.map(|error| error["message"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
    };
    let path = json!({ "path": "acme/payments/api" });
    let field = refused("query($path: ID!) { project(fullPath: $path) { colour } }", path.clone()).await;
    assert!(field.contains("colour"), "{field}");
    let argument = refused("query($path: ID!) { project(path: $path) { id } }", path.clone()).await;
    assert!(argument.contains("path"), "{argument}");
    let type_of_use = "query($path: ID!, $iids: [ID!]) { project(fullPath: $path) { mergeRequests(iids: $iids) { nodes { iid } } } }";
    assert!(refused(type_of_use, path.clone()).await.contains("iids"));
    let value = "query($path: ID!, $iids: [String!]) { project(fullPath: $path) { mergeRequests(iids: $iids) { nodes { iid } } } }";
    refused(value, json!({ "path": "acme/payments/api", "iids": [{ "odd": true }] })).await;
    refused(PROJECT, json!({})).await;
    refused("query {", json!({})).await;
    let costly: String = (0..60)
        .map(|number| format!("m{number}: mergeRequests {{ nodes {{ iid }} }}"))
        .collect::<Vec<_>>()
        .join(" ");
    let costly = format!("query($path: ID!) {{ project(fullPath: $path) {{ {costly} }} }}");
    let message = refused(&costly, path.clone()).await;
    assert_eq!(message, "Query has complexity of 361, which exceeds max complexity of 250");
    let diffs: String =
        (0..11).map(|number| format!("c{number}: tree {{ lastCommit {{ diffs {{ diff }} }} }} ")).collect();
    let diffs = format!("query($path: ID!) {{ project(fullPath: $path) {{ repository {{ {diffs} }} }} }}");
    assert!(refused(&diffs, path).await.starts_with("\"diffs\" field can be requested only for 10"));
}

#[tokio::test]
async fn objects_say_what_rest_says() {
    let scene = Scene::new(Version::V19_1).await;
    let pushed = scene.project.push("PAY-7", [commit("PAY-7 work").file("a", 9, 3)]).await;
    let grace = scene.gitlab.user("grace").with_public_email();
    let request =
        scene.project.open_merge_request(merge_request("PAY-7", "PAY-7 Work").reviewer(&grace)).await;
    request.approve_by(&grace).await;
    let pipeline = scene.project.start_pipeline("PAY-7").await.with_tests(3, 1, 0);
    pipeline.status("success").await;
    let query = "query($path: ID!, $branches: [String!], $sha: String) { project(fullPath: $path) {
        mergeRequests(sourceBranches: $branches) { pageInfo { hasNextPage } nodes { iid state diffHeadSha reference(full: true)
            reviewers { nodes { publicEmail mergeRequestInteraction { reviewState } } } } }
        pipeline(iid: \"1\") { status testReportSummary { total { count failed } } }
        repository { tree(ref: $sha) { lastCommit { sha diffs { newPath newFile diff } } } } } }";
    let variables = json!({ "path": "acme/payments/api", "branches": ["PAY-7"], "sha": pushed.after });
    let (_, answer) = ask(&scene.api, query, variables.clone()).await;
    let project = &answer["data"]["project"];
    let found = &project["mergeRequests"]["nodes"][0];
    assert_eq!(
        (&found["state"], &found["diffHeadSha"]),
        (&json!("opened"), &json!(pushed.after)),
        "{answer}"
    );
    assert_eq!(found["reference"], "acme/payments/api!1");
    let reviewer = &found["reviewers"]["nodes"][0];
    assert_eq!(reviewer["publicEmail"], "grace@example.com");
    assert_eq!(reviewer["mergeRequestInteraction"]["reviewState"], "APPROVED");
    assert_eq!(
        project["pipeline"],
        json!({ "status": "SUCCESS", "testReportSummary": { "total": { "count": 4, "failed": 1 } } })
    );
    let last = &project["repository"]["tree"]["lastCommit"];
    assert_eq!((&last["sha"], &last["diffs"][0]["newPath"]), (&json!(pushed.after), &json!("a")));

    let old = Scene::new(Version::V15_7).await;
    let (_, answer) = ask(&old.api, query, variables).await;
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("diffs"), "{answer}");
}
