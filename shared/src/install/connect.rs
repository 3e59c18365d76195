//! Installations of the Connect app: a new tenant, a rotated secret, a renamed or restored site, and their end. Jira sends
//! `installed` for all of the first, and sends it again, so installing is an upsert.

use std::sync::Arc;

use secrecy::SecretString;

use crate::clock::{SharedClock, Timestamp};
use crate::domain::{Connection, Installation, InstallationId, Site, SiteCondition, SiteState};
use crate::envelope::{Context, Envelope, EnvelopeError, Purpose};
use crate::store::sites::ClientKeyPointer;
use crate::store::{Store, StoreError};

/// What an `installed` event says, once its caller is authenticated and its address checked.
#[derive(Debug)]
pub struct ConnectTenant {
    /// Jira's name of the tenant.
    pub client_key: String,
    /// The site's origin.
    pub base_url: String,
    /// The HS256 secret of this installation.
    pub shared_secret: SecretString,
    /// Where people see the site, if it has a domain of its own.
    pub display_url: Option<String>,
    /// When the event was signed.
    pub issued_at: Option<Timestamp>,
}

/// An installation was not stored.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The table can't be read or written, or the same event is being stored by another call.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret can't be sealed.
    #[error(transparent)]
    Secret(#[from] EnvelopeError),
}

/// The Connect app's installations.
#[derive(Clone, Debug)]
pub struct ConnectInstallations {
    /// State.
    pub store: Store,
    /// Seals secrets.
    pub envelope: Arc<Envelope>,
    /// Tells the time.
    pub clock: SharedClock,
}

impl ConnectInstallations {
    /// Stores an installation, or renews the one that is stored.
    ///
    /// # Errors
    /// [`ConnectError`]; Jira sends the event again.
    pub async fn install(&self, tenant: ConnectTenant) -> Result<(), ConnectError> {
        let known = match self.store.client_key_pointer(&tenant.client_key).await? {
            Some(pointer) => self.known_site(pointer, &tenant.client_key).await?,
            None => None,
        };
        let (site, renewed) = match known {
            Some((site, installation)) => (site, Some(installation)),
            None => (Site::new(&tenant.base_url, self.clock.now()), None),
        };
        let id = renewed.unwrap_or_else(InstallationId::generate);
        let context = Context::installation(site.id, id, Purpose::SharedSecret);
        let installation = Installation {
            id,
            site: site.id,
            connection: Connection::Connect {
                client_key: tenant.client_key,
                shared_secret: self.envelope.seal(&tenant.shared_secret, &context).await?,
                display_url: tenant.display_url,
            },
            // The signer's clock orders installs and uninstalls; ours plays no part in it.
            installed_at: tenant.issued_at.unwrap_or_else(|| self.clock.now()),
        };
        if renewed.is_some() && self.is_outdated(&installation).await? {
            tracing::info!(site.id = %site.id, "ignored an install older than the one that is stored");
            return Ok(());
        }
        match renewed {
            Some(_) => self.renew(&site, &installation, &tenant.base_url).await,
            None => self.create(site, &installation).await,
        }
    }

    /// Removes an installation, unless `issued_at` is before it was made: Jira sends uninstalls and installs side by
    /// side. The site and its links stay for another connection, or for the same one installed again.
    ///
    /// # Errors
    /// When the table can't be read or written.
    pub async fn uninstall(
        store: &Store,
        client_key: &str,
        issued_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let Some((site, installation)) = store.installation_by_client_key(client_key).await? else {
            tracing::info!("ignored an uninstall of an unknown installation");
            return Ok(());
        };
        // Tokens have whole seconds.
        let is_older = |issued_at: Timestamp| issued_at.seconds() < installation.installed_at.seconds();
        if issued_at.is_some_and(is_older) {
            tracing::info!(site.id = %site.id, "ignored an uninstall older than the install");
            return Ok(());
        }
        store.lose_writer(&installation).await?;
        store.delete_installation(&installation).await?;
        tracing::info!(site.id = %site.id, site.host = site.host(), "uninstalled");
        Ok(())
    }

    /// A clientKey never changes the site it belongs to, unless an operator removed that site.
    async fn known_site(
        &self,
        pointer: ClientKeyPointer,
        client_key: &str,
    ) -> Result<Option<(Site, InstallationId)>, StoreError> {
        let site = self.store.site(pointer.site).await?;
        if site.is_none() {
            self.store.forget_client_key(client_key).await?;
        }
        Ok(site.map(|site| (site, pointer.installation)))
    }

    async fn is_outdated(&self, installation: &Installation) -> Result<bool, StoreError> {
        let stored = self.store.installation(installation.site, installation.id).await?;
        Ok(stored.is_some_and(|stored| stored.installed_at.seconds() > installation.installed_at.seconds()))
    }

    /// A conflict means that the same event came in twice at once, and the other one has stored it.
    async fn create(&self, mut site: Site, installation: &Installation) -> Result<(), ConnectError> {
        site.writer = Some(installation.id);
        self.store.create_site(&site, installation).await?;
        tracing::info!(site.id = %site.id, site.host = site.host(), "installed");
        Ok(())
    }

    /// A re-install, a rotated secret or a new address: subscriptions stay, and work that was held flows again.
    async fn renew(
        &self,
        site: &Site,
        installation: &Installation,
        base_url: &str,
    ) -> Result<(), ConnectError> {
        self.store.put_installation(installation).await?;
        let (base_url, now) = (base_url.to_owned(), self.clock.now());
        let id = installation.id;
        if self.store.take_over(site, id).await?.is_none() {
            // It wrote before, too: what backed off because of its secret or its address goes on.
            self.store.end_backoffs(site.id).await?;
        }
        let renew = move |site: &mut Site| {
            if site.writer == Some(id) {
                site.base_url.clone_from(&base_url);
            }
            // A switch of connections goes on whatever the old connection says.
            if site.writer == Some(id) && site.state.condition != SiteCondition::Switching {
                site.state = SiteState { condition: SiteCondition::Active, since: now };
            }
        };
        self.store.update_site(site.id, renew).await?;
        tracing::info!(site.id = %site.id, site.host = site.host(), "installed again");
        Ok(())
    }
}
