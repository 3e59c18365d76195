//! Takes Jira's `installed` event: a new tenant, a rotated secret, a renamed or restored site. An upsert: Jira sends it
//! for all of these, and sends it again.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::routing::post;
use http::StatusCode;
use shared::bundle::INSTALLED;
use shared::clock::SharedClock;
use shared::config::{Lifecycle, Variables, allowed_jira_sites};
use shared::domain::{Connection, Installation, InstallationId, Site, SiteCondition, SiteState};
use shared::envelope::{Envelope, Purpose};
use shared::http::{Error, JiraLifecycle, LifecycleGate, Tenant};
use shared::jira::connections::secret_context;
use shared::outbound::{HostGuard, is_listed_site, site_address};
use shared::store::sites::ClientKeyPointer;
use shared::store::{Store, StoreError};

/// What the function is told by variables.
#[derive(Clone, Debug)]
pub struct Config {
    /// What verifies callers.
    pub lifecycle: Lifecycle,
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
    /// Which sites may install, by host; empty means any.
    pub allowed_sites: Vec<String>,
}

impl Config {
    /// Reads them.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let lifecycle = Lifecycle::read(variables);
        let (table_name, kms_key_id) = (variables.required("TABLE_NAME"), variables.required("KMS_KEY_ID"));
        let allowed_sites = allowed_jira_sites(variables);
        Some(Self { lifecycle: lifecycle?, table_name, kms_key_id, allowed_sites })
    }
}

/// What the function needs.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Verifies callers.
    pub gate: LifecycleGate,
    /// Keeps sites.
    pub store: Store,
    /// Seals secrets.
    pub envelope: Arc<Envelope>,
    /// Which hosts may be called.
    pub guard: HostGuard,
    /// Which sites may install, by host; empty means any.
    pub allowed_sites: Arc<[String]>,
    /// Tells the time.
    pub clock: SharedClock,
}

impl FromRef<Installed> for LifecycleGate {
    fn from_ref(state: &Installed) -> Self {
        state.gate.clone()
    }
}

/// Answers [`INSTALLED`].
pub fn router(state: Installed) -> Router {
    Router::new().route(INSTALLED.path, post(installed)).with_state(state)
}

async fn installed(State(state): State<Installed>, call: JiraLifecycle) -> Result<StatusCode, Error> {
    let (base_url, shared_secret) = state.check(&call.tenant)?;
    let pointer =
        state.store.client_key_pointer(&call.tenant.client_key).await.map_err(Error::unavailable)?;
    let known = match pointer {
        Some(pointer) => state.known_site(pointer, &call.tenant.client_key).await?,
        None => None,
    };
    let (site, renewed) = match known {
        Some((site, installation)) => (site, Some(installation)),
        None => (Site::new(&base_url, state.clock.now()), None),
    };
    let id = renewed.unwrap_or_else(InstallationId::generate);
    let context = secret_context(site.id, id, Purpose::SharedSecret);
    let installation = Installation {
        id,
        site: site.id,
        connection: Connection::Connect {
            client_key: call.tenant.client_key,
            shared_secret: state.envelope.seal(&shared_secret, &context).await.map_err(Error::unavailable)?,
            display_url: call.tenant.display_url,
        },
        // The signer's clock orders installs and uninstalls; ours plays no part in it.
        installed_at: call.issued_at.unwrap_or_else(|| state.clock.now()),
    };
    if renewed.is_some() && state.is_outdated(&installation).await? {
        tracing::info!(site.id = %site.id, "ignored an install older than the one that is stored");
        return Ok(StatusCode::OK);
    }
    match renewed {
        Some(_) => state.renew(&site, &installation, &base_url).await?,
        None => state.create(site, &installation).await?,
    }
    Ok(StatusCode::OK)
}

impl Installed {
    /// The tenant's address and secret, if both are ones we work with.
    fn check(&self, tenant: &Tenant) -> Result<(String, secrecy::SecretString), Error> {
        let unusable = |sentence| Error::new(StatusCode::UNPROCESSABLE_ENTITY, sentence);
        let base_url = tenant.base_url.as_deref().ok_or_else(|| unusable("baseUrl is missing."))?;
        let base_url = site_address(base_url, &self.guard)
            .ok_or_else(|| unusable("baseUrl is not an Atlassian site."))?;
        if !is_listed_site(&self.allowed_sites, &base_url) {
            return Err(unusable("This site may not install the app: add it to ALLOWED_JIRA_SITES."));
        }
        let secret = tenant.shared_secret.clone().filter(|secret| {
            use secrecy::ExposeSecret;
            !secret.expose_secret().is_empty()
        });
        Ok((base_url, secret.ok_or_else(|| unusable("sharedSecret is missing."))?))
    }

    /// A clientKey never changes the site it belongs to, unless an operator removed that site.
    async fn known_site(
        &self,
        pointer: ClientKeyPointer,
        client_key: &str,
    ) -> Result<Option<(Site, InstallationId)>, Error> {
        let site = self.store.site(pointer.site).await.map_err(Error::unavailable)?;
        if site.is_none() {
            self.store.forget_client_key(client_key).await.map_err(Error::unavailable)?;
        }
        Ok(site.map(|site| (site, pointer.installation)))
    }

    async fn is_outdated(&self, installation: &Installation) -> Result<bool, Error> {
        let stored = self.store.installation(installation.site, installation.id).await;
        let stored = stored.map_err(Error::unavailable)?;
        Ok(stored.is_some_and(|stored| stored.installed_at.seconds() > installation.installed_at.seconds()))
    }

    async fn create(&self, mut site: Site, installation: &Installation) -> Result<(), Error> {
        site.writer = Some(installation.id);
        match self.store.create_site(&site, installation).await {
            Ok(()) => {
                tracing::info!(site.id = %site.id, site.host = site.host(), "installed");
                Ok(())
            }
            // The same event came in twice at once; the other one has stored it.
            Err(StoreError::Conflict) => Err(Error::unavailable(StoreError::Conflict)),
            Err(error) => Err(Error::unavailable(error)),
        }
    }

    /// A re-install, a rotated secret or a new address: subscriptions stay, and work that was held flows again.
    async fn renew(&self, site: &Site, installation: &Installation, base_url: &str) -> Result<(), Error> {
        self.store.put_installation(installation).await.map_err(Error::unavailable)?;
        let (base_url, now) = (base_url.to_owned(), self.clock.now());
        let id = installation.id;
        if self.store.take_over(site, id).await.map_err(Error::unavailable)?.is_none() {
            // It wrote before, too: what rested because of its secret or its address goes on.
            self.store.end_backoffs(site.id).await.map_err(Error::unavailable)?;
        }
        self.store
            .update_site(site.id, move |site| {
                if site.writer == Some(id) {
                    site.base_url.clone_from(&base_url);
                }
                // A change of connections goes on whatever the old connection says.
                if site.writer == Some(id) && site.state.condition != SiteCondition::Switching {
                    site.state = SiteState { condition: SiteCondition::Active, since: now };
                }
            })
            .await
            .map_err(Error::unavailable)?;
        tracing::info!(site.id = %site.id, site.host = site.host(), "installed again");
        Ok(())
    }
}
