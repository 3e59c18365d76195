//! What happens in projects, how its deliveries are disturbed, and what Jira should show in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use standins::gitlab::{
    Delivery, DeploymentHandle, FeatureFlagHandle, GroupHandle, MergeRequestHandle, PipelineHandle,
    ProjectHandle, UserHandle, commit, merge_request,
};
use standins::jira::{DeploymentView, IssueView, SiteHandle};

/// Projects of each linked group.
pub const PROJECTS: usize = 5;

/// Issues that events are about.
pub const ISSUES: u64 = 50;

/// Events between two seconds of GitLab's clock: dates in hooks are cut to seconds, and nothing else orders two changes
/// within one.
pub const EVENTS_PER_SECOND: usize = 100;

/// Seconds between two switches of a flag: the first one's hook has come before the second one's, however late it is.
const SECONDS_BETWEEN_SWITCHES: usize = 3;

/// How far a delivery may be overtaken, in deliveries.
pub const REORDERED: usize = 20;

/// Numbers without a pattern, the same in every run.
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    fn is_one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// What Jira shows, by key.
pub type Issues = BTreeMap<String, IssueView>;

/// What a project has, as Jira should show it in the end.
pub struct Project {
    handle: ProjectHandle,
    has_token: bool,
    issue: u64,
    /// By branch: the last commit's message, or that it is gone.
    branches: BTreeMap<String, Option<String>>,
    commits: Vec<String>,
    merge_requests: Vec<(MergeRequestHandle, String, &'static str)>,
    pipelines: Vec<(PipelineHandle, &'static str)>,
    /// With the message of the commit that is deployed.
    deployments: Vec<(DeploymentHandle, String, &'static str)>,
    flags: Vec<Flag>,
}

struct Flag {
    handle: FeatureFlagHandle,
    name: String,
    issue: u64,
    enabled: bool,
    /// The second in which it was switched last.
    switched: usize,
}

impl Project {
    fn next_issue(&mut self) -> u64 {
        self.issue = self.issue % ISSUES + 1;
        self.issue
    }

    /// Something happens. Each thing changes at most once within a second of GitLab's clock, apart from branches, whose
    /// pushes name each other.
    pub async fn happen(&mut self, number: usize, random: &mut Random, changed: &mut Vec<u64>) {
        match random.below(12) {
            0..5 => self.push(number, random).await,
            5 => self.delete_branch(random).await,
            6 | 7 => self.change_merge_request(number, random, changed).await,
            8 => self.switch_flag(number, random).await,
            // Without a token no issue of a deployment is known.
            9 if self.has_token => self.change_deployment(random, changed).await,
            _ => self.change_pipeline(random, changed).await,
        }
    }

    pub async fn push(&mut self, number: usize, random: &mut Random) {
        let known: Vec<String> = self.branches.keys().cloned().collect();
        let branch = if known.len() < 6 || random.is_one_in(8) {
            format!("PAY-{}-{}", self.next_issue(), known.len())
        } else {
            known[random.below(known.len())].clone()
        };
        let message = format!("PAY-{} change {number}", self.next_issue());
        self.handle.push(&branch, [commit(&message).adds("a", 1)]).await;
        self.branches.insert(branch, Some(message.clone()));
        self.commits.push(message);
    }

    async fn delete_branch(&mut self, random: &mut Random) {
        let there: Vec<String> =
            self.branches.iter().filter(|(_, head)| head.is_some()).map(|(name, _)| name.clone()).collect();
        // Branches of merge requests stay, or the merge requests would tell of them.
        let used = |name: &&String| self.merge_requests.iter().all(|(_, of, _)| !of.ends_with(name.as_str()));
        let free: Vec<&String> = there.iter().filter(used).collect();
        if free.is_empty() {
            return;
        }
        let branch = free[random.below(free.len())].clone();
        self.handle.delete_branch(&branch).await;
        self.branches.insert(branch, None);
    }

    async fn change_merge_request(&mut self, number: usize, random: &mut Random, changed: &mut Vec<u64>) {
        if self.merge_requests.len() < 5 || random.is_one_in(4) {
            let there = self.branches.iter().find(|(name, head)| {
                head.is_some() && self.merge_requests.iter().all(|(_, of, _)| !of.ends_with(name.as_str()))
            });
            let Some((branch, _)) = there else { return };
            let title = format!("PAY-{} request {number} of {branch}", self.issue);
            let opened = self.handle.open_merge_request(merge_request(branch, &title)).await;
            changed.push(opened.id());
            self.merge_requests.push((opened, title, "OPEN"));
            return;
        }
        let index = random.below(self.merge_requests.len());
        let (handle, title, status) = &mut self.merge_requests[index];
        if changed.contains(&handle.id()) || *status == "MERGED" {
            return;
        }
        changed.push(handle.id());
        match (random.below(4), *status) {
            (0, "OPEN") => {
                handle.close().await;
                *status = "DECLINED";
            }
            (_, "DECLINED") => {
                handle.reopen().await;
                *status = "OPEN";
            }
            _ => {
                let branch = title.rsplit(' ').next().unwrap().to_owned();
                *title = format!("PAY-{} changed {number} of {branch}", self.issue);
                handle.update(title, "").await;
            }
        }
    }

    async fn change_pipeline(&mut self, random: &mut Random, changed: &mut Vec<u64>) {
        let running = self.pipelines.iter_mut().find(|(pipeline, state)| {
            !matches!(*state, "successful" | "failed") && !changed.contains(&pipeline.id())
        });
        if let Some((pipeline, state)) = running {
            changed.push(pipeline.id());
            let (status, then) = match *state {
                "pending" => ("running", "in_progress"),
                _ if random.is_one_in(3) => ("failed", "failed"),
                _ => ("success", "successful"),
            };
            pipeline.status(status).await;
            *state = then;
            return;
        }
        let there = self.branches.iter().find(|(_, head)| head.is_some());
        if let Some((branch, _)) = there {
            let pipeline = self.handle.start_pipeline(branch).await;
            changed.push(pipeline.id());
            self.pipelines.push((pipeline, "pending"));
        }
    }

    async fn change_deployment(&mut self, random: &mut Random, changed: &mut Vec<u64>) {
        let running = self
            .deployments
            .iter_mut()
            .find(|(deployment, _, state)| *state == "in_progress" && !changed.contains(&deployment.id()));
        if let Some((deployment, _, state)) = running {
            changed.push(deployment.id());
            let (status, then) =
                *random.one_of(&[("success", "successful"), ("failed", "failed"), ("canceled", "cancelled")]);
            deployment.status(status).await;
            *state = then;
            return;
        }
        let there = self.branches.iter().find_map(|(name, head)| Some((name, head.clone()?)));
        if let Some((branch, head)) = there {
            let environment = random.one_of(&["production", "staging", "review"]);
            let deployment = self.handle.deploy(environment, branch);
            changed.push(deployment.id());
            deployment.status("running").await;
            self.deployments.push((deployment, head, "in_progress"));
        }
    }

    async fn switch_flag(&mut self, number: usize, random: &mut Random) {
        let second = number / EVENTS_PER_SECOND;
        if self.flags.len() < 3 {
            let issue = self.next_issue();
            let name = format!("flag-{}-{}", self.handle.id(), self.flags.len());
            let handle = self.handle.feature_flag(&name).describe(&format!("PAY-{issue} switches"));
            handle.toggle(true).await;
            self.flags.push(Flag { handle, name, issue, enabled: true, switched: second });
            return;
        }
        let flag = &mut self.flags[random.below(3)];
        // No hook says when a flag was switched, so nobody who can't ask GitLab could order two that overtook each other.
        if second < flag.switched + SECONDS_BETWEEN_SWITCHES {
            return;
        }
        (flag.enabled, flag.switched) = (!flag.enabled, second);
        flag.handle.toggle(flag.enabled).await;
    }

    /// What is not at Jira as it is at GitLab.
    pub fn differences(&self, issues: &Issues) -> Vec<String> {
        let differences = [
            self.branches_and_commits(issues),
            self.merge_requests(issues),
            self.pipelines(issues),
            self.deployments(issues),
            self.flags(issues),
        ];
        let token = if self.has_token { "" } else { " (no token)" };
        let named = |difference| format!("{}{token} {difference}", self.handle.web_url());
        differences.into_iter().flatten().map(named).collect()
    }

    fn branches_and_commits(&self, issues: &Issues) -> Vec<String> {
        let (page, mut differences) = (self.handle.web_url(), Vec::new());
        for (branch, head) in &self.branches {
            let mut branches = issue_of(issues, branch).branches.iter();
            let shown = branches.find(|it| it.name == *branch && it.url.starts_with(&page));
            let shown = shown.map(|it| it.submitted["lastCommit"]["message"].as_str().unwrap_or_default());
            if shown != head.as_deref() {
                differences.push(format!("{branch}: {head:?} is shown as {shown:?}"));
            }
        }
        for message in &self.commits {
            let commits = issue_of(issues, message).commits.iter();
            let shown = commits.filter(|it| it.message == *message && it.url.starts_with(&page)).count();
            if shown != 1 {
                differences.push(format!("{message} is shown {shown} times"));
            }
        }
        differences
    }

    fn merge_requests(&self, issues: &Issues) -> Vec<String> {
        let difference = |(merge_request, title, status): &(MergeRequestHandle, String, &'static str)| {
            let id = merge_request.id().to_string();
            let shown = issue_of(issues, title).pull_requests.iter().find(|it| it.id == id);
            let shown = shown.map(|it| (it.title.as_str(), it.status.as_str()));
            let text = || format!("!{}: {title} {status} is shown as {shown:?}", merge_request.iid());
            (shown != Some((title, status))).then(text)
        };
        self.merge_requests.iter().filter_map(difference).collect()
    }

    fn pipelines(&self, issues: &Issues) -> Vec<String> {
        let page = self.handle.web_url();
        let builds = by_number(issues.values().flat_map(|issue| &issue.builds), |it| it.build_number);
        let difference = |(pipeline, state): &(PipelineHandle, &'static str)| {
            let number = i64::try_from(pipeline.iid()).unwrap();
            let builds = builds.get(&number).into_iter().flatten().filter(|it| it.url.starts_with(&page));
            let shown: Vec<&str> = builds.map(|build| build.state.as_str()).collect();
            let is_right = !shown.is_empty() && shown.iter().all(|it| it == state);
            (!is_right).then(|| format!("pipeline {number}: {state} is shown as {shown:?}"))
        };
        self.pipelines.iter().filter_map(difference).collect()
    }

    fn deployments(&self, issues: &Issues) -> Vec<String> {
        let page = self.handle.web_url();
        let deployments = issues.values().flat_map(|issue| &issue.deployments);
        let deployments = by_number(deployments, |it| it.deployment_sequence_number);
        let difference = |(deployment, head, state): &(DeploymentHandle, String, &'static str)| {
            let number = i64::try_from(deployment.iid()).unwrap();
            let is_this =
                |it: &DeploymentView| it.deployment_sequence_number == number && it.url.starts_with(&page);
            let everywhere = deployments.get(&number).into_iter().flatten().filter(|it| is_this(it));
            let shown: Vec<&str> = everywhere.map(|it| it.state.as_str()).collect();
            let is_on_its_issue = issue_of(issues, head).deployments.iter().any(is_this);
            let is_right = is_on_its_issue && shown.iter().all(|it| it == state);
            (!is_right).then(|| format!("deployment {number}: {state} is shown as {shown:?}"))
        };
        self.deployments.iter().filter_map(difference).collect()
    }

    fn flags(&self, issues: &Issues) -> Vec<String> {
        let difference = |Flag { name, issue, enabled, .. }: &Flag| {
            let shown = issues[&format!("PAY-{issue}")].flags.iter().find(|it| it.key == *name);
            let shown = shown.map(|it| it.enabled);
            (shown != Some(*enabled)).then(|| format!("{name}: {enabled} is shown as {shown:?}"))
        };
        self.flags.iter().filter_map(difference).collect()
    }
}

/// The issue whose key `text` begins with.
fn issue_of<'a>(issues: &'a Issues, text: &str) -> &'a IssueView {
    let end = text.match_indices(['-', ' ']).nth(1).map_or(text.len(), |(index, _)| index);
    &issues[&text[..end]]
}

fn by_number<'a, T>(
    all: impl Iterator<Item = &'a T>,
    number: impl Fn(&T) -> i64,
) -> BTreeMap<i64, Vec<&'a T>> {
    all.fold(BTreeMap::new(), |mut map, it| {
        map.entry(number(it)).or_insert_with(Vec::new).push(it);
        map
    })
}

