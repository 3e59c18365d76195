//! What 1,000 mixed events cost in calls. A count, not a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitlab_jira::demo::world::World;
use shared::clock::SystemClock;
use standins::gitlab::{Delivery, Role, Tier, Version, commit, merge_request};

use super::row;

/// Projects that the events are spread over.
const PROJECTS: usize = 20;

#[expect(clippy::too_many_lines, reason = "one story")]
pub(crate) async fn run() {
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    world.install().await.unwrap();
    world.site.add_issue_range("PAY", 1..=100);
    let ada = world.gitlab.user("ada");
    let group = world.gitlab.group("acme", Tier::Premium);
    group.grant(&ada, Role::Owner);
    world.link("acme", &ada.token(&["api"])).await.unwrap();
    let held = world.gitlab.hold_deliveries();
    // Per project 20 pushes, 1 merge request with 9 updates, 5 pipelines with 3 states, 2 deployments with 2, 1 flag.
    for number in 0..PROJECTS {
        let project = group.project(&format!("p{number}")).acting_as(&ada);
        for push in 0..20 {
            let message = format!("PAY-{} work", (number * 20 + push) % 100 + 1);
            project.push(&format!("PAY-{}-branch", push % 5 + 1), [commit(&message).adds("a", 1)]).await;
        }
        let request = project.open_merge_request(merge_request("PAY-1-branch", "PAY-1 Work")).await;
        for update in 0..9 {
            request.update(&format!("PAY-1 Work {update}"), "").await;
        }
        for _ in 0..5 {
            let pipeline = project.start_pipeline("PAY-1-branch").await;
            pipeline.status("running").await;
            pipeline.status("success").await;
        }
        for _ in 0..2 {
            let deployment = project.deploy("production", "PAY-1-branch");
            deployment.status("running").await;
            deployment.status("success").await;
        }
        project.feature_flag("flag").describe("PAY-1").toggle(true).await;
    }
    let deliveries = held.take();
    world.settled().await.unwrap();
    world.site.forget_calls();
    let before = world.gitlab.calls().len();
    let events = deliveries.len();
    let share = events.div_ceil(16);
    let senders: Vec<_> = deliveries
        .chunks(share)
        .map(|chunk| {
            let chunk: Vec<Delivery> = chunk.to_vec();
            tokio::spawn(async move {
                for delivery in chunk {
                    delivery.send().await.unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    world.settled().await.unwrap();
    let per_thousand = |calls: usize| calls * 1000 / events;
    row(
        "calls per 1,000 mixed events of 20 projects, sent in a burst",
        &format!(
            "{} to Jira, {} to GitLab ({events} events)",
            per_thousand(world.site.recorded().len()),
            per_thousand(world.gitlab.calls().len() - before)
        ),
    );
    let mut endpoints: BTreeMap<String, usize> = BTreeMap::new();
    for call in world.site.recorded() {
        *endpoints.entry(format!("Jira: {} {}", call.method, call.path)).or_default() += 1;
    }
    for call in world.gitlab.calls().into_iter().skip(before) {
        *endpoints.entry(format!("GitLab: {} {}", call.method, call.route)).or_default() += 1;
    }
    for (endpoint, calls) in endpoints {
        row(&format!("of these {endpoint}"), &per_thousand(calls).to_string());
    }
}
