//! Every kind of event, from GitLab to the issue, through every connection.

use serde_json::json;
use standins::gitlab::{Role, Version, commit, merge_request};

use crate::stage::Stage;

#[tokio::test]
async fn a_push_brings_its_commits_and_its_branch() {
    Stage::through_every_connection(async |stage| {
        let commits = [
            commit("PAY-1 one").file("src/a.rs", 9, 3).adds("src/b.rs", 20).deletes("old.rs", 4),
            commit("no key").file("src/a.rs", 1, 1),
        ];
        stage.api.push("PAY-1-branch", commits).await;
        stage.settled().await;

        let issue = stage.world.site.issue("PAY-1");
        assert_eq!((issue.commits.len(), issue.branches.len()), (1, 1));
        let submitted = &issue.commits[0].submitted;
        assert_eq!(submitted["fileCount"], 3);
        assert_eq!(submitted["author"]["email"], "ada@example.com");
        assert_eq!(submitted["files"][0]["linesAdded"], 9);
        assert_eq!(issue.branches[0].submitted["lastCommit"]["message"], "no key");
        assert_eq!(issue.branches[0].submitted["lastCommit"]["issueKeys"], json!(["PAY-1"]));
    })
    .await;
}

#[tokio::test]
async fn commits_beyond_the_twenty_of_a_hook_are_read() {
    Stage::through_every_connection(async |stage| {
        let commits: Vec<_> =
            (1..=50).map(|number| commit(&format!("PAY-{number} part")).adds("a", 1)).collect();
        stage.api.push("main", commits).await;
        stage.settled().await;
        for number in 1..=50 {
            assert_eq!(stage.world.site.issue(&format!("PAY-{number}")).commits.len(), 1, "PAY-{number}");
        }
    })
    .await;
}

/// T9.
#[tokio::test]
async fn an_open_merge_request_brings_its_branch_and_a_closed_one_does_not() {
    Stage::through_every_connection(async |stage| {
        stage.api.push("feature", [commit("no key").adds("a", 1)]).await;
        stage.settled().await;
        assert!(stage.world.site.issue("PAY-2").branches.is_empty());

        let request = stage.api.open_merge_request(merge_request("feature", "PAY-2 Feature")).await;
        stage.settled().await;
        let issue = stage.world.site.issue("PAY-2");
        assert_eq!((issue.pull_requests.len(), issue.branches.len()), (1, 1));

        stage.api.delete_branch("feature").await;
        request.close().await;
        stage.settled().await;
        let issue = stage.world.site.issue("PAY-2");
        assert_eq!(issue.pull_requests[0].status, "DECLINED");
        assert!(issue.branches.is_empty(), "the branch went with the hook that deleted it");
    })
    .await;
}

/// KB3.
#[tokio::test]
async fn a_branch_takes_keys_from_its_name_and_its_open_merge_requests() {
    Stage::through_every_connection(async |stage| {
        stage.api.push("PAY-3-x", [commit("no key").adds("a", 1)]).await;
        let closed = stage.api.open_merge_request(merge_request("PAY-3-x", "PAY-4 closed")).await;
        closed.close().await;
        stage.api.open_merge_request(merge_request("PAY-3-x", "PAY-5 open").describe("and PAY-6")).await;
        stage.api.push("PAY-3-x", [commit("still no key").adds("b", 1)]).await;
        stage.settled().await;
        for (key, branches) in [("PAY-3", 1), ("PAY-5", 1), ("PAY-6", 1)] {
            assert_eq!(stage.world.site.issue(key).branches.len(), branches, "{key}");
        }
        let branch = &stage.world.site.issue("PAY-3").branches[0];
        assert_eq!(branch.submitted["issueKeys"], json!(["PAY-3", "PAY-5", "PAY-6"]));
    })
    .await;
}

