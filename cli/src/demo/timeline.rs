//! The story's timeline, at the terminal and on the page: each step with what GitLab delivered and what Jira answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use shared::text::count;
use standins::gitlab::SentDelivery;
use standins::jira::{Api, RecordedCall};

use super::world::World;
use crate::operate::Command;
use crate::terminal::say;

/// What was told so far. Clones are the same timeline.
#[derive(Clone, Debug, Default)]
pub struct Timeline(Arc<Mutex<Told>>);

/// The steps, the answers of `explain`, and how it ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Told {
    /// Oldest first.
    pub steps: Vec<Step>,
    /// What `explain` answered, by issue key, as a terminal shows it.
    pub explanations: BTreeMap<String, String>,
    /// Whether the story is over, and everything is on its issue.
    pub complete: bool,
}

/// A step of the story.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What happened, in words.
    pub what: String,
    /// What GitLab delivered of it.
    pub deliveries: Vec<SentDelivery>,
    /// How many calls Jira answered with 503.
    pub refused: usize,
    /// The other calls to Jira.
    pub calls: Vec<ToldCall>,
    /// Whether all of it was processed.
    pub done: bool,
}

/// A call that changed something in Jira.
#[derive(Clone, Debug, Serialize)]
pub struct ToldCall {
    /// When it was answered, RFC 3339.
    pub at: String,
    /// What it carried, in words.
    pub what: String,
    /// The status it was answered with.
    pub status: u16,
}

impl Timeline {
    /// As it is now.
    #[must_use]
    pub fn told(&self) -> Told {
        self.lock().clone()
    }

    /// Tells that the story is over, and everything is on its issue.
    pub fn complete(&self) {
        self.lock().complete = true;
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the steps: what happened, and what came of it at Jira.
pub struct Teller<'a> {
    world: &'a World,
    timeline: &'a Timeline,
    started: Instant,
    delivered: usize,
    called: usize,
    refused: usize,
}

impl<'a> Teller<'a> {
    /// Begins with what happens from now on.
    #[must_use]
    pub fn new(world: &'a World, timeline: &'a Timeline) -> Self {
        let (delivered, called) = (world.gitlab.sent_deliveries().len(), world.site.recorded().len());
        Self { world, timeline, started: Instant::now(), delivered, called, refused: refused_calls(world) }
    }

    /// Tells a step whose events went out, and waits until they are processed: also those that Jira would not take yet.
    pub async fn tell(&mut self, what: &str) -> anyhow::Result<()> {
        self.begin(what);
        self.world.settled().await?;
        self.note();
        self.world.drained().await?;
        self.note();
        if let Some(step) = self.timeline.lock().steps.last_mut() {
            step.done = true;
        }
        Ok(())
    }

    /// Asks the bundle why something is, or is not, on an issue.
    pub async fn explain(&self, key: &str) -> anyhow::Result<()> {
        let command = Command::Explain { key: key.to_owned(), project: None };
        let answer = self.world.local.operator.run(command).await?.text(&[]);
        say(format_args!("\n$ gitlab-jira explain {key}\n{answer}"));
        self.timeline.lock().explanations.insert(key.to_owned(), answer);
        Ok(())
    }

    /// Tells a step whose events went out.
    fn begin(&mut self, what: &str) {
        say(format_args!("{:>5.1} s  {what}", self.started.elapsed().as_secs_f32()));
        let sent = self.world.gitlab.sent_deliveries();
        let deliveries = sent[self.delivered.min(sent.len())..].to_vec();
        self.delivered = sent.len();
        let (what, calls) = (what.to_owned(), Vec::new());
        self.timeline.lock().steps.push(Step { what, deliveries, refused: 0, calls, done: false });
    }

    /// Adds to the step what Jira answered since.
    fn note(&mut self) {
        let all = self.world.site.recorded();
        let calls: Vec<ToldCall> =
            all[self.called.min(all.len())..].iter().filter_map(ToldCall::of).collect();
        self.called = all.len();
        let refused = refused_calls(self.world);
        let refused_now = refused - self.refused;
        self.refused = refused;
        if refused_now > 0 {
            say(format_args!("         -> 503 to {}", count(refused_now as u64, "call", "calls")));
        }
        for call in &calls {
            say(format_args!("         -> {} {}", call.status, call.what));
        }
        if let Some(step) = self.timeline.lock().steps.last_mut() {
            step.refused += refused_now;
            step.calls.extend(calls);
        }
    }
}

/// How many calls Jira has answered with 503.
fn refused_calls(world: &World) -> usize {
    let answered = world.site.calls();
    Api::PROVIDERS.iter().map(|api| answered.answered(*api, 503)).sum()
}

impl ToldCall {
    /// `None` for a call that only asks.
    fn of(call: &RecordedCall) -> Option<Self> {
        let what = match call.method.as_str() {
            "GET" => return None,
            "DELETE" => {
                let kind = call.path.rsplit('/').nth(1).filter(|kind| !kind.is_empty());
                format!("the deletion of a {}", kind.unwrap_or("thing"))
            }
            _ => entities(call),
        };
        Some(Self { at: call.at.clone(), what, status: call.status })
    }
}

fn entities(call: &RecordedCall) -> String {
    let of_repositories = [
        ("commits", "commit", "commits"),
        ("branches", "branch", "branches"),
        ("pullRequests", "pull request", "pull requests"),
    ]
    .map(|(list, one, more)| (call.entities(list).count(), one, more));
    let others = [
        ("builds", "build", "builds"),
        ("deployments", "deployment", "deployments"),
        ("flags", "feature flag", "feature flags"),
    ]
    .map(|(list, one, more)| (call.body[list].as_array().map_or(0, Vec::len), one, more));
    let all = of_repositories.into_iter().chain(others).filter(|(number, ..)| *number > 0);
    all.map(|(number, one, more)| count(number as u64, one, more)).collect::<Vec<_>>().join(", ")
}
