//! Jira sites: opening the OAuth-credentials connection, listing and forgetting them, and which connection writes ([`switch`]). How
//! apps get in belongs to the functions that Jira and Forge call.

mod switch;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::domain::{
    Connection, ConnectionKind, Installation, InstallationId, Site, SiteCondition, SiteId, SiteState,
};
use shared::envelope::{EnvelopeError, Purpose};
use shared::jira::client::{JiraClient, JiraError, cloud_id};
use shared::jira::connections::{AccessTokens, Connections, secret_context};
use shared::outbound::{GuardError, is_atlassian_site, is_listed_site};
use shared::store::StoreError;
use url::Url;

use super::trouble::{origin, unreachable};
use super::{Operator, Refusal};

/// OAuth credentials as a site's administrator copied them.
struct Credentials {
    client_id: String,
    client_secret: SecretString,
}

impl Operator {
    pub(super) async fn site_add(
        &self,
        site: &str,
        client_id: String,
        client_secret: SecretString,
    ) -> Result<Value, Refusal> {
        let credentials = Credentials { client_id: client_id.trim().to_owned(), client_secret };
        if credentials.client_id.is_empty() || credentials.client_secret.expose_secret().is_empty() {
            return Err(Refusal::new(
                "Client id and secret are both needed: copy them from Jira's OAuth credentials.",
            ));
        }
        let urls = self.site_urls(site)?;
        let (url, cloud_id) = self.ask_cloud_id(&urls).await?;
        self.prove(&url, &cloud_id, &credentials).await?;
        let base_url = origin(&url);
        let (id, writes) = match self.store.site_by_cloud_id(&cloud_id).await? {
            Some(site) => (site.id, self.join(&site, &base_url, &credentials).await?),
            None => (self.create(&base_url, &cloud_id, &credentials).await?, true),
        };
        let host = base_url.split_once("://").map_or(base_url.as_str(), |(_, host)| host);
        tracing::info!(site.id = %id, site.host = host, writes, "OAuth credentials added");
        Ok(json!({
            "site": id, "host": host, "cloud_id": cloud_id, "connection": ConnectionKind::OauthCredentials, "writes": writes,
            "notes": self.notes_on(id, host, writes).await?,
        }))
    }

    pub(super) async fn site_list(&self) -> Result<Value, Refusal> {
        let (mut sites, now) = (Vec::new(), self.clock.now());
        for site in self.store.sites().await? {
            let connections: Vec<Value> = self
                .store
                .installations(site.id)
                .await?
                .iter()
                .map(|installation| {
                    json!({
                        "installation": installation.id, "kind": installation.connection.kind(),
                        "writes": site.writer == Some(installation.id), "needs": needs(installation, now),
                        "installed_at": installation.installed_at.iso8601(),
                    })
                })
                .collect();
            let condition = site.state.condition;
            sites.push(json!({
                "id": site.id, "host": site.host(), "base_url": site.base_url, "cloud_id": site.cloud_id,
                "condition": condition, "since": site.state.since.iso8601(), "remedy": condition.remedy(),
                "connections": connections, "draft": site.draft, "needs_work": site.needs_work,
                "suppressed_projects": site.suppressed_projects,
                "needs_resync_since": site.needs_resync_since.map(Timestamp::iso8601),
                "subscriptions": self.store.subscriptions(site.id).await?.len(),
            }));
        }
        Ok(json!({ "sites": sites }))
    }

    pub(super) async fn site_remove(&self, site: &str) -> Result<Value, Refusal> {
        let site = self.find_site(site).await?;
        let links = self.store.subscriptions(site.id).await?;
        if !links.is_empty() {
            let names: Vec<_> =
                links.iter().map(|link| format!("{} ({})", link.id, link.group_path)).collect();
            return Err(Refusal::new(format!(
                "{} still has links: run `gitlab-jira group unlink` for {} first.",
                site.host(),
                names.join(", ")
            )));
        }
        let connections = self.store.installations(site.id).await?;
        let has_app = connections
            .iter()
            .any(|connection| connection.connection.kind() != ConnectionKind::OauthCredentials);
        self.store.end_backoffs(site.id).await?;
        self.store.delete_site(&site).await?;
        tracing::info!(site.id = %site.id, site.host = site.host(), "site removed");
        let note = if has_app {
            "The app is still installed in Jira: uninstall it there, or it comes back with its next event."
        } else {
            "The OAuth credentials still exist in Jira: delete them there."
        };
        Ok(json!({ "site": site.id, "host": site.host(), "notes": [note] }))
    }

