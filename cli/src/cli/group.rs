//! `group`: its subcommands and flags.

use clap::Subcommand;

use super::{Confirmation, TargetArgs};
use crate::operate::{Command, CredentialChoice, GroupLink, Hidden};
use crate::terminal::{SecretOption, confirm, secret};

/// What unlinking does at Jira by default.
const UNLINKED: &str = "deletes from Jira what no other link covers";

/// Commands for groups.
#[derive(Debug, Subcommand)]
pub enum GroupAction {
    /// Links a group to a site, or renews the link that it has: replaces its token and repairs its hooks.
    #[command(
        after_help = "Example: gitlab-jira group link --site acme.atlassian.net --group acme/payments --gitlab-token-stdin < token"
    )]
    Link {
        /// The site's host name, clientKey or id.
        #[arg(long)]
        site: String,
        /// The group's full path.
        #[arg(long)]
        group: String,
        /// Base URL of its GitLab instance; GITLAB_URL if missing.
        #[arg(long)]
        gitlab_url: Option<String>,
        /// Reads a token of a Maintainer or Owner of the group from standard input. At a terminal the command asks for it.
        #[arg(long)]
        gitlab_token_stdin: bool,
        /// Creates no hook, and prints the secrets for one that you create by hand.
        #[arg(long)]
        no_hook: bool,
        /// Sends nothing that happened before, now; `history resync` does it later.
        #[arg(long = "no-history", action = clap::ArgAction::SetFalse)]
        history: bool,
        /// Sends only issue keys of these Jira projects, separated by commas.
        #[arg(long, value_delimiter = ',')]
        project_keys: Vec<String>,
        /// The token that is stored to read GitLab with.
        #[arg(long, value_enum, default_value_t)]
        credential: CredentialChoice,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Lists linked groups.
    #[command(after_help = "Example: gitlab-jira group list --site acme.atlassian.net")]
    List {
        /// Only the groups of this site: its host name, clientKey or id.
        #[arg(long)]
        site: Option<String>,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Unlinks a group: removes its hooks and token, and from Jira what no other link covers.
    #[command(after_help = "Example: gitlab-jira group unlink 01J8Z3W2V1 --gitlab-token-stdin < token")]
    Unlink {
        /// The link's id, as `group list` shows it.
        subscription: String,
        /// Keeps in Jira what was sent: for sites that no longer exist, or whose credential no longer works.
        #[arg(long)]
        keep_jira_data: bool,
        /// Reads an Owner's token from standard input, or asks for it at a terminal: only an Owner may remove a group's hook.
        #[arg(long)]
        gitlab_token_stdin: bool,
        /// Whether to ask.
        #[command(flatten)]
        confirmation: Confirmation,
        /// Which bundle, and how to answer.
        #[command(flatten)]
        target: TargetArgs,
    },
}

impl GroupAction {
    pub(super) fn command(self) -> anyhow::Result<(Command, TargetArgs)> {
        Ok(match self {
            Self::Link {
                site,
                group,
                gitlab_url,
                gitlab_token_stdin,
                no_hook,
                history,
                project_keys,
                credential,
                target,
            } => {
                let gitlab_token = gitlab_token(gitlab_token_stdin)?;
                let link = GroupLink {
                    site,
                    group,
                    gitlab_url,
                    gitlab_token,
                    no_hook,
                    history,
                    project_keys,
                    credential,
                };
                (Command::GroupLink(link), target)
            }
            Self::List { site, target } => (Command::GroupList { site }, target),
            Self::Unlink { subscription, keep_jira_data, gitlab_token_stdin, confirmation, target } => {
                let sent = if keep_jira_data { "keeps in Jira what was sent" } else { UNLINKED };
                let consequence =
                    format!("This removes hooks and token of the link {subscription}, and {sent}.");
                confirm(&consequence, confirmation.yes)?;
                let gitlab_token = if gitlab_token_stdin { Some(gitlab_token(true)?) } else { None };
                (Command::GroupUnlink { subscription, keep_jira_data, gitlab_token }, target)
            }
        })
    }
}

fn gitlab_token(is_given: bool) -> anyhow::Result<Hidden> {
    secret("GitLab token", SecretOption { name: "--gitlab-token-stdin", is_given })
}