#[tokio::test]
async fn reviewers_are_shown_with_their_approvals() {
    Stage::through_every_connection(async |stage| {
        let (grace, alan, edsger) = (
            stage.world.gitlab.user("grace"),
            stage.world.gitlab.user("alan"),
            stage.world.gitlab.user("edsger"),
        );
        for user in [&grace, &alan, &edsger] {
            stage.group.grant(user, Role::Developer);
        }
        stage.api.push("feature", [commit("x").adds("a", 1)]).await;
        let spec =
            merge_request("feature", "PAY-7 Feature").reviewer(&grace).reviewer(&alan).reviewer(&edsger);
        let request = stage.api.open_merge_request(spec).await;
        request.approve_by(&grace).await;
        request.request_changes_by(&alan).await;
        request.comment("Looks good").await;
        request.update("PAY-7 Feature, again", "").await;
        stage.settled().await;
        let issue = stage.world.site.issue("PAY-7");
        let mut reviewers = issue.pull_requests[0].reviewers.clone();
        reviewers.sort();
        let verdicts: Vec<_> = reviewers.iter().map(|(_, verdict)| verdict.as_str()).collect();
        assert_eq!(verdicts, ["NEEDSWORK", "UNAPPROVED", "APPROVED"], "{reviewers:?}");
        assert_eq!(issue.pull_requests[0].comment_count, 1);
        assert_eq!(issue.pull_requests[0].submitted["author"]["email"], "ada@example.com");
    })
    .await;
}

#[tokio::test]
async fn a_merge_request_whose_last_key_is_edited_away_leaves_the_issue() {
    Stage::through_every_connection(async |stage| {
        stage.api.push("feature", [commit("x").adds("a", 1)]).await;
        let request = stage.api.open_merge_request(merge_request("feature", "PAY-8 Feature")).await;
        stage.settled().await;
        assert_eq!(stage.world.site.issue("PAY-8").pull_requests.len(), 1);
        request.update("Feature", "").await;
        stage.settled().await;
        assert!(stage.world.site.issue("PAY-8").pull_requests.is_empty());
    })
    .await;
}

/// T2, M6.
#[tokio::test]
async fn a_pipeline_is_a_build_of_its_commits_and_merge_requests_issues() {
    Stage::through_every_connection(async |stage| {
        stage.api.push("PAY-9-ci", [commit("Merge branch 'a' into 'b'\n\nFixes PAY-10").adds("a", 1)]).await;
        stage.api.open_merge_request(merge_request("PAY-9-ci", "PAY-11 title").describe("PAY-12")).await;
        let pipeline = stage.api.start_pipeline("PAY-9-ci").await.with_tests(90, 8, 2);
        pipeline.status("running").await;
        stage.settled().await;
        assert_eq!(stage.world.site.issue("PAY-10").builds[0].state, "in_progress");
        pipeline.status("failed").await;
        stage.settled().await;
        for key in ["PAY-9", "PAY-10", "PAY-11", "PAY-12"] {
            let builds = stage.world.site.issue(key).builds;
            assert_eq!(builds.len(), 1, "{key}");
            assert_eq!(builds[0].state, "failed");
            let tests =
                json!({"totalNumber": 100, "numberPassed": 90, "numberFailed": 8, "numberSkipped": 2});
            assert_eq!(builds[0].submitted["testInfo"], tests);
        }
    })
    .await;
}

#[tokio::test]
async fn a_merge_requests_pipeline_belongs_to_its_source_branch() {
    Stage::through_every_connection(async |stage| {
        stage.api.push("PAY-13-mr", [commit("x").adds("a", 1)]).await;
        let request = stage.api.open_merge_request(merge_request("PAY-13-mr", "PAY-13 MR")).await;
        let on_branch = stage.api.start_pipeline("PAY-13-mr").await;
        on_branch.status("success").await;
        let on_request = request.start_pipeline().await;
        on_request.status("success").await;
        stage.settled().await;
        let builds = stage.world.site.issue("PAY-13").builds;
        assert_eq!(builds.len(), 2);
        assert_eq!(
            builds[0].pipeline_id, builds[1].pipeline_id,
            "live and history must agree on one id per ref"
        );
        assert!(builds.iter().all(|build| build.display_name == "PAY-13-mr"));
    })
    .await;
}

