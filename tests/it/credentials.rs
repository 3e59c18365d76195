//! A link's token and hooks stay alive.

use std::time::Duration;

use gitlab_jira::operate::{Command, CredentialChoice, Hidden};
use secrecy::SecretString;
use shared::domain::{
    Hook, HookFailure, HookPlan, PlanPurpose, PlanState, Rotation, Subscription, SubscriptionId,
};
use shared::envelope::Context;
use shared::linking::plan::LinkRequest;
use shared::queue::worker::Deadline;
use shared::sync::step::{LinkStep, enqueue};
use standins::gitlab::{Fault, Role, Tier, commit, merge_request};
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
async fn an_event_delivered_through_two_links_is_sent_once() {
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
    let unlink = Command::GroupUnlink {
        subscription: id,
        keep_jira_data: false,
        gitlab_token: Some(Hidden(stage.token.clone())),
    };
    stage.command(unlink).await;
    web.push("PAY-9-x", [commit("PAY-9 x").adds("a", 1)]).await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-9").commits.len(), 1);
}

/// Linked as the page does it, without waiting: the queue makes the hooks, page after page.
#[tokio::test]
async fn hooks_of_many_projects_are_made_by_steps() {
    let stage = Stage::new().await;
    let large = stage.world.gitlab.group("large", Tier::Free);
    let bob = stage.world.gitlab.user("bob");
    large.grant(&bob, Role::Maintainer);
    let projects: Vec<_> = (0..130).map(|number| large.project(&format!("p{number:03}"))).collect();
    let closed = projects[7].id();
    stage.world.gitlab.inject(Fault::status(403).on(&format!("/projects/{closed}/hooks")));
    let gone = projects[9].id();
    stage.world.gitlab.inject(Fault::status(404).on(&format!("/projects/{gone}")));

    let linking = &stage.world.local.operator.linking;
    let site = linking.store.sites().await.unwrap().remove(0);
    let request = LinkRequest {
        group: "large".to_owned(),
        gitlab_url: Some(stage.world.gitlab.url().to_owned()),
        gitlab_token: bob.token(&["api"]),
        kept_token: None,
        manual_hook: false,
        project_keys: Vec::new(),
        credential: shared::linking::CredentialChoice::None,
    };
    let plan = linking.plan(site, request).await.unwrap();
    let link = linking.link(&plan).await.unwrap().subscription;
    let step = LinkStep::Hooks { subscription: link.id, plan: link.hooks.as_ref().unwrap().id };
    for _ in 0..3 {
        enqueue(&linking.steps, linking.clock.now(), [step.clone()]).await.unwrap();
    }
    let mut plan = None;
    for _ in 0..1200 {
        plan = linking.store.subscription(link.id).await.unwrap().unwrap().hooks;
        if !plan.as_ref().unwrap().is_running() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let plan = plan.unwrap();
    assert_eq!((plan.state, plan.made, plan.failed), (PlanState::Done, 128, 1), "{plan:?}");
    assert_eq!((plan.total, plan.named[0].path.as_str()), (Some(130), "large/p007"));
    assert_eq!(plan.named[0].cause, HookFailure::Forbidden);
    assert!(plan.token.is_none(), "the person's token is forgotten");
    let hooks = linking.store.project_hooks(link.id).await.unwrap();
    assert_eq!(hooks.iter().filter(|hook| hook.id.is_some()).count(), 128);
    assert_eq!(stage.world.gitlab.hooks_to(&linking.webhook_url(link.id)), 128, "none twice");
    let status = stage.command(Command::Status).await;
    let attention = status["links"][0]["attention"].as_str().unwrap();
    assert!(attention.contains("large/p007: the token may not make hooks there"), "{attention}");
}

/// Whatever was done before the process died is found, and nothing is done twice.
#[tokio::test]
async fn a_plan_that_was_cut_off_goes_on() {
    let stage = Stage::new().await;
    let large = stage.world.gitlab.group("large", Tier::Free);
    large.grant(&stage.ada, Role::Owner);
    let projects: Vec<_> = (0..3).map(|number| large.project(&format!("p{number}"))).collect();
    let linked = stage.world.link("large", &stage.token).await.unwrap();
    assert_eq!(linked["projects"]["hooked"], 3);
    let linking = &stage.world.local.operator.linking;
    let (id, store) = (linked["subscription"].as_str().unwrap().parse().unwrap(), &linking.store);
    // GitLab had made these, and we did not hear of it.
    let forget = |hook: &mut Hook| (hook.id, hook.mark) = (None, None);
    store.update_hook(id, Some(projects[1].id()), forget).await.unwrap();
    store.update_hook(id, Some(projects[2].id()), forget).await.unwrap();
    let hooks = stage.world.gitlab.hooks_to(&linking.webhook_url(id));
    assert_eq!(hooks, 3);
    let plan = HookPlan::new(PlanPurpose::Make, linking.clock.now(), None);
    store.update_subscription(id, |link| link.hooks = Some(plan.clone())).await.unwrap();
    let ended = linking.finish_hooks(id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.made, ended.repaired), (PlanState::Done, 0, 2), "{ended:?}");
    assert_eq!(stage.world.gitlab.hooks_to(&linking.webhook_url(id)), 3);
}