    /// The one site that `name` means: a host name, a clientKey or one of our ids.
    pub(super) async fn find_site(&self, name: &str) -> Result<Site, Refusal> {
        let name = name.trim();
        let host = name.split_once("://").map_or(name, |(_, rest)| rest).trim_end_matches('/');
        let mut found = self.store.sites().await?;
        found.retain(|site| site.host().eq_ignore_ascii_case(host));
        if found.len() > 1 {
            let ids: Vec<_> = found.iter().map(|site| site.id.to_string()).collect();
            let ids = ids.join(", ");
            return Err(Refusal::new(format!("Several sites are called {host}: name one by its id, {ids}.")));
        }
        if let Some(site) = found.pop() {
            return Ok(site);
        }
        if let Ok(id) = name.parse::<SiteId>()
            && let Some(site) = self.store.site(id).await?
        {
            return Ok(site);
        }
        if let Some(pointer) = self.store.client_key_pointer(name).await?
            && let Some(site) = self.store.site(pointer.site).await?
        {
            return Ok(site);
        }
        // What was typed may be a clientKey, so it is not repeated.
        Err(Refusal::new(
            "No site has this host name, clientKey or id: run `gitlab-jira site list` to see which there are.",
        ))
    }

    /// The URLs that `site` may mean, the likeliest first: https, and plain http where the guard lets that through.
    fn site_urls(&self, site: &str) -> Result<Vec<Url>, Refusal> {
        let text = site.trim().trim_end_matches('/');
        if text.contains("://") {
            return Ok(vec![self.site_url(text)?]);
        }
        let plain = self.guard.check(&format!("http://{text}")).is_ok();
        let plain = plain.then(|| self.site_url(&format!("http://{text}"))).transpose()?;
        match (self.site_url(&format!("https://{text}")), plain) {
            (Ok(secure), plain) => Ok([Some(secure), plain].into_iter().flatten().collect()),
            (Err(_), Some(plain)) => Ok(vec![plain]),
            (Err(refusal), None) => Err(refusal),
        }
    }

    fn site_url(&self, text: &str) -> Result<Url, Refusal> {
        let url = self.guard.check(text).map_err(|error| match error {
            GuardError::Malformed => Refusal::new(
                "The site is not a host name: give it as acme.atlassian.net, with a port if need be.",
            ),
            error => Refusal::new(format!("{text} must not be called: {error}.")),
        })?;
        if url.path() != "/" || url.query().is_some() {
            return Err(Refusal::new(
                "The site's address has a path: give its host alone, as acme.atlassian.net.",
            ));
        }
        if !is_atlassian_site(&url) && !self.guard.lists(&url) {
            return Err(Refusal::new(format!(
                "{} is not a Jira Cloud site: give its own name, as acme.atlassian.net; a custom domain will not do.",
                origin(&url)
            )));
        }
        let origin = origin(&url);
        let host = origin.split_once("://").map_or(origin.as_str(), |(_, host)| host);
        if !is_listed_site(&self.allowed_jira_sites, &origin) {
            return Err(Refusal::new(format!("{host} may not be added: list it in ALLOWED_JIRA_SITES.")));
        }
        Ok(url)
    }

