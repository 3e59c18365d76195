use reqwest::Method;
use serde_json::{Value, json};

use super::{BUILDS, DEPLOYMENTS, DEV_INFO, FLAGS, Installed, answer_of};
use crate::jira::provider::samples::{build, deployment, dev_info, flag, with};
use crate::jira::{Api, Connection, IssueSummary, User};

impl Installed {
    /// Sends one of everything, for PAY-1.
    async fn fill(&self) {
        let tagged = |list: &str, entity: Value| json!({ list: [entity], "properties": { "link": "a" } });
        for (path, body) in [
            (DEV_INFO, dev_info()),
            (BUILDS, tagged("builds", build(1, &["PAY-1"]))),
            (DEPLOYMENTS, tagged("deployments", deployment(1, &["PAY-1"]))),
            (FLAGS, tagged("flags", flag("1", &["PAY-1"]))),
        ] {
            assert_eq!(self.post(path, &body).await.0, 202, "{path}");
        }
    }

    fn summary(&self) -> IssueSummary {
        self.site.issues().into_iter().find(|issue| issue.key == "PAY-1").unwrap_or_default()
    }
}

const FLAG: &str = "/rest/featureflags/0.1/flag/1";
const BUILD: &str = "/rest/builds/0.1/pipelines/7-abc/builds/1";
const DEPLOYMENT: &str = "/rest/deployments/0.1/pipelines/5/environments/9/deployments/1";

#[tokio::test]
async fn an_issue_shows_what_was_sent() {
    let world = Installed::start().await;
    world.fill().await;
    let issue = world.site.issue("PAY-1");
    assert_eq!(
        (issue.branches[0].name.as_str(), issue.branches[0].last_commit.as_str()),
        ("PAY-1-retry", "9f1c2d3e")
    );
    assert_eq!((issue.commits[0].author.as_str(), issue.commits[0].is_merge), ("Ada", true));
    let pull_request = &issue.pull_requests[0];
    assert_eq!((pull_request.status.as_str(), pull_request.author.as_str()), ("OPEN", "ada@example.com"));
    assert_eq!(pull_request.reviewers, [("Bob".to_owned(), "APPROVED".to_owned())]);
    assert_eq!((issue.builds[0].build_number, issue.builds[0].state.as_str()), (1, "successful"));
    assert_eq!(issue.deployments[0].environment_type, "production");
    assert_eq!(
        (issue.flags[0].enabled, issue.flags[0].environments.as_slice()),
        (true, &["production".to_owned()][..])
    );
    assert!(world.site.issue("PAY-2").is_empty());

    let url = format!("{}/stand-in/issues", world.site.base_url());
    let page = answer_of(world.http.get(format!("{url}/PAY-1")).send().await.unwrap()).await.1;
    assert_eq!(page, serde_json::to_value(&issue).unwrap());
    let list = answer_of(world.http.get(url).send().await.unwrap()).await.1;
    assert_eq!(
        list[0],
        json!({ "key": "PAY-1", "branches": 1, "commits": 1, "pullRequests": 1, "builds": 1,
                                "deployments": 1, "flags": 1 })
    );
}

#[tokio::test]
async fn stored_data_can_be_read_back() {
    let world = Installed::start().await;
    world.fill().await;
    let (status, repository) = world.get("/rest/devinfo/0.10/repository/42").await;
    assert_eq!((status, repository["commits"].as_array().unwrap().len()), (200, 1));
    assert!(repository.get("properties").is_none());
    assert_eq!(world.get(BUILD).await.1["state"], "successful");
    assert_eq!(world.get(DEPLOYMENT).await.1["state"], "successful");
    let gating = world.get(&format!("{DEPLOYMENT}/gating-status")).await.1;
    assert_eq!((&gating["gatingStatus"], &gating["environmentId"]), (&json!("awaiting"), &json!("9")));
    assert_eq!(world.get(FLAG).await.1["key"], "new_checkout");
    for path in ["/rest/devinfo/0.10/repository/43", "/rest/builds/0.1/pipelines/7-abc/builds/2"] {
        assert_eq!(world.get(path).await.0, 404, "{path}");
    }
    assert_eq!(world.get("/rest/devinfo/0.10/nothing").await.0, 404);
    assert_eq!(world.get("/rest/remotelinks/1.0/bulk").await.0, 404);
    assert_eq!(world.call(Method::PUT, DEV_INFO, None).await.status(), 405);
    assert_eq!(world.call(Method::POST, BUILD, None).await.status(), 405);
}