impl Stage {
    fn id(&self) -> SubscriptionId {
        self.link["subscription"].as_str().unwrap().parse().unwrap()
    }

    async fn stored(&self, id: SubscriptionId) -> Subscription {
        self.world.local.operator.store.subscription(id).await.unwrap().unwrap()
    }

    async fn stored_token(&self) -> SecretString {
        let link = self.stored(self.id()).await;
        let context = Context::gitlab_token(link.site, link.id);
        self.world
            .local
            .operator
            .linking
            .envelope
            .open(&link.credential.unwrap().token, &context)
            .await
            .unwrap()
    }

    /// Looks after all links, as if a day had passed.
    async fn day_after(&self) {
        let store = &self.world.local.operator.store;
        let due = |link: &mut Subscription| {
            link.upkeep = None;
            if let Some(credential) = &mut link.credential {
                credential.checked_at = None;
            }
        };
        for site in store.site_ids().await.unwrap() {
            for link in store.subscription_ids(site).await.unwrap() {
                store.update_subscription(link, due).await.unwrap();
            }
        }
        self.world.local.upkeep().run(Deadline::after(Duration::from_secs(600))).await.unwrap();
    }

    async fn attention(&self) -> String {
        let status = self.command(Command::Status).await;
        status["links"][0]["attention"].as_str().unwrap_or_default().to_owned()
    }

    fn rotations(&self) -> u64 {
        self.world.gitlab.calls_to("POST /groups/:id/access_tokens/:token_id/rotate")
    }

    async fn works(&self, key: &str) {
        self.api.push(&format!("{key}-x"), [commit(&format!("{key} x")).adds("a", 1)]).await;
        self.api.deploy("production", &format!("{key}-x")).status("success").await;
        self.settled().await;
        let issue = self.world.site.issue(key);
        assert_eq!((issue.commits.len(), issue.deployments.len()), (1, 1), "{key}");
    }
}

#[tokio::test]
async fn a_token_is_rotated_long_before_it_expires() {
    let stage = Stage::new().await;
    stage.day_after().await;
    assert_eq!(stage.rotations(), 0, "it has a year");
    let old = stage.stored_token().await;
    stage.world.gitlab.expire_in(&old, 40);
    stage.day_after().await;
    assert_eq!(stage.rotations(), 1);
    let credential = stage.stored(stage.id()).await.credential.unwrap();
    let now = stage.world.local.operator.clock.now();
    assert!(credential.expires_at.unwrap() > now.after(Duration::from_secs(300 * 24 * 3600)));
    assert_eq!(credential.rotation, None);
    stage.works("PAY-10").await;
    stage.day_after().await;
    assert_eq!((stage.rotations(), stage.attention().await.as_str()), (1, ""));
}

/// The call did not arrive: the old token still works, and is rotated the next time.
#[tokio::test]
async fn a_rotation_without_an_answer_is_looked_into_first() {
    let stage = Stage::new().await;
    stage.world.gitlab.expire_in(&stage.stored_token().await, 40);
    stage.world.gitlab.inject(Fault::dropped().method("POST").on("/groups/").times(1));
    stage.day_after().await;
    let rotation = stage.stored(stage.id()).await.credential.unwrap().rotation;
    assert!(matches!(rotation, Some(Rotation::Begun(_))), "{rotation:?}");
    stage.day_after().await;
    assert_eq!(stage.rotations(), 1, "only looked into");
    stage.day_after().await;
    assert_eq!(stage.rotations(), 2);
    stage.works("PAY-11").await;
    assert_eq!(stage.attention().await, "");
}

