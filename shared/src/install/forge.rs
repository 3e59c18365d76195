//! Forge installations from within: which site one belongs to, and its newest token. Every call of the app brings both,
//! so that each of them repairs what an earlier one should have done. Who called is `http`'s business, and calling Jira
//! with the token is `connections`'.

mod tokens;

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::clock::{SharedClock, Timestamp};
use crate::domain::{
    Connection, ConnectionKind, Installation, InstallationId, Site, SiteCondition, SiteState,
};
use crate::envelope::{Envelope, EnvelopeError};
use crate::jwt::invocation::Invocation;
use crate::outbound::{HostGuard, is_listed_site, read_body, site_address};
use crate::store::forge_installations::ForgePointer;
use crate::store::{Store, StoreError};

/// For how long after an uninstall calls of the same installation count as late ones. After that the app is evidently
/// still there: an uninstall can fail after it was announced.
const LATE_CALLS: Duration = Duration::from_secs(300);

/// After this long without a token an installation counts as gone: two that should have come did not.
const SILENT_AFTER: Duration = Duration::from_secs(150 * 60);

/// Asking a site for its address. Forge waits five seconds for the answer to a trigger, and all else takes milliseconds.
const NAME_TIMEOUT: Duration = Duration::from_millis(1500);

/// A site's answer to that is half a kilobyte.
const MAX_SERVER_INFO: usize = 64 * 1024;

/// Attempts when another call stores the same installation at the same time.
const MAX_ATTEMPTS: u32 = 4;

/// Admits Forge installations, and keeps their tokens.
#[derive(Clone, Debug)]
pub struct ForgeInstallations {
    /// Keeps them.
    pub store: Store,
    /// Seals their tokens.
    pub envelope: Arc<Envelope>,
    /// Asks a site for its address: no redirects.
    pub http: reqwest::Client,
    /// Which addresses a site may have.
    pub guard: HostGuard,
    /// Atlassian's API gateway.
    pub api_url: Url,
    /// Which sites may install, by host; empty means any.
    pub allowed_sites: Arc<[String]>,
    /// Tells the time.
    pub clock: SharedClock,
}

/// What became of a call of an installation.
#[derive(Clone, Debug)]
pub enum Admission {
    /// It is a connection of this site.
    Open(Box<Site>, Box<Installation>),
    /// It was uninstalled, or another installation has taken its place. Nothing was changed.
    Outdated,
}

/// A Forge installation was refused, and nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// The site's API lies elsewhere than on the gateway that is configured.
    #[error("the app's API is at {0}, which is not below ATLASSIAN_API_URL")]
    ApiUrl(String),
    /// The site may not install.
    #[error("{0} is not listed in ALLOWED_JIRA_SITES")]
    NotAllowed(String),
    /// The installation belongs to another site than the call is about.
    #[error("the installation belongs to another site than {0}")]
    OtherSite(String),
    /// Which site it is could not be found out, and only some may install.
    #[error("the site does not tell its address, which ALLOWED_JIRA_SITES needs")]
    NoAddress,
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

impl ForgeInstallations {
    /// Finds or makes the connection that a call came from, and keeps the token that it brought.
    ///
    /// The token of the invocation proves which site it is, so the installation joins whatever other connections that
    /// site has. A new id on a site that has a Forge installation takes its place, because Forge has one of an app on a
    /// site at a time; an id that lost its place gets it back only when the other has fallen silent.
    ///
    /// # Errors
    /// [`ForgeError`].
    pub async fn admit(
        &self,
        invocation: &Invocation,
        token: Option<&SecretString>,
    ) -> Result<Admission, ForgeError> {
        let api_base_url = self.api_base_url(&invocation.cloud_id);
        if invocation.api_base_url.trim_end_matches('/') != api_base_url {
            return Err(ForgeError::ApiUrl(invocation.api_base_url.clone()));
        }
        let mut round = 0;
        let found = loop {
            round += 1;
            match self.find_or_create(invocation, token).await {
                // Somebody else has stored it just now.
                Err(ForgeError::Store(StoreError::Conflict)) if round < MAX_ATTEMPTS => {}
                found => break found?,
            }
        };
        let Some((site, installation)) = found else {
            tracing::info!(
                cloud.id = invocation.cloud_id,
                "ignored a call of an installation that no longer exists"
            );
            return Ok(Admission::Outdated);
        };
        match token {
            Some(token) => self.keep_token(site, installation, invocation, token).await,
            None => Ok(Admission::Open(Box::new(site), Box::new(installation))),
        }
    }

