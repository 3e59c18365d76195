//! `history`: its subcommands and flags.

use clap::Subcommand;

use super::TargetArgs;
use crate::operate::{Command, HistoryAction};

/// Commands for a link's history.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// Shows how far the history has come, project by project.
    #[command(after_help = "Example: gitlab-jira history show 01J8Z3W2V1")]
    Show {
        /// The link's id, as `group list` shows it.
        link: String,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Starts the history over: sends what Jira does not have, as far as we know; with `--full` everything.
    #[command(after_help = "Example: gitlab-jira history resync 01J8Z3W2V1 --full")]
    Resync {
        /// The link's id, as `group list` shows it.
        link: String,
        /// Sends again what Jira was sent before.
        #[arg(long)]
        full: bool,
        /// Goes back to the beginning instead of a year, and 90 days for pipelines and deployments. Those may trigger
        /// automation rules in Jira.
        #[arg(long)]
        all: bool,
        /// The full path of the only project to send; all of the group's if missing.
        #[arg(long)]
        project: Option<String>,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Compares what GitLab has with what Jira accepted, and sends what is missing.
    ///
    /// It goes as far back as history does. What is under two weeks old is sent as its event would have been. Branches that
    /// GitLab no longer has are removed from issues. `history show` says what was found.
    #[command(after_help = "Example: gitlab-jira history audit 01J8Z3W2V1")]
    Audit {
        /// The link's id, as `group list` shows it.
        link: String,
        /// Removes branches that GitLab no longer has even if there are many: more than 20 of a project, and more than one
        /// in ten.
        #[arg(long)]
        remove_branches: bool,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Pauses the history; live events go on.
    #[command(after_help = "Example: gitlab-jira history pause 01J8Z3W2V1")]
    Pause {
        /// The link's id, as `group list` shows it.
        link: String,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Goes on with the history after a pause, or once what stopped it is fixed.
    #[command(after_help = "Example: gitlab-jira history resume 01J8Z3W2V1")]
    Resume {
        /// The link's id, as `group list` shows it.
        link: String,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Ends the history; what was sent stays.
    #[command(after_help = "Example: gitlab-jira history cancel 01J8Z3W2V1")]
    Cancel {
        /// The link's id, as `group list` shows it.
        link: String,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
}

impl HistoryCommand {
    pub(super) fn command(self) -> (Command, TargetArgs) {
        let (link, action, target) = match self {
            Self::Show { link, target } => (link, HistoryAction::Show, target),
            Self::Resync { link, full, all, project, target } => {
                (link, HistoryAction::Resync { full, all, project }, target)
            }
            Self::Audit { link, remove_branches, target } => {
                (link, HistoryAction::Audit { remove_branches }, target)
            }
            Self::Pause { link, target } => (link, HistoryAction::Pause, target),
            Self::Resume { link, target } => (link, HistoryAction::Resume, target),
            Self::Cancel { link, target } => (link, HistoryAction::Cancel, target),
        };
        (Command::History { link, action }, target)
    }
}
