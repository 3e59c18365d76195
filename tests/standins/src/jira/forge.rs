//! Forge: apps that are registered, deployed with a manifest and installed on sites, and that call their remotes with
//! invocation tokens and system tokens. What a call looks like is in `call`, what a manifest must be in `manifest`.
//!
//! Follows <https://developer.atlassian.com/platform/forge/remote/essentials/> and
//! <https://developer.atlassian.com/platform/forge/events-reference/life-cycle/>.

mod call;
mod manifest;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use shared::clock::{SharedClock, SystemClock};

pub use self::call::{RemoteAnswer, RemoteCall};
use self::manifest::{Endpoint, Manifest};
use super::JiraStandin;
use super::api::{Api, Connection, Provider};
use super::random;
use super::site::SiteHandle;
use super::state::World;

/// How often Forge retries a call that did not succeed, and how long it waits before each retry.
const RETRIES: u32 = 4;
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// How long a system token lives.
const TOKEN_LIFETIME: Duration = Duration::from_secs(4 * 3600);

/// A registered app. Clones are the same app.
#[derive(Clone, Debug)]
pub struct ForgeApp {
    world: Arc<World>,
    app: Arc<App>,
}

#[derive(Debug)]
struct App {
    id: String,
    clock: SharedClock,
    manifest: Mutex<Option<Manifest>>,
}

/// An app on a site, in the environment `PRODUCTION`.
#[derive(Clone, Debug)]
pub struct ForgeInstallation {
    app: ForgeApp,
    site: SiteHandle,
    id: String,
}

impl JiraStandin {
    /// The key set of invocation tokens: what `https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json` is in the
    /// real world.
    #[must_use]
    pub fn forge_key_set_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.world.gateway_url)
    }

    /// Registers an app, as `forge register` does.
    #[must_use]
    pub fn register_forge_app(&self) -> ForgeApp {
        self.register_forge_app_by(Arc::new(SystemClock))
    }

    /// Registers an app whose tokens and retries go by `clock`.
    #[must_use]
    pub fn register_forge_app_by(&self, clock: SharedClock) -> ForgeApp {
        let id = format!("ari:cloud:ecosystem::app/{}", random::uuid());
        let app = Arc::new(App { id, clock, manifest: Mutex::default() });
        ForgeApp { world: self.world.clone(), app }
    }
}

impl ForgeApp {
    /// The app's id, an ARI.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.app.id
    }

    /// Deploys a manifest, as `forge deploy` does.
    ///
    /// # Errors
    /// When Forge would refuse it.
    pub fn deploy(&self, manifest: &str) -> anyhow::Result<()> {
        let manifest = Manifest::read(manifest, &self.app.id)?;
        *self.manifest() = Some(manifest);
        Ok(())
    }

    /// Installs the app on a site and calls its remote. Like Forge, it is installed whatever the remote answers; the
    /// statuses of all attempts are answered beside it.
    ///
    /// # Errors
    /// When nothing is deployed, or a remote can't be reached at all.
    pub async fn install(&self, site: &SiteHandle) -> anyhow::Result<(ForgeInstallation, Vec<u16>)> {
        let installation = self.installation(site);
        let answers = installation.deliver("avi:forge:installed:app").await?;
        Ok((installation, answers))
    }

    /// A new installation on a site, without a call to its remote.
    #[must_use]
    pub fn installation(&self, site: &SiteHandle) -> ForgeInstallation {
        let id = format!("ari:cloud:ecosystem::installation/{}", random::uuid());
        ForgeInstallation { app: self.clone(), site: site.clone(), id }
    }

    fn manifest(&self) -> MutexGuard<'_, Option<Manifest>> {
        self.app.manifest.lock().expect("nothing panics while it holds the manifest")
    }

    fn endpoint(&self, find: impl Fn(&Manifest) -> Option<Endpoint>) -> anyhow::Result<Endpoint> {
        let manifest = self.manifest();
        let manifest = manifest.as_ref().context("nothing is deployed")?;
        find(manifest).context("the manifest has no such endpoint")
    }
}

impl ForgeInstallation {
    /// Forge's id of it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The call for an event, `avi:forge:installed:app` or `avi:forge:upgraded:app`.
    ///
    /// # Errors
    /// When no trigger of the manifest wants it.
    pub fn event(&self, event: &str) -> anyhow::Result<RemoteCall> {
        let endpoint = self.app.endpoint(|manifest| manifest.of_event(event))?;
        let body = json!({
            "eventType": event, "id": self.id, "app": { "id": self.app.id(), "version": "2.0.0" },
            "context": format!("ari:cloud:jira::site/{}", self.site.cloud_id()),
        });
        Ok(self.call(&endpoint, "core:trigger", body))
    }

    /// The hourly call, with a new token.
    ///
    /// # Errors
    /// When the manifest has no schedule.
    pub fn hourly(&self) -> anyhow::Result<RemoteCall> {
        let endpoint = self.app.endpoint(Manifest::of_schedule)?;
        let body = json!({ "context": { "cloudId": self.site.cloud_id(), "moduleKey": endpoint.module } });
        Ok(self.call(&endpoint, "core:scheduledTrigger", body))
    }

