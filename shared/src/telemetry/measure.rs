//! Measures: numbers that CloudWatch makes metrics of, each with the line that it is read from. On Lambda a measure is a
//! line of CloudWatch's Embedded Metric Format
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>),
//! written whatever `RUST_LOG` says; elsewhere it is a debug line like any other. A process may observe every number, as
//! `gitlab-jira serve` does for Prometheus. What is measured belongs to the module that measures it; docs/OPERATIONS.md
//! describes the metrics.
//!
//! Every set of values of dimensions is a metric that AWS charges for, so dimensions take only words of ours: a few
//! outcomes, routes and kinds. Whatever there are many of, such as sites, links and issue keys, is a detail, which is in
//! the line and can be searched for there.

use std::fmt;
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::clock::{Clock as _, SystemClock, Timestamp};

/// The namespace of all metrics, of whichever stack.
pub const NAMESPACE: &str = "GitLabForJira";

/// CloudWatch takes at most this many values of a metric from a line.
const MAX_VALUES: usize = 100;

/// The scope of the metrics that this process writes for CloudWatch; unset where it does not run on Lambda.
static SCOPE: OnceLock<Scope> = OnceLock::new();

/// What the metrics of a function have in common: dimensions of every one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The stack, so that two of them in one account have numbers of their own.
    pub stack: String,
    /// The function, as the table of functions calls it.
    pub function: &'static str,
}

impl Scope {
    /// The scope of `function`, which the template calls `<stack>-<function>`.
    #[must_use]
    pub fn new(function: &'static str, function_name: &str) -> Self {
        let stack = function_name.strip_suffix(function).and_then(|rest| rest.strip_suffix('-'));
        Self { stack: stack.unwrap_or(function_name).to_owned(), function }
    }
}

/// Measures are lines for CloudWatch from now on.
pub fn write_for_cloudwatch(scope: Scope) {
    // A second start in one process changes nothing, as for the log.
    let _ = SCOPE.set(scope);
}

/// What a number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// How long something took, in milliseconds.
    Time,
    /// How often something happened.
    Events,
    /// How many there are now.
    Level,
}

impl Meaning {
    /// As CloudWatch calls the unit.
    fn unit(self) -> &'static str {
        match self {
            Self::Time => "Milliseconds",
            Self::Events | Self::Level => "Count",
        }
    }
}

/// A number of a measure, as an observer gets it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// What was measured.
    pub what: &'static str,
    /// The metric.
    pub name: &'static str,
    /// What the metric is divided by, all sets together.
    pub dimensions: &'a [(&'static str, String)],
    /// What the number says.
    pub meaning: Meaning,
    /// The number.
    pub number: f64,
}

