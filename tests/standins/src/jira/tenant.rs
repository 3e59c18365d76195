//! What a site signs with the shared secret: tokens of calls to the app, and the URLs that it opens in a browser.
//!
//! Follows <https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/>.

use anyhow::Context;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use shared::jwt::qsh::{CONTEXT_QSH, query_string_hash};
use time::OffsetDateTime;
use url::form_urlencoded::Serializer;

use super::keys::{Signature, compact_token};
use super::site::SiteHandle;

/// How long Jira's tokens for apps are valid, in seconds.
const TOKEN_LIFETIME: i64 = 900;

/// A token for the app before it is signed. It starts out right; every method makes it say something else.
#[derive(Clone, Debug)]
pub struct TenantToken {
    header: Value,
    claims: Value,
    signature: Signature,
}

impl TenantToken {
    /// Sets the account of the person who looks; without one the call is the site's own.
    #[must_use]
    pub fn account(self, account_id: &str) -> Self {
        self.claim("sub", account_id)
    }

    /// Sets how many seconds from now the token is valid; negative means it has expired.
    #[must_use]
    pub fn expiring_in(self, seconds: i64) -> Self {
        self.claim("exp", OffsetDateTime::now_utc().unix_timestamp() + seconds)
    }

    /// Sets a claim; null removes it.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        match (self.claims.as_object_mut(), value.into()) {
            (Some(claims), Value::Null) => drop(claims.remove(name)),
            (_, value) => self.claims[name] = value,
        }
        self
    }

    /// Sets the header's `alg`, without signing differently.
    #[must_use]
    pub fn algorithm(mut self, name: &str) -> Self {
        self.header["alg"] = json!(name);
        self
    }

    /// Signs with something else than the shared secret. The header stays as it is.
    #[must_use]
    pub fn signed_with(mut self, signature: Signature) -> Self {
        self.signature = signature;
        self
    }

    /// The token as it is sent.
    #[must_use]
    pub fn compact(&self) -> String {
        compact_token(&self.header, &self.claims, &self.signature)
    }
}

impl SiteHandle {
    /// The token of a request to the app installed last. `target` is path and query relative to the app's base URL, as
    /// they are sent: `/workspaces/search?searchQuery=a`.
    ///
    /// # Errors
    /// When no app is installed.
    pub fn token_for(&self, method: &str, target: &str) -> anyhow::Result<TenantToken> {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        self.tenant_token(&query_string_hash(method, path, query))
    }

    /// A token as `AP.context.getToken()` returns it to a page in the iframe.
    ///
    /// # Errors
    /// When no app is installed.
    pub fn context_token(&self) -> anyhow::Result<TenantToken> {
        Ok(self.tenant_token(CONTEXT_QSH)?.claim("context", json!({ "jira": {} })))
    }

    /// A token with this `qsh`, right or not.
    ///
    /// # Errors
    /// When no app is installed.
    pub fn tenant_token(&self, qsh: &str) -> anyhow::Result<TenantToken> {
        let state = self.site.state();
        let secret = state.current_app()?.shared_secret.clone();
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let exp = now + TOKEN_LIFETIME;
        let claims = json!({ "iss": state.client_key, "iat": now, "exp": exp, "qsh": qsh, "context": {} });
        let header = json!({ "typ": "JWT", "alg": "HS256" });
        Ok(TenantToken { header, claims, signature: Signature::Hmac(secret.into_bytes()) })
    }

    /// The URL that Jira loads into an iframe for a page module of the app, such as `postInstallPage`.
    ///
    /// # Errors
    /// When no app is installed or it has no such module.
    pub fn page_url(&self, module: &str, account_id: &str) -> anyhow::Result<String> {
        self.page_url_framed_by(module, account_id, false)
    }

    /// The same where the frame around it is at the site's own domain, if `by_display_url`.
    pub(super) fn page_url_framed_by(
        &self,
        module: &str,
        account_id: &str,
        by_display_url: bool,
    ) -> anyhow::Result<String> {
        let (site_url, app) = {
            let state = self.site.state();
            let display_url = state.display_url.clone().filter(|_| by_display_url);
            (display_url.unwrap_or_else(|| state.base_url.clone()), state.current_app()?.clone())
        };
        let page = app.descriptor["modules"][module].clone();
        let path = page["url"].as_str().with_context(|| format!("the app has no module {module}"))?;
        let channel = format!("channel-{}__{}", app.key, page["key"].as_str().unwrap_or_default());
        let query = Serializer::new(String::new())
            .append_pair("xdm_e", &site_url)
            .append_pair("xdm_c", &channel)
            .append_pair("cp", "")
            .append_pair("xdm_deprecated_addon_key_do_not_use", &app.key)
            .append_pair("lic", "none")
            .append_pair("cv", "1001.0.0-SNAPSHOT")
            .finish();
        let target = format!("{path}?{query}");
        let token = self.token_for("GET", &target)?.account(account_id).compact();
        Ok(format!("{}{target}&jwt={token}", app.reached_at))
    }

    /// The URL that opens when someone chooses "Create branch" on an issue: the descriptor's template, filled in.
    ///
    /// # Errors
    /// When no app is installed or its template is missing or outside its base URL.
    pub fn create_branch_url(
        &self,
        issue_key: &str,
        summary: &str,
        account_id: &str,
    ) -> anyhow::Result<String> {
        let (site_url, app) = {
            let state = self.site.state();
            (state.base_url.clone(), state.current_app()?.clone())
        };
        let template =
            app.descriptor.pointer("/modules/jiraDevelopmentTool/actions/createBranch/templateUrl");
        let template = template.and_then(Value::as_str).context("the app has no create-branch template")?;
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let url = template
            .replace("{issue.key}", &encoded(issue_key))
            .replace("{issue.summary}", &encoded(summary))
            .replace("{tenant.url}", &encoded(&site_url))
            .replace("{addonkey}", &encoded(&app.key));
        let target = url.strip_prefix(&app.base_url).context("the template is outside the app's base URL")?;
        // The token hashes the URL that carries it; the hash leaves the parameter `jwt` out.
        let token = self.token_for("GET", target)?.account(account_id).compact();
        Ok(format!("{}{}", app.reached_at, target.replace("{jwt}", &token)))
    }
}
