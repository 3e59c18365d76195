//! Options that several commands take.

use clap::{Args, ValueEnum};
use shared::telemetry::Format;

use super::Bundle;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a log service: one JSON object a line, as the functions on AWS log.
    Json,
    /// For a person.
    Text,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Text => Self::Text,
        }
    }
}

/// Which bundle a command is for, and how it answers.
#[derive(Clone, Debug, Args)]
pub struct TargetArgs {
    /// The bundle.
    #[command(flatten)]
    pub bundle: Bundle,
    /// Prints the answer, or the error, as JSON.
    #[arg(long)]
    pub json: bool,
}

/// For a command that can't be undone.
#[derive(Clone, Copy, Debug, Args)]
pub struct Confirmation {
    /// Does it without asking.
    #[arg(long, short)]
    pub yes: bool,
}