type Observer = Box<dyn Fn(Sample<'_>) + Send + Sync>;

/// Gets every number of this process, where there is an observer.
static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// Calls `observer` with every number from now on. A second observer in a process is ignored.
pub fn observe(observer: impl Fn(Sample<'_>) + Send + Sync + 'static) {
    let _ = OBSERVER.set(Box::new(observer));
}

/// Something that happened, in numbers.
#[derive(Clone, Debug)]
#[must_use = "a measure is written by `log`"]
pub struct Measure {
    what: &'static str,
    sets: Vec<Vec<&'static str>>,
    dimensions: Vec<(&'static str, String)>,
    metrics: Vec<(&'static str, Meaning, Vec<Value>)>,
    details: Vec<(&'static str, Value)>,
}

impl Measure {
    /// A measure of what `what` says.
    pub fn new(what: &'static str) -> Self {
        Self { what, sets: Vec::new(), dimensions: Vec::new(), metrics: Vec::new(), details: Vec::new() }
    }

    /// Divides the metrics by these dimensions together, beside stack and function. Asked for again, divides them once
    /// more, by itself: two small sets are fewer metrics than all their pairs.
    pub fn by<const N: usize>(mut self, dimensions: [(&'static str, &str); N]) -> Self {
        self.sets.push(dimensions.iter().map(|(name, _)| *name).collect());
        self.dimensions.extend(dimensions.map(|(name, value)| (name, value.to_owned())));
        self
    }

    /// The time since `began`.
    pub fn time(self, name: &'static str, began: Instant) -> Self {
        self.times(name, [began.elapsed()])
    }

    /// Several durations.
    pub fn times(mut self, name: &'static str, durations: impl IntoIterator<Item = Duration>) -> Self {
        // Whole microseconds: what is finer only makes lines longer.
        let milliseconds = durations.into_iter().map(|it| (it.as_secs_f64() * 1e6).round() / 1e3);
        self.metrics.push((name, Meaning::Time, milliseconds.map(Value::from).collect()));
        self
    }

    /// How often it happened.
    pub fn count(mut self, name: &'static str, count: usize) -> Self {
        self.metrics.push((name, Meaning::Events, vec![count.into()]));
        self
    }

    /// How many there are now, even if there are none.
    pub fn level(mut self, name: &'static str, level: usize) -> Self {
        self.metrics.push((name, Meaning::Level, vec![level.into()]));
        self
    }

    /// How often those happened that did at all: what never happens is then no metric, and costs nothing.
    pub fn counts<const N: usize>(self, counts: [(&'static str, usize); N]) -> Self {
        let some = counts.into_iter().filter(|(_, count)| *count > 0);
        some.fold(self, |measure, (name, count)| measure.count(name, count))
    }

    /// Something to know or to search for that no metric is divided by.
    pub fn detail(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// Writes it.
    pub fn log(self) {
        if let Some(observer) = OBSERVER.get() {
            self.samples().for_each(observer);
        }
        let Some(scope) = SCOPE.get() else {
            tracing::debug!("{self}");
            return;
        };
        let mut lines = String::new();
        for line in self.lines(scope, SystemClock.now()) {
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        // In one write, as the log's own lines. If it fails, there is nowhere to report that.
        let _ = std::io::stderr().lock().write_all(lines.as_bytes());
    }

    fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        let (what, dimensions) = (self.what, self.dimensions.as_slice());
        self.metrics.iter().flat_map(move |(name, meaning, values)| {
            let numbers = values.iter().filter_map(Value::as_f64);
            numbers.map(move |number| Sample { what, name, dimensions, meaning: *meaning, number })
        })
    }

    /// The measure as CloudWatch reads it: in one line, or in several where a metric has more values than one takes.
    fn lines(&self, scope: &Scope, now: Timestamp) -> Vec<Value> {
        let longest = self.metrics.iter().map(|(_, _, values)| values.len()).max().unwrap_or_default();
        (0..longest.div_ceil(MAX_VALUES).max(1)).map(|part| self.line(part, scope, now)).collect()
    }

    fn line(&self, part: usize, scope: &Scope, now: Timestamp) -> Value {
        let mut line = Map::new();
        let (mut units, mut numbers) = (Vec::new(), Map::new());
        for (name, meaning, values) in &self.metrics {
            let values = match values.chunks(MAX_VALUES).nth(part) {
                Some([value]) => value.clone(),
                Some(values) => json!(values),
                None => continue,
            };
            units.push(json!({ "Name": name, "Unit": meaning.unit() }));
            numbers.insert((*name).to_owned(), values);
        }
        let unsliced = vec![Vec::new()];
        let sets = if self.sets.is_empty() { &unsliced } else { &self.sets };
        let sets: Vec<Value> =
            sets.iter().map(|set| [&["Stack", "Function"], set.as_slice()].concat().into()).collect();
        if !units.is_empty() {
            let directive = json!({ "Namespace": NAMESPACE, "Dimensions": sets, "Metrics": units });
            line.insert("_aws".to_owned(), json!({ "Timestamp": now.0, "CloudWatchMetrics": [directive] }));
        }
        line.insert("message".to_owned(), self.what.into());
        line.insert("Stack".to_owned(), scope.stack.as_str().into());
        line.insert("Function".to_owned(), scope.function.into());
        line.extend(self.dimensions.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())));
        line.extend(self.details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        line.extend(numbers);
        line.into()
    }
}

/// For a person: what happened, and then everything by name.
impl fmt::Display for Measure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.what)?;
        self.dimensions.iter().try_for_each(|(name, value)| write!(formatter, " {name}={value}"))?;
        self.details.iter().try_for_each(|(name, value)| write!(formatter, " {name}={value}"))?;
        self.metrics.iter().try_for_each(|(name, _, values)| match values.as_slice() {
            [value] => write!(formatter, " {name}={value}"),
            values => write!(formatter, " {name}={}", json!(values)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope::new("sync", "acme-sync")
    }

    fn call() -> Measure {
        Measure::new("called GitLab")
            .by([("Kind", "commits")])
            .by([("Outcome", "ok")])
            .times("GitlabLatency", [Duration::from_micros(12_345)])
            .counts([("Found", 2), ("Missing", 0)])
            .detail("site.id", "01J")
    }

    #[test]
    fn a_measure_is_a_line_of_the_embedded_metric_format() {
        insta::assert_json_snapshot!(call().lines(&scope(), Timestamp(1_767_600_000_000)));
    }

    /// What the specification requires of a line, and of what it names.
    #[test]
    fn whatever_a_line_names_it_has() {
        for measure in [call(), Measure::new("counted").level("SitesNeedingAttention", 0)] {
            for line in measure.lines(&scope(), Timestamp(1)) {
                assert!(line["_aws"]["Timestamp"].is_i64());
                for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
                    assert_eq!(directive["Namespace"], NAMESPACE);
                    let sets = directive["Dimensions"].as_array().unwrap();
                    assert!(!sets.is_empty());
                    for name in sets.iter().flat_map(|set| set.as_array().unwrap()) {
                        let value = line[name.as_str().unwrap()].as_str().unwrap();
                        assert!((1..=1024).contains(&value.len()) && value.is_ascii(), "{name}: {value}");
                    }
                    let metrics = directive["Metrics"].as_array().unwrap();
                    assert!((1..=100).contains(&metrics.len()));
                    for metric in metrics {
                        assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
                    }
                }
            }
        }
    }

    #[test]
    fn more_values_than_a_line_takes_are_several_lines() {
        let waits = (0..150).map(Duration::from_millis);
        let lines =
            Measure::new("settled").times("Wait", waits).count("Done", 150).lines(&scope(), Timestamp(1));
        let sizes: Vec<_> = lines.iter().map(|line| line["Wait"].as_array().unwrap().len()).collect();
        assert_eq!(sizes, [100, 50]);
        assert_eq!(lines[0]["Done"], 150);
        assert_eq!(lines[1].get("Done"), None);
        assert_eq!(lines[1]["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn without_numbers_it_is_a_line_all_the_same() {
        let lines =
            Measure::new("settled").counts([("Done", 0)]).times("Wait", []).lines(&scope(), Timestamp(1));
        assert_eq!(lines, [json!({ "message": "settled", "Stack": "acme", "Function": "sync" })]);
    }

    #[test]
    fn the_stack_is_what_stands_before_the_function_in_its_name() {
        for (name, stack) in
            [("acme-sync", "acme"), ("a-b-sync", "a-b"), ("sync", "sync"), ("other", "other")]
        {
            assert_eq!(Scope::new("sync", name).stack, stack);
        }
    }

    #[test]
    fn an_observer_is_told_of_every_number_and_of_no_detail() {
        let measure = call().level("SitesNeedingAttention", 0);
        let samples: Vec<_> = measure.samples().map(|it| (it.name, it.meaning, it.number)).collect();
        let expected = [
            ("GitlabLatency", Meaning::Time, 12.345),
            ("Found", Meaning::Events, 2.0),
            ("SitesNeedingAttention", Meaning::Level, 0.0),
        ];
        assert_eq!(samples, expected);
        let dimensions = [("Kind", "commits".to_owned()), ("Outcome", "ok".to_owned())];
        assert!(measure.samples().all(|sample| sample.dimensions == dimensions));
    }

    #[test]
    fn elsewhere_it_reads_as_a_line_of_the_log() {
        assert_eq!(
            call().to_string(),
            "called GitLab Kind=commits Outcome=ok site.id=\"01J\" GitlabLatency=12.345 Found=2"
        );
    }
}
