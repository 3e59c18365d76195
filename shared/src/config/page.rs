//! The environment variables of functions that serve the page and link groups.

use url::Url;

use super::{Identity, JiraAccess, Outbound, Variables, gitlab_url};
use crate::bundle::OAUTH_CALLBACKS;

/// Atlassian's script for pages of Connect apps
/// (<https://developer.atlassian.com/cloud/jira/platform/about-the-javascript-api/>).
const CONNECT_JS_URL: &str = "https://connect-cdn.atl-paas.net/all.js";

/// The configuration of a function that serves the page.
#[derive(Clone, Debug)]
pub struct PageFunction {
    /// Who the app is, and where it is served.
    pub identity: Identity,
    /// How Jira is called.
    pub jira: JiraAccess,
    /// How GitLab and Jira may be called.
    pub outbound: Outbound,
    /// The GitLab that people sign in to unless they name another.
    pub gitlab_url: Url,
    /// The OAuth application of that GitLab.
    pub oauth_application_id: Option<String>,
    /// Where hooks deliver to, without a trailing slash.
    pub webhook_url: String,
    /// Atlassian's script for pages of Connect apps.
    pub connect_js_url: Url,
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
    /// The queue whose messages may be in flight while a group is unlinked.
    pub events_queue_url: String,
    /// The queue of the steps in which hooks of projects are made.
    pub backfill_queue_url: String,
}

impl PageFunction {
    /// Reads what [`Identity`], [`JiraAccess`] and [`Outbound`] read, `GITLAB_URL`, `OAUTH_APPLICATION_ID`, `WEBHOOK_URL`,
    /// `CONNECT_JS_URL`, `TABLE_NAME`, `KMS_KEY_ID`, `EVENTS_QUEUE_URL` and `BACKFILL_QUEUE_URL`.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let identity = Identity::read(variables);
        let jira = JiraAccess::read(variables);
        let outbound = Outbound::read(variables);
        let gitlab_url = gitlab_url(variables);
        let oauth_application_id = variables.optional("OAUTH_APPLICATION_ID");
        let webhook_url = variables.optional("WEBHOOK_URL");
        let connect_js_url = variables.url("CONNECT_JS_URL", CONNECT_JS_URL);
        let (table_name, kms_key_id) = (variables.required("TABLE_NAME"), variables.required("KMS_KEY_ID"));
        let events_queue_url = variables.required("EVENTS_QUEUE_URL");
        let backfill_queue_url = variables.required("BACKFILL_QUEUE_URL");
        let identity = identity?;
        let webhook_url = webhook_url.unwrap_or_else(|| identity.base_url.clone());
        Some(Self {
            identity,
            jira: jira?,
            outbound: outbound?,
            gitlab_url: gitlab_url?,
            oauth_application_id,
            webhook_url: webhook_url.trim_end_matches('/').to_owned(),
            connect_js_url: connect_js_url?,
            table_name,
            kms_key_id,
            events_queue_url,
            backfill_queue_url,
        })
    }

    /// Where GitLab sends people back to after signing in.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("{}{}", self.identity.base_url, OAUTH_CALLBACKS.path)
    }
}
