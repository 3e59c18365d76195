//! The state behind the handles: one world per stand-in, one site per Jira site. Only data and its access; the rules
//! are in the modules that use it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

use super::api::Provider;
use super::calls::{Calls, Journal, Recorded};
use super::credentials::Credentials;
use super::faults::Faults;
use super::keys::RsaKey;
use super::known::{Known, User};
use super::provider::Dialect;
use super::server::Listening;
use super::store::Store;
use super::triggers::Trigger;

/// What all sites of a stand-in share.
#[derive(Debug)]
pub(super) struct World {
    pub gateway_url: String,
    /// Signs lifecycle callbacks; its public half is what the install-keys server hands out.
    pub signing_key: Arc<RsaKey>,
    pub http: reqwest::Client,
    pub journal: Option<Journal>,
    credentials: Mutex<Credentials>,
    sites: Mutex<BTreeMap<String, Arc<Site>>>,
    listening: Mutex<Vec<Listening>>,
}

impl World {
    pub(super) fn new(
        gateway_url: String,
        signing_key: RsaKey,
        journal: Option<Journal>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            gateway_url,
            signing_key: Arc::new(signing_key),
            http: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?,
            journal,
            credentials: Mutex::default(),
            sites: Mutex::default(),
            listening: Mutex::default(),
        })
    }

    pub(super) fn credentials(&self) -> MutexGuard<'_, Credentials> {
        self.credentials.lock().expect("nothing panics while it holds the credentials")
    }

    pub(super) fn sites(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Site>>> {
        self.sites.lock().expect("nothing panics while it holds the sites")
    }

    pub(super) fn site_of_cloud(&self, cloud_id: &str) -> Option<Arc<Site>> {
        self.sites().values().find(|site| site.cloud_id == cloud_id).cloned()
    }

    /// Keeps a listener for as long as the world lives.
    pub(super) fn keep(&self, listening: Listening) {
        self.listening.lock().expect("nothing panics while it holds the listeners").push(listening);
    }
}

/// A Jira site.
#[derive(Debug)]
pub(super) struct Site {
    pub cloud_id: String,
    state: Mutex<SiteState>,
}

impl Site {
    pub(super) fn new(cloud_id: String, client_key: String) -> Self {
        Self { cloud_id, state: Mutex::new(SiteState { client_key, ..SiteState::default() }) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SiteState> {
        self.state.lock().expect("nothing panics while it holds a site's state")
    }
}

/// What changes on a site.
#[derive(Debug, Default)]
pub(super) struct SiteState {
    pub base_url: String,
    /// Where people see the site, if not at its base URL.
    pub display_url: Option<String>,
    pub client_key: String,
    pub suspended: bool,
    pub apps: BTreeMap<String, Installation>,
    /// The app that was installed last; lifecycle calls and tenant tokens are about it.
    pub current_app: Option<String>,
    pub known: Known,
    pub users: BTreeMap<String, User>,
    /// The administrator who installs and removes apps.
    pub acting_user: Option<String>,
    pub dialect: Dialect,
    pub stores: BTreeMap<Provider, Store>,
    pub faults: Faults,
    pub calls: Calls,
    pub recorded: Recorded,
    pub triggers: Vec<Trigger>,
}

/// An installed Connect app.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    pub key: String,
    /// What the descriptor says, without a slash at the end.
    pub base_url: String,
    /// Where the descriptor was found, and callbacks go.
    pub reached_at: String,
    pub shared_secret: String,
    pub scopes: BTreeSet<String>,
    pub descriptor: Value,
}

impl SiteState {
    pub(super) fn current_app(&self) -> anyhow::Result<&Installation> {
        let app = self.current_app.as_ref().and_then(|key| self.apps.get(key));
        app.ok_or_else(|| anyhow::anyhow!("no Connect app is installed on the site"))
    }

    pub(super) fn display_url(&self) -> &str {
        self.display_url.as_deref().unwrap_or(&self.base_url)
    }
}
