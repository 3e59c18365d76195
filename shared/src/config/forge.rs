//! What the Forge connection is told by variables, which is the same for all of its functions.

use std::sync::Arc;

use url::Url;

use super::{Outbound, Variables, allowed_jira_sites, atlassian_api_url};
use crate::aws::Aws;
use crate::clock::SharedClock;
use crate::envelope::Envelope;
use crate::http::ForgeGate;
use crate::jira::forge::ForgeInstallations;
use crate::jwt::invocation::InvocationVerifier;
use crate::jwt::key_set::{FORGE_KEY_SET, KeySet};
use crate::outbound::{OutboundClientError, RedirectRule};
use crate::store::Store;

/// What each function of the Forge connection is told.
#[derive(Clone, Debug)]
pub struct ForgeFunction {
    /// The app.
    pub forge: Forge,
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
}

impl ForgeFunction {
    /// Reads what [`Forge`] reads, `TABLE_NAME` and `KMS_KEY_ID`.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let forge = Forge::read(variables);
        let (table_name, kms_key_id) = (variables.required("TABLE_NAME"), variables.required("KMS_KEY_ID"));
        Some(Self { forge: forge?, table_name, kms_key_id })
    }

    /// The gate on AWS.
    ///
    /// # Errors
    /// [`OutboundClientError`].
    pub fn gate(&self, aws: &Aws) -> Result<ForgeGate, OutboundClientError> {
        self.forge.gate(aws.store(&self.table_name), aws.envelope(&self.kms_key_id), aws.clock())
    }
}

/// The Forge app, and how it is let in.
#[derive(Clone, Debug)]
pub struct Forge {
    /// The app's id, an ARI; `None` as long as there is no app.
    pub app_id: Option<String>,
    /// Where the keys of invocation tokens are.
    pub key_set_url: Url,
    /// Atlassian's API gateway.
    pub atlassian_api_url: Url,
    /// Which sites may install, by host; empty means any.
    pub allowed_sites: Vec<String>,
    /// How the key set and Jira may be called.
    pub outbound: Outbound,
}

impl Forge {
    /// Reads `FORGE_APP_ID`, `FORGE_JWKS_URL`, `ATLASSIAN_API_URL`, `ALLOWED_JIRA_SITES` and what [`Outbound`] reads.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let app_id = variables.optional("FORGE_APP_ID");
        if app_id.as_ref().is_some_and(|id| !id.starts_with("ari:cloud:ecosystem::app/")) {
            variables.problem("FORGE_APP_ID is not an app id, as `forge register` prints it.".to_owned());
        }
        let key_set_url = variables.url("FORGE_JWKS_URL", FORGE_KEY_SET);
        let atlassian_api_url = atlassian_api_url(variables);
        let allowed_sites = allowed_jira_sites(variables);
        let outbound = Outbound::read(variables);
        Some(Self {
            app_id,
            key_set_url: key_set_url?,
            atlassian_api_url: atlassian_api_url?,
            allowed_sites,
            outbound: outbound?,
        })
    }

    /// The gate that Forge's calls come through.
    ///
    /// # Errors
    /// [`OutboundClientError`].
    pub fn gate(
        &self,
        store: Store,
        envelope: Arc<Envelope>,
        clock: SharedClock,
    ) -> Result<ForgeGate, OutboundClientError> {
        let http = self.outbound.client(RedirectRule::None)?;
        let verifier = self.app_id.clone().map(|app_id| {
            let keys = KeySet::new(http.clone(), self.key_set_url.clone(), clock.clone());
            InvocationVerifier::new(keys, app_id, clock.clone())
        });
        let installations = ForgeInstallations {
            store,
            envelope,
            http,
            guard: self.outbound.guard.clone(),
            api_url: self.atlassian_api_url.clone(),
            allowed_sites: self.allowed_sites.clone().into(),
            clock,
        };
        Ok(ForgeGate { verifier, installations })
    }
}