    /// Closes the connection that a call came from, if there is one; answers whether there was.
    ///
    /// # Errors
    /// [`ForgeError`].
    pub async fn close(&self, invocation: &Invocation) -> Result<bool, ForgeError> {
        let Some(pointer) = self.store.forge_pointer(&invocation.installation_id).await? else {
            return Ok(false);
        };
        if let Some(site) = self.store.site(pointer.site).await? {
            check_site(&site, invocation)?;
        }
        let Some(installation) = self.store.installation(pointer.site, pointer.installation).await? else {
            return Ok(false);
        };
        // A re-install of the same id is newer than a late uninstall.
        if installation.installed_at > invocation.issued_at {
            return Ok(false);
        }
        self.store.lose_writer(&installation).await?;
        self.store.close_forge_connection(&installation, invocation.issued_at).await?;
        tracing::info!(site.id = %installation.site, "the Forge app was uninstalled");
        Ok(true)
    }

    /// `None`: the installation no longer exists.
    async fn find_or_create(
        &self,
        invocation: &Invocation,
        token: Option<&SecretString>,
    ) -> Result<Option<(Site, Installation)>, ForgeError> {
        let mut again = None;
        if let Some(pointer) = self.store.forge_pointer(&invocation.installation_id).await? {
            match self.store.site(pointer.site).await? {
                Some(site) => {
                    check_site(&site, invocation)?;
                    match self.store.installation(site.id, pointer.installation).await? {
                        Some(installation) if pointer.closed_at.is_none() => {
                            let site =
                                self.with_address(site, Some(installation.id), invocation, token).await?;
                            let site = self.ensure_writer(site, installation.id).await?;
                            return Ok(Some((site, installation)));
                        }
                        _ if is_late(&pointer, invocation) => return Ok(None),
                        _ => again = Some((site, pointer.installation)),
                    }
                }
                // An operator removed the site.
                None => self.store.forget_forge_pointer(&invocation.installation_id).await?,
            }
        }
        let site = match &again {
            Some((site, _)) => Some(site.clone()),
            None => self.store.site_by_cloud_id(&invocation.cloud_id).await?,
        };
        let Some(site) = site else {
            return self.create(invocation, token).await.map(Some);
        };
        let site = self.with_address(site, None, invocation, token).await?;
        let id = again.as_ref().map_or_else(InstallationId::generate, |(_, id)| *id);
        let connections = self.store.installations(site.id).await?;
        let is_other = |connection: &&Installation| {
            connection.connection.kind() == ConnectionKind::Forge && connection.id != id
        };
        if let Some(other) = connections.iter().find(is_other) {
            let is_older = other.installed_at < invocation.issued_at;
            if !(is_older && (again.is_none() || is_silent(other, invocation.issued_at))) {
                return Ok(None);
            }
            self.store.lose_writer(other).await?;
            self.store.close_forge_connection(other, invocation.issued_at).await?;
        }
        let installation = installation(&site, id, invocation);
        self.store.open_forge_connection(&installation, again.is_some()).await?;
        let site = self.ensure_writer(site, id).await?;
        tracing::info!(site.id = %site.id, writes = site.writer == Some(id), "the Forge app joined a site");
        Ok(Some((site, installation)))
    }

    async fn create(
        &self,
        invocation: &Invocation,
        token: Option<&SecretString>,
    ) -> Result<(Site, Installation), ForgeError> {
        let gateway = self.api_base_url(&invocation.cloud_id);
        let site =
            Site { cloud_id: Some(invocation.cloud_id.clone()), ..Site::new(&gateway, self.clock.now()) };
        let address = self.allowed_address(invocation, token).await?;
        let installation = installation(&site, InstallationId::generate(), invocation);
        let site = Site { base_url: address.unwrap_or(gateway), writer: Some(installation.id), ..site };
        self.store.create_site(&site, &installation).await?;
        tracing::info!(site.id = %site.id, site.host = site.host(), "the Forge app was installed");
        Ok((site, installation))
    }

    /// Makes the installation the site's writer where there is none. Every call does so, since the one that made the
    /// installation may have been interrupted before.
    async fn ensure_writer(&self, site: Site, id: InstallationId) -> Result<Site, StoreError> {
        if site.writer == Some(id) {
            return Ok(site);
        }
        Ok(self.store.take_over(&site, id).await?.unwrap_or(site))
    }

