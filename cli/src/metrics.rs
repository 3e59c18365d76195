//! The bundle's measures as Prometheus reads them: summed up since the process started, in the OpenMetrics format. What is
//! measured, and by which dimensions, belongs to whoever measures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use shared::queue::Depth;
use shared::telemetry::{Meaning, Sample, observe};

/// What [`Metrics::text`] is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Of all metrics of this program.
const PREFIX: &str = "gitlab_jira";

/// What is measured, by the measures' names; Prometheus shows it beside the metric.
const DESCRIPTIONS: [(&str, &str); 26] = [
    ("RequestLatency", "time until an HTTP function answered"),
    ("MessagesDone", "messages that were processed"),
    ("MessagesDropped", "messages that needed no processing"),
    ("MessagesWaiting", "times that a message was put back to wait"),
    ("MessagesRetried", "times that a message failed and is tried again"),
    ("MessagesDeadLettered", "messages that are not tried again"),
    ("MessageAge", "time from the webhook until the message was done"),
    ("JiraLatency", "time until Jira answered a call, or it failed"),
    ("EntitiesAccepted", "entities that Jira accepted"),
    ("EntitiesRejected", "entities that Jira rejected"),
    ("EntitiesWaiting", "entities that wait to be sent again"),
    ("EntitiesFailed", "entities that could not be sent"),
    ("UnknownKeys", "issue keys that Jira has no issue for"),
    ("GitlabLatency", "time until GitLab answered a call, or it failed"),
    ("TokensRotated", "GitLab access tokens that were rotated"),
    ("HooksRepaired", "webhooks that were made again or enabled"),
    ("HookPlansBegun", "links whose project hooks are put in order"),
    ("HistoryPages", "pages of history that were read from GitLab"),
    ("HistoryProjectsEnded", "projects whose history has ended"),
    ("HistoryTasksFailed", "parts of a project's history that could not be listed"),
    ("HistoryListed", "entities that GitLab listed for history"),
    ("HistorySent", "entities of history that Jira accepted"),
    ("HistoryRefused", "entities of history that Jira rejected"),
    ("HistoryUnread", "entities of history that could not be read"),
    ("SitesNeedingAttention", "sites that need attention"),
    ("LinksNeedingAttention", "links that need attention"),
];

/// Upper bounds in seconds: a request takes milliseconds, a message that waits takes hours.
const BUCKETS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0];

type Labels = Vec<(String, String)>;
type Times = Family<Labels, Histogram, fn() -> Histogram>;

/// The metrics of this process.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Mutex<Collected>>);

#[derive(Debug)]
struct Collected {
    registry: Registry,
    // By the measures' names. A metric is registered with its first value.
    times: BTreeMap<&'static str, Times>,
    events: BTreeMap<&'static str, Family<Labels, Counter>>,
    levels: BTreeMap<&'static str, Family<Labels, Gauge>>,
    queue: Family<Labels, Gauge>,
    dead_letters: Family<Labels, Gauge>,
    oldest: Family<Labels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let (queue, dead_letters, oldest) = (Family::default(), Family::default(), Family::default());
        registry.register("queue_messages", "messages that are not done", queue.clone());
        registry.register("dead_letters", "dead-lettered messages", dead_letters.clone());
        let help = "age of the oldest message that is not done";
        registry.register_with_unit("oldest_message_age", help, Unit::Seconds, oldest.clone());
        let (times, events, levels) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let collected = Collected { registry, times, events, levels, queue, dead_letters, oldest };
        Self(Arc::new(Mutex::new(collected)))
    }
}

impl Metrics {
    /// Collects everything that is measured in this process from now on.
    pub fn collect(&self) {
        let metrics = self.clone();
        observe(move |sample| metrics.add(sample));
    }