/// M31, M35, M37.
#[tokio::test]
async fn a_deployment_brings_what_was_committed_since_the_last_success() {
    Stage::through_every_connection(async |stage| {
        stage.api.push("main", [commit("PAY-14 first").adds("a", 1)]).await;
        let first = stage.api.deploy("production", "main");
        first.status("running").await;
        first.status("success").await;
        stage.settled().await;
        assert_eq!(
            stage.world.site.issue("PAY-14").deployments.len(),
            1,
            "no earlier success: everything counts"
        );

        stage
            .api
            .push("main", [commit("PAY-15 second").adds("b", 1), commit("PAY-16 third").adds("c", 1)])
            .await;
        let second = stage.api.deploy("production", "main");
        second.status("success").await;
        stage.settled().await;
        assert_eq!(stage.world.site.issue("PAY-14").deployments.len(), 1);
        for key in ["PAY-15", "PAY-16"] {
            let deployments = stage.world.site.issue(key).deployments;
            assert_eq!(deployments.len(), 1, "{key}");
            assert_eq!(
                (deployments[0].state.as_str(), deployments[0].environment_type.as_str()),
                ("successful", "production")
            );
        }
    })
    .await;
}

/// M36.
#[tokio::test]
async fn a_success_in_another_environment_or_of_another_ref_does_not_count() {
    Stage::through_every_connection(async |stage| {
        stage.api.push("main", [commit("PAY-21 x").adds("a", 1)]).await;
        stage.api.deploy("production", "main").status("success").await;
        stage.settled().await;
        stage.api.push("main", [commit("PAY-22 y").adds("b", 1)]).await;
        stage.api.deploy("staging", "main").status("success").await;
        stage.api.push("other", [commit("z").adds("c", 1)]).await;
        stage.api.deploy("production", "other").status("success").await;
        stage.api.deploy("production", "main").status("failed").await;
        stage.settled().await;
        stage.api.deploy("production", "main").status("success").await;
        stage.settled().await;
        let environments: Vec<_> = stage.world.site.issue("PAY-22").deployments;
        let to_production =
            environments.iter().filter(|deployment| deployment.environment_type == "production");
        assert_eq!(to_production.filter(|deployment| deployment.state == "successful").count(), 2);
    })
    .await;
}

/// What a tag deploys is what is new in its environment, whatever the tag before was called; a rollback brings nothing.
#[tokio::test]
async fn a_deployment_ships_what_is_new_in_its_environment() {
    let stage = Stage::new().await;
    stage.api.push("main", [commit("PAY-31 one").adds("a", 1)]).await;
    stage.api.push_tag("v1", "main").await;
    stage.api.deploy("production", "v1").status("success").await;
    stage.settled().await;
    stage.api.push("main", [commit("PAY-32 two").adds("b", 1)]).await;
    stage.api.push("main", [commit("PAY-33 three").adds("c", 1)]).await;
    stage.api.push_tag("v2", "main").await;
    stage.api.deploy("production", "v2").status("success").await;
    stage.settled().await;
    let deployments = |key: &str| stage.world.site.issue(key).deployments.len();
    assert_eq!([deployments("PAY-31"), deployments("PAY-32"), deployments("PAY-33")], [1, 1, 1]);
    // Its own commit is named all the same.
    stage.api.deploy("production", "v1").status("success").await;
    stage.settled().await;
    assert_eq!([deployments("PAY-31"), deployments("PAY-32"), deployments("PAY-33")], [2, 1, 1]);
}

/// R08: the key stands only in the title of the merge request whose result is deployed.
#[tokio::test]
async fn a_deployment_of_a_merge_request_s_ref_is_on_its_issue() {
    let stage = Stage::new().await;
    stage.api.push("fix", [commit("no key").adds("a", 1)]).await;
    let request = stage.api.open_merge_request(merge_request("fix", "PAY-34 fix")).await;
    stage.settled().await;
    let git_ref = format!("refs/merge-requests/{}/merge", request.iid());
    stage.api.deploy("review", "fix").of_ref(&git_ref).status("success").await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-34").deployments.len(), 1);
}

