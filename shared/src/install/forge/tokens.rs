//! Which of the tokens that an installation is brought is kept, and until when it is used. What Forge brings by itself
//! counts for more than what comes with a call of the app's page: that header is bound to no invocation, and Forge promises
//! nothing of it.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{Admission, ForgeError, ForgeInstallations};
use crate::clock::Timestamp;
use crate::domain::{Connection, HoldReason, Installation, Site, SiteCondition, SystemToken};
use crate::envelope::{Context, Purpose};
use crate::jwt::invocation::Invocation;
use crate::jwt::unverified;
use crate::store::StoreError;
use crate::store::backoffs::BackoffScope;

/// How long a token is good for that does not say: what Forge promises of one that it delivers on schedule
/// (<https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>).
const TOKEN_LIFETIME: Duration = Duration::from_secs(2 * 3600);

/// The same of one that comes with a page's call, of which Forge promises nothing.
const PAGE_TOKEN_LIFETIME: Duration = Duration::from_secs(20 * 60);

/// The longest that a token is good for, whatever it says.
const LONGEST_LIFETIME: Duration = Duration::from_secs(4 * 3600);

/// A token that has less to live is not used any more: a batch may take minutes.
const LEAST_LIFETIME: Duration = Duration::from_secs(300);

impl ForgeInstallations {
    /// Keeps the token if it counts for more than the one that is kept, and lets the work go on that waited for it.
    pub(super) async fn keep_token(
        &self,
        site: Site,
        installation: Installation,
        invocation: &Invocation,
        token: &SecretString,
    ) -> Result<Admission, ForgeError> {
        let (sent_at, of_page) = (invocation.issued_at, invocation.person.is_some());
        let context = Context::installation(site.id, installation.id, Purpose::SystemToken);
        let new = SystemToken {
            token: self.envelope.seal(token, &context).await?,
            sent_at,
            usable_until: usable_until(token, sent_at, of_page),
            of_page,
            refused_sent_at: None,
        };
        let writes = site.writer == Some(installation.id);
        let is_refused = writes && site.state.condition == SiteCondition::CredentialRejected;
        let (version, now) = (invocation.app_version.clone(), self.clock.now());
        let changed = self
            .store
            .update_installation(&installation, |installation| {
                if let Connection::Forge { token, app_version, .. } = &mut installation.connection
                    && let Some(kept) = replacing(token.as_ref(), &new, is_refused, now)
                {
                    *token = Some(kept);
                    app_version.clone_from(&version);
                }
            })
            .await?;
        // It was uninstalled at this very moment.
        let Some(installation) = changed else { return Ok(Admission::Outdated) };
        if writes && is_kept(&installation, &new) {
            self.go_on(&site).await?;
        }
        Ok(Admission::Open(Box::new(site), Box::new(installation)))
    }

    /// Ends the condition and the backoffs that hold a site's work for lack of a token.
    async fn go_on(&self, site: &Site) -> Result<(), StoreError> {
        if !matches!(site.state.condition, SiteCondition::AwaitingToken | SiteCondition::CredentialRejected) {
            return Ok(());
        }
        let scope = BackoffScope::Site(site.id);
        let backoff = self.store.backoff(&scope).await?;
        if backoff.is_some_and(|backoff| backoff.reason == HoldReason::CredentialRejected) {
            self.store.end_backoff(&scope).await?;
        }
        self.store.set_condition(site, SiteCondition::Active).await
    }
}

/// Until when a token is used. It is opaque by contract; where it says when it ends, that counts.
pub(super) fn usable_until(token: &SecretString, sent_at: Timestamp, of_page: bool) -> Timestamp {
    let ends_at =
        unverified::claimed_expiry(token.expose_secret()).map(|exp| Timestamp(exp.saturating_mul(1000)));
    let assumed = if of_page { PAGE_TOKEN_LIFETIME } else { TOKEN_LIFETIME };
    let ends_at = ends_at.unwrap_or_else(|| sent_at.after(assumed));
    ends_at.min(sent_at.after(LONGEST_LIFETIME)).before(LEAST_LIFETIME)
}

/// `new` as it is kept in place of `kept`, which Jira refuses if `is_refused`; `None`: it is not.
///
/// The newest token wins, and not the one that claims to be good for longest: Forge brings a new one because the last may
/// not be good any more. Calls come twice and late, so what was sent no later than a token that Jira refused is no newer.
fn replacing(
    kept: Option<&SystemToken>,
    new: &SystemToken,
    is_refused: bool,
    now: Timestamp,
) -> Option<SystemToken> {
    if new.usable_until <= now {
        return None;
    }
    let Some(kept) = kept else { return Some(new.clone()) };
    let wins = match (new.of_page, kept.of_page) {
        (false, true) => true,
        (true, false) => new.sent_at > kept.sent_at && (is_refused || kept.usable_until <= now),
        _ => new.sent_at > kept.sent_at || (new.sent_at == kept.sent_at && !is_refused),
    };
    if !wins || kept.refused_sent_at.is_some_and(|refused| new.sent_at <= refused) {
        return None;
    }
    // A page's token says nothing of what Forge brings by itself.
    let refused_sent_at = if is_refused && !kept.of_page { Some(kept.sent_at) } else { kept.refused_sent_at };
    Some(SystemToken { refused_sent_at, ..new.clone() })
}

fn is_kept(installation: &Installation, new: &SystemToken) -> bool {
    let Connection::Forge { token: Some(kept), .. } = &installation.connection else { return false };
    kept.token == new.token
}
