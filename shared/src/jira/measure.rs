//! Every call to Atlassian in numbers: through which connection, to which API, how it ended and how long it took.

use std::time::Instant;

use super::client::JiraError;
use crate::domain::ConnectionKind;
use crate::telemetry::Measure;

impl JiraError {
    /// How a call ended, in a word.
    fn outcome(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::TooLarge(_) => "refused",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::PermissionsPropagating => "settling",
            Self::Renamed => "renamed",
            Self::NotFound => "not_found",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } | Self::NoAnswer(_) => "unavailable",
            Self::Unexpected(_) => "unexpected",
        }
    }
}

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
