//! `history`: its subcommands and flags.

use clap::Subcommand;

use super::TargetArgs;
use crate::operate::{Command, HistoryAction};

/// Commands for a link's history.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// Shows how far it has come, project by project.
    Show {
        /// The link's id, as `group list` shows it.
        link: String,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Starts over: sends what Jira does not have, as far as we know; with `--full` everything.
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
    /// Audits the link: compares what GitLab has with what Jira accepted, as far back as history goes, and sends what
    /// is missing. What is under two weeks old is sent as its event would have been. Branches that GitLab no longer has
    /// are removed from issues. `history show` says what was found.
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
    /// Pauses it; live events go on.
    Pause {
        /// The link's id, as `group list` shows it.
        link: String,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Goes on after a pause, or once what stopped it is fixed.
    Resume {
        /// The link's id, as `group list` shows it.
        link: String,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Ends it; what was sent stays.
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
