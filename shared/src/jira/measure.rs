//! Every call to Atlassian in numbers: through which connection, to which API, how it ended and how long it took.

use std::time::Instant;

use super::error::JiraError;
use crate::domain::ConnectionKind;
use crate::telemetry::Measure;

/// Notes a call to `api` that ended with `answer`.
pub(super) fn measure<T>(
    connection: ConnectionKind,
    api: &str,
    began: Instant,
    answer: &Result<T, JiraError>,
) {
    let outcome = answer.as_ref().err().map_or("ok", JiraError::outcome);
    Measure::new("called Jira")
        .by([("Connection", connection.name()), ("Api", api), ("Outcome", outcome)])
        .time("JiraLatency", began)
        .log();
}
