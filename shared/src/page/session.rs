//! A confirmed sign-in: the token of a person, kept sealed for the few calls that choosing and linking groups takes.
//! How it is confirmed belongs to `sign_in`.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{Administrator, Cause, PageApi, PageError, words};
use crate::domain::{SignIn, SignInId, SignInStage, TokenSource};
use crate::envelope::Context;
use crate::gitlab::client::GitlabClient;
use crate::gitlab::version::Version;
use crate::linking::GitlabPurpose;
use crate::store::Stored;
use crate::store::sign_ins::TOKEN_TIME;

/// Who is signed in, and where.
#[derive(Debug, Serialize)]
pub(super) struct SignedIn {
    sign_in: SignInId,
    gitlab: String,
    username: String,
    /// Whether the token was made for this sign-in, and so can't be kept for a link.
    by_oauth: bool,
}

/// A confirmed sign-in, as calls use it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) gitlab: GitlabClient,
    pub(super) token: SecretString,
    pub(super) instance: String,
    pub(super) username: String,
    pub(super) source: TokenSource,
}

impl PageApi {
    pub(super) async fn use_token(
        &self,
        who: &Administrator,
        gitlab: &str,
        token: SecretString,
    ) -> Result<SignedIn, PageError> {
        let base = self.instance(gitlab)?;
        let instance = super::without_slash(&base);
        let token = SecretString::from(token.expose_secret().trim());
        let client = GitlabClient::new(self.linking.gitlab.clone(), base, token.clone());
        let failed = |purpose| {
            let instance = instance.clone();
            move |error| words::of_gitlab(&error, &instance, purpose)
        };
        let version = Version::parse(&client.version().await.map_err(failed(GitlabPurpose::ReadVersion))?);
        if !version.is_supported() {
            return Err(words::too_old(&instance, version));
        }
        let user = client.user().await.map_err(failed(GitlabPurpose::ReadUser))?;
        let own = client.own_token().await.map_err(failed(GitlabPurpose::ReadUser))?;
        if !own.scopes.iter().any(|scope| scope == "api") {
            return Err(PageError::new(
                Cause::Refused,
                "The token needs the scope api, to make webhooks: create another one with it.",
            ));
        }
        let id = SignInId::generate();
        let sealed = self.linking.envelope.seal(&token, &Context::sign_in(who.site.id, id)).await?;
        let sign_in = SignIn {
            id,
            site: who.site.id,
            account: who.account.clone(),
            instance,
            opener: None,
            stage: SignInStage::Confirmed {
                username: user.username,
                token: sealed,
                source: TokenSource::Pasted,
            },
        };
        self.store().begin_sign_in(&sign_in, TOKEN_TIME).await?;
        signed_in(&sign_in)
    }

    pub(super) async fn sign_out(&self, who: &Administrator, id: SignInId) -> Result<(), PageError> {
        match self.own_sign_in(who, id).await {
            Ok(stored) => self.end(&stored.value).await,
            // It has ended already.
            Err(error) if error.cause == Cause::SignInEnded => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The confirmed sign-in of this administrator.
    pub(super) async fn session(&self, who: &Administrator, id: SignInId) -> Result<Session, PageError> {
        let sign_in = self.own_sign_in(who, id).await?.value;
        let SignInStage::Confirmed { username, token, source } = sign_in.stage else {
            return Err(PageError::sign_in_ended());
        };
        let token = self.linking.envelope.open(&token, &Context::sign_in(sign_in.site, id)).await?;
        let base = self.instance(&sign_in.instance)?;
        let gitlab = GitlabClient::new(self.linking.gitlab.clone(), base, token.clone());
        Ok(Session { gitlab, token, instance: sign_in.instance, username, source })
    }

    /// A sign-in of this administrator; anybody else's counts as ended.
    pub(super) async fn own_sign_in(
        &self,
        who: &Administrator,
        id: SignInId,
    ) -> Result<Stored<SignIn>, PageError> {
        let stored = self.store().sign_in(id).await?;
        let own =
            |stored: &Stored<SignIn>| stored.value.site == who.site.id && stored.value.account == who.account;
        stored.filter(own).ok_or_else(PageError::sign_in_ended)
    }

    /// Forgets a sign-in, and revokes a token that was made for it, unless webhooks of projects are being made with it.
    pub(super) async fn end(&self, sign_in: &SignIn) -> Result<(), PageError> {
        self.store().end_sign_in(sign_in.id).await?;
        let (token, application_id) = match &sign_in.stage {
            SignInStage::Authorized { token, application_id, .. }
            | SignInStage::Confirmed { token, source: TokenSource::Oauth { application_id }, .. } => {
                (token, application_id)
            }
            SignInStage::Begun { .. } | SignInStage::Confirmed { .. } => return Ok(()),
        };
        if self.is_at_work(sign_in).await? {
            // The plan forgets it when it ends, and GitLab within two hours.
            tracing::info!(sign_in.id = %sign_in.id, "the token of a sign-in is left to the webhooks that it makes");
            return Ok(());
        }
        let token = self.linking.envelope.open(token, &Context::sign_in(sign_in.site, sign_in.id)).await?;
        let application = self.application(self.instance(&sign_in.instance)?, application_id.clone());
        if let Err(error) = application.revoke(&token).await {
            // It ends by itself within two hours.
            tracing::warn!(sign_in.id = %sign_in.id, %error, "the token of a sign-in could not be revoked");
        }
        Ok(())
    }

    /// Whether webhooks of projects are being made at the instance with a person's token, which may be this one's.
    async fn is_at_work(&self, sign_in: &SignIn) -> Result<bool, PageError> {
        let links = self.store().subscriptions(sign_in.site).await?;
        let mut plans = links
            .iter()
            .filter(|link| link.instance == sign_in.instance)
            .filter_map(|link| link.hooks.as_ref());
        Ok(plans.any(|plan| plan.is_running() && plan.token.is_some()))
    }
}

pub(super) fn signed_in(sign_in: &SignIn) -> Result<SignedIn, PageError> {
    let SignInStage::Confirmed { username, source, .. } = &sign_in.stage else {
        return Err(PageError::sign_in_ended());
    };
    Ok(SignedIn {
        sign_in: sign_in.id,
        gitlab: sign_in.instance.clone(),
        username: username.clone(),
        by_oauth: matches!(source, TokenSource::Oauth { .. }),
    })
}
