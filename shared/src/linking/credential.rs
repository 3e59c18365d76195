//! What a link reads GitLab with: a group access token made for it, a token that was given, or nothing.

use std::time::Duration;

use secrecy::SecretString;

use super::link::LinkNote;
use super::plan::Plan;
use super::{CredentialChoice, GitlabPurpose, Leftover, LinkError, Linking};
use crate::clock::Timestamp;
use crate::domain::{Credential, CredentialMode, SiteId, SubscriptionId};
use crate::envelope::Context;
use crate::gitlab::client::{CreatedToken, GitlabError};

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

/// The last day of a token that is made or rotated now, as GitLab wants it: `YYYY-MM-DD`.
pub(super) fn last_day(now: Timestamp) -> String {
    let expires_at = now.after(TOKEN_LIFETIME).iso8601();
    expires_at.split('T').next().unwrap_or_default().to_owned()
}

/// A credential that is not stored yet.
pub(super) struct NewCredential {
    /// The credential; `None` where none is kept.
    pub(super) credential: Option<Credential>,
    /// What a person should know of it.
    pub(super) note: Option<LinkNote>,
}

impl NewCredential {
    /// GitLab's id of the group access token that was made.
    pub(super) fn token_id(&self) -> Option<u64> {
        self.credential.as_ref()?.token_id
    }
}

impl Linking {
    /// Makes or takes what was chosen, for a link of the plan's site. A token that was made and can't be sealed is revoked.
    pub(super) async fn new_credential(
        &self,
        plan: &Plan,
        link: SubscriptionId,
    ) -> Result<NewCredential, LinkError> {
        let failed = LinkError::gitlab(&plan.instance, GitlabPurpose::CreateToken);
        match plan.credential_choice() {
            CredentialChoice::None => Ok(NewCredential { credential: None, note: Some(LinkNote::NoToken) }),
            CredentialChoice::Given => self.given(plan, link).await,
            CredentialChoice::Managed => {
                let token = self.create_token(plan, &MANAGED).await.map_err(failed)?;
                self.created(plan, link, MANAGED.mode, token).await
            }
            CredentialChoice::Read => {
                let token = match self.create_token(plan, &READ).await {
                    Err(GitlabError::Rejected(_)) => self.create_token(plan, &READ_BEFORE_SELF_ROTATE).await,
                    token => token,
                };
                self.created(plan, link, READ.mode, token.map_err(failed)?).await
            }
            CredentialChoice::Auto if plan.is_owner => match self.create_token(plan, &MANAGED).await {
                Ok(token) => self.created(plan, link, MANAGED.mode, token).await,
                Err(GitlabError::Rejected(_) | GitlabError::Forbidden | GitlabError::NotFound) => {
                    self.given(plan, link).await
                }
                Err(error) => Err(failed(error)),
            },
            CredentialChoice::Auto => self.given(plan, link).await,
        }
    }

    /// The token that came with the request, or another that came to be kept: that one has to see the group.
    async fn given(&self, plan: &Plan, link: SubscriptionId) -> Result<NewCredential, LinkError> {
        let (gitlab, user, token) = match &plan.request.kept_token {
            None => (plan.gitlab.clone(), plan.user.clone(), &plan.request.gitlab_token),
            Some(token) => {
                let failed = |purpose| LinkError::gitlab(&plan.instance, purpose);
                let gitlab = plan.gitlab.with_token(token.clone());
                let user = gitlab.user().await.map_err(failed(GitlabPurpose::ReadUser))?;
                let group = gitlab.group(&plan.group.id.to_string()).await;
                group.map_err(failed(GitlabPurpose::ReadGroup))?;
                (gitlab, user, token)
            }
        };
        // One from a sign-in does not say, and one that may not ask is looked at later.
        let expires_at = gitlab.own_token().await.ok().and_then(|token| token.expires_at);
        let mut credential = self.seal(plan.site.id, link, CredentialMode::Pasted, token).await?;
        credential.expires_at = expires_at;
        let note = LinkNote::GivenTokenKept { username: user.username, is_bot: user.bot };
        Ok(NewCredential { credential: Some(credential), note: Some(note) })
    }

    async fn create_token(&self, plan: &Plan, kind: &TokenKind) -> Result<CreatedToken, GitlabError> {
        let (group, level, day) = (plan.group.id, kind.access_level, last_day(self.clock.now()));
        plan.gitlab.create_group_token(group, kind.scopes, level, &day).await
    }

    async fn created(
        &self,
        plan: &Plan,
        link: SubscriptionId,
        mode: CredentialMode,
        created: CreatedToken,
    ) -> Result<NewCredential, LinkError> {
        match self.seal(plan.site.id, link, mode, &created.token).await {
            Ok(mut credential) => {
                credential.token_id = Some(created.id);
                credential.expires_at = created.expires_at;
                Ok(NewCredential { credential: Some(credential), note: None })
            }
            Err(cause) => Err(match plan.gitlab.delete_group_token(plan.group.id, created.id).await {
                Ok(()) => cause,
                Err(_) => {
                    let left = vec![Leftover::GroupToken(created.id)];
                    LinkError::NotUndone { left, cause: Box::new(cause) }
                }
            }),
        }
    }

    async fn seal(
        &self,
        site: SiteId,
        link: SubscriptionId,
        mode: CredentialMode,
        token: &SecretString,
    ) -> Result<Credential, LinkError> {
        let token = self.envelope.seal(token, &Context::gitlab_token(site, link)).await?;
        Ok(Credential { mode, token, token_id: None, expires_at: None, checked_at: None, rotation: None })
    }
}