#[tokio::test]
async fn data_can_be_deleted_one_by_one() {
    let world = Installed::start().await;
    world.fill().await;
    let repository = "/rest/devinfo/0.10/repository/42";
    assert_eq!(world.delete(&format!("{repository}/branch/b?_updateSequenceId=99")).await, 202);
    assert_eq!(world.summary().branches, 1);
    assert_eq!(world.delete(&format!("{repository}/branch/b?_updateSequenceId=100")).await, 202);
    assert_eq!(world.summary().branches, 0);
    assert_eq!(world.delete(&format!("{repository}/branch/b")).await, 202);
    assert_eq!(world.delete(&format!("{repository}/tag/b")).await, 400);
    assert_eq!(world.delete(&format!("{repository}?_updateSequenceId=soon")).await, 400);
    for path in [repository, BUILD, DEPLOYMENT, FLAG] {
        assert_eq!(world.delete(path).await, 202, "{path}");
    }
    assert!(world.site.issue("PAY-1").is_empty());
}

#[tokio::test]
async fn an_encoded_slash_is_part_of_the_id() {
    let world = Installed::start().await;
    let slashed = with(build(1, &["PAY-1"]), "/pipelineId", json!("group/p"));
    world.post(BUILDS, &json!({ "builds": [slashed] })).await;
    assert_eq!(world.delete("/rest/builds/0.1/pipelines/group/p/builds/1").await, 404);
    assert_eq!(world.summary().builds, 1);
    assert_eq!(world.delete("/rest/builds/0.1/pipelines/group%2Fp/builds/1").await, 202);
    assert_eq!(world.summary().builds, 0);
}

#[tokio::test]
async fn data_can_be_deleted_by_properties() {
    let world = Installed::start().await;
    world.fill().await;
    let exists = "/rest/devinfo/0.10/existsByProperties?link=";
    assert_eq!(world.get(&format!("{exists}a")).await.1, json!({ "hasDataMatchingProperties": true }));
    assert_eq!(world.get(&format!("{exists}b")).await.1, json!({ "hasDataMatchingProperties": false }));
    assert_eq!(
        world.get(&format!("{exists}a&_updateSequenceId=99")).await.1["hasDataMatchingProperties"],
        false
    );
    assert_eq!(world.get("/rest/devinfo/0.10/existsByProperties").await.0, 400);
    for root in ["/rest/devinfo/0.10", "/rest/builds/0.1", "/rest/deployments/0.1", "/rest/featureflags/0.1"]
    {
        assert_eq!(world.delete(&format!("{root}/bulkByProperties")).await, 400);
        assert_eq!(world.delete(&format!("{root}/bulkByProperties?link=a&link=b")).await, 400);
        assert_eq!(world.delete(&format!("{root}/bulkByProperties?link=a&other=c")).await, 202);
    }
    assert_eq!(world.summary().flags, 1);
    for root in ["/rest/devinfo/0.10", "/rest/builds/0.1", "/rest/deployments/0.1", "/rest/featureflags/0.1"]
    {
        assert_eq!(world.delete(&format!("{root}/bulkByProperties?link=a")).await, 202);
    }
    assert!(world.site.issue("PAY-1").is_empty());
}