    /// The call that comes before an uninstall.
    ///
    /// # Errors
    /// When the manifest does not want it.
    pub fn before_uninstall(&self) -> anyhow::Result<RemoteCall> {
        let endpoint = self.app.endpoint(Manifest::of_uninstall)?;
        let body = json!({ "context": { "cloudId": self.site.cloud_id(), "moduleKey": endpoint.module } });
        Ok(self.call(&endpoint, "core:preUninstall", body))
    }

    /// The call that a page's `invokeRemote` makes for a person, to `path` of the page's remote.
    ///
    /// # Errors
    /// When the manifest has no page.
    pub fn page(&self, account_id: &str, path: &str) -> anyhow::Result<RemoteCall> {
        let endpoint = self.app.endpoint(|manifest| manifest.of_page(path))?;
        let mut call = self.call(&endpoint, "jira:adminPage", json!({}));
        let context = json!({
            "cloudId": self.site.cloud_id(), "siteUrl": self.site.base_url(), "moduleKey": endpoint.module,
        });
        call = call.claim("context", context).claim("principal", account_id).waiting(call::PAGE_TIMEOUT);
        Ok(call)
    }

    /// Sends an event until it is answered with success or Forge stops trying; answers the statuses of all attempts, 0 for
    /// no answer.
    ///
    /// # Errors
    /// As [`ForgeInstallation::event`].
    pub async fn deliver(&self, event: &str) -> anyhow::Result<Vec<u16>> {
        self.until_answered(|| self.event(event)).await
    }

    /// Delivers the hourly token, as [`ForgeInstallation::deliver`] does.
    ///
    /// # Errors
    /// As [`ForgeInstallation::hourly`].
    pub async fn tick(&self) -> anyhow::Result<Vec<u16>> {
        self.until_answered(|| self.hourly()).await
    }

    /// Removes the app from the site with all that it had sent. Its remote is called once before; what it answers does not
    /// matter.
    ///
    /// # Errors
    /// When the manifest wants the call and its remote can't be reached at all.
    pub async fn uninstall(&self) -> anyhow::Result<u16> {
        let answer = self.before_uninstall()?.send().await?;
        self.remove();
        Ok(answer.status)
    }

    /// Removes the app without a call to its remote, as when that call is lost.
    pub fn remove(&self) {
        self.site.expire_forge_tokens(self.app.id());
        let provider = Provider { connection: Connection::Forge, id: self.app.id().to_owned() };
        self.site.site.state().stores.remove(&provider);
    }

    /// Each attempt is a call of its own, with tokens of its own.
    async fn until_answered(
        &self,
        make: impl Fn() -> anyhow::Result<RemoteCall>,
    ) -> anyhow::Result<Vec<u16>> {
        let mut statuses: Vec<u16> = Vec::new();
        loop {
            let mut call = make()?;
            if let Some(last) = statuses.last() {
                let reason = match *last {
                    0 => "TIMEOUT_ERROR",
                    401 => "INVALID_FORGE_INVOCATION_TOKEN",
                    _ => "INVALID_REMOTE_INVOCATION_ERROR",
                };
                call = call
                    .field("retryContext", json!({ "retryCount": statuses.len(), "retryReason": reason }));
            }
            statuses.push(call.send().await.map_or(0, |answer| answer.status));
            let is_good = statuses.last().is_some_and(|status| (200..300).contains(status));
            if is_good || statuses.len() > RETRIES as usize {
                return Ok(statuses);
            }
            self.app.app.clock.sleep(RETRY_PAUSE).await;
        }
    }

    fn call(&self, endpoint: &Endpoint, module_type: &str, body: Value) -> RemoteCall {
        let now = self.app.app.clock.now().seconds();
        let cloud_id = self.site.cloud_id();
        let gateway = &self.app.world.gateway_url;
        let app = json!({
            "id": self.app.id(), "version": "2", "appVersion": "2.0.0", "installationId": self.id,
            "apiBaseUrl": format!("{gateway}/ex/jira/{cloud_id}"),
            "installation": {
                "id": self.id, "contexts": [{ "name": "jira", "cloudId": cloud_id }],
            },
            "environment": { "type": "PRODUCTION", "id": "ari:cloud:ecosystem::environment/1" },
            "module": { "type": module_type, "key": endpoint.module },
        });
        let system_token = endpoint
            .with_system_token
            .then(|| self.site.forge_system_token(self.app.id(), &endpoint.apis, TOKEN_LIFETIME));
        RemoteCall::new(
            &self.app.world,
            endpoint.url.clone(),
            json!({
                "iss": "forge/invocation-token", "aud": self.app.id(), "jti": random::uuid(),
                "iat": now, "nbf": now, "exp": now + call::TOKEN_LIFETIME, "app": app,
            }),
            body,
            system_token,
        )
    }
}

/// What a scope lets an app write to or read from.
fn api_of_scope(scope: &str) -> Option<Api> {
    match scope {
        "write:dev-info:jira" => Some(Api::DevInfo),
        "write:build-info:jira" => Some(Api::Builds),
        "write:deployment-info:jira" => Some(Api::Deployments),
        "write:feature-flag-info:jira" => Some(Api::FeatureFlags),
        "read:jira-work" => Some(Api::Rest),
        _ => None,
    }
}
