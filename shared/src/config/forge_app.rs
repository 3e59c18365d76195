//! The Forge app's environment variables, which are the same for all of its functions.

use url::Url;

use super::{Outbound, Variables, allowed_jira_sites, atlassian_api_url};
use crate::jwt::key_set::FORGE_KEY_SET;

/// The configuration of each function that Forge calls.
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
}

/// The Forge app, and which sites may install it.
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
}
