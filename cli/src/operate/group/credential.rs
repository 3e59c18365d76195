//! What a link reads GitLab with: a group access token made for it, a token that was given, or nothing.

use std::time::Duration;

use secrecy::SecretString;
use shared::domain::{Credential, CredentialMode};
use shared::gitlab::client::GitlabError;
use shared::sync::verify::gitlab_token_context;

use super::link::Plan;
use super::making::Making;
use crate::operate::{CredentialChoice, Refusal, trouble};

/// GitLab lets access tokens live for 365 days; a day less, because its today may be our yesterday.
const TOKEN_LIFETIME: Duration = Duration::from_secs(364 * 24 * 3600);

/// A group access token as GitLab is asked for it.
struct TokenKind {
    mode: CredentialMode,
    scopes: &'static [&'static str],
    access_level: u32,
}

/// Repairs project hooks as well.
const MANAGED: TokenKind = TokenKind { mode: CredentialMode::Managed, scopes: &["api"], access_level: 40 };

/// Reads as a Developer does.
const READ: TokenKind = TokenKind {
    mode: CredentialMode::Read,
    scopes: &["read_api", "read_repository", "self_rotate"],
    access_level: 30,
};

/// [`READ`] for GitLab before 17.9, which does not know the scope `self_rotate`.
const READ_BEFORE_SELF_ROTATE: TokenKind = TokenKind { scopes: &["read_api", "read_repository"], ..READ };

impl Making<'_> {
    /// Stores what was chosen.
    pub(super) async fn keep_credential(&mut self) -> Result<(), Refusal> {
        let plan = self.plan;
        let failed = |error: &GitlabError| no_token(error, plan);
        match self.plan.request.credential {
            CredentialChoice::None => {
                self.notes.push(
                    "No token is kept: deployments are not synced, and everything else as far as hooks tell it."
                        .to_owned(),
                );
                Ok(())
            }
            CredentialChoice::Given => self.keep_given().await,
            CredentialChoice::Managed => {
                let token = self.make_token(&MANAGED).await.map_err(|error| failed(&error))?;
                self.keep(MANAGED.mode, &token).await
            }
            CredentialChoice::Read => {
                let token = match self.make_token(&READ).await {
                    Err(GitlabError::Rejected(_)) => self.make_token(&READ_BEFORE_SELF_ROTATE).await,
                    token => token,
                };
                let token = token.map_err(|error| failed(&error))?;
                self.keep(READ.mode, &token).await
            }
            CredentialChoice::Auto if self.plan.is_owner => match self.make_token(&MANAGED).await {
                Ok(token) => self.keep(MANAGED.mode, &token).await,
                Err(GitlabError::Rejected(_) | GitlabError::Forbidden | GitlabError::NotFound) => {
                    self.keep_given().await
                }
                Err(error) => Err(failed(&error)),
            },
            CredentialChoice::Auto => self.keep_given().await,
        }
    }

    async fn keep_given(&mut self) -> Result<(), Refusal> {
        let user = &self.plan.user;
        self.notes.push(format!(
            "The given token of @{} is kept to read GitLab with{}.",
            user.username,
            if user.bot { "" } else { "; a bot's would outlast the person" }
        ));
        let token = self.plan.request.gitlab_token.0.clone();
        self.keep(CredentialMode::Pasted, &token).await
    }

    async fn make_token(&mut self, kind: &TokenKind) -> Result<SecretString, GitlabError> {
        let expires_at = self.operator.clock.now().after(TOKEN_LIFETIME).iso8601();
        // GitLab wants the day alone: YYYY-MM-DD.
        let day = expires_at.split('T').next().unwrap_or_default();
        let (group, level) = (self.plan.group.id, kind.access_level);
        let created = self.plan.gitlab.create_group_token(group, kind.scopes, level, day).await?;
        self.token_id = Some(created.id);
        Ok(created.token)
    }

    async fn keep(&mut self, mode: CredentialMode, token: &SecretString) -> Result<(), Refusal> {
        let sealed = self.operator.envelope.seal(token, &gitlab_token_context(&self.subscription)).await?;
        let credential = Credential { mode, token: sealed, token_id: self.token_id };
        self.change(move |link| link.credential = Some(credential.clone())).await
    }
}

/// GitLab made no group access token.
fn no_token(error: &GitlabError, plan: &Plan) -> Refusal {
    let cause = match error {
        GitlabError::Rejected(text) => text.trim_end_matches('.'),
        GitlabError::Forbidden | GitlabError::NotFound => "not allowed",
        error => return trouble::of_gitlab(error, &plan.instance, "make a group access token"),
    };
    Refusal::new(format!(
        "{} makes no access token for {} ({cause}): it asks for an Owner who is no bot, and on GitLab.com for Premium or Ultimate; else use `--credential given`.",
        plan.instance, plan.group.full_path
    ))
}
