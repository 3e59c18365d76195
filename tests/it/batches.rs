//! What a batch of events is read with: in few calls, with what GitLab can do, and without losing anything when it can't.

use gitlab_jira::operate::Command;
use serde_json::{Value, json};
use standins::gitlab::{Fault, Version, commit, merge_request};

use crate::stage::Stage;

/// Delivers events of every kind at once; answers what Jira then shows, and how many calls it took.
async fn deliver_all_kinds(stage: &Stage) -> (Value, usize) {
    stage.settled().await;
    let held = stage.world.gitlab.hold_deliveries();
    for number in 0..8 {
        let commits = [
            commit(&format!("PAY-{number}1 work"))
                .file("src/a.rs", 9, 3)
                .adds("b.rs", 2)
                .deletes("old.rs", 4),
            commit("no key").adds("c.rs", 1),
        ];
        stage.api.push(&format!("feature/PAY-{}-x", number % 3 + 1), commits).await;
    }
    let large =
        (0..14).fold(commit("PAY-20 large"), |large, number| large.adds(&format!("f{number}"), number));
    stage.api.push("keyless", [large]).await;
    let (grace, alan) =
        (stage.world.gitlab.user("grace").with_public_email(), stage.world.gitlab.user("alan"));
    let spec = merge_request("keyless", "PAY-21 Review").describe("and PAY-22");
    let request = stage.api.open_merge_request(spec.reviewer(&grace).reviewer(&alan)).await;
    request.approve_by(&grace).await;
    request.request_changes_by(&alan).await;
    request.comment("well").await;
    for git_ref in ["feature/PAY-1-x", "keyless", "main"] {
        let pipeline = stage.api.start_pipeline(git_ref).await.with_tests(7, 2, 1);
        pipeline.status("running").await;
        pipeline.status("failed").await;
    }
    request.start_pipeline().await.status("success").await;
    for git_ref in ["feature/PAY-2-x", "keyless"] {
        let deployment = stage.api.deploy("production", git_ref);
        deployment.status("running").await;
        deployment.status("success").await;
    }
    stage.api.feature_flag("flag").describe("PAY-23").toggle(true).await;
    let before = stage.world.gitlab.calls().len();
    for delivery in held.take() {
        delivery.send().await.unwrap();
    }
    stage.settled().await;
    let mut shown = Vec::new();
    for number in 1..=50 {
        let issue = stage.world.site.issue(&format!("PAY-{number}"));
        let mut all: Vec<Value> = Vec::new();
        all.extend(issue.commits.iter().map(|it| it.submitted.clone()));
        all.extend(issue.branches.iter().map(|it| it.submitted.clone()));
        all.extend(issue.pull_requests.iter().map(|it| it.submitted.clone()));
        all.extend(issue.builds.iter().map(|it| it.submitted.clone()));
        all.extend(issue.deployments.iter().map(|it| it.submitted.clone()));
        all.extend(issue.flags.iter().map(|it| it.submitted.clone()));
        all.iter_mut().for_each(|entity| normalise(entity, stage.world.gitlab.url()));
        all.sort_by_key(Value::to_string);
        shown.push(json!(all));
    }
    (json!(shown), stage.world.gitlab.calls().len() - before)
}

/// Takes out what differs from run to run: times, numbers made of them, and the port.
fn normalise(value: &mut Value, gitlab: &str) {
    match value {
        Value::Object(fields) => {
            let of_time = ["update", "last", "authorTimestamp", "schema"];
            fields.retain(|name, field| {
                !(of_time.iter().any(|start| name.starts_with(start))
                    && (field.is_number() || field.is_string()))
            });
            fields.values_mut().for_each(|field| normalise(field, gitlab));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| normalise(item, gitlab)),
        Value::String(text) => *text = text.replace(gitlab, "https://gitlab.example"),
        _ => {}
    }
}

#[tokio::test]
async fn graphql_saves_calls_and_changes_nothing() {
    let stage = Stage::new().await;
    let (with, few) = deliver_all_kinds(&stage).await;
    let counts = stage.world.gitlab.calls().iter().filter(|call| call.target == "/api/graphql").count();
    assert!(counts > 0, "GraphQL was asked");

    let stage = Stage::new().await;
    stage.world.gitlab.inject(Fault::status(404).on("/api/graphql"));
    let (without, many) = deliver_all_kinds(&stage).await;
    for (number, (with, without)) in
        with.as_array().unwrap().iter().zip(without.as_array().unwrap()).enumerate()
    {
        assert_eq!(with, without, "PAY-{}", number + 1);
    }
    assert!(with.to_string().contains("grace@example.com"), "{with}");
    assert!(few * 3 < many * 2, "{few} calls with GraphQL, {many} without");
}

