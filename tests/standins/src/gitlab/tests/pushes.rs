//! Push hooks: what they list and when they are missing.

use serde_json::json;

use super::{Scene, Version};
use crate::gitlab::commit;

const ZERO: &str = "0000000000000000000000000000000000000000";

#[tokio::test]
async fn a_push_lists_its_commits_oldest_first() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = scene.listen().await;
    let before = scene.project.head("main").unwrap();
    let first = commit("PAY-7 first\n\nbody").adds("a.rs", 3).file("b.rs", 1, 1).deletes("c.rs", 2);
    let pushed = scene.project.push("main", [first, commit("PAY-8 second")]).await;
    assert_eq!((&pushed.before, pushed.commits.len()), (&before, 2));

    let push = receiver.only().body;
    assert_eq!((&push["before"], &push["after"]), (&json!(pushed.before), &json!(pushed.after)));
    assert_eq!((&push["checkout_sha"], &push["ref_protected"]), (&json!(pushed.after), &json!(true)));
    assert_eq!(push["total_commits_count"], 2);
    assert_eq!((&push["user_username"], &push["user_email"]), (&json!("ada"), &json!("")));
    assert_eq!(push["project"]["path_with_namespace"], "acme/payments/api");
    let shown = &push["commits"][0];
    assert_eq!((&shown["id"], &shown["title"]), (&json!(pushed.commits[0]), &json!("PAY-7 first")));
    assert_eq!(
        (&shown["added"], &shown["modified"], &shown["removed"]),
        (&json!(["a.rs"]), &json!(["b.rs"]), &json!(["c.rs"]))
    );
}

#[tokio::test]
async fn addresses_are_redacted_unless_their_owner_shows_them() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = scene.listen().await;
    let bob = scene.gitlab.user("bob").with_public_email();
    let commits =
        [commit("by ada"), commit("by bob").by("Bob", &bob.email()), commit("by nobody").by("N", "n@x.org")];
    scene.project.push("main", commits).await;
    let push = receiver.only().body;
    let emails: Vec<_> =
        push["commits"].as_array().unwrap().iter().map(|commit| commit["author"]["email"].clone()).collect();
    assert_eq!(emails, ["[REDACTED]", "bob@example.com", "[REDACTED]"]);
}

#[tokio::test]
async fn twenty_commits_are_listed_and_all_are_counted() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = scene.listen().await;
    let pushed = scene.project.push("main", (0..23).map(|number| commit(&format!("PAY-{number}")))).await;
    let push = receiver.only().body;
    assert_eq!((push["commits"].as_array().unwrap().len(), &push["total_commits_count"]), (20, &json!(23)));
    assert_eq!(push["commits"][19]["id"], json!(pushed.after), "the newest is there");
    assert_eq!(push["commits"][0]["id"], json!(pushed.commits[3]));
}

#[tokio::test]
async fn new_and_deleted_branches_have_no_other_side() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = scene.listen().await;
    scene.project.create_branch("PAY-1").await;
    let created = receiver.only().body;
    assert_eq!((&created["before"], &created["commits"]), (&json!(ZERO), &json!([])));
    assert_eq!(created["total_commits_count"], 0);

    scene.project.push("PAY-2", [commit("PAY-2")]).await;
    let grown = receiver.only().body;
    assert_eq!((&grown["before"], grown["commits"].as_array().unwrap().len()), (&json!(ZERO), 1));

    scene.project.delete_branch("PAY-2").await;
    let deleted = receiver.only().body;
    assert_eq!((&deleted["after"], &deleted["checkout_sha"]), (&json!(ZERO), &json!(null)));
    assert_eq!((&deleted["before"], &deleted["commits"]), (&grown["after"], &json!([])));
}

#[tokio::test]
async fn more_than_three_branches_at_once_trigger_no_hook() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = scene.listen().await;
    let push = |names: &'static [&'static str]| names.iter().map(|name| (*name, vec![commit(name)]));
    scene.project.push_branches(push(&["PAY-1", "PAY-2", "PAY-3"])).await;
    assert_eq!(receiver.take().len(), 3);
    scene.project.push_branches(push(&["PAY-4", "PAY-5", "PAY-6", "PAY-7"])).await;
    assert!(receiver.take().is_empty());
    assert!(scene.project.head("PAY-7").is_some(), "the branches are there all the same");
}

#[tokio::test]
async fn a_forced_push_leaves_the_old_head_behind() {
    let scene = Scene::new(Version::V19_1).await;
    let old = scene.project.push("PAY-1", [commit("one"), commit("two")]).await;
    let receiver = scene.listen().await;
    scene.project.force_push("PAY-1", "main", [commit("instead")]).await;
    let push = receiver.only().body;
    assert_eq!((&push["before"], &push["total_commits_count"]), (&json!(old.after), &json!(1)));
}

#[tokio::test]
async fn old_versions_lack_newer_fields() {
    let scene = Scene::new(Version::V15_7).await;
    let receiver = scene.listen().await;
    scene.project.create_branch("PAY-1").await;
    assert!(receiver.only().body.get("ref_protected").is_none());
}
