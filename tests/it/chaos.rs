//! Everything at once: a Jira that limits, fails and drops connections, a site that hangs, a GitLab that limits, fails and
//! drops connections, deliveries that come late, twice and in another order, and kill -9 every few seconds. In the end Jira shows what GitLab has. What happens is in [`events`];
//! it happens to the local process ([`local`]), and to two workers on an emulator of AWS ([`emulated`]).

mod emulated;
mod events;
mod local;

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use gitlab_jira::operate::CredentialChoice;
use secrecy::SecretString;
use serde_json::Value;
use standins::gitlab::{Fault, GitlabStandin, Role, Tier, UserHandle};
use standins::jira::{Api, FailureRule, JiraStandin, SiteHandle};

use events::{EVENTS_PER_SECOND, ISSUES, Issues, PROJECTS, Project, REORDERED, Random, shuffled};

/// Deliveries that are sent at the same time.
const CONCURRENCY: usize = 16;

/// Kills after the last event.
const KILLS_AFTERWARDS: u32 = 4;

/// How long everything may take to arrive once all is well again.
const TIMEOUT: Duration = Duration::from_secs(300);

/// How many events happen: as many as `CHAOS_EVENTS` says, or so many.
fn number_of_events(usual: usize) -> usize {
    std::env::var("CHAOS_EVENTS").ok().map_or(usual, |number| number.parse().unwrap())
}

/// A bundle that can be operated, and killed.
trait Bundle {
    /// How long it lives between two kills.
    const LIFE: Duration;

    async fn add_site(&self, site: &SiteHandle, client_id: String, client_secret: SecretString);

    async fn link(&self, site: &SiteHandle, group: &str, token: &SecretString, credential: CredentialChoice);

    /// How many messages are on the events queue, by their state.
    async fn queue(&self) -> Value;

    /// Whether nothing is left on it.
    async fn is_settled(&self) -> bool {
        let queue = self.queue().await;
        ["ready", "delayed", "in_flight"].iter().all(|state| queue[state] == 0)
    }

    async fn dead_letters(&self) -> Value;

    /// Kills it, or a part of it, and starts it again.
    async fn kill(&mut self);
}

/// Where it happens.
struct Stage {
    gitlab: GitlabStandin,
    /// The site of most projects, and one that does not answer.
    site: SiteHandle,
    hanging: SiteHandle,
    ada: UserHandle,
    token: SecretString,
    random: Random,
}

impl Stage {
    async fn new(jira: &JiraStandin, gitlab: GitlabStandin) -> Self {
        let (site, hanging) = (jira.site("acme").await.unwrap(), jira.site("hanging").await.unwrap());
        let ada = gitlab.user("ada");
        let token = ada.token(&["api"]);
        Self { gitlab, site, hanging, ada, token, random: Random(2026) }
    }

    async fn add_sites(&self, bundle: &impl Bundle) {
        for site in [&self.site, &self.hanging] {
            site.add_issue_range("PAY", 1..=ISSUES);
            let apis = [Api::DevInfo, Api::Builds, Api::Deployments, Api::FeatureFlags];
            let (id, secret) = site.add_oauth_credentials(&apis);
            bundle.add_site(site, id, secret.into()).await;
        }
    }

    /// A group with projects, linked to `site`.
    async fn linked_group(
        &self,
        bundle: &impl Bundle,
        (site, path): (&SiteHandle, &str),
        credential: CredentialChoice,
    ) -> Vec<Project> {
        let group = self.gitlab.group(path, Tier::Premium);
        group.grant(&self.ada, Role::Owner);
        bundle.link(site, path, &self.token, credential).await;
        events::projects(&group, &self.ada, credential != CredentialChoice::None).await
    }

    fn fail(&self) {
        self.hanging.fail(FailureRule::slow(Duration::from_secs(40)));
        self.site.fail(FailureRule::rate_limit("jira-burst-based", 1).one_in(10));
        self.site.fail(FailureRule::status(502).one_in(11));
        self.site.fail(FailureRule::drop_connection().one_in(53));
        self.site.fail(FailureRule::lose_answer().one_in(47));
        // GitLab is asked far more often than Jira, many times for one batch.
        self.gitlab.inject(Fault::status(429).retry_after(Duration::from_secs(1)).one_in(211));
        self.gitlab.inject(Fault::status(502).one_in(101));
        self.gitlab.inject(Fault::dropped().one_in(199));
    }

