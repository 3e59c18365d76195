//! A stateful Jira Cloud: sites with issues and a development panel, the API gateway, the keys of lifecycle callbacks,
//! and the parts of Atlassian that install Connect and Forge apps. It refuses what Jira refuses, stores what Jira
//! stores, and fails on demand.
//!
//! | origin | path | role |
//! | --- | --- | --- |
//! | gateway | `POST /oauth/token` | client credentials for a bearer token |
//! | gateway | `/jira/{devinfo,builds,deployments,featureflags}/0.1/cloud/{cloudId}/...` | provider APIs, bearer of OAuth credentials |
//! | gateway | `/ex/jira/{cloudId}/rest/...` | the site's `/rest/...`, bearer of a Forge app |
//! | gateway | `GET /install-keys/{kid}` | public keys of lifecycle callbacks, PEM |
//! | gateway | `GET /all.js` | the script for pages of Connect apps |
//! | gateway | `GET /.well-known/jwks.json` | public keys of Forge's invocation tokens |
//! | site | `/rest/{devinfo/0.10,builds/0.1,deployments/0.1,featureflags/0.1}/...` | provider APIs, Connect JWT |
//! | site | `/rest/api/3/{serverInfo,user,permissions/check,project/{key},issue/{key}}` | Jira's own REST API, Connect JWT |
//! | site | `GET /_edge/tenant_info`, `GET /status` | cloudId, state |
//! | site | `GET /stand-in/issues`, `GET /stand-in/issues/{key}` | what the development panel shows, as JSON; never redirected or failed |
//!
//! Every site has an origin of its own, as in the real world, because a tenant's base URL has no path.
//!
//! Where Atlassian's documentation is silent the stand-in is strict and says so beside the constant or rule. Answers
//! without a documented body carry the reason in the header [`REASON_HEADER`].

mod answer;
mod api;
mod auth;
mod calls;
mod credentials;
mod descriptor;
mod faults;
mod forge;
mod frames;
mod keys;
mod known;
mod lifecycle;
mod provider;
mod random;
mod rest;
mod routes;
mod server;
mod site;
mod state;
mod store;
mod tenant;
mod toolchain;
mod triggers;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use self::answer::REASON_HEADER;
pub use self::api::{Api, Connection};
pub use self::calls::{Calls, RECORDING_DIR, RecordedCall};
pub use self::faults::FailureRule;
pub use self::forge::{ForgeApp, ForgeInstallation, RemoteAnswer, RemoteCall};
pub use self::frames::Frames;
pub use self::keys::{RsaKey, Signature, compact_token};
pub use self::known::User;
pub use self::lifecycle::LifecycleCall;
pub use self::site::SiteHandle;
pub use self::tenant::TenantToken;
pub use self::triggers::{Event, Trigger};
pub use self::view::{
    BranchView, BuildView, CommitView, DeploymentView, FlagView, IssueSummary, IssueView, PullRequestView,
};

use self::calls::Journal;
use self::state::{Site, World};

/// Atlassian's side of the world: any number of Jira sites behind one API gateway. Ends with its last handle.
#[derive(Clone, Debug)]
pub struct JiraStandin {
    world: Arc<World>,
}

impl JiraStandin {
    /// Starts the gateway on a free port of the loopback interface. Sites are added by [`JiraStandin::site`].
    ///
    /// # Errors
    /// When no port is free, no key can be made, or the folder named by [`RECORDING_DIR`] can't be written.
    pub async fn start() -> anyhow::Result<Self> {
        let bound = server::bind().await?;
        let key = tokio::task::spawn_blocking(RsaKey::generate).await??;
        let world = Arc::new(World::new(bound.url.clone(), key, Journal::from_environment()?)?);
        let weak = Arc::downgrade(&world);
        world.keep(bound.serve(move |request| {
            let world = weak.upgrade();
            async move {
                match world {
                    Some(world) => routes::on_gateway(world, request).await,
                    None => server::Reply::Drop,
                }
            }
        }));
        Ok(Self { world })
    }

    /// The API gateway: what `https://api.atlassian.com` is in the real world.
    #[must_use]
    pub fn api_url(&self) -> String {
        self.world.gateway_url.clone()
    }

    /// The folder of public keys: what `https://connect-install-keys.atlassian.com` is in the real world.
    #[must_use]
    pub fn install_keys_url(&self) -> String {
        format!("{}/install-keys", self.world.gateway_url)
    }

    /// The script for pages of Connect apps: what `https://connect-cdn.atl-paas.net/all.js` is in the real world.
    #[must_use]
    pub fn connect_js_url(&self) -> String {
        format!("{}/all.js", self.world.gateway_url)
    }

    /// The key pair that signs lifecycle callbacks.
    #[must_use]
    pub fn signing_key(&self) -> Arc<RsaKey> {
        self.world.signing_key.clone()
    }

    /// The site of this name; a new one, without issues or apps, if there is none yet.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn site(&self, name: &str) -> anyhow::Result<SiteHandle> {
        if let Some(site) = self.world.sites().get(name).cloned() {
            return Ok(SiteHandle { world: self.world.clone(), site });
        }
        let site = Arc::new(Site::new(random::uuid(), random::uuid()));
        let handle = SiteHandle { world: self.world.clone(), site: site.clone() };
        handle.open_origin().await?;
        self.world.sites().insert(name.to_owned(), site);
        Ok(handle)
    }

    /// How long access tokens live that are issued from now on; 15 minutes unless set.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.world.credentials().set_lifetime(lifetime);
    }
}
