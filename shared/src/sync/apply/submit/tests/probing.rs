//! What Atlassian's schema does not list: asked once per site, in a call of its own, and remembered.

use super::*;
use crate::domain::Capability;
use crate::gitlab::model::{Person, ReviewState, Reviewer};

fn draft(id: u64) -> Entity {
    source(42).merge_request(&model::MergeRequest { draft: true, ..raw_merge_request(id) }, KNOWN_AT, false)
}

/// A merge request, a draft or not, with a reviewer who wants changes.
fn reviewed(id: u64, draft: bool) -> Entity {
    let reviewers = vec![Reviewer { person: Person::default(), review_state: ReviewState::Reviewed }];
    let merge_request = model::MergeRequest { draft, reviewers, ..raw_merge_request(id) };
    source(42).merge_request(&merge_request, KNOWN_AT, false)
}

/// A Jira that refuses calls which say `word`, and a merge request called `odd`.
async fn refusing(word: &'static str) -> World {
    World::new(move |request| {
        if says(request, word) || says(request, "odd") {
            Response::json(400, &json!({"errorMessages": [{"message": "not like this"}]}))
        } else {
            accepted()
        }
    })
    .await
}

/// What each call said of its merge requests: id, status and the reviewers' words.
fn said(world: &World) -> Vec<Vec<String>> {
    let of_call = |request: Request| {
        let body = request.json();
        let list = body["repositories"][0]["pullRequests"].as_array().cloned().unwrap_or_default();
        list.iter().map(words).collect()
    };
    world.server.requests().into_iter().map(of_call).collect()
}

fn words(pull_request: &Value) -> String {
    let reviewers = pull_request["reviewers"].as_array().cloned().unwrap_or_default();
    let fields = [&pull_request["id"], &pull_request["status"]].into_iter();
    let fields = fields.chain(reviewers.iter().map(|reviewer| &reviewer["approvalStatus"]));
    fields.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_refused_draft_is_resent_as_open_and_remembered() {
    let world = refusing("DRAFT").await;
    let delivered = world.submit(vec![commit(1), draft(7), draft(8), merge_request(9)]).await;
    assert_eq!(delivered.len(), 4);
    assert!(delivered.iter().all(|one| one.outcome == SubmitOutcome::Accepted), "{delivered:?}");
    // The probe is a call with one entity; everything else goes together afterwards.
    let mut calls = said(&world);
    calls[2].sort();
    assert_eq!(calls, [&["7 DRAFT"][..], &["7 OPEN"], &["8 OPEN", "9 OPEN"]]);
    assert_eq!(commits_of(&world.server.requests()[2]), [sha(1)]);
    assert_eq!(world.site().await.draft, Capability::Refused);

    assert_eq!(world.submit_one(draft(10)).await, SubmitOutcome::Accepted);
    assert_eq!(said(&world)[3..], [["10 OPEN"]]);
}

#[tokio::test]
async fn an_accepted_draft_stays_one_for_good() {
    let world = refusing("nothing").await;
    world.submit(vec![draft(7), draft(8)]).await;
    assert_eq!(said(&world), [["7 DRAFT"], ["8 DRAFT"]]);
    assert_eq!(world.site().await.draft, Capability::Accepted);
    world.submit(vec![draft(9), draft(10)]).await;
    assert_eq!(said(&world)[2..], [["9 DRAFT", "10 DRAFT"]]);
}

#[tokio::test]
async fn a_refusal_within_an_accepted_call_counts_as_one() {
    let failed = json!({"failedDevinfoEntities": {"42": {
        "pullRequests": [{"id": "7", "errorMessages": [{"message": "status"}]}]}}});
    let world = World::new(
        move |request| {
            if says(request, "DRAFT") { Response::json(202, &failed) } else { accepted() }
        },
    )
    .await;
    assert_eq!(world.submit_one(draft(7)).await, SubmitOutcome::Accepted);
    assert_eq!(world.site().await.draft, Capability::Refused);
}

#[tokio::test]
async fn a_draft_refused_for_something_else_proves_nothing() {
    let world = refusing("nothing").await;
    let odd = model::MergeRequest { draft: true, title: "odd".to_owned(), ..raw_merge_request(7) };
    let odd = source(42).merge_request(&odd, KNOWN_AT, false);
    assert_eq!(world.submit_one(odd).await, rejected("not like this"));
    assert_eq!(said(&world), [["7 DRAFT"], ["7 OPEN"]]);
    assert_eq!(world.site().await.draft, Capability::Unknown);
    // So the next one asks again.
    assert_eq!(world.submit_one(draft(8)).await, SubmitOutcome::Accepted);
    assert_eq!(world.site().await.draft, Capability::Accepted);
}

#[tokio::test]
async fn a_probe_without_an_answer_leaves_the_capability_unknown() {
    let unknown = json!({"unknownIssueKeys": ["PAY-1"]});
    for (status, body) in [(503, json!({})), (500, json!({})), (429, json!({})), (202, unknown)] {
        let world = World::new(move |_| Response::json(status, &body)).await;
        let outcome = world.submit_one(draft(7)).await;
        assert!(!matches!(outcome, SubmitOutcome::Accepted | SubmitOutcome::Rejected(_)), "{outcome:?}");
        assert_eq!(said(&world), [["7 DRAFT"]]);
        assert_eq!(world.site().await.draft, Capability::Unknown);
    }
}

#[tokio::test]
async fn a_reviewer_who_wants_work_is_asked_about_in_the_same_way() {
    let world = refusing("NEEDSWORK").await;
    world.submit(vec![reviewed(7, false), reviewed(8, false)]).await;
    assert_eq!(said(&world), [["7 OPEN NEEDSWORK"], ["7 OPEN UNAPPROVED"], ["8 OPEN UNAPPROVED"]]);
    let site = world.site().await;
    assert_eq!((site.draft, site.needs_work), (Capability::Unknown, Capability::Refused));
}

/// A refusal must say which of the two it is about.
#[tokio::test]
async fn one_value_is_probed_at_a_time() {
    let world = refusing("NEEDSWORK").await;
    let delivered = world.submit(vec![reviewed(7, true), reviewed(8, true)]).await;
    assert!(delivered.iter().all(|one| one.outcome == SubmitOutcome::Accepted), "{delivered:?}");
    assert_eq!(said(&world), [["7 DRAFT UNAPPROVED"], ["8 DRAFT NEEDSWORK"], ["8 DRAFT UNAPPROVED"]]);
    let site = world.site().await;
    assert_eq!((site.draft, site.needs_work), (Capability::Accepted, Capability::Refused));
}