    /// Adds a number.
    pub fn add(&self, sample: Sample<'_>) {
        let labels =
            sample.dimensions.iter().map(|(name, value)| (snake_case(name), value.clone())).collect();
        let mut collected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Collected { registry, times, events, levels, .. } = &mut *collected;
        match sample.meaning {
            Meaning::Time => {
                let times = times.entry(sample.name).or_insert_with(|| {
                    let times = Times::new_with_constructor(|| Histogram::new(BUCKETS));
                    let name = snake_case(sample.name);
                    registry.register_with_unit(name, description(sample), Unit::Seconds, times.clone());
                    times
                });
                times.get_or_create(&labels).observe(sample.number / 1e3);
            }
            Meaning::Events => {
                let events = events.entry(sample.name).or_insert_with(|| registered(registry, sample));
                events.get_or_create(&labels).inc_by(sample.number as u64);
            }
            Meaning::Level => {
                let levels = levels.entry(sample.name).or_insert_with(|| registered(registry, sample));
                levels.get_or_create(&labels).set(sample.number as i64);
            }
        }
    }

    /// What the queue called `name` holds now, and the age of its oldest message.
    pub fn set_queue(&self, name: &str, depth: Depth, oldest: Option<Duration>) {
        let collected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = ("queue".to_owned(), name.to_owned());
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (state, messages) in
            [("ready", depth.ready), ("delayed", depth.delayed), ("in_flight", depth.in_flight)]
        {
            let labels = vec![queue.clone(), ("state".to_owned(), state.to_owned())];
            collected.queue.get_or_create(&labels).set(gauge(messages));
        }
        let labels = vec![queue];
        collected.dead_letters.get_or_create(&labels).set(gauge(depth.dead));
        collected.oldest.get_or_create(&labels).set(gauge(oldest.unwrap_or_default().as_secs()));
    }

    /// Everything, as Prometheus reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let collected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        encode(&mut text, &collected.registry).expect("a text takes whatever is written");
        text
    }
}

fn registered<M>(registry: &mut Registry, sample: Sample<'_>) -> Family<Labels, M>
where
    Family<Labels, M>: prometheus_client::registry::Metric + Clone + Default,
{
    let family = Family::<Labels, M>::default();
    registry.register(snake_case(sample.name), description(sample), family.clone());
    family
}

/// What a measure's metric is, or else the line that it is logged with.
fn description(sample: Sample<'_>) -> &str {
    let known = DESCRIPTIONS.iter().find(|(name, _)| *name == sample.name);
    known.map_or(sample.what, |(_, description)| description)
}

/// `RequestLatency` as Prometheus writes it: `request_latency`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The page has every measure that there is.
    #[test]
    fn every_documented_metric_has_a_description() {
        let page = include_str!("../../docs/OPERATIONS.md");
        let section = page.split("## Metrics").nth(1).and_then(|rest| rest.split("\n##").next());
        let rows = section
            .expect("a section")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
        let documented = rows.flat_map(|row| row.split(", ")).map(|name| name.trim_matches('`'));
        assert_eq!(
            documented.collect::<BTreeSet<_>>(),
            DESCRIPTIONS.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>()
        );
    }

    #[test]
    fn measures_are_histograms_counters_and_gauges() {
        let metrics = Metrics::default();
        let dimensions = [("Kind", "commits".to_owned()), ("Outcome", "ok".to_owned())];
        let sample = |name, meaning, number| Sample {
            what: "called GitLab",
            name,
            dimensions: &dimensions,
            meaning,
            number,
        };
        for number in [12.0, 20.0, 700.0] {
            metrics.add(sample("GitlabLatency", Meaning::Time, number));
        }
        for number in [2.0, 3.0] {
            metrics.add(sample("MessagesDone", Meaning::Events, number));
            metrics.add(sample("SitesNeedingAttention", Meaning::Level, number));
        }
        metrics.set_queue(
            "events",
            Depth { ready: 1, delayed: 2, in_flight: 3, dead: 4 },
            Some(Duration::from_secs(5)),
        );
        // The series of a metric come in no order.
        let text = metrics.text();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