/// C44.
#[tokio::test]
async fn an_event_that_names_no_issue_makes_no_call() {
    Stage::through_every_connection(async |stage| {
        stage.settled().await;
        stage.world.site.forget_calls();
        stage.api.push("feature", [commit("no key").adds("a", 1)]).await;
        stage.api.open_merge_request(merge_request("feature", "No key")).await;
        stage.api.start_pipeline("feature").await.status("success").await;
        stage.api.deploy("production", "feature").status("success").await;
        stage.api.delete_branch("feature").await;
        stage.settled().await;
        assert_eq!(stage.world.site.recorded().len(), 0);
        assert_eq!(stage.dead().await, 0);
    })
    .await;
}

/// M29.
#[tokio::test]
async fn a_deployment_without_a_job_has_a_url_and_a_pipeline_all_the_same() {
    Stage::through_every_connection(async |stage| {
        stage.api.push("main", [commit("PAY-17 x").adds("a", 1)]).await;
        stage.api.deploy_externally("staging", "main").status("success").await;
        stage.settled().await;
        let deployment = &stage.world.site.issue("PAY-17").deployments[0];
        assert!(deployment.submitted["pipeline"]["id"].as_str().unwrap().starts_with("external-"));
        assert!(deployment.url.contains("/-/environments/"));
    })
    .await;
}

/// C40, M7, T6.
#[tokio::test]
async fn a_flag_is_sent_when_its_description_has_a_key() {
    Stage::through_every_connection(async |stage| {
    let flag = stage.api.feature_flag("new-ui").describe("PAY-18").strategy(
        "gradualRolloutUserId",
        json!({"percentage": "50", "groupId": "default"}),
        &["production in live", "staging", "*"],
    );
    flag.toggle(true).await;
    stage.api.feature_flag("other").describe("nothing").toggle(true).await;
    stage.settled().await;
    let flags = stage.world.site.issue("PAY-18").flags;
    assert_eq!(flags.len(), 1);
    let submitted = &flags[0].submitted;
    assert_eq!(
        submitted["summary"]["status"]["rollout"],
        json!({"percentage": 50.0, "text": "Percent of users"})
    );
    let environments: Vec<_> =
        submitted["details"].as_array().unwrap().iter().map(|row| &row["environment"]).collect();
    assert_eq!(
        json!(environments),
        json!([{"name": "production in live", "type": "production"}, {"name": "staging", "type": "staging"}, {"name": "*"}])
    );
    flag.toggle(false).await;
    stage.settled().await;
    assert!(!stage.world.site.issue("PAY-18").flags[0].enabled);
    }).await;
}

#[tokio::test]
async fn tags_notes_and_members_lead_to_nothing() {
    Stage::through_every_connection(async |stage| {
        stage.settled().await;
        stage.world.site.forget_calls();
        stage.api.push_tag("PAY-19", "main").await;
        stage.group.add_member(&stage.world.gitlab.user("grace"), Role::Developer).await;
        stage.settled().await;
        assert_eq!(stage.world.site.recorded().len(), 0);
    })
    .await;
}

#[tokio::test]
async fn old_and_new_versions_of_gitlab_give_the_same() {
    for version in [Version::V15_7, Version::V17_3, Version::V19_1] {
        let stage = Stage::of(version, std::sync::Arc::new(shared::clock::SystemClock)).await;
        stage.api.push("PAY-20-x", [commit("PAY-20 x").file("a", 1, 1)]).await;
        stage.api.open_merge_request(merge_request("PAY-20-x", "PAY-20 MR")).await;
        stage.api.start_pipeline("PAY-20-x").await.status("success").await;
        stage.api.deploy("production", "PAY-20-x").status("success").await;
        stage.api.feature_flag("f").describe("PAY-20").toggle(true).await;
        stage.settled().await;
        let issue = stage.world.site.issue("PAY-20");
        let counts = [
            issue.branches.len(),
            issue.commits.len(),
            issue.pull_requests.len(),
            issue.builds.len(),
            issue.deployments.len(),
            issue.flags.len(),
        ];
        assert_eq!(counts, [1; 6], "{version:?}");
        assert_eq!(stage.dead().await, 0);
    }
}