#[tokio::test]
async fn calls_are_counted_and_recorded() {
    let world = Installed::start().await;
    world.fill().await;
    world.delete("/rest/devinfo/0.10/repository/a%2Fb?_updateSequenceId=1").await;
    let calls = world.site.calls();
    assert_eq!((calls.of(Api::DevInfo), calls.with_method(Api::DevInfo, "DELETE"), calls.total()), (2, 1, 5));
    let recorded = world.site.recorded();
    assert_eq!((recorded[0].connection, recorded[0].status), (Connection::Connect, 202));
    assert_eq!(recorded[0].entities("commits").count(), 1);
    let delete = &recorded[4];
    assert_eq!(
        (delete.path.as_str(), delete.query.as_deref()),
        ("/repository/a%2Fb", Some("_updateSequenceId=1"))
    );
    assert_eq!((delete.method.as_str(), &delete.body), ("DELETE", &Value::Null));
    world.site.forget_calls();
    assert!(world.site.recorded().is_empty() && world.site.triggers().is_empty());
    assert_eq!(world.site.calls().total(), 0);
}

#[tokio::test]
async fn issues_that_are_listed_show_without_data() {
    let world = Installed::start().await;
    world.site.add_issues(["OPS-1", "OPS-2"]);
    world.site.remove_issue("OPS-2");
    let keys: Vec<_> = world.site.issues().into_iter().map(|issue| issue.key).collect();
    assert_eq!(keys, ["OPS-1"]);
}

#[tokio::test]
async fn the_edge_needs_no_credentials() {
    let world = Installed::start().await;
    let get = async |path: &str| {
        let response = world.http.get(format!("{}{path}", world.site.base_url())).send().await.unwrap();
        answer_of(response).await
    };
    assert_eq!(get("/_edge/tenant_info").await, (200, json!({ "cloudId": world.site.cloud_id() })));
    assert_eq!(get("/status").await.0, 200);
    assert_eq!(get("/nothing").await.0, 404);
    assert_eq!(get("/rest/%ff").await.0, 404);
}

#[tokio::test]
async fn jira_knows_users_permissions_projects_and_issues() {
    let world = Installed::start().await;
    world.site.add_user(User::admin("ada", "Ada").with_email("ada@example.com").in_group("developers"));
    world.site.add_user(User::new("bob", "Bob"));
    world.site.add_project("EMPTY");

    let (status, user) = world.get("/rest/api/3/user?accountId=ada&expand=groups").await;
    assert_eq!(
        (status, &user["displayName"], &user["emailAddress"]),
        (200, &json!("Ada"), &json!("ada@example.com"))
    );
    assert_eq!(
        user["groups"],
        json!({ "size": 2, "items": [{ "name": "site-admins" }, { "name": "developers" }] })
    );
    let (_, user) = world.get("/rest/api/3/user?accountId=ada").await;
    assert_eq!(user["groups"], json!({ "size": 2, "items": [] }));
    assert_eq!(world.get("/rest/api/3/user?accountId=nobody").await.0, 404);
    assert_eq!(world.get("/rest/api/3/user").await.0, 400);

    let check = "/rest/api/3/permissions/check";
    for (account, granted) in [("ada", json!(["ADMINISTER"])), ("bob", json!([]))] {
        let (status, answer) =
            world.post(check, &json!({ "globalPermissions": ["ADMINISTER"], "accountId": account })).await;
        assert_eq!(
            (status, answer),
            (200, json!({ "globalPermissions": granted, "projectPermissions": [] }))
        );
    }
    assert_eq!(
        world.post(check, &json!({ "globalPermissions": ["ADMINISTER"], "accountId": "x" })).await.0,
        400
    );

    for (path, expected) in [
        ("project/PAY", 200),
        ("project/EMPTY", 200),
        ("project/pay", 404),
        ("issue/PAY-50", 200),
        ("issue/PAY-51", 404),
        ("field", 404),
    ] {
        let (status, body) = world.get(&format!("/rest/api/3/{path}")).await;
        assert_eq!(status, expected, "{path}");
        assert_eq!(body["errorMessages"].is_array(), status == 404, "{path}");
    }
    assert_eq!(world.get(check).await.0, 405);
}
