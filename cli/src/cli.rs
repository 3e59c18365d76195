//! What a person can type.

mod bundle;
mod group;
mod history;
mod options;

use std::net::SocketAddr;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

pub use bundle::{Bundle, DataDirectory};
pub use group::GroupAction;
pub use history::HistoryCommand;
pub use options::{Confirmation, LogFormat, TargetArgs};

use crate::operate::{Command, ConnectionName};
use crate::settings;
use crate::terminal::{SecretOption, confirm, secret};

/// What scripts may rely on.
const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 refused or failed, or a check of doctor failed; 2 wrong usage.";

/// Apart from the variables, which need the long help.
const SERVE_EXAMPLE: &str =
    "Example: BASE_URL=https://gitlab-jira.example.com gitlab-jira serve --data-dir /var/lib/gitlab-jira";

/// GitLab's branches, commits, merge requests, pipelines, deployments and feature flags on Jira's issues.
#[derive(Debug, Parser)]
#[command(name = "gitlab-jira", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub action: Action,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Plays a story against stand-ins of Jira and GitLab.
    #[command(after_help = "Example: gitlab-jira demo --connection oauth")]
    Demo {
        /// Exits after the story, with an error unless everything arrived.
        #[arg(long)]
        once: bool,
        /// The connection to Jira.
        #[arg(long, value_enum, default_value_t = ConnectionName::Forge)]
        connection: ConnectionName,
        /// Address and port of the page.
        #[arg(long, default_value = "127.0.0.1:8642")]
        listen: SocketAddr,
    },
    /// Runs the bundle in one process, until it is stopped.
    #[command(after_help = SERVE_EXAMPLE, after_long_help = format!("{}\n\n{SERVE_EXAMPLE}", settings::help()))]
    Serve {
        /// Address and port that GitLab's and Jira's requests come to, usually through a reverse proxy.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Loopback address and port of `GET /status` and, for Prometheus, `GET /metrics`.
        #[arg(long, default_value = "127.0.0.1:0")]
        admin_listen: SocketAddr,
        /// Where its state, queues and key are.
        #[command(flatten)]
        directory: DataDirectory,
        /// The format of log lines.
        #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
        log_format: LogFormat,
    },
    /// Opens the page that links groups, in a browser.
    #[command(after_help = "Example: gitlab-jira open --stack gitlab-for-jira")]
    Open {
        /// Prints the link instead, as --json does, too.
        #[arg(long)]
        no_browser: bool,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Manages Jira sites and their connections.
    #[command(subcommand)]
    Site(SiteAction),
    /// Links GitLab groups to Jira sites.
    #[command(subcommand)]
    Group(GroupAction),
    /// Brings to Jira what happened before a group was linked, or what was missed.
    #[command(subcommand)]
    History(HistoryCommand),
    /// Prints what the Forge app needs.
    #[command(subcommand)]
    Forge(ForgeAction),
    /// Manages the key that secrets are sealed with.
    #[command(subcommand)]
    Key(KeyAction),
    /// Shows queues, sites, and links that need attention.
    #[command(after_help = "Example: gitlab-jira status --stack gitlab-for-jira")]
    Status {
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Checks address, clock, key, queues, sites, links and, on AWS, alarms.
    #[command(after_help = "Example: gitlab-jira doctor --stack gitlab-for-jira")]
    Doctor {
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Says why something is, or is not, on an issue, or what a delivery led to.
    #[command(after_help = "Example: gitlab-jira explain PAY-7 --project acme/payments/api")]
    Explain {
        /// The key, or the id of a delivery that GitLab shows in a webhook's recent events.
        key: String,
        /// The full path of the project with the branch or merge request: says whether a link covers it, and how far its
        /// history has come.
        #[arg(long)]
        project: Option<String>,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Lists and redrives dead-lettered messages.
    #[command(subcommand)]
    Dlq(DlqAction),
    /// Prints the completions of a shell.
    #[command(
        after_help = "Example: gitlab-jira completions bash > ~/.local/share/bash-completion/completions/gitlab-jira"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Commands for sites.
#[derive(Debug, Subcommand)]
pub enum SiteAction {
    /// Adds OAuth credentials as a connection of a site, or renews them.
    #[command(
        after_help = "Example: gitlab-jira site add --site acme.atlassian.net --client-id ID --client-secret-stdin < secret"
    )]
    Add {
        /// The site's host name, such as acme.atlassian.net.
        #[arg(long)]
        site: String,
        /// The client id of the OAuth credentials.
        #[arg(long)]
        client_id: String,
        /// Reads the client secret from standard input. At a terminal the command asks for it.
        #[arg(long)]
        client_secret_stdin: bool,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Lists sites with their connections.
    #[command(after_help = "Example: gitlab-jira site list --json")]
    List {
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Makes another connection of a site the writing one, and deletes from Jira what the previous one had sent.
    #[command(after_help = "Example: gitlab-jira site switch --site acme.atlassian.net --to forge")]
    Switch {
        /// The site's host name, clientKey or id.
        #[arg(long)]
        site: String,
        /// The connection that is to write.
        #[arg(long, value_enum)]
        to: ConnectionName,
        /// Keeps in Jira what the previous connection had sent.
        #[arg(long)]
        keep_jira_data: bool,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Sends keys again of projects that Jira did not have: run it after creating one. Otherwise that takes up to a day.
    #[command(after_help = "Example: gitlab-jira site recheck --site acme.atlassian.net")]
    Recheck {
        /// The site's host name, clientKey or id.
        #[arg(long)]
        site: String,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Removes a site that has no links, with its connections.
    #[command(after_help = "Example: gitlab-jira site remove --site acme.atlassian.net")]
    Remove {
        /// The site's host name, clientKey or id.
        #[arg(long)]
        site: String,
        /// Whether to ask.
        #[command(flatten)]
        confirmation: Confirmation,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
}

/// Commands for the Forge app.
#[derive(Debug, Subcommand)]
pub enum ForgeAction {
    /// Prints the app's manifest with this bundle's addresses.
    #[command(
        after_help = "Example: gitlab-jira forge manifest --app-id ari:cloud:ecosystem::app/UUID > manifest.yml"
    )]
    Manifest {
        /// The app's id, as `forge register` prints it.
        #[arg(long)]
        app_id: String,
        /// The key of the Connect app that it replaces in Jira.
        #[arg(long)]
        connect_key: Option<String>,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
}

/// Commands for the key of a data directory.
#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// Makes a new key and seals every secret again under it, whether or not `serve` runs.
    #[command(after_help = "Example: gitlab-jira key rotate --data-dir /var/lib/gitlab-jira")]
    Rotate {
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
}

/// Commands for dead-lettered messages.
#[derive(Debug, Subcommand)]
pub enum DlqAction {
    /// Lists dead-lettered messages, newest first.
    #[command(after_help = "Example: gitlab-jira dlq list --limit 10")]
    List {
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Puts dead-lettered messages back on their queue.
    #[command(after_help = "Example: gitlab-jira dlq redrive --yes")]
    Redrive {
        /// Only the messages with these ids; all if none is given.
        ids: Vec<String>,
        /// Whether to ask.
        #[command(flatten)]
        confirmation: Confirmation,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
}

impl Action {
    /// The operator command; `None` for what is none.
    pub fn command(self) -> anyhow::Result<Option<(Command, TargetArgs)>> {
        Ok(Some(match self {
            Self::Demo { .. } | Self::Serve { .. } | Self::Open { .. } | Self::Completions { .. } => {
                return Ok(None);
            }
            Self::Site(action) => action.command()?,
            Self::Group(action) => action.command()?,
            Self::History(action) => action.command(),
            Self::Forge(ForgeAction::Manifest { app_id, connect_key, target }) => {
                (Command::ForgeManifest { app_id, connect_key }, target)
            }
            Self::Key(KeyAction::Rotate { target }) => (Command::KeyRotate, target),
            Self::Doctor { target } => (Command::Doctor, target),
            Self::Status { target } => (Command::Status, target),
            Self::Explain { key, project, target } => (Command::Explain { key, project }, target),
            Self::Dlq(DlqAction::List { limit, target }) => (Command::DlqList { limit }, target),
            Self::Dlq(DlqAction::Redrive { ids, confirmation, target }) => {
                if ids.is_empty() {
                    confirm("This puts every dead-lettered message back on its queue.", confirmation.yes)?;
                }
                (Command::DlqRedrive { ids }, target)
            }
        }))
    }
}

impl SiteAction {
    fn command(self) -> anyhow::Result<(Command, TargetArgs)> {
        Ok(match self {
            Self::Add { site, client_id, client_secret_stdin, target } => {
                let option = SecretOption { name: "--client-secret-stdin", is_given: client_secret_stdin };
                let client_secret = secret("Client secret", option)?;
                (Command::SiteAdd { site, client_id, client_secret }, target)
            }
            Self::List { target } => (Command::SiteList, target),
            Self::Switch { site, to, keep_jira_data, target } => {
                (Command::SiteSwitch { site, to, keep_jira_data }, target)
            }
            Self::Recheck { site, target } => (Command::SiteRecheck { site }, target),
            Self::Remove { site, confirmation, target } => {
                confirm(&format!("This removes the site {site} with its connections."), confirmation.yes)?;
                (Command::SiteRemove { site }, target)
            }
        })
    }
}

/// What `shell` completes the program's commands and options by.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gitlab-jira", &mut script);
    script
}
