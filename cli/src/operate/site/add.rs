//! `site add`: OAuth credentials as a connection of a site, once an authenticated call has proved that they belong to it.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use shared::domain::{
    Connection, ConnectionKind, Installation, InstallationId, Site, SiteCondition, SiteId, SiteState,
};
use shared::envelope::{Context, Purpose};
use shared::jira::client::{JiraClient, JiraError, cloud_id};
use shared::jira::connections::{AccessTokens, Connections};
use shared::outbound::{GuardError, is_atlassian_site, is_listed_site};
use shared::store::StoreError;
use url::Url;

use crate::operate::next::Next;
use crate::operate::text::{clean, notes};
use crate::operate::wording::{late, of_envelope, origin, unreachable};
use crate::operate::{Operator, Refusal};

/// What `site add` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteAdded {
    /// Our id of the site.
    pub site: SiteId,
    /// Its host name.
    pub host: String,
    /// Atlassian's id of it.
    pub cloud_id: String,
    /// Which connection was added.
    pub connection: ConnectionKind,
    /// Whether it is the writing one.
    pub writes: bool,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// OAuth credentials as a site's administrator copied them.
struct Credentials {
    client_id: String,
    client_secret: SecretString,
}

impl Operator {
    pub(in crate::operate) async fn site_add(
        &self,
        site: &str,
        client_id: String,
        client_secret: SecretString,
    ) -> Result<SiteAdded, Refusal> {
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
        let notes = self.notes_on(id, host, writes).await?;
        let (host, connection) = (host.to_owned(), ConnectionKind::OauthCredentials);
        Ok(SiteAdded { site: id, host, cloud_id, connection, writes, notes })
    }

    /// The URLs that `site` may mean, the likeliest first: https, and plain http where the guard lets that through.
    fn site_urls(&self, site: &str) -> Result<Vec<Url>, Refusal> {
        let text = site.trim().trim_end_matches('/');
        if text.contains("://") {
            return Ok(vec![self.site_url(text)?]);
        }
        let plain = self.linking.guard.check(&format!("http://{text}")).is_ok();
        let plain = plain.then(|| self.site_url(&format!("http://{text}"))).transpose()?;
        match (self.site_url(&format!("https://{text}")), plain) {
            (Ok(secure), plain) => Ok([Some(secure), plain].into_iter().flatten().collect()),
            (Err(_), Some(plain)) => Ok(vec![plain]),
            (Err(refusal), None) => Err(refusal),
        }
    }

    fn site_url(&self, text: &str) -> Result<Url, Refusal> {
        let url = self.linking.guard.check(text).map_err(|error| match error {
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
        if !is_atlassian_site(&url) && !self.linking.guard.lists(&url) {
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
            match cloud_id(&self.linking.connections.http, url).await {
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
        // A token obtained with an earlier secret would not prove this one.
        let connections = Connections { tokens: AccessTokens::default(), ..self.linking.connections.clone() };
        let access = connections.client_credentials(
            cloud_id.to_owned(),
            credentials.client_id.clone(),
            credentials.client_secret.clone(),
        );
        let client = JiraClient::new(connections.http, connections.clock, url.clone(), access);
        let api = origin(&self.linking.connections.api_url);
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

    /// Makes the credential a connection of a known site, or renews that connection; answers whether it writes. A site
    /// that has a writer keeps it.
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
        // The site's own server has proved its id, so its new name is used by whichever connection writes.
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
        let context = Context::installation(site, id, Purpose::ClientSecret);
        let client_secret = self.linking.envelope.seal(&credentials.client_secret, &context).await;
        let client_secret = client_secret.map_err(|error| of_envelope(&error))?;
        let connection =
            Connection::OauthCredentials { client_id: credentials.client_id.clone(), client_secret };
        Ok(Installation { id, site, connection, installed_at: self.clock.now() })
    }

    async fn notes_on(&self, id: SiteId, host: &str, writes: bool) -> Result<Vec<String>, Refusal> {
        let mut notes = Vec::new();
        if !writes {
            notes.push(
                "Another connection of this site is the writing one; this one is a standby.".to_owned(),
            );
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

fn not_a_site(error: &JiraError, site: &str) -> String {
    match error {
        JiraError::NoAnswer(source) => unreachable(site, Some(source)),
        JiraError::Renamed => format!("{site} redirects: the site was renamed, give its new name."),
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
            "Atlassian rejects the client id and secret: copy both again from the OAuth credentials of {site}."
        ),
        JiraError::Forbidden(_) => format!(
            "The credentials give no access to development information on {site}: create them on this site, with all permissions."
        ),
        JiraError::NotFound => {
            format!(
                "Atlassian's gateway answers 404 for {site}: ask its administrator whether it is deactivated."
            )
        }
        JiraError::NoAnswer(source) => unreachable(api, Some(source)),
        JiraError::OutOfTime => late(api),
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

impl SiteAdded {
    pub(in crate::operate) fn lines(&self) -> Vec<String> {
        let role = if self.writes { "the writing one" } else { "a standby" };
        let host = clean(&self.host);
        let mut lines = vec![format!("{host} is added as {}; this connection is {role}.", self.site)];
        lines.extend(notes(&self.notes));
        lines
    }

    pub(in crate::operate) fn next(&self) -> Vec<Next> {
        vec![Next::LinkGroup { site: self.host.clone() }]
    }
}
