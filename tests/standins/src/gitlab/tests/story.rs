//! What triggers group hooks, and which renames and transfers trigger none.

use axum::http::StatusCode;
use serde_json::json;

use super::{Receiver, Role, Scene, Version};
use crate::gitlab::hooks::Trigger;

async fn listening_group(scene: &Scene) -> Receiver {
    let receiver = Receiver::start().await;
    let wish = json!({
        "url": receiver.url, "member_events": true, "subgroup_events": true, "project_events": true,
    });
    let made = scene.api.post(&scene.group_path("/hooks"), wish).await;
    assert_eq!(made.status, StatusCode::CREATED);
    receiver
}

#[tokio::test]
async fn members_subgroups_and_projects_trigger_group_hooks() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = listening_group(&scene).await;
    let bob = scene.gitlab.user("bob");
    scene.group.add_member(&bob, Role::Developer).await;
    scene.group.change_member(&bob, Role::Maintainer).await;
    scene.group.remove_member(&bob).await;
    let inner = scene.group.create_subgroup("inner").await;
    inner.create_project("deep").await.destroy().await;
    inner.destroy().await;
    let told = receiver.take();
    let names: Vec<_> =
        told.iter().map(|sent| (sent.event(), sent.body["event_name"].as_str().unwrap())).collect();
    assert_eq!(
        names,
        [
            ("Member Hook", "user_add_to_group"),
            ("Member Hook", "user_update_for_group"),
            ("Member Hook", "user_remove_from_group"),
            ("Subgroup Hook", "subgroup_create"),
            ("Project Hook", "project_create"),
            ("Project Hook", "project_destroy"),
            ("Subgroup Hook", "subgroup_destroy"),
        ]
    );
    assert_eq!(told[1].body["group_access"], "Maintainer");
    assert_eq!(told[3].body["full_path"], "acme/payments/inner");
    assert_eq!(told[3].body["parent_full_path"], "acme/payments");
    assert_eq!(told[4].body["path_with_namespace"], "acme/payments/inner/deep");
}

#[tokio::test]
async fn renames_and_transfers_trigger_no_hook_and_ids_stay() {
    let scene = Scene::new(Version::V19_1).await;
    let receiver = listening_group(&scene).await;
    scene.project.rename("core");
    scene.group.rename("money");
    assert_eq!(scene.project.full_path(), "acme/money/core");
    assert_eq!(scene.api.get("/projects/acme%2Fpayments%2Fapi").await.status, StatusCode::NOT_FOUND);
    assert_eq!(scene.api.get(&scene.project_path("")).await.body["path_with_namespace"], "acme/money/core");
    scene.group.subgroup("inner").transfer(&scene.gitlab.group("other", super::Tier::Free));
    assert!(receiver.take().is_empty());
}

#[tokio::test]
async fn destroyed_things_are_gone() {
    let scene = Scene::new(Version::V19_1).await;
    let (project, group) = (scene.project_path(""), scene.group_path(""));
    scene.group.clone().destroy().await;
    assert_eq!(scene.api.get(&project).await.status, StatusCode::NOT_FOUND);
    assert_eq!(scene.api.get(&group).await.status, StatusCode::NOT_FOUND);
}

#[test]
fn every_trigger_has_its_own_row() {
    for trigger in Trigger::all() {
        assert_eq!(Trigger::from_attribute(trigger.attribute()), Some(trigger));
    }
}
