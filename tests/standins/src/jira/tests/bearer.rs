use std::time::Duration;

use serde_json::{Value, json};

use super::{Installed, answer_of};
use crate::jira::provider::samples::{build, dev_info};
use crate::jira::{Api, Connection};

impl Installed {
    async fn exchange(&self, (id, secret): &(String, String)) -> (u16, Value) {
        let body = json!({ "audience": "api.atlassian.com", "grant_type": "client_credentials",
                           "client_id": id, "client_secret": secret });
        let url = format!("{}/oauth/token", self.jira.api_url());
        answer_of(self.http.post(url).json(&body).send().await.unwrap()).await
    }

    async fn post_with(&self, token: &str, path: &str, body: &Value) -> u16 {
        let request = self.http.post(format!("{}{path}", self.jira.api_url())).bearer_auth(token).json(body);
        request.send().await.unwrap().status().as_u16()
    }
}

fn builds() -> Value {
    json!({ "builds": [build(1, &["PAY-1"])] })
}

#[tokio::test]
async fn credentials_get_a_token_for_their_permissions_on_their_site() {
    let world = Installed::start().await;
    let credentials = world.site.add_oauth_credentials(&[Api::Builds]);
    let (status, answer) = world.exchange(&credentials).await;
    assert_eq!((status, &answer["token_type"], &answer["expires_in"]), (200, &json!("Bearer"), &json!(900)));
    let token = answer["access_token"].as_str().unwrap();

    let path = |cloud_id: &str, api: &str| format!("/jira/{api}/0.1/cloud/{cloud_id}/bulk");
    let own = world.site.cloud_id();
    let other = world.jira.site("other").await.unwrap();
    assert_eq!(world.post_with(token, &path(own, "builds"), &builds()).await, 202);
    assert_eq!(world.post_with(token, &path(own, "devinfo"), &dev_info()).await, 403);
    assert_eq!(world.post_with(token, &path(other.cloud_id(), "builds"), &builds()).await, 403);
    assert_eq!(world.post_with(token, &path("nowhere", "builds"), &builds()).await, 404);
    assert_eq!(world.post_with("wrong", &path(own, "builds"), &builds()).await, 401);
    let versioned = format!("/jira/devinfo/0.10/cloud/{own}/bulk");
    assert_eq!(world.post_with(token, &versioned, &dev_info()).await, 404);

    let recorded = &world.site.recorded()[0];
    assert_eq!(
        (recorded.connection, recorded.api, recorded.path.as_str()),
        (Connection::OAuth, Api::Builds, "/bulk")
    );
    assert_eq!(world.site.issue("PAY-1").builds.len(), 1);
    assert_eq!(world.site.calls().of(Api::Token), 1);
}

#[tokio::test]
async fn wrong_or_deleted_credentials_get_no_token() {
    let world = Installed::start().await;
    let (id, secret) = world.site.add_oauth_credentials(&[Api::Builds]);
    let (status, answer) = world.exchange(&(id.clone(), "wrong".to_owned())).await;
    assert_eq!((status, &answer["error"]), (401, &json!("access_denied")));
    let (_, answer) = world.exchange(&(id.clone(), secret.clone())).await;
    world.site.remove_oauth_credentials(&id);
    let path = format!("/jira/builds/0.1/cloud/{}/bulk", world.site.cloud_id());
    assert_eq!(world.post_with(answer["access_token"].as_str().unwrap(), &path, &builds()).await, 401);
    assert_eq!(world.exchange(&(id, secret)).await.0, 401);
}

#[tokio::test]
async fn tokens_end_by_time_and_by_hand() {
    let world = Installed::start().await;
    world.jira.set_token_lifetime(Duration::from_millis(50));
    let credentials = world.site.add_oauth_credentials(&[Api::Builds]);
    let path = format!("/jira/builds/0.1/cloud/{}/bulk", world.site.cloud_id());
    let (_, short) = world.exchange(&credentials).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(world.post_with(short["access_token"].as_str().unwrap(), &path, &builds()).await, 401);

    world.jira.set_token_lifetime(Duration::from_secs(900));
    let (_, long) = world.exchange(&credentials).await;
    assert_eq!(world.post_with(long["access_token"].as_str().unwrap(), &path, &builds()).await, 202);
    world.site.expire_tokens();
    assert_eq!(world.post_with(long["access_token"].as_str().unwrap(), &path, &builds()).await, 401);
}

#[tokio::test]
async fn system_tokens_open_the_forge_paths_and_no_others() {
    let world = Installed::start().await;
    let token = world.site.forge_system_token("ari:app", &[Api::DevInfo, Api::Rest], Duration::from_secs(60));
    let cloud_id = world.site.cloud_id();
    let forge = format!("/ex/jira/{cloud_id}/rest/devinfo/0.10/bulk");
    assert_eq!(world.post_with(&token, &forge, &dev_info()).await, 202);
    assert_eq!(world.site.recorded()[0].connection, Connection::Forge);
    let builds_path = format!("/ex/jira/{cloud_id}/rest/builds/0.1/bulk");
    assert_eq!(world.post_with(&token, &builds_path, &builds()).await, 403);
    let oauth_path = format!("/jira/devinfo/0.1/cloud/{cloud_id}/bulk");
    assert_eq!(world.post_with(&token, &oauth_path, &dev_info()).await, 401);
    let project = format!("{}/ex/jira/{cloud_id}/rest/api/3/project/PAY", world.jira.api_url());
    assert_eq!(world.http.get(project).bearer_auth(&token).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn connections_keep_their_data_apart() {
    let world = Installed::start().await;
    world.post(super::DEV_INFO, &dev_info()).await;
    let token = world.site.forge_system_token("ari:app", &[Api::DevInfo], Duration::from_secs(60));
    let base = format!("/ex/jira/{}/rest/devinfo/0.10", world.site.cloud_id());
    assert_eq!(world.post_with(&token, &format!("{base}/bulk"), &dev_info()).await, 202);
    assert_eq!(world.site.issue("PAY-1").commits.len(), 2);
    assert_eq!(world.delete("/rest/devinfo/0.10/repository/42").await, 202);
    assert_eq!(world.site.issue("PAY-1").commits.len(), 1);
}
