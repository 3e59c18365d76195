//! Deletions: a call each, by the path that Atlassian documents for the kind.

use super::*;
use crate::sync::transform::branch_id;

fn gone(kind: EntityKind, id: &str) -> Entity {
    let source = source(42);
    let key = source.key(kind, id.to_owned());
    source.deleted(key, "gone".to_owned(), IssueKeys::extract(["PAY-1"]), KNOWN_AT)
}

/// C48. Only development information has a number to order deletions by; elsewhere it is deprecated.
#[tokio::test]
async fn each_kind_is_deleted_by_its_own_path() {
    let world = World::new(|_| Response::new(202, "")).await;
    let (pipeline, branch) = (build(42, 31).key.id, branch_id("PAY-1"));
    let entities = vec![
        gone(EntityKind::Commit, &sha(1)),
        gone(EntityKind::Branch, &branch),
        gone(EntityKind::PullRequest, "7"),
        gone(EntityKind::Build, &pipeline),
        gone(EntityKind::Deployment, "external-42/3/5"),
        gone(EntityKind::FeatureFlag, "800"),
    ];
    let delivered = world.submit(entities).await;
    assert!(delivered.iter().all(|one| one.outcome == SubmitOutcome::Accepted), "{delivered:?}");
    let (id, number) = pipeline.split_once('/').expect("two parts");
    let repository = "DELETE /rest/devinfo/0.10/repository/42";
    let known_at = KNOWN_AT.0;
    // Those of one API are under way at the same time.
    let (mut lines, mut expected) = (
        world.server.lines(),
        [
            format!("{repository}/commit/{}?_updateSequenceId={known_at}", sha(1)),
            format!("{repository}/branch/{branch}?_updateSequenceId={known_at}"),
            format!("{repository}/pull_request/7?_updateSequenceId={known_at}"),
            format!("DELETE /rest/builds/0.1/pipelines/{id}/builds/{number}"),
            "DELETE /rest/deployments/0.1/pipelines/external-42/environments/3/deployments/5".to_owned(),
            "DELETE /rest/featureflags/0.1/flag/800".to_owned(),
        ],
    );
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn an_id_stays_one_segment() {
    let world = World::new(|_| Response::new(202, "")).await;
    world.submit(vec![gone(EntityKind::PullRequest, "../x y?z"), gone(EntityKind::FeatureFlag, "a/b")]).await;
    let odd = "..%2Fx%20y%3Fz";
    assert_eq!(
        world.server.lines(),
        [
            format!(
                "DELETE /rest/devinfo/0.10/repository/42/pull_request/{odd}?_updateSequenceId={}",
                KNOWN_AT.0
            ),
            "DELETE /rest/featureflags/0.1/flag/a%2Fb".to_owned(),
        ]
    );
}

/// Else a branch would stay on its issue for ever, and a site that is gone would count as there.
#[tokio::test]
async fn a_deletion_waits_for_an_api_that_is_not_there() {
    let world = World::new(|_| Response::new(404, "")).await;
    let outcome = world.submit_one(gone(EntityKind::Build, "42-x/1")).await;
    assert!(matches!(outcome, SubmitOutcome::Waiting(_, HoldReason::ApiNotFound)), "{outcome:?}");
}

#[tokio::test]
async fn what_an_api_does_not_have_that_takes_others_is_deleted_already() {
    let world = World::new(|request| match request.target.as_str() {
        target if target.contains("/builds/1") => Response::new(404, ""),
        _ => Response::new(202, ""),
    })
    .await;
    let both = vec![gone(EntityKind::Build, "42-w/2"), gone(EntityKind::Build, "42-x/1")];
    let deleted = world.submit(both).await;
    assert!(deleted.iter().all(|one| one.outcome == SubmitOutcome::Accepted), "{deleted:?}");
    assert_eq!(world.condition().await, SiteCondition::Active);
}

#[tokio::test]
async fn a_refused_deletion_is_rejected_and_a_limited_one_waits() {
    let world = World::new(|request| match request.target.as_str() {
        target if target.contains("/flag/") => Response::json(400, &json!([{"message": "no"}])),
        target if target.contains("/builds/") => Response::new(429, "").with("Retry-After", "60"),
        _ => Response::new(202, ""),
    })
    .await;
    let entities = vec![
        gone(EntityKind::FeatureFlag, "1"),
        gone(EntityKind::Build, "42-x/1"),
        gone(EntityKind::Build, "42-x/2"),
        build(42, 3),
        gone(EntityKind::PullRequest, "7"),
    ];
    let waiting = SubmitOutcome::Waiting(world.in_seconds(60), HoldReason::ApiRateLimited);
    let outcomes: Vec<_> = world.submit(entities).await.into_iter().map(|one| one.outcome).collect();
    assert_eq!(
        outcomes,
        [SubmitOutcome::Accepted, waiting.clone(), waiting.clone(), rejected("no"), waiting]
    );
    assert_eq!(world.server.lines().len(), 4, "one backoff holds deletions and stores alike");
}
