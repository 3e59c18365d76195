//! Batches that Jira takes, takes in part, or refuses. Case ids are those of the acceptance list.

use std::sync::atomic::{AtomicUsize, Ordering};

use ulid::Ulid;

use super::*;
use crate::sync::apply::Origin;
use crate::sync::transform::branch_id;
use crate::telemetry::logged::Log;

#[tokio::test]
async fn development_information_shares_a_call_and_the_others_have_their_own() {
    let world = World::new(|_| accepted()).await;
    let delivered = world.submit(one_of_each()).await;
    assert!(delivered.iter().all(|one| one.outcome == SubmitOutcome::Accepted), "{delivered:?}");
    assert_eq!(delivered.len(), 6);
    assert_eq!(
        world.server.lines(),
        [
            "POST /rest/devinfo/0.10/bulk",
            "POST /rest/builds/0.1/bulk",
            "POST /rest/deployments/0.1/bulk",
            "POST /rest/featureflags/0.1/bulk",
        ]
    );
    let dev_info = world.server.requests()[0].json();
    let repository = &dev_info["repositories"][0];
    for kind in ["commits", "branches", "pullRequests"] {
        assert_eq!(repository[kind].as_array().map(Vec::len), Some(1), "{kind}");
    }
    assert_eq!(repository["updateSequenceId"], json!(KNOWN_AT.0));
    assert_eq!(dev_info["providerMetadata"], json!({"product": "GitLab 19.1.0"}));
}

/// Only what a call has in it is in its line, and a refused call is logged when nothing of it is left to try.
#[tokio::test]
async fn the_log_says_of_each_call_what_became_of_it_and_which_deliveries_it_carried() {
    let world = World::new(|request| {
        let refused = commits_of(request).contains(&sha(2));
        if refused { Response::new(400, "{}") } else { accepted() }
    })
    .await;
    let (log, traces) = (Log::default(), [1, 2].map(|random| Ulid::from_parts(1, random)));
    let mut submitter = world.submitter().await;
    let from = |entity: Entity, traces: &[Ulid]| {
        let origin = |trace: &Ulid| Origin { index: 0, trace: *trace, held_for: Duration::ZERO };
        PendingEntity { origins: traces.iter().map(origin).collect(), ..entity.into() }
    };
    let entities = vec![from(commit(1), &traces), from(commit(2), &traces[..1])];
    let recorded = log.record();
    submitter.submit(entities).await.expect("the store works");
    drop(recorded);
    let called = log.lines("called Jira");
    let ends = ["Outcome=refused", "Outcome=ok", "Outcome=refused"];
    assert!(called.len() == 3 && called.iter().zip(ends).all(|(line, end)| line.contains(end)), "{called:?}");
    let said = |traces: &[Ulid], count: &str| {
        let traces: Vec<_> = traces.iter().map(ToString::to_string).collect();
        let (site, traces) = (world.site, json!(traces));
        format!(
            r#"delivered Api=devinfo site.id="{site}" entities=1 trace.ids={traces} issue.keys=["PAY-1"] {count}=1"#
        )
    };
    let expected = [said(&traces, "EntitiesAccepted"), said(&traces[..1], "EntitiesRejected")];
    assert_eq!(log.lines("delivered"), expected);
}

#[tokio::test]
async fn nothing_to_deliver_is_no_call() {
    let world = World::new(|_| accepted()).await;
    assert!(world.submit(Vec::new()).await.is_empty());
    assert_eq!(world.server.lines(), Vec::<String>::new());
}