/// The token was rotated, and its answer lost: it is not tried again, a person links the group again.
#[tokio::test]
async fn a_token_whose_successor_is_lost_is_never_rotated_again() {
    let stage = Stage::new().await;
    stage.world.gitlab.expire_in(&stage.stored_token().await, 40);
    stage.world.gitlab.inject(Fault::lost().method("POST").on("/groups/").times(1));
    for _ in 0..3 {
        stage.day_after().await;
    }
    assert_eq!(stage.rotations(), 1);
    let attention = stage.attention().await;
    assert!(attention.contains("answer was lost: link the group again"), "{attention}");
    stage.world.link("acme", &stage.token).await.unwrap();
    assert_eq!(stage.attention().await, "");
    stage.works("PAY-12").await;
}

#[tokio::test]
async fn the_end_of_a_given_token_is_announced() {
    let stage = Stage::new().await;
    let given = stage.ada.token(&["api"]);
    let command = stage.world.link_command("acme", &given, CredentialChoice::Given);
    stage.world.command(command).await.unwrap();
    stage.world.gitlab.expire_in(&given, 20);
    assert_eq!(stage.attention().await, "");
    stage.day_after().await;
    let attention = stage.attention().await;
    assert!(attention.contains("token expires at 20"), "{attention}");
    assert_eq!(stage.rotations(), 0, "it is its owner's");
}

#[tokio::test]
async fn a_groups_hook_is_repaired_by_a_token_that_may() {
    let stage = Stage::new().await;
    let command = stage.world.link_command("acme", &stage.token, CredentialChoice::Given);
    stage.world.command(command).await.unwrap();
    stage.world.gitlab.fail_hooks(5);
    stage.day_after().await;
    let attention = stage.attention().await;
    assert!(attention.contains("disabled the group's hook until 20"), "{attention}");
    stage.world.gitlab.fail_hooks(40);
    stage.day_after().await;
    assert_eq!(stage.attention().await, "");
    stage.works("PAY-13").await;
}

#[tokio::test]
async fn projects_that_come_later_get_their_hooks() {
    let stage = Stage::new().await;
    let large = stage.world.gitlab.group("large", Tier::Free);
    large.grant(&stage.ada, Role::Owner);
    large.project("first");
    let linked = stage.world.link("large", &stage.token).await.unwrap();
    let id: SubscriptionId = linked["subscription"].as_str().unwrap().parse().unwrap();
    let later = large.project("later").acting_as(&stage.ada);
    later.push("main", [commit("Start").adds("README.md", 1)]).await;
    stage.day_after().await;
    for _ in 0..200 {
        if !stage.stored(id).await.hooks.unwrap().is_running() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    later.push("PAY-14-x", [commit("PAY-14 x").adds("a", 1)]).await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-14").commits.len(), 1);
    let before = stage.stored(id).await.hooks.unwrap().id;
    stage.day_after().await;
    assert_eq!(stage.stored(id).await.hooks.unwrap().id, before, "nothing new, nothing to do");
}

/// What GitLab did not let be read is no repeat when it is sent again.
#[tokio::test]
async fn what_a_refused_token_could_not_read_arrives_when_it_is_sent_again() {
    let stage = Stage::new().await;
    stage.api.push("feature", [commit("First").adds("a", 1)]).await;
    stage.api.open_merge_request(merge_request("feature", "PAY-9 Feature")).await;
    stage.settled().await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("feature", [commit("Second").adds("b", 1)]).await;
    let delivery = held.take().remove(0);
    drop(held);
    stage.world.gitlab.inject(Fault::status(401));
    assert_eq!(delivery.send().await.unwrap(), 200);
    stage.settled().await;
    let last = || {
        let branches = stage.world.site.issue("PAY-9").branches;
        branches.first().map(|branch| branch.submitted["lastCommit"]["message"].as_str().unwrap().to_owned())
    };
    assert_ne!(last().as_deref(), Some("Second"), "only GitLab knows that the branch belongs to the issue");
    let id = delivery.header("webhook-id").unwrap();
    assert!(stage.explains(id, "not_read").await);
    stage.world.gitlab.clear_faults();
    stage.world.link("acme", &stage.token).await.unwrap();
    assert_eq!(delivery.send().await.unwrap(), 200);
    stage.settled().await;
    assert_eq!(last().as_deref(), Some("Second"));
}
