//! Logs: structured, one line each, without secrets, tokens, bodies or addresses of people. Numbers that become metrics
//! belong to `measure`.

#[cfg(test)]
pub(crate) mod logged;
mod measure;

use std::ffi::OsString;
use std::io::IsTerminal as _;

use tracing_subscriber::filter::{EnvFilter, FilterExt as _, LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

pub use measure::{Meaning, Measure, NAMESPACE, Sample, Scope, observe, write_for_cloudwatch};

/// Libraries that log headers or bodies at `debug` or `trace`.
const QUIET: [&str; 10] = [
    "aws_config",
    "aws_runtime",
    "aws_sdk_dynamodb",
    "aws_smithy_runtime",
    "aws_smithy_runtime_api",
    "h2",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
];

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a log service.
    Json,
    /// For a person at a terminal.
    Text,
}

/// Starts logging to standard error at the level that `filter` (`RUST_LOG`) names. The second start in a process does
/// nothing.
pub fn init(format: Format, filter: Option<&str>) {
    // Both filters must let a record through, so that no directive of `RUST_LOG` is specific enough to open the second.
    let quiet = QUIET.map(|target| (target, LevelFilter::INFO));
    let quiet = Targets::new().with_default(LevelFilter::TRACE).with_targets(quiet);
    let filter = EnvFilter::new(filter.unwrap_or("info")).and(quiet);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && is_coloured(std::env::var_os("NO_COLOR")))
        // They would be written to the same standard error that could not be written, and panic.
        .log_internal_errors(false);
    let layer = match format {
        Format::Json => layer.json().flatten_event(true).with_current_span(true).boxed(),
        Format::Text => layer.with_target(false).boxed(),
    };
    // Another subscriber may be there already, as in a test that starts the process twice.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}

/// Unless `NO_COLOR` is set (<https://no-color.org>).
fn is_coloured(no_color: Option<OsString>) -> bool {
    no_color.is_none_or(|value| value.is_empty())
}

/// An error with all its causes, for a line of a log or a sentence.
#[must_use]
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