    /// Atlassian's id of the site at the first of `urls` that answers. Nothing secret is sent here.
    async fn ask_cloud_id(&self, urls: &[Url]) -> Result<(Url, String), Refusal> {
        let mut refusal = None;
        for url in urls {
            match cloud_id(&self.connections.http, url).await {
                Ok(cloud_id) => return Ok((url.clone(), cloud_id)),
                Err(error) => {
                    let sentence = not_a_site(&error, &origin(url));
                    let goes_on = matches!(error, JiraError::NoAnswer(_));
                    refusal = Some(Refusal::new(sentence));
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        Err(refusal.unwrap_or_else(|| Refusal::new("No address was given: name the site's host.")))
    }

    /// Makes an authenticated call with the credential: only that shows that it belongs to the site.
    async fn prove(&self, url: &Url, cloud_id: &str, credentials: &Credentials) -> Result<(), Refusal> {
        // A token that was got with an earlier secret would prove nothing of this one.
        let connections = Connections { tokens: AccessTokens::default(), ..self.connections.clone() };
        let access = connections.client_credentials(
            cloud_id.to_owned(),
            credentials.client_id.clone(),
            credentials.client_secret.clone(),
        );
        let client = JiraClient::new(connections.http, connections.clock, url.clone(), access);
        let api = origin(&self.connections.api_url);
        client.check().await.map_err(|error| Refusal::new(not_proved(&error, &origin(url), &api)))
    }

    async fn create(
        &self,
        base_url: &str,
        cloud_id: &str,
        credentials: &Credentials,
    ) -> Result<SiteId, Refusal> {
        let mut site = Site::new(base_url, self.clock.now());
        let installation = self.installation(site.id, InstallationId::generate(), credentials).await?;
        site.cloud_id = Some(cloud_id.to_owned());
        site.writer = Some(installation.id);
        match self.store.create_site(&site, &installation).await {
            Ok(()) => Ok(site.id),
            Err(StoreError::Conflict) => Err(Refusal::new(
                "Somebody else is adding this site right now: run `gitlab-jira site add` again.",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the credential a connection of a known site, or renews that connection; answers whether it writes. A site that has a
    /// writer keeps it.
    async fn join(&self, site: &Site, base_url: &str, credentials: &Credentials) -> Result<bool, Refusal> {
        let connections = self.store.installations(site.id).await?;
        let renewed = connections
            .iter()
            .find(|connection| connection.connection.kind() == ConnectionKind::OauthCredentials);
        let id = renewed.map_or_else(InstallationId::generate, |connection| connection.id);
        let writer =
            site.writer.filter(|writer| connections.iter().any(|connection| connection.id == *writer));
        let writes = writer.is_none_or(|writer| writer == id);
        let installation = self.installation(site.id, id, credentials).await?;
        self.store.put_installation(&installation).await?;
        // The site's own server said who it is, so its new name helps whichever connection writes.
        let renamed = site.state.condition == SiteCondition::Renamed && site.base_url != base_url;
        if !(writes || renamed) {
            return Ok(false);
        }
        let (base_url, now) = (base_url.to_owned(), self.clock.now());
        let changed = self.store.update_site(site.id, move |site| {
            if writes {
                site.writer = Some(id);
            }
            site.base_url.clone_from(&base_url);
            if !matches!(site.state.condition, SiteCondition::Active | SiteCondition::Switching) {
                site.state = SiteState { condition: SiteCondition::Active, since: now };
            }
        });
        if changed.await?.is_none() {
            return Err(Refusal::new(
                "Somebody removed this site right now: run `gitlab-jira site add` again.",
            ));
        }
        self.store.end_backoffs(site.id).await?;
        Ok(writes)
    }

    async fn installation(
        &self,
        site: SiteId,
        id: InstallationId,
        credentials: &Credentials,
    ) -> Result<Installation, Refusal> {
        let context = secret_context(site, id, Purpose::ClientSecret);
        let client_secret = self.envelope.seal(&credentials.client_secret, &context).await?;
        let connection =
            Connection::OauthCredentials { client_id: credentials.client_id.clone(), client_secret };
        Ok(Installation { id, site, connection, installed_at: self.clock.now() })
    }

    async fn notes_on(&self, id: SiteId, host: &str, writes: bool) -> Result<Vec<String>, Refusal> {
        let mut notes = Vec::new();
        if !writes {
            notes.push("Another connection of this site writes; this one stands by.".to_owned());
        }
        for other in self.store.sites().await?.iter().filter(|site| site.id != id && site.host() == host) {
            notes.push(format!(
                "{host} is known a second time, as {}, which never proved that it is the same site: name sites by id, or remove the one you do not want.",
                other.id
            ));
        }
        Ok(notes)
    }
}

impl From<EnvelopeError> for Refusal {
    fn from(error: EnvelopeError) -> Self {
        Self::new(match error {
            EnvelopeError::TooLong => "The secret is longer than 16 KiB: give the secret alone.".to_owned(),
            error => format!(
                "Secrets can't be sealed or opened: {error}. Check the key file of the data directory."
            ),
        })
    }
}

/// What a connection lacks to be able to write; `None` when nothing is known to be missing.
fn needs(installation: &Installation, now: Timestamp) -> Option<&'static str> {
    match &installation.connection {
        Connection::Forge { token: Some(token), .. } if token.usable_until > now => None,
        Connection::Forge { .. } => Some("a token, which Forge brings every hour"),
        Connection::Connect { .. } | Connection::OauthCredentials { .. } => None,
    }
}

fn not_a_site(error: &JiraError, site: &str) -> String {
    match error {
        JiraError::NoAnswer(source) => unreachable(site, Some(source)),
        JiraError::Renamed => format!("{site} redirects: the site has another name now, give that one."),
        JiraError::Unavailable { status, .. } => {
            format!("{site} does not answer now ({status}): ask its administrator whether it is deactivated.")
        }
        JiraError::RateLimited { .. } => format!("The rate limit of {site} is reached: try again later."),
        _ => format!("{site} does not answer as a Jira Cloud site does: check its name."),
    }
}

fn not_proved(error: &JiraError, site: &str, api: &str) -> String {
    match error {
        JiraError::Unauthorized | JiraError::BadRequest(_) => format!(
            "Atlassian refuses the client id and secret: copy both again from the OAuth credentials of {site}."
        ),
        JiraError::Forbidden(_) => format!(
            "The credentials give no access to development information on {site}: create them on this site, with all permissions."
        ),
        JiraError::NotFound => {
            format!(
                "Atlassian's gateway does not know {site}: ask its administrator whether it is deactivated."
            )
        }
        JiraError::NoAnswer(source) => unreachable(api, Some(source)),
        JiraError::RateLimited { .. } => format!("The rate limit of {api} is reached: try again later."),
        JiraError::Unavailable { status, .. } => {
            format!("{api} does not answer now ({status}): try again later.")
        }
        JiraError::TooLarge(_)
        | JiraError::PermissionsPropagating
        | JiraError::Renamed
        | JiraError::Unexpected(_) => {
            format!("{api} does not answer as Atlassian's gateway does: check ATLASSIAN_API_URL.")
        }
    }
}
