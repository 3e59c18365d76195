//! Audits: what hooks did not bring is found and sent, and what stays missing is said with its cause.

use std::time::Duration;

use gitlab_jira::operate::{Command, CredentialChoice, HistoryAction};
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::queue::worker::Deadline;
use standins::gitlab::{Fault, commit};
use standins::jira::Api;

use crate::history::{ISSUES, Old};

pub const AUDIT: HistoryAction = HistoryAction::Audit { remove_branches: false };

/// So many failed deliveries make GitLab disable a hook until a test delivery succeeds.
pub const DISABLED: u32 = 40;

/// What the audit of a link has found in the end.
pub async fn audited(old: &Old, link: &Value) -> Value {
    for _ in 0..600 {
        let audit = old.history(link, HistoryAction::Show).await["audit"].take();
        if audit["state"] == "done" {
            return audit;
        }
        assert!(audit["state"] == "running" || audit.is_null(), "{audit}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the audit does not end");
}

/// Looks after links as housekeeping does, an hour later.
async fn look_after(old: &Old) {
    let store = &old.world.local.operator.store;
    for site in store.site_ids().await.unwrap() {
        for link in store.subscription_ids(site).await.unwrap() {
            store.update_subscription(link, |link| link.upkeep = None).await.unwrap();
        }
    }
    old.world.local.upkeep().run(Deadline::after(Duration::from_secs(600))).await.unwrap();
}

/// What hooks did not bring starts what its events would have started; what was there is not sent again.
#[tokio::test]
async fn an_audit_sends_what_hooks_have_missed() {
    let old = Old::new(2).await;
    let link = old.link().await;
    old.ended(&link).await;
    old.world.gitlab.fail_hooks(DISABLED);
    old.api.push("PAY-30-x", [commit("PAY-30 x").adds("a", 1)]).await;
    old.api.push("PAY-99-x", [commit("PAY-99 no such issue").adds("a", 1)]).await;
    old.merge_request.merge().await;
    old.world.settled().await.unwrap();
    assert!(old.world.site.issue("PAY-30").commits.is_empty(), "GitLab delivers nothing");

    old.history(&link, AUDIT).await;
    let audit = audited(&old, &link).await;
    assert_eq!(old.world.site.issue("PAY-30").commits.len(), 1);
    assert_eq!(old.world.site.issue("PAY-30").branches.len(), 1);
    let fired = format!("{:?}", old.world.site.triggers());
    assert!(fired.contains("PullRequestMerged"), "{fired}");
    // The commit, the merge request, and the commit that merged it.
    assert_eq!(audit["repaired"], 3, "{audit}");
    assert_eq!((&audit["missing"], &audit["without_issue"]), (&0.into(), &2.into()), "{audit}");
    let causes: Vec<_> = audit["named"].as_array().unwrap().iter().map(|it| &it["cause"]).collect();
    assert_eq!(causes, [&json!("no_issue"), &json!("no_issue")], "{audit}");

    old.history(&link, AUDIT).await;
    let again = audited(&old, &link).await;
    assert_eq!(again["repaired"], 0, "{again}");
    assert_eq!((&again["keyed"], &again["missing"]), (&audit["keyed"], &audit["missing"]));
    let text = old.world.command(Command::Status).await.unwrap();
    assert_eq!(text["history"][0]["audit"]["without_issue"], 2, "{text}");
}

/// T6: GitLab sends no hook when a flag is edited.
#[tokio::test]
async fn an_audit_brings_an_edited_flag() {
    let old = Old::new(1).await;
    let link = old.link().await;
    old.ended(&link).await;
    let _flag = old.api.feature_flag("new-checkout").describe("PAY-30 New checkout");
    old.world.settled().await.unwrap();
    assert!(old.world.site.issue("PAY-30").flags.is_empty());
    old.history(&link, AUDIT).await;
    assert_eq!(audited(&old, &link).await["repaired"], 1);
    let flags = old.world.site.issue("PAY-30").flags;
    assert_eq!(flags.len(), 1);
    assert!(flags[0].enabled);
}

/// Housekeeping audits a link once a day, and at once when it has repaired its hook; only what has changed since the
/// last time.
#[tokio::test]
async fn a_link_is_audited_when_its_hook_recovers_and_every_day() {
    let old = Old::new(2).await;
    let link = old.link_with(CredentialChoice::Given).await;
    let id = link["subscription"].as_str().unwrap().parse().unwrap();
    old.ended(&link).await;
    look_after(&old).await;
    assert!(old.history(&link, HistoryAction::Show).await["audit"].is_null(), "nothing can be missing yet");

    old.world.gitlab.fail_hooks(DISABLED);
    old.api.push("PAY-30-x", [commit("PAY-30 x").adds("a", 1)]).await;
    old.world.settled().await.unwrap();
    look_after(&old).await;
    let audit = audited(&old, &link).await;
    assert_eq!((&audit["repaired"], &audit["missing"]), (&1.into(), &0.into()), "{audit}");
    assert_eq!(old.world.site.issue("PAY-30").commits.len(), 1);

    look_after(&old).await;
    assert_eq!(audited(&old, &link).await["started_at"], audit["started_at"], "the next is due in a day");
    let store = &old.world.local.operator.store;
    let slot = shared::domain::HistorySlot::audit(id);
    store.update_history(slot, |plan| plan.started_at = Timestamp(0)).await.unwrap();
    look_after(&old).await;
    let daily = audited(&old, &link).await;
    assert_ne!(daily["started_at"], "1970-01-01T00:00:00.000Z", "{daily}");
    assert_eq!((&daily["repaired"], &daily["missing"]), (&0.into(), &0.into()), "{daily}");
}

/// Branches that are on issues.
fn names(count: u64) -> Vec<String> {
    (1..=count).map(|number| format!("PAY-{}-gone-{number}", number % ISSUES + 1)).collect()
}

/// A link whose first project has `names` on issues.
async fn with_branches(names: &[String]) -> (Old, Value) {
    let old = Old::new(2).await;
    for name in names {
        old.api.push(name, [commit("work").adds("a", 1)]).await;
    }
    let link = old.link().await;
    old.ended(&link).await;
    (old, link)
}

fn on_issues(old: &Old, names: &[String]) -> usize {
    let shown = |name: &&String| {
        let (key, _) = name.split_once("-gone").unwrap();
        old.world.site.issue(key).branches.iter().any(|branch| branch.name == **name)
    };
    names.iter().filter(shown).count()
}

/// A push that deletes more than three branches triggers no hook.
#[tokio::test]
async fn an_audit_removes_branches_whose_deletion_reached_no_hook() {
    let names = names(6);
    let (old, link) = with_branches(&names).await;
    assert_eq!(on_issues(&old, &names), 6);
    old.api.delete_branches(names[..4].iter().map(String::as_str)).await;
    old.world.settled().await.unwrap();
    assert_eq!(on_issues(&old, &names), 6, "GitLab delivers nothing");

    old.history(&link, AUDIT).await;
    let audit = audited(&old, &link).await;
    assert_eq!((&audit["removed"], &audit["repaired"], &audit["missing"]), (&4.into(), &0.into(), &0.into()));
    assert_eq!(on_issues(&old, &names[..4]), 0);
    assert_eq!(on_issues(&old, &names[4..]), 2);

    // One that is created again is on its issue with its push.
    old.api.push(&names[0], [commit("again").adds("b", 1)]).await;
    old.world.settled().await.unwrap();
    assert_eq!(on_issues(&old, &names[..1]), 1);
}

/// More than an audit removes unasked, and more than it removes in a page.
const MANY: u64 = 120;

/// Many at once may be a mistake of somebody's, or of ours.
#[tokio::test]
async fn many_branches_are_removed_once_somebody_confirms_it() {
    let names = names(MANY);
    let (old, link) = with_branches(&names).await;
    old.api.delete_branches(names.iter().map(String::as_str)).await;
    old.history(&link, AUDIT).await;
    let audit = audited(&old, &link).await;
    assert_eq!((&audit["removed"], &audit["failed"]), (&0.into(), &1.into()), "{audit}");
    assert_eq!(on_issues(&old, &names) as u64, MANY);
    let show =
        Command::History { link: link["subscription"].as_str().unwrap().into(), action: HistoryAction::Show };
    let text = old.world.local.operator.run(show).await.unwrap().text(&[]);
    assert!(text.contains("acme/api: 120 of 121 branches on issues are gone in GitLab"), "{text}");
    assert!(text.contains("--remove-branches"), "{text}");

    old.history(&link, HistoryAction::Audit { remove_branches: true }).await;
    let audit = audited(&old, &link).await;
    assert_eq!((&audit["removed"], &audit["failed"]), (&MANY.into(), &0.into()), "{audit}");
    assert_eq!(on_issues(&old, &names), 0);
}

/// What GitLab does not show may be there all the same.
#[tokio::test]
async fn what_gitlab_does_not_show_is_not_removed() {
    let names = names(4);
    let (old, link) = with_branches(&names).await;
    let project = format!("/projects/{}", old.api.id());
    let faults = [
        Fault::status(404).on(&format!("{project}/repository")),
        Fault::status(403).on(&format!("{project}/repository")),
        Fault::status(404).on(&project),
        Fault::status(404).on("/groups"),
    ];
    for fault in faults {
        old.world.gitlab.clear_faults();
        old.world.gitlab.inject(fault.clone());
        old.history(&link, AUDIT).await;
        let audit = loop {
            let audit = old.history(&link, HistoryAction::Show).await["audit"].take();
            if audit["state"] != "running" {
                break audit;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!((&audit["removed"], on_issues(&old, &names)), (&0.into(), 4), "{fault:?}: {audit}");
        assert!(audit["state"] == "failed" || audit["failed"] == 1, "{fault:?}: {audit}");
    }
    assert_eq!(old.world.site.calls().with_method(Api::DevInfo, "DELETE"), 0);
}
