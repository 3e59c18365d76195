//! Every call to Atlassian in numbers: through which door, to which API, how it ended and how long it took.

use std::time::Instant;

use super::client::JiraError;
use crate::domain::DoorKind;
use crate::telemetry::Measure;

impl JiraError {
    /// How a call ended, in a word.
    fn outcome(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::TooLarge(_) => "refused",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::Settling => "settling",
            Self::Renamed => "renamed",
            Self::NotFound => "not_found",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } | Self::NoAnswer(_) => "unavailable",
            Self::Unexpected(_) => "unexpected",
        }
    }
}

/// Notes a call to `api` that ended with `answer`.
pub(super) fn measure<T>(door: DoorKind, api: &str, began: Instant, answer: &Result<T, JiraError>) {
    let outcome = answer.as_ref().err().map_or("ok", JiraError::outcome);
    Measure::new("called Jira")
        .by([("Door", door.name()), ("Api", api), ("Outcome", outcome)])
        .time("JiraLatency", began)
        .log();
}
