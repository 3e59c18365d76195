//! What must be on the issues when the story is over.

use std::fmt::Write as _;

use serde_json::Value;
use standins::jira::{IssueView, SiteHandle};

/// A sentence for each thing that is not as it should be.
#[must_use]
pub fn missing(site: &SiteHandle) -> Vec<String> {
    let mut missing = Vec::new();
    let mut expect = |holds: bool, sentence: &str| {
        if !holds {
            missing.push(sentence.to_owned());
        }
    };
    let pay_7 = site.issue("PAY-7");
    expect(
        pay_7.branches.iter().any(|branch| branch.name == "PAY-7-retry"),
        "PAY-7 has the branch PAY-7-retry.",
    );
    let commit = pay_7.commits.iter().find(|commit| commit.message == "PAY-7 Retry failed webhooks");
    expect(commit.is_some(), "PAY-7 has the commit \"PAY-7 Retry failed webhooks\".");
    let submitted = commit.map(|commit| commit.submitted.clone()).unwrap_or_default();
    expect(submitted["fileCount"] == 2, "That commit has two files.");
    expect(
        submitted["files"][0]["linesAdded"] == 42 && submitted["files"][0]["linesRemoved"] == 7,
        "Its first file has 42 lines added and 7 removed.",
    );
    expect(pull_request(&pay_7)["status"] == "MERGED", "PAY-7's merge request is merged.");
    expect(
        pull_request(&pay_7)["reviewers"][0]["approvalStatus"] == "APPROVED",
        "Grace's approval is on the merge request.",
    );
    expect(pay_7.builds.first().is_some_and(|build| build.state == "failed"), "PAY-7 has a failed build.");
    let tests = pay_7.builds.first().map(|build| build.submitted["testInfo"].clone()).unwrap_or_default();
    expect(tests["totalNumber"] == 131 && tests["numberFailed"] == 2, "The build has 131 tests, 2 failed.");
    let deployment = pay_7.deployments.first();
    expect(
        deployment.is_some_and(|deployment| {
            deployment.state == "successful" && deployment.environment_type == "production"
        }),
        "PAY-7 is deployed to production.",
    );
    let flag = pay_7.flags.first();
    expect(flag.is_some_and(|flag| flag.enabled), "PAY-7 has the flag retry-webhooks, switched on.");
    let rollout = flag.map(|flag| flag.submitted["summary"]["status"]["rollout"].clone()).unwrap_or_default();
    expect(rollout["percentage"] == 25.0, "The flag is rolled out to 25 %.");

    let pay_8 = site.issue("PAY-8");
    expect(pay_8.pull_requests.len() == 1, "PAY-8 has the merge request whose description names it.");
    let pay_9 = site.issue("PAY-9");
    expect(pay_9.branches.is_empty(), "The deleted branch is gone from PAY-9.");
    expect(pay_9.commits.len() == 1, "PAY-9 keeps the commit.");
    let pay_11 = site.issue("PAY-11");
    expect(pay_11.pull_requests.len() == 1, "PAY-11 has its merge request.");
    expect(
        pay_11.branches.iter().any(|branch| branch.name == "rounding"),
        "PAY-11 has the branch whose merge request names it.",
    );
    missing
}

fn pull_request(issue: &IssueView) -> Value {
    issue.pull_requests.first().map(|pull_request| pull_request.submitted.clone()).unwrap_or_default()
}

/// An issue's development panel in text.
#[must_use]
pub fn summary(issue: &IssueView) -> String {
    let mut text = issue.key.clone();
    let mut line = |kind: &str, what: &str| {
        let _ = write!(text, "\n  {kind:<14} {what}");
    };
    for branch in &issue.branches {
        line("branch", &branch.name);
    }
    for commit in &issue.commits {
        let subject = commit.message.lines().next().unwrap_or_default();
        line("commit", &format!("{} {subject} ({} files)", commit.display_id, commit.file_count));
    }
    for pull_request in &issue.pull_requests {
        line(
            "merge request",
            &format!("{} {} [{}]", pull_request.display_id, pull_request.title, pull_request.status),
        );
    }
    for build in &issue.builds {
        line("build", &format!("{} #{} [{}]", build.display_name, build.build_number, build.state));
    }
    for deployment in &issue.deployments {
        line("deployment", &format!("{} [{}]", deployment.display_name, deployment.state));
    }
    for flag in &issue.flags {
        line("flag", &format!("{} [{}]", flag.key, if flag.enabled { "on" } else { "off" }));
    }
    text
}
