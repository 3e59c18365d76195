//! What happens in projects, how its deliveries are disturbed, and what Jira should show in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use standins::gitlab::{
    Delivery, GroupHandle, MergeRequestHandle, PipelineHandle, ProjectHandle, UserHandle, commit,
    merge_request,
};
use standins::jira::{IssueView, SiteHandle};

/// Projects of each linked group.
pub const PROJECTS: usize = 5;

/// Issues that events are about.
pub const ISSUES: u64 = 50;

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

    fn is_one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

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
}

impl Project {
    fn next_issue(&mut self) -> u64 {
        self.issue = self.issue % ISSUES + 1;
        self.issue
    }

    /// Something happens. Each thing changes at most once within a second of GitLab's clock, apart from branches, whose
    /// pushes name each other.
    pub async fn happen(&mut self, number: usize, random: &mut Random, changed: &mut Vec<u64>) {
        match random.below(10) {
            0..5 => self.push(number, random).await,
            5 => self.delete_branch(random).await,
            6 | 7 => self.change_merge_request(number, random, changed).await,
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

    /// What is not at Jira as it is at GitLab.
    pub fn differences(&self, issues: &BTreeMap<String, IssueView>) -> Vec<String> {
        let mut differences = Vec::new();
        let of = |text: &str| {
            let end = text.match_indices(['-', ' ']).nth(1).map_or(text.len(), |(index, _)| index);
            &issues[&text[..end]]
        };
        let (page, token) = (self.handle.web_url(), if self.has_token { "" } else { " (no token)" });
        for (branch, head) in &self.branches {
            let shown = of(branch).branches.iter().find(|it| it.name == *branch && it.url.starts_with(&page));
            let shown =
                shown.map(|branch| branch.submitted["lastCommit"]["message"].as_str().unwrap_or_default());
            if shown != head.as_deref() {
                differences.push(format!("{page} {branch}{token}: {head:?} is shown as {shown:?}"));
            }
        }
        for message in &self.commits {
            let shown =
                of(message).commits.iter().filter(|it| it.message == *message && it.url.starts_with(&page));
            if shown.count() != 1 {
                differences.push(format!("{page} {message}{token} is missing"));
            }
        }
        for (merge_request, title, status) in &self.merge_requests {
            let (id, issue) = (merge_request.id().to_string(), of(title));
            let shown = issue.pull_requests.iter().find(|it| it.id == id);
            let shown = shown.map(|it| (it.title.as_str(), it.status.as_str()));
            if shown != Some((title, status)) {
                differences.push(format!(
                    "{page} !{}{token}: {title} {status} is shown as {shown:?}",
                    merge_request.iid()
                ));
            }
        }
        for (pipeline, state) in &self.pipelines {
            let number = i64::try_from(pipeline.iid()).unwrap();
            let builds = issues.values().flat_map(|issue| &issue.builds);
            let builds = builds.filter(|it| it.build_number == number && it.url.starts_with(&page));
            let shown: Vec<&str> = builds.map(|build| build.state.as_str()).collect();
            if shown.is_empty() || shown.iter().any(|it| it != state) {
                differences.push(format!("{page} pipeline {number}{token}: {state} is shown as {shown:?}"));
            }
        }
        differences
    }
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

/// Jira ignores a version whose number is not higher than the last one's, so different content never has the same number.
pub fn assert_that_numbers_rise_with_content(site: &SiteHandle) {
    let mut last: BTreeMap<String, (i64, String)> = BTreeMap::new();
    for call in site.recorded().iter().filter(|call| call.status < 300) {
        for (kind, number) in [
            ("branches", "updateSequenceId"),
            ("pullRequests", "updateSequenceId"),
            ("builds", "updateSequenceNumber"),
        ] {
            for entity in call.entities(kind) {
                let mut content = entity.clone();
                let number = content[number].take().as_i64().unwrap();
                content["lastCommit"]["updateSequenceId"] = Value::Null;
                let content = content.to_string();
                let id = format!("{kind} {} {} {}", entity["url"], entity["id"], entity["buildNumber"]);
                if let Some((before, said)) = last.insert(id.clone(), (number, content.clone())) {
                    assert!(before != number || said == content, "{id}: {number} twice:\n{said}\n{content}");
                }
            }
        }
    }
}