    fn recover(&self) {
        for site in [&self.site, &self.hanging] {
            site.clear_failures();
        }
        self.gitlab.clear_faults();
    }

    /// Has `number` events happen, and brings what they deliver to a bundle that is killed meanwhile; answers how often.
    async fn happen<B: Bundle>(
        &mut self,
        bundle: &mut B,
        number: usize,
        projects: &mut [Project],
        neighbours: &mut [Project],
    ) -> u32 {
        let (mut began, mut kills, mut late) = (Instant::now(), 0, Vec::new());
        for round in 0..number.div_ceil(EVENTS_PER_SECOND) {
            let held = self.gitlab.hold_deliveries();
            let mut changed = Vec::new();
            for number in 0..EVENTS_PER_SECOND {
                let project = &mut projects[self.random.below(2 * PROJECTS)];
                project.happen(round * EVENTS_PER_SECOND + number, &mut self.random, &mut changed).await;
            }
            neighbours[round % PROJECTS].push(round, &mut self.random).await;
            late.extend(held.take());
            drop(held);
            self.gitlab.advance(Duration::from_secs(1).try_into().unwrap());
            // Some of each round come with the next one.
            let ready = late.len().saturating_sub(REORDERED);
            let now = shuffled(late.drain(..ready).collect(), &mut self.random);
            let mut sent = stream::iter(now).map(events::send).buffer_unordered(CONCURRENCY);
            loop {
                tokio::select! {
                    next = sent.next() => if next.is_none() { break },
                    // Nothing may cut short what starts it again.
                    () = tokio::time::sleep(B::LIFE.saturating_sub(began.elapsed())) => {
                        bundle.kill().await;
                        (began, kills) = (Instant::now(), kills + 1);
                    }
                }
            }
        }
        let late = shuffled(late, &mut self.random);
        stream::iter(late).map(events::send).buffer_unordered(CONCURRENCY).collect::<Vec<_>>().await;
        kills
    }

    /// What is not at Jira as it is at GitLab, of `projects` and `neighbours`.
    fn differences(&self, projects: &[Project], neighbours: &[Project]) -> Vec<String> {
        let views = |site: &SiteHandle| -> Issues {
            let keys = (1..=ISSUES).map(|number| format!("PAY-{number}"));
            keys.map(|key| (key.clone(), site.issue(&key))).collect()
        };
        let (ours, theirs) = (views(&self.site), views(&self.hanging));
        let of_ours = projects.iter().flat_map(|project| project.differences(&ours));
        of_ours.chain(neighbours.iter().flat_map(|project| project.differences(&theirs))).collect()
    }
}

/// Tells the story: in the end Jira shows what GitLab has, and nothing is dead-lettered.
async fn play<B: Bundle>(mut stage: Stage, bundle: &mut B, events: usize) {
    stage.add_sites(bundle).await;
    let (site, hanging) = (stage.site.clone(), stage.hanging.clone());
    let mut projects = stage.linked_group(bundle, (&site, "read"), CredentialChoice::Given).await;
    projects.extend(stage.linked_group(bundle, (&site, "hooks"), CredentialChoice::None).await);
    let mut neighbours = stage.linked_group(bundle, (&hanging, "neighbour"), CredentialChoice::Given).await;

    stage.fail();
    let start = Instant::now();
    let mut kills = stage.happen(bundle, events, &mut projects, &mut neighbours).await;
    println!("{events} events, taken in within {:?}", start.elapsed());
    println!("{} calls to Jira, {} to GitLab", site.calls().total(), stage.gitlab.calls().len());

    // What is on the queue now is disturbed, too.
    for _ in 0..KILLS_AFTERWARDS {
        tokio::time::sleep(B::LIFE).await;
        bundle.kill().await;
        kills += 1;
    }
    stage.recover();
    let longest = TIMEOUT + Duration::from_millis(50 * u64::try_from(events).unwrap());
    while !bundle.is_settled().await && start.elapsed() < longest {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!("{kills} kills, settled within {:?}", start.elapsed());
    let differences = stage.differences(&projects, &neighbours);
    let dead = bundle.dead_letters().await;
    assert!(
        differences.is_empty(),
        "{} differences:\n{}\n{dead:#}",
        differences.len(),
        differences.join("\n")
    );
    assert_eq!(dead["dead"], 0, "{dead}");
    for site in [&site, &hanging] {
        events::assert_that_numbers_rise_with_content(site);
    }
}