/// What an older version lacks is read as before, and once it has said so it is not asked again.
#[tokio::test]
async fn what_graphql_lacks_is_read_by_rest() {
    let stage = Stage::of(Version::V15_7, std::sync::Arc::new(shared::clock::SystemClock)).await;
    for number in 1..=3 {
        let commits =
            [commit(&format!("PAY-{number}0 a")).file("a.rs", 9, 3), commit("PAY-9 b").adds("b.rs", 2)];
        stage.api.push(&format!("PAY-{number}-x"), commits).await;
        stage.settled().await;
        let issue = stage.world.site.issue(&format!("PAY-{number}0"));
        assert_eq!(issue.commits[0].submitted["files"][0]["linesAdded"], 9, "PAY-{number}0");
    }
    let refused = stage.world.gitlab.calls().into_iter().filter(|call| call.target == "/api/graphql").count();
    assert!(refused <= 6, "{refused} queries for three batches");
}

/// R06.
#[tokio::test]
async fn a_merge_request_that_lost_its_key_without_saying_so_leaves_the_issue() {
    Stage::through_every_connection(async |stage| {
        stage.api.push("feature", [commit("no key").adds("a", 1)]).await;
        stage.api.push("elsewhere", [commit("no key").adds("b", 1)]).await;
        let request = stage.api.open_merge_request(merge_request("feature", "PAY-2 Feature")).await;
        let other = stage.api.open_merge_request(merge_request("elsewhere", "Other")).await;
        stage.settled().await;
        assert_eq!(stage.world.site.issue("PAY-2").pull_requests.len(), 1);

        let held = stage.world.gitlab.hold_deliveries();
        request.update("Feature", "").await;
        other.update("Another", "").await;
        stage.world.site.forget_calls();
        for delivery in held.take() {
            let mut body = delivery.json();
            body["changes"] = json!({});
            delivery.saying(body.to_string()).send().await.unwrap();
        }
        stage.settled().await;
        assert!(stage.world.site.issue("PAY-2").pull_requests.is_empty());
        let asked = |iid: u64| {
            let rest = format!("/merge_requests/{iid}");
            stage.world.gitlab.calls().iter().any(|call| call.target.ends_with(&rest))
        };
        assert!(!asked(other.iid()), "one that Jira never heard of is not read");
    })
    .await;
}

/// R09.
#[tokio::test]
async fn a_proxy_that_breaks_slashes_costs_no_branch_and_is_named() {
    let stage = Stage::new().await;
    stage.world.gitlab.inject(Fault::status(404).with("%2F"));
    stage.api.push("feature/PAY-3-x", [commit("PAY-3 x").adds("a", 1)]).await;
    stage.settled().await;
    let issue = stage.world.site.issue("PAY-3");
    assert_eq!((issue.branches.len(), issue.commits.len()), (1, 1));
    assert_eq!(issue.branches[0].submitted["name"], "feature/PAY-3-x");
    for command in [Command::Status, Command::Doctor] {
        let answer = stage.command(command).await.to_string();
        assert!(answer.contains("%2F"), "{answer}");
    }
    // One that is gone goes all the same.
    stage.api.delete_branch("feature/PAY-3-x").await;
    stage.settled().await;
    assert!(stage.world.site.issue("PAY-3").branches.is_empty());
}

#[tokio::test]
async fn a_long_push_is_read_to_a_bound_that_explain_names() {
    let stage = Stage::new().await;
    let commits: Vec<_> = (0..510)
        .map(|number| commit(&format!("PAY-{} part {number}", number % 50 + 1)).adds("a", 1))
        .collect();
    stage.api.push("PAY-1-long", commits).await;
    stage.settled().await;
    let all: usize =
        (1..=50).map(|number| stage.world.site.issue(&format!("PAY-{number}")).commits.len()).sum();
    assert_eq!(all, 500);
    let explained =
        stage.command(Command::Explain { key: "PAY-1".to_owned(), project: None }).await.to_string();
    assert!(explained.contains("commits_left_out"), "{explained}");
}

#[tokio::test]
async fn status_counts_what_is_not_understood() {
    let stage = Stage::new().await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("main", [commit("PAY-1 a").adds("a", 1)]).await;
    for delivery in held.take() {
        for body in ["[", r#"{"object_kind": "push"}"#] {
            assert_eq!(delivery.clone().saying(body).send().await.unwrap(), 200);
        }
    }
    stage.settled().await;
    let status = stage.command(Command::Status).await;
    assert_eq!(status["links"][0]["not_understood"]["deliveries"], 2, "{status}");
}