/// C9, C10: only the culprits are lost, with Jira's text; all others arrive, and arrive once.
#[tokio::test]
async fn a_refused_call_is_halved_until_the_culprits_stand_alone() {
    for (status, body) in
        [(400, r#"{"errorMessages":[{"message":"odd data"}]}"#), (413, r#"{"errorMessages":["odd data"]}"#)]
    {
        let culprits = [sha(6), sha(11)];
        let known = culprits.clone();
        let world = World::new(move |request| {
            let refused = commits_of(request).iter().any(|id| known.contains(id));
            if refused { Response::new(status, body) } else { accepted() }
        })
        .await;
        let by_id = outcomes(&world.submit((0..12).map(commit).collect()).await);
        assert_eq!(by_id.len(), 12);
        for (id, outcome) in &by_id {
            let expected = if culprits.contains(id) { rejected("odd data") } else { SubmitOutcome::Accepted };
            assert_eq!(*outcome, expected, "{id}");
        }
        let requests = world.server.requests();
        let accepted =
            requests.iter().map(commits_of).filter(|ids| !ids.iter().any(|id| culprits.contains(id)));
        let mut arrived: Vec<_> = accepted.flatten().collect();
        arrived.sort();
        assert_eq!(arrived, (0..12).map(sha).filter(|id| !culprits.contains(id)).collect::<Vec<_>>());
        assert_eq!(world.condition().await, SiteCondition::Active);
    }
}

/// Jira refuses everything, and a batch has time for a few calls: each settles some of what the others left, until nothing is
/// left. The other APIs don't wait for it.
#[tokio::test]
async fn a_batch_that_is_refused_whole_ends_however_few_calls_there_is_time_for() {
    const CALLS: usize = 20;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let world = World::new(move |request| match request.target.as_str() {
        target if target.contains("/builds/") => accepted(),
        _ if counted.fetch_add(1, Ordering::SeqCst) < CALLS => Response::new(400, "{}"),
        _ => Response::new(503, ""),
    })
    .await;
    let mut left: Vec<Entity> = (0..128).map(commit).chain([build(42, 31)]).collect();
    let mut batches = 0;
    while !left.is_empty() {
        count.store(0, Ordering::SeqCst);
        let (before, submitted) = (left.len(), world.submit(left).await);
        let waits = |one: &Submitted| matches!(one.outcome, SubmitOutcome::Waiting(..));
        for one in submitted.iter().filter(|one| !waits(one)) {
            match one.pending.entity.key.kind {
                EntityKind::Build => assert_eq!((&one.outcome, batches), (&SubmitOutcome::Accepted, 0)),
                _ => assert!(matches!(one.outcome, SubmitOutcome::Rejected(_)), "{:?}", one.outcome),
            }
        }
        let waiting = submitted.into_iter().filter(waits);
        left = waiting.map(|one| one.pending.entity).collect();
        assert!(left.len() + 5 < before || left.is_empty(), "{} of {before} are left", left.len());
        batches += 1;
        world.clock.advance(Duration::from_secs(900));
    }
}

/// As C14: the other APIs answer with a bare array.
#[tokio::test]
async fn builds_are_halved_too() {
    let world = World::new(|request| {
        let builds = request.json()["builds"].as_array().cloned().unwrap_or_default();
        if builds.iter().any(|build| build["buildNumber"] == json!(3)) {
            Response::json(400, &json!([{"message": "X"}, {"message": "Y"}]))
        } else {
            accepted()
        }
    })
    .await;
    let delivered = world.submit((1..=4).map(|number| build(42, number)).collect()).await;
    let lost: Vec<_> = delivered.iter().filter(|one| one.outcome != SubmitOutcome::Accepted).collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(
        (lost[0].pending.entity.label.as_str(), &lost[0].outcome),
        ("acme/p42 pipeline 3", &rejected("X, Y"))
    );
}

/// Fails, in calls that it takes, the commit number 2, the branch `bad`, and the merge request, pipeline, deployment and
/// flag with a number one above those of [`one_of_each`].
fn takes_in_part(request: &Request) -> Response {
    let text = |text: &str| json!([{"message": text}]);
    let body = match request.target.as_str() {
        "/rest/devinfo/0.10/bulk" => json!({"failedDevinfoEntities": {"42": {
            "commits": [{"id": sha(2), "errorMessages": text("no commit")}],
            "branches": [{"id": branch_id("bad"), "errorMessages": text("no branch")}],
            "pullRequests": [{"id": "8", "errorMessages": text("no merge request")}]}}}),
        "/rest/builds/0.1/bulk" => {
            let key = json!({"pipelineId": request.json()["builds"][0]["pipelineId"], "buildNumber": 32});
            json!({"rejectedBuilds": [{"key": key, "errors": text("no build")}]})
        }
        "/rest/deployments/0.1/bulk" => {
            let key =
                json!({"pipelineId": "external-42", "environmentId": "3", "deploymentSequenceNumber": 6});
            json!({"rejectedDeployments": [{"key": key, "errors": text("no deployment")}]})
        }
        _ => json!({"failedFeatureFlags": {"42-flag-801": [{"message": "X"}, {"message": "Y"}]}}),
    };
    Response::json(202, &body)
}

/// C42, C45, C47: a 202 can be a partial failure.
#[tokio::test]
async fn what_a_202_rejects_is_rejected_and_nothing_else() {
    let world = World::new(takes_in_part).await;
    let (bad_build, bad_branch) = (build(42, 32), branch("bad"));
    let lost = [
        (sha(2), "no commit"),
        (bad_branch.key.id.clone(), "no branch"),
        ("8".to_owned(), "no merge request"),
        (bad_build.key.id.clone(), "no build"),
        ("external-42/3/6".to_owned(), "no deployment"),
        ("42-flag-801".to_owned(), "X; Y"),
    ];
    let bad = vec![commit(2), bad_branch, merge_request(8), bad_build, deployment(6), flag(801)];
    let by_id = outcomes(&world.submit([one_of_each(), bad].concat()).await);
    assert_eq!(by_id.len(), 12);
    for (id, text) in &lost {
        assert_eq!(by_id[id], rejected(text));
    }
    assert_eq!(by_id.values().filter(|outcome| **outcome == SubmitOutcome::Accepted).count(), 6);
}

#[tokio::test]
async fn a_repository_that_fails_takes_its_entities_along_and_no_others() {
    let failed = json!({"failedDevinfoEntities": {"7": {"errorMessages": [{"message": "no such thing"}]}}});
    let world = World::new(move |_| Response::json(202, &failed)).await;
    let elsewhere = source(7).commit(&raw_commit(2, "PAY-1"), KNOWN_AT);
    let by_id = outcomes(&world.submit(vec![commit(1), elsewhere]).await);
    assert_eq!((&by_id[&sha(1)], &by_id[&sha(2)]), (&SubmitOutcome::Accepted, &rejected("no such thing")));
}

/// C47: issue keys that Jira does not know are no error.
#[tokio::test]
async fn an_entity_without_any_known_issue_is_told_from_one_with_some() {
    let world = World::new(|_| Response::json(202, &json!({"unknownIssueKeys": ["UTF-8", "SHA-256"]}))).await;
    let commits = ["UTF-8", "UTF-8 PAY-1", "PAY-1"]
        .into_iter()
        .enumerate()
        .map(|(number, keys)| source(42).commit(&raw_commit(number, keys), KNOWN_AT));
    let delivered = world.submit(commits.collect()).await;
    let outcomes: Vec<_> = delivered.iter().map(|one| (&one.outcome, one.unknown_keys.as_slice())).collect();
    let unknown = ["UTF-8".to_owned()];
    assert_eq!(
        outcomes,
        [
            (&SubmitOutcome::UnknownIssues, &unknown[..]),
            (&SubmitOutcome::Accepted, &unknown[..]),
            (&SubmitOutcome::Accepted, &[][..])
        ]
    );
}

#[tokio::test]
async fn deployments_name_unknown_issues_as_associations() {
    let unknown = json!({"unknownAssociations": [{"associationType": "issueKeys", "values": ["PAY-1"]}]});
    let world = World::new(move |_| Response::json(202, &unknown)).await;
    assert_eq!(world.submit_one(deployment(5)).await, SubmitOutcome::UnknownIssues);
}

#[tokio::test]
async fn what_jira_took_with_an_answer_that_cannot_be_read_it_took() {
    let world = World::new(|_| Response::new(202, "<html>")).await;
    assert_eq!(world.submit_one(commit(1)).await, SubmitOutcome::Accepted);
}
