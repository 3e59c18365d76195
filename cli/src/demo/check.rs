//! What must be on the issues when the story is over.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;
use shared::text::count;
use standins::jira::{IssueView, SiteHandle};

use super::story::{Ending, REPEAT};
use super::timeline::Told;
use super::world::World;

/// A sentence for each thing that is not as it should be.
pub async fn missing(world: &World, ending: &Ending, told: &Told) -> anyhow::Result<Vec<String>> {
    let site = &world.site;
    let mut expected = pay_7(&site.issue("PAY-7"));
    expected.extend(other_issues(site));
    expected.extend(outage(site, told));
    expected.extend(repeat(&ending.repeated, told));
    expected.push((ending.audit["state"] == "done", "The audit has ended."));
    expected.push((ending.audit["missing"] == 0, "The audit finds nothing missing."));
    expected.extend(explanation(site, told));
    let mut missing: Vec<String> =
        expected.into_iter().filter(|(holds, _)| !holds).map(|(_, sentence)| sentence.to_owned()).collect();
    missing.extend(dead_links(world).await?);
    Ok(missing)
}

/// Whether it holds, and what.
type Expected = (bool, &'static str);

fn pay_7(issue: &IssueView) -> Vec<Expected> {
    let commit = issue.commits.iter().find(|commit| commit.message == "PAY-7 Retry failed webhooks");
    let submitted = commit.map(|commit| commit.submitted.clone()).unwrap_or_default();
    let request = issue.pull_requests.first().map(|request| request.submitted.clone()).unwrap_or_default();
    let build = issue.builds.first();
    let tests = build.map(|build| build.submitted["testInfo"].clone()).unwrap_or_default();
    let deployment = issue.deployments.first();
    let deployed = deployment.is_some_and(|deployment| {
        deployment.state == "successful" && deployment.environment_type == "production"
    });
    let flag = issue.flags.first();
    let rollout = flag.map(|flag| flag.submitted["summary"]["status"]["rollout"].clone()).unwrap_or_default();
    vec![
        (has_branch(issue, "PAY-7-retry"), "PAY-7 has the branch PAY-7-retry."),
        (commit.is_some(), "PAY-7 has the commit \"PAY-7 Retry failed webhooks\"."),
        (submitted["fileCount"] == 2, "That commit has two files."),
        (
            submitted["files"][0]["linesAdded"] == 42 && submitted["files"][0]["linesRemoved"] == 7,
            "Its first file has 42 lines added and 7 removed.",
        ),
        (request["status"] == "MERGED", "PAY-7's merge request is merged."),
        (
            request["reviewers"][0]["approvalStatus"] == "APPROVED",
            "Grace's approval is on the merge request.",
        ),
        (build.is_some_and(|build| build.state == "failed"), "PAY-7 has a failed build."),
        (tests["totalNumber"] == 131 && tests["numberFailed"] == 2, "The build has 131 tests, 2 failed."),
        (deployed, "PAY-7 is deployed to production."),
        (flag.is_some_and(|flag| flag.enabled), "PAY-7 has the flag retry-webhooks, switched on."),
        (rollout["percentage"] == 25.0, "The flag is rolled out to 25 %."),
    ]
}

fn other_issues(site: &SiteHandle) -> Vec<Expected> {
    let (pay_8, pay_9, pay_11) = (site.issue("PAY-8"), site.issue("PAY-9"), site.issue("PAY-11"));
    let pay_2 = site.issue("PAY-2");
    let merged = pay_2.pull_requests.first().is_some_and(|request| request.submitted["status"] == "MERGED");
    vec![
        (merged, "PAY-2 has the merge request that was merged before the group was linked."),
        (!pay_2.commits.is_empty() && !pay_2.builds.is_empty(), "PAY-2 has its commit and its build."),
        (
            !site.triggers().iter().any(|trigger| trigger.issue_keys.iter().any(|key| key == "PAY-2")),
            "History starts no workflow trigger.",
        ),
        (pay_8.pull_requests.len() == 1, "PAY-8 has the merge request whose description names it."),
        (pay_9.branches.is_empty(), "The deleted branch is gone from PAY-9."),
        (pay_9.commits.len() == 1, "PAY-9 keeps the commit."),
        (pay_11.pull_requests.len() == 1, "PAY-11 has its merge request."),
        (has_branch(&pay_11, "rounding"), "PAY-11 has the branch whose merge request names it."),
    ]
}

fn outage(site: &SiteHandle, told: &Told) -> Vec<Expected> {
    let issue = site.issue("PAY-12");
    let step = told.steps.iter().find(|step| step.refused > 0);
    let build = issue.builds.first();
    vec![
        (step.is_some_and(|step| step.refused == 2), "Jira answered 503 to two calls."),
        (step.is_some_and(|step| !step.calls.is_empty()), "What waited for Jira was sent when it was back."),
        (has_branch(&issue, "PAY-12-limits"), "PAY-12 has the branch that was pushed while Jira was down."),
        (issue.commits.len() == 1, "PAY-12 has the commit that was pushed while Jira was down."),
        (
            build.is_some_and(|build| build.state == "successful"),
            "PAY-12 has the build that ended while Jira was down.",
        ),
    ]
}

fn repeat([before, after]: &[IssueView; 2], told: &Told) -> Vec<Expected> {
    let step = told.steps.iter().find(|step| step.what == REPEAT);
    vec![
        (before.commits.len() == 1, "PAY-13 has its commit."),
        (has_branch(before, "PAY-13-receipts"), "PAY-13 has its branch."),
        (
            step.is_some_and(|step| step.deliveries.len() == 1 && step.deliveries[0].status == "200"),
            "One webhook of PAY-13 was delivered again, and taken.",
        ),
        (after == before, "The repeated webhook changed nothing on PAY-13."),
    ]
}

fn explanation(site: &SiteHandle, told: &Told) -> Vec<Expected> {
    let answer = told.explanations.get("OPS-3").map(String::as_str).unwrap_or_default();
    vec![
        (site.issue("OPS-3").is_empty(), "Nothing is on OPS-3."),
        (
            answer.contains("not one of the link's project keys"),
            "explain says that the commit was not sent to OPS-3.",
        ),
        (
            answer.contains("is limited to keys of PAY"),
            "explain says that the link is limited to keys of PAY.",
        ),
    ]
}

fn has_branch(issue: &IssueView, name: &str) -> bool {
    issue.branches.iter().any(|branch| branch.name == name)
}

/// A sentence for each link on an issue that leads to no page of GitLab's stand-in.
async fn dead_links(world: &World) -> anyhow::Result<Vec<String>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut urls = BTreeSet::new();
    for issue in world.site.issues() {
        collect_urls(&serde_json::to_value(world.site.issue(&issue.key))?, &mut urls);
    }
    let mut dead = Vec::new();
    for url in urls {
        let status = http.get(&url).send().await?.status();
        if !status.is_success() {
            dead.push(format!("{url} leads to a page, and not to {status}."));
        }
    }
    Ok(dead)
}

/// Every `url`, `createPullRequestUrl`, … of an entity. Pictures of people are no links.
fn collect_urls(value: &Value, urls: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(url) if name.to_ascii_lowercase().ends_with("url") => {
                        urls.insert(url.clone());
                    }
                    _ => collect_urls(value, urls),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_urls(item, urls)),
        _ => {}
    }
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
        let files = count(commit.file_count.unsigned_abs(), "file", "files");
        line("commit", &format!("{} {subject} ({files})", commit.display_id));
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
