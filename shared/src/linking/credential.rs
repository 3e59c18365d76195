//! What a link reads GitLab with: a group access token made for it, a token that was given, or nothing.

use std::time::Duration;

use secrecy::SecretString;

use super::link::{LinkNote, PendingLink};
use super::{CredentialChoice, GitlabPurpose, LinkError};
use crate::domain::{Credential, CredentialMode};
use crate::envelope::Context;
use crate::gitlab::client::{GitlabError, User};

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

/// [`READ`] for GitLab before 17.9, which does not have the scope `self_rotate`.
const READ_BEFORE_SELF_ROTATE: TokenKind = TokenKind { scopes: &["read_api", "read_repository"], ..READ };

impl PendingLink<'_> {
    /// Stores what was chosen.
    pub(super) async fn keep_credential(&mut self) -> Result<(), LinkError> {
        let failed = LinkError::gitlab(&self.plan.instance, GitlabPurpose::CreateToken);
        match self.plan.request.credential {
            CredentialChoice::None => {
                self.notes.push(LinkNote::NoToken);
                Ok(())
            }
            CredentialChoice::Given => self.keep_given().await,
            CredentialChoice::Managed => {
                let token = self.create_token(&MANAGED).await.map_err(failed)?;
                self.keep(MANAGED.mode, &token).await
            }
            CredentialChoice::Read => {
                let token = match self.create_token(&READ).await {
                    Err(GitlabError::Rejected(_)) => self.create_token(&READ_BEFORE_SELF_ROTATE).await,
                    token => token,
                };
                self.keep(READ.mode, &token.map_err(failed)?).await
            }
            CredentialChoice::Auto if self.plan.is_owner => match self.create_token(&MANAGED).await {
                Ok(token) => self.keep(MANAGED.mode, &token).await,
                Err(GitlabError::Rejected(_) | GitlabError::Forbidden | GitlabError::NotFound) => {
                    self.keep_given().await
                }
                Err(error) => Err(failed(error)),
            },
            CredentialChoice::Auto => self.keep_given().await,
        }
    }

    async fn keep_given(&mut self) -> Result<(), LinkError> {
        let (user, token) = match &self.plan.request.kept_token {
            None => (self.plan.user.clone(), self.plan.request.gitlab_token.clone()),
            Some(token) => (self.user_of(token).await?, token.clone()),
        };
        self.notes.push(LinkNote::GivenTokenKept { username: user.username, is_bot: user.bot });
        self.keep(CredentialMode::Pasted, &token).await
    }

    /// Whose token it is that is to be kept beside the one that links: it has to work, and to see the group.
    async fn user_of(&self, token: &SecretString) -> Result<User, LinkError> {
        let instance = &self.plan.instance;
        let gitlab = self.linking.gitlab_with(&self.subscription, token.clone())?;
        let user = gitlab.user().await.map_err(LinkError::gitlab(instance, GitlabPurpose::ReadUser))?;
        let group = gitlab.group(&self.plan.group.id.to_string()).await;
        group.map_err(LinkError::gitlab(instance, GitlabPurpose::ReadGroup))?;
        Ok(user)
    }

    async fn create_token(&mut self, kind: &TokenKind) -> Result<SecretString, GitlabError> {
        let expires_at = self.linking.clock.now().after(TOKEN_LIFETIME).iso8601();
        // GitLab wants the day alone: YYYY-MM-DD.
        let day = expires_at.split('T').next().unwrap_or_default();
        let (group, level) = (self.plan.group.id, kind.access_level);
        let created = self.plan.gitlab.create_group_token(group, kind.scopes, level, day).await?;
        self.token_id = Some(created.id);
        Ok(created.token)
    }

    async fn keep(&mut self, mode: CredentialMode, token: &SecretString) -> Result<(), LinkError> {
        let context = Context::gitlab_token(self.subscription.site, self.subscription.id);
        let sealed = self.linking.envelope.seal(token, &context).await?;
        let credential = Credential { mode, token: sealed, token_id: self.token_id };
        self.change(move |link| link.credential = Some(credential.clone())).await
    }
}
