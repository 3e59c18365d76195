//! Pages of every kind: each exists where links lead, and none lets a name become markup.

use reqwest::StatusCode;

use crate::gitlab::{GitlabStandin, ProjectHandle, Role, Tier, Version, commit, merge_request};

const MARKUP: &str = "<script>alert('1')</script>\"&";

async fn project() -> (GitlabStandin, ProjectHandle) {
    let gitlab = GitlabStandin::start(Version::V19_1).await.unwrap();
    let group = gitlab.group("acme/payments", Tier::Premium);
    let ada = gitlab.user("ada").with_public_email();
    group.grant(&ada, Role::Owner);
    let project = group.project("api").acting_as(&ada).described(MARKUP);
    (gitlab, project)
}

async fn get(url: &str) -> (StatusCode, String, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.status(), kind, answer.text().await.unwrap())
}

#[tokio::test]
async fn every_object_that_links_lead_to_has_a_page() {
    let (gitlab, api) = project().await;
    let ada = gitlab.user("ada");
    let pushed = api.push("feature/PAY-7 a", [commit("PAY-7 Retry").file("src/a b.rs", 4, 2)]).await;
    let request = api.open_merge_request(merge_request("feature/PAY-7 a", "PAY-7").reviewer(&ada)).await;
    let pipeline = api.start_pipeline("main").await.with_job("test", "unit", "success").with_tests(9, 1, 0);
    let deployment = api.deploy("production", "main");
    deployment.status("success").await;
    api.feature_flag("retry").strategy("default", serde_json::json!({}), &["*"]).toggle(true).await;
    let (job, environment) = {
        let world = api.shared.world();
        let project = world.project(api.id());
        (project.pipelines[&pipeline.id()].jobs[0].id, *project.environments.keys().next().unwrap())
    };
    let (project, sha) = (api.web_url(), pushed.after);
    for (url, expected) in [
        (format!("{}/groups/acme/payments", gitlab.url()), "acme/payments/api"),
        (format!("{}/ada", gitlab.url()), "ada@example.com"),
        (project.clone(), "!1 PAY-7"),
        (format!("{project}/-/commit/{sha}"), "+4 −2"),
        (format!("{project}/-/commits/feature/PAY-7%20a"), "PAY-7 Retry"),
        (format!("{project}/-/tree/feature/PAY-7%20a"), "PAY-7 Retry"),
        (format!("{project}/-/blob/{sha}/src/a%20b.rs"), "no contents"),
        (format!("{project}/-/merge_requests/{}", request.iid()), "Unreviewed"),
        (format!("{project}/-/merge_requests/new?merge_request%5Bsource_branch%5D=a"), "change nothing"),
        (format!("{project}/-/pipelines/{}", pipeline.id()), "10 in total"),
        (format!("{project}/-/jobs/{job}"), "unit"),
        (format!("{project}/-/environments"), "production"),
        (format!("{project}/-/environments/{environment}"), "Success"),
        (format!("{project}/-/environments/{environment}/deployments/{}", deployment.iid()), "Ada"),
        (format!("{project}/-/feature_flags"), "retry"),
    ] {
        let (status, kind, page) = get(&url).await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/html; charset=utf-8"), "{url}");
        assert!(page.contains(expected) && page.contains("This is not GitLab"), "{url}: {page}");
    }
}

#[tokio::test]
async fn names_and_texts_are_escaped_wherever_they_stand() {
    let (gitlab, api) = project().await;
    let branch = "a'\"><b>";
    let pushed = api.push(branch, [commit(MARKUP).by(MARKUP, "eve@example.com").file(MARKUP, 1, 1)]).await;
    api.open_merge_request(merge_request(branch, MARKUP).describe(MARKUP)).await;
    let project = api.web_url();
    let encoded = super::html::in_path(branch);
    for path in [
        String::new(),
        format!("/-/commit/{}", pushed.after),
        format!("/-/commits/{encoded}"),
        "/-/merge_requests/1".to_owned(),
    ] {
        let (status, _, page) = get(&format!("{project}{path}")).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(!page.contains("<script>") && !page.contains("<b>"), "{path}: {page}");
    }
    assert!(get(&format!("{}/ada", gitlab.url())).await.2.contains("ada@example.com"));
}

#[tokio::test]
async fn an_address_without_an_object_is_answered_as_the_api_does() {
    let (gitlab, api) = project().await;
    let project = api.web_url();
    for url in [
        gitlab.url().to_owned(),
        format!("{}/api/v4/nothing", gitlab.url()),
        format!("{}/acme/nothing", gitlab.url()),
        format!("{project}/-/commit/0123456789"),
        format!("{project}/-/merge_requests/7"),
        format!("{project}/-/merge_requests/seven"),
        format!("{project}/-/settings"),
    ] {
        let (status, kind, _) = get(&url).await;
        assert_eq!((status, kind.as_str()), (StatusCode::NOT_FOUND, "application/json"), "{url}");
    }
}
