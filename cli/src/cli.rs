//! What a person can type.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;

use crate::operate::{Command, ConnectionName, CredentialChoice, GroupLink, Hidden};

/// GitLab's branches, commits, merge requests, pipelines, deployments and feature flags on Jira's issues.
#[derive(Debug, Parser)]
#[command(name = "gitlab-jira", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Plays the whole story against stand-ins of Jira and GitLab.
    Demo {
        /// Ends after the story, and fails unless everything arrived.
        #[arg(long)]
        once: bool,
        /// How the bundle gets into Jira.
        #[arg(long, value_enum, default_value_t = ConnectionName::Forge)]
        connection: ConnectionName,
        /// Where the page is.
        #[arg(long, default_value = "127.0.0.1:8642")]
        listen: SocketAddr,
    },
    /// Runs the bundle in one process.
    Serve {
        /// Where GitLab and Jira reach it.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Where its owner asks for its status.
        #[arg(long, default_value = "127.0.0.1:0")]
        admin_listen: SocketAddr,
        /// Where it keeps its state, queues and key.
        #[arg(long, env = "GITLAB_JIRA_DATA_DIR", default_value = ".data")]
        data_dir: PathBuf,
    },
    /// Jira sites.
    #[command(subcommand)]
    Site(SiteAction),
    /// GitLab groups linked to Jira sites.
    #[command(subcommand)]
    Group(GroupAction),
    /// The Forge app.
    #[command(subcommand)]
    Forge(ForgeAction),
    /// Queues, sites and links at a glance.
    Status {
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
    /// Tries what everything else rests on: address, clock, key, queues, hooks and, on AWS, alarms.
    Doctor {
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
    /// Why something is, or is not, on an issue.
    Explain {
        /// The key.
        key: String,
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
    /// Messages that were given up.
    #[command(subcommand)]
    Dlq(DlqAction),
}

/// Where a command acts and how it answers.
#[derive(Clone, Debug, Args)]
pub struct On {
    /// The data directory of the bundle.
    #[arg(long, env = "GITLAB_JIRA_DATA_DIR", default_value = ".data")]
    pub data_dir: PathBuf,
    /// The CloudFormation stack of the bundle instead, through the caller's own AWS credentials.
    #[arg(long, conflicts_with = "data_dir")]
    pub stack: Option<String>,
    /// Answers JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to do with sites.
#[derive(Debug, Subcommand)]
pub enum SiteAction {
    /// Opens the OAuth-credentials connection of a site.
    Add {
        /// Its host, such as acme.atlassian.net.
        #[arg(long)]
        site: String,
        /// The credentials' client id.
        #[arg(long)]
        client_id: String,
        /// Reads the credentials' secret from standard input.
        #[arg(long, required = true)]
        client_secret_stdin: bool,
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
    /// Lists sites with their connections and what each needs.
    List {
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
    /// Lets another connection of a site write: removes from Jira what the one before had sent.
    Switch {
        /// Its host name or id.
        #[arg(long)]
        site: String,
        /// The connection that is to write.
        #[arg(long, value_enum)]
        to: ConnectionName,
        /// Leaves at Jira what the connection before had sent.
        #[arg(long)]
        keep_jira_data: bool,
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
    /// Forgets a site without links.
    Remove {
        /// Its host name or clientKey.
        #[arg(long)]
        site: String,
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
}

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub enum GroupAction {
    /// Links a group to a site.
    Link {
        /// The site's host name or clientKey.
        #[arg(long)]
        site: String,
        /// The group's full path.
        #[arg(long)]
        group: String,
        /// The GitLab it is in; GITLAB_URL if missing.
        #[arg(long)]
        gitlab_url: Option<String>,
        /// Reads a token of a Maintainer or Owner of the group from standard input.
        #[arg(long, required = true)]
        gitlab_token_stdin: bool,
        /// Makes no hook and prints the secrets for one made by hand.
        #[arg(long)]
        no_hook: bool,
        /// Only issue keys of these Jira projects.
        #[arg(long, value_delimiter = ',')]
        project_keys: Vec<String>,
        /// What is stored to read GitLab with.
        #[arg(long, value_enum, default_value_t)]
        credential: CredentialChoice,
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
    /// Lists linked groups.
    List {
        /// Only this site's.
        #[arg(long)]
        site: Option<String>,
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
    /// Unlinks a group.
    Unlink {
        /// The subscription's id, as `group list` shows it.
        subscription: String,
        /// Leaves what was sent at Jira: for sites that are gone, or whose credential is.
        #[arg(long)]
        keep_jira_data: bool,
        /// Reads an Owner's token from standard input: GitLab lets nobody else remove a group's hook.
        #[arg(long)]
        gitlab_token_stdin: bool,
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
}

/// What to do with the Forge app.
#[derive(Debug, Subcommand)]
pub enum ForgeAction {
    /// Prints the app's manifest, with where Forge reaches this bundle.
    Manifest {
        /// The app's id, as `forge register` prints it.
        #[arg(long)]
        app_id: String,
        /// The key of the Connect app whose place it takes in Jira, with all that was sent.
        #[arg(long)]
        connect_key: Option<String>,
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
}

/// What to do with messages that were given up.
#[derive(Debug, Subcommand)]
pub enum DlqAction {
    /// Lists them, newest first.
    List {
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
    /// Tries them again.
    Redrive {
        /// Only these; all if none is named.
        ids: Vec<String>,
        /// Where and how.
        #[command(flatten)]
        on: On,
    },
}

impl Action {
    /// The operator command a person typed; `None` for `demo` and `serve`.
    pub fn command(self) -> anyhow::Result<Option<(Command, On)>> {
        Ok(Some(match self {
            Self::Demo { .. } | Self::Serve { .. } => return Ok(None),
            Self::Site(action) => action.command()?,
            Self::Group(action) => action.command()?,
            Self::Forge(ForgeAction::Manifest { app_id, connect_key, on }) => {
                (Command::ForgeManifest { app_id, connect_key }, on)
            }
            Self::Doctor { on } => (Command::Doctor, on),
            Self::Status { on } => (Command::Status, on),
            Self::Explain { key, on } => (Command::Explain { key }, on),
            Self::Dlq(DlqAction::List { limit, on }) => (Command::DlqList { limit }, on),
            Self::Dlq(DlqAction::Redrive { ids, on }) => (Command::DlqRedrive { ids }, on),
        }))
    }
}

impl SiteAction {
    fn command(self) -> anyhow::Result<(Command, On)> {
        Ok(match self {
            Self::Add { site, client_id, on, .. } => {
                (Command::SiteAdd { site, client_id, client_secret: secret_from_stdin()? }, on)
            }
            Self::List { on } => (Command::SiteList, on),
            Self::Switch { site, to, keep_jira_data, on } => {
                (Command::SiteSwitch { site, to, keep_jira_data }, on)
            }
            Self::Remove { site, on } => (Command::SiteRemove { site }, on),
        })
    }
}

impl GroupAction {
    fn command(self) -> anyhow::Result<(Command, On)> {
        Ok(match self {
            Self::Link { site, group, gitlab_url, no_hook, project_keys, credential, on, .. } => {
                let gitlab_token = secret_from_stdin()?;
                let link =
                    GroupLink { site, group, gitlab_url, gitlab_token, no_hook, project_keys, credential };
                (Command::GroupLink(link), on)
            }
            Self::List { site, on } => (Command::GroupList { site }, on),
            Self::Unlink { subscription, keep_jira_data, gitlab_token_stdin, on } => {
                let gitlab_token = if gitlab_token_stdin { Some(secret_from_stdin()?) } else { None };
                (Command::GroupUnlink { subscription, keep_jira_data, gitlab_token }, on)
            }
        })
    }
}

/// Secrets come through standard input, so that they stand in no history and no list of processes.
fn secret_from_stdin() -> anyhow::Result<Hidden> {
    /// Longer than any token.
    const MAX_SECRET: u64 = 64 * 1024;
    let mut text = String::new();
    std::io::stdin().take(MAX_SECRET).read_to_string(&mut text).context("standard input can't be read")?;
    let secret = text.trim();
    anyhow::ensure!(!secret.is_empty(), "the secret is expected on standard input");
    Ok(Hidden(SecretString::from(secret)))
}