/// Projects of `group`, in which nothing but a start has happened.
pub async fn projects(group: &GroupHandle, user: &UserHandle, has_token: bool) -> Vec<Project> {
    let mut projects = Vec::new();
    for number in 0..PROJECTS {
        let handle = group.project(&format!("p{number}")).acting_as(user);
        handle.push("main", [commit("Start").adds("README.md", 1)]).await;
        projects.push(Project {
            handle,
            has_token,
            issue: 10 * u64::try_from(number).unwrap(),
            branches: BTreeMap::new(),
            commits: Vec::new(),
            merge_requests: Vec::new(),
            pipelines: Vec::new(),
            deployments: Vec::new(),
            flags: Vec::new(),
        });
    }
    projects
}

/// A tenth of them twice, all of them out of order.
pub fn shuffled(deliveries: Vec<Delivery>, random: &mut Random) -> Vec<Delivery> {
    let mut placed: Vec<(usize, Delivery)> = Vec::new();
    for (index, delivery) in deliveries.into_iter().enumerate() {
        if random.is_one_in(10) {
            placed.push((index + 5 * REORDERED, delivery.clone()));
        }
        placed.push((index + random.below(REORDERED), delivery));
    }
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, delivery)| delivery).collect()
}

/// Sends until there is an answer, as a person does with what GitLab shows as failed.
pub async fn send(delivery: Delivery) {
    for _ in 0..2_000 {
        if delivery.send().await.is_ok_and(|status| status.is_success()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the delivery is never accepted");
}

/// Jira ignores a version whose number is not higher than the last one's: different content never has the same number, and
/// newer content has a higher one.
pub fn assert_that_numbers_rise_with_content(site: &SiteHandle) {
    let mut versions: BTreeMap<String, BTreeMap<i64, Value>> = BTreeMap::new();
    for call in site.recorded().iter().filter(|call| call.status < 300) {
        for (kind, number) in [
            ("commits", "updateSequenceId"),
            ("branches", "updateSequenceId"),
            ("pullRequests", "updateSequenceId"),
            ("builds", "updateSequenceNumber"),
            ("deployments", "updateSequenceNumber"),
            ("flags", "updateSequenceId"),
        ] {
            for entity in call.entities(kind) {
                let mut content = entity.clone();
                let number = content[number].take().as_i64().unwrap();
                content["lastCommit"]["updateSequenceId"] = Value::Null;
                let number_of = ["buildNumber", "deploymentSequenceNumber"].map(|name| &entity[name]);
                let id = format!("{kind} {} {} {number_of:?}", entity["url"], entity["id"]);
                let before = versions.entry(id.clone()).or_default().insert(number, content.clone());
                assert!(before.is_none_or(|before| before == content), "{id}: {number} says two things");
            }
        }
    }
    // Other kinds have dates that are not all GitLab's, whose clock is another one; and where GitLab can't be read, an older payload
    // may come in between, until the newer one of a process that was killed before it had noted it is received again.
    let is_read = |id: &str| id.contains("/read/") || id.contains("/neighbour/");
    let is_dated = |id: &str| id.starts_with("pullRequests") || id.starts_with("deployments");
    versions.retain(|id, _| is_dated(id) && is_read(id));
    for (id, versions) in versions {
        let date = |content: &Value| {
            let dates = ["lastUpdate", "lastUpdated"].map(|name| content[name].as_str().map(str::to_owned));
            dates.into_iter().flatten().next()
        };
        let dates: Vec<_> = versions.values().filter_map(date).collect();
        assert!(dates.is_sorted(), "{id}: an older version has a higher number: {versions:?}");
    }
}