    /// The site with its own address, where only the gateway's was known, or where the address is this connection's to say.
    async fn with_address(
        &self,
        site: Site,
        connection: Option<InstallationId>,
        invocation: &Invocation,
        token: Option<&SecretString>,
    ) -> Result<Site, ForgeError> {
        let is_known = site.base_url != self.api_base_url(&invocation.cloud_id);
        let is_renamed = site.state.condition == SiteCondition::Renamed;
        // What a Connect app calls is for Jira's `installed` event to change.
        let is_told =
            address_of_person(invocation).is_some() && connection.is_some() && site.writer == connection;
        if is_known && !is_renamed && !is_told {
            return Ok(site);
        }
        let Some(address) = self.allowed_address(invocation, token).await? else { return Ok(site) };
        if address == site.base_url {
            return Ok(site);
        }
        let now = self.clock.now();
        let changed = self
            .store
            .update_site(site.id, |site| {
                site.base_url.clone_from(&address);
                if site.state.condition == SiteCondition::Renamed {
                    site.state = SiteState { condition: SiteCondition::Active, since: now };
                }
            })
            .await?;
        Ok(changed.unwrap_or(site))
    }

    /// Where people find the site, if that can be found out now and it may install.
    async fn allowed_address(
        &self,
        invocation: &Invocation,
        token: Option<&SecretString>,
    ) -> Result<Option<String>, ForgeError> {
        // A person may see the site under a name of its own, which is no address of a site.
        let told = address_of_person(invocation).and_then(|address| site_address(address, &self.guard));
        let address = match (told, token) {
            (Some(told), _) => Some(told),
            (None, Some(token)) => {
                let asked = self.ask_address(&invocation.cloud_id, token).await;
                asked.and_then(|address| site_address(&address, &self.guard))
            }
            (None, None) => None,
        };
        match &address {
            _ if self.allowed_sites.is_empty() => Ok(address),
            Some(known) if is_listed_site(&self.allowed_sites, known) => Ok(address),
            Some(known) => Err(ForgeError::NotAllowed(known.clone())),
            None => Err(ForgeError::NoAddress),
        }
    }

    /// `GET /rest/api/3/serverInfo`
    /// (<https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-server-info/>). `None` when Jira does not
    /// say: in the first minutes after an install it may refuse, and the next call of the app asks again.
    async fn ask_address(&self, cloud_id: &str, token: &SecretString) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ServerInfo {
            base_url: String,
        }
        let url = format!("{}/rest/api/3/serverInfo", self.api_base_url(cloud_id));
        let request = self.http.get(url).bearer_auth(token.expose_secret()).timeout(NAME_TIMEOUT);
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        match answer {
            Ok(answer) => {
                let info = read_body(answer, MAX_SERVER_INFO).await.ok()?;
                serde_json::from_slice::<ServerInfo>(&info).ok().map(|info| info.base_url)
            }
            Err(error) => {
                tracing::info!(error = %error.without_url(), "the site does not tell its address yet");
                None
            }
        }
    }

    fn api_base_url(&self, cloud_id: &str) -> String {
        format!("{}/ex/jira/{cloud_id}", self.api_url.as_str().trim_end_matches('/'))
    }
}

fn installation(site: &Site, id: InstallationId, invocation: &Invocation) -> Installation {
    let connection = Connection::Forge {
        installation_id: invocation.installation_id.clone(),
        app_version: invocation.app_version.clone(),
        token: None,
    };
    // Forge's clock orders installs and uninstalls; ours plays no part in it.
    Installation { id, site: site.id, connection, installed_at: invocation.issued_at }
}

/// An installation is of one site for as long as it is there.
fn check_site(site: &Site, invocation: &Invocation) -> Result<(), ForgeError> {
    let is_other = site.cloud_id.as_ref().is_some_and(|cloud_id| *cloud_id != invocation.cloud_id);
    if is_other { Err(ForgeError::OtherSite(invocation.cloud_id.clone())) } else { Ok(()) }
}

/// The address at which the person who calls sees the site.
fn address_of_person(invocation: &Invocation) -> Option<&str> {
    invocation.person.as_ref()?.site_url.as_deref()
}

/// Whether Forge has stopped delivering tokens for an installation, so that it evidently no longer exists.
fn is_silent(installation: &Installation, now: Timestamp) -> bool {
    let last = match &installation.connection {
        Connection::Forge { token: Some(token), .. } => token.sent_at,
        _ => installation.installed_at,
    };
    now.since(last) > SILENT_AFTER
}

fn is_late(pointer: &ForgePointer, invocation: &Invocation) -> bool {
    pointer.closed_at.is_none_or(|closed_at| invocation.issued_at <= closed_at.after(LATE_CALLS))
}

#[cfg(all(test, feature = "embedded"))]
mod tests;
