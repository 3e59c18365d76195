//! The first thing that the page shows: the site, its connections, its linked groups, and what needs attention.

use serde::Serialize;

use super::history::{AuditView, HistoryView};
use super::instances::Instance;
use super::links::HooksView;
use super::preview::credential_name;
use super::{Administrator, Host, PageApi, PageError};
use crate::domain::{
    Api, Connection, HookKind, Installation, Site, SiteCondition, Subscription, SubscriptionId,
    SubscriptionState,
};
use crate::health;
use crate::linking::LinkError;
use crate::store::backoffs::BackoffScope;

/// What the page shows first.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    host: &'static str,
    site: SiteView,
    connections: Vec<ConnectionView>,
    links: Vec<LinkView>,
    gitlab: Vec<Instance>,
    /// What an OAuth application has to have as its redirect URI.
    redirect_uri: String,
}

#[derive(Debug, Serialize)]
struct SiteView {
    host: String,
    condition: SiteCondition,
    since: String,
    remedy: Option<&'static str>,
    needs_resync_since: Option<String>,
    /// Keys that look like those of projects, but Jira does not know.
    suppressed_projects: Vec<String>,
    waits: Vec<Wait>,
}

#[derive(Debug, Serialize)]
struct ConnectionView {
    kind: &'static str,
    writes: bool,
    here: bool,
    installed_at: String,
    token_usable_until: Option<String>,
}

#[derive(Debug, Serialize)]
struct LinkView {
    id: SubscriptionId,
    /// GitLab's id of the group, which renewing begins with.
    group: u64,
    path: String,
    gitlab: String,
    version: String,
    state: SubscriptionState,
    hook: HookKind,
    signed: bool,
    /// How far the webhooks of its projects have come while they are created or checked.
    hooks: Option<HooksView>,
    /// How far its history has come; none where none was begun.
    history: Option<HistoryView>,
    /// What its last audit has found; none where there was none.
    audit: Option<AuditView>,
    /// When its access token ends.
    token_expires_at: Option<String>,
    /// `read`, `managed`, `given` or `none`.
    credential: &'static str,
    project_keys: Vec<String>,
    linked_at: String,
    /// When the last delivery came in, to the minute; none where there was none yet.
    last_event: Option<String>,
    linked_by: Option<String>,
    /// Sentences with cause and remedy.
    attention: Vec<String>,
    waits: Vec<Wait>,
}

/// Something that backs off; events wait.
#[derive(Debug, Serialize)]
struct Wait {
    what: String,
    until: String,
    reason: String,
}

impl PageApi {
    pub(super) async fn overview(&self, who: &Administrator) -> Result<Overview, PageError> {
        let (site, store) = (&who.site, self.store());
        let connections = store.installations(site.id).await?;
        let mut links = Vec::new();
        for link in store.subscriptions(site.id).await? {
            links.push(self.link_view(link).await?);
        }
        Ok(Overview {
            host: match who.host {
                Host::Connect => "connect",
                Host::Forge => "forge",
                Host::Local(_) => "local",
            },
            site: self.site_view(site).await?,
            connections: connections.iter().map(|connection| connection_view(who, connection)).collect(),
            links,
            gitlab: self.instances(who),
            redirect_uri: self.redirect_uri.clone(),
        })
    }

    async fn site_view(&self, site: &Site) -> Result<SiteView, PageError> {
        let mut scopes = vec![("Jira".to_owned(), BackoffScope::Site(site.id))];
        scopes.extend(Api::ALL.map(|api| (format!("Jira's {api}"), BackoffScope::Api(site.id, api))));
        Ok(SiteView {
            host: site.host().to_owned(),
            condition: site.state.condition,
            since: site.state.since.iso8601(),
            remedy: health::site_remedy(site.state.condition),
            needs_resync_since: site.needs_resync_since.map(|since| since.iso8601()),
            suppressed_projects: site.suppressed_projects(self.clock().now()),
            waits: self.waits(scopes).await?,
        })
    }

    async fn link_view(&self, link: Subscription) -> Result<LinkView, PageError> {
        let missed = self.store().missed(link.id).await?;
        let troubles = health::link_troubles(&link, missed, self.clock().now());
        let signed = match self.linking.is_signed(&link).await {
            Ok(signed) => signed,
            Err(LinkError::Store(error)) => return Err(error.into()),
            Err(_) => false,
        };
        let history = self.history_view(&link).await?;
        let audit = self.audit_view(&link).await?;
        let last_event = self.store().last_event(link.id).await?;
        let scope = BackoffScope::Gitlab(link.instance.clone(), link.id.to_string());
        Ok(LinkView {
            waits: self.waits(vec![(link.instance.clone(), scope)]).await?,
            attention: troubles.iter().map(health::link_remedy).collect(),
            id: link.id,
            group: link.group_id,
            path: link.group_path,
            gitlab: link.instance,
            version: link.instance_version,
            state: link.state,
            hook: link.hook.kind,
            signed,
            hooks: link.hooks.as_ref().map(HooksView::from),
            history,
            audit,
            token_expires_at: link
                .credential
                .as_ref()
                .and_then(|credential| credential.expires_at)
                .map(|end| end.iso8601()),
            credential: credential_name(link.credential.map(|credential| credential.mode)),
            project_keys: link.project_keys,
            linked_at: link.created_at.iso8601(),
            last_event: last_event.map(|at| at.iso8601()),
            linked_by: link.linked_by,
        })
    }

    async fn waits(&self, scopes: Vec<(String, BackoffScope)>) -> Result<Vec<Wait>, PageError> {
        let keys: Vec<BackoffScope> = scopes.iter().map(|(_, scope)| scope.clone()).collect();
        let (found, now) = (self.store().backoffs(&keys).await?, self.clock().now());
        let waits = scopes.into_iter().filter_map(|(what, scope)| {
            let backoff = found.get(&scope).filter(|backoff| backoff.until > now)?;
            Some(Wait { what, until: backoff.until.iso8601(), reason: backoff.reason.to_string() })
        });
        Ok(waits.collect())
    }
}

fn connection_view(who: &Administrator, installation: &Installation) -> ConnectionView {
    let token = match &installation.connection {
        Connection::Forge { token, .. } => token.as_ref(),
        Connection::Connect { .. } | Connection::OauthCredentials { .. } => None,
    };
    ConnectionView {
        kind: installation.connection.kind().name(),
        writes: who.site.writer == Some(installation.id),
        here: who.here == Some(installation.id),
        installed_at: installation.installed_at.iso8601(),
        token_usable_until: token.map(|token| token.usable_until.iso8601()),
    }
}
