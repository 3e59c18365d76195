//! A link's token and hooks stay alive.

use secrecy::ExposeSecret as _;
use standins::gitlab::{commit, merge_request};
use standins::jira::Api;

use crate::stage::Stage;

/// What was delivered before a renewal, and during it, is as authentic as what comes after.
#[tokio::test]
async fn a_renewal_disturbs_nothing_that_is_on_its_way() {
    let stage = Stage::new().await;
    stage.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    stage.settled().await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("PAY-2-x", [commit("PAY-2 x").adds("b", 1)]).await;
    stage.api.open_merge_request(merge_request("PAY-2-x", "PAY-3 y")).await;
    let on_their_way = held.take();
    assert_eq!(on_their_way.len(), 2);
    let renewed = stage.world.link("acme", &stage.token).await.unwrap();
    assert_eq!(renewed["subscription"], stage.link["subscription"]);
    for delivery in &on_their_way {
        assert!(delivery.send().await.unwrap().is_success(), "made with the old secrets");
    }
    drop(held);
    stage.api.push("PAY-4-x", [commit("PAY-4 x").adds("c", 1)]).await;
    stage.settled().await;
    for key in ["PAY-1", "PAY-2", "PAY-4"] {
        assert_eq!(stage.world.site.issue(key).commits.len(), 1, "{key}");
    }
    assert_eq!(stage.world.site.issue("PAY-3").pull_requests.len(), 1);
    assert_eq!(stage.dead().await, 0);
    assert_eq!(stage.world.site.calls().with_method(Api::DevInfo, "DELETE"), 0, "nothing deleted in Jira");
}

#[tokio::test]
async fn a_disabled_hook_is_enabled_by_a_renewal() {
    let stage = Stage::new().await;
    stage.world.gitlab.fail_hooks(40);
    stage.api.push("PAY-5-x", [commit("PAY-5 x").adds("a", 1)]).await;
    stage.settled().await;
    assert!(stage.world.site.issue("PAY-5").commits.is_empty(), "GitLab delivers nothing");
    let renewed = stage.world.link("acme", &stage.token).await.unwrap();
    assert_eq!(renewed["renewed"]["hook"], "enabled");
    assert_eq!(renewed["hook_id"], stage.link["hook_id"], "by a test delivery, not by another hook");
    stage.api.push("PAY-6-x", [commit("PAY-6 x").adds("a", 1)]).await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-6").commits.len(), 1);
}

/// Group and subgroup linked to one site: both hooks deliver, and each event is sent once, by the nearer link.
#[tokio::test]
async fn what_comes_in_through_two_links_is_sent_once() {
    let stage = Stage::new().await;
    let front = stage.group.subgroup("front");
    let web = front.project("web").acting_as(&stage.ada);
    web.push("main", [commit("Start").adds("README.md", 1)]).await;
    stage.settled().await;
    let child = stage.world.link("acme/front", &stage.token).await.unwrap();
    stage.world.site.forget_calls();
    web.push("PAY-7-x", [commit("PAY-7 x").adds("a", 1)]).await;
    web.start_pipeline("PAY-7-x").await.status("success").await;
    stage.api.push("PAY-8-x", [commit("PAY-8 x").adds("a", 1)]).await;
    stage.settled().await;
    let calls = stage.world.site.recorded();
    let sent = |kind: &str| {
        let entities = calls.iter().flat_map(|call| call.entities(kind).cloned().collect::<Vec<_>>());
        entities.filter(|entity| entity.to_string().contains("PAY-7")).count()
    };
    assert_eq!((sent("commits"), sent("branches")), (1, 1));
    let builds = calls.iter().filter(|call| call.api == Api::Builds && call.method == "POST");
    let links: Vec<String> =
        builds.map(|call| call.body["properties"]["link"].as_str().unwrap().to_owned()).collect();
    assert!(!links.is_empty() && links.iter().all(|link| child["subscription"] == *link), "{links:?}");
    assert_eq!(stage.world.site.issue("PAY-8").commits.len(), 1);

    // The nearer link gone, the other brings it.
    let id = child["subscription"].as_str().unwrap().to_owned();
    let unlink = gitlab_jira::operate::Command::GroupUnlink {
        subscription: id,
        keep_jira_data: false,
        gitlab_token: Some(gitlab_jira::operate::Hidden(stage.token.clone())),
    };
    stage.command(unlink).await;
    web.push("PAY-9-x", [commit("PAY-9 x").adds("a", 1)]).await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-9").commits.len(), 1);
    assert!(!stage.token.expose_secret().is_empty());
}
