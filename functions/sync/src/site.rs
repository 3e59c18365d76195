//! A batch's events of one site: which connection brings them there, what is read for them, and what becomes of their
//! messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::domain::{Site, SiteCondition, SiteId, Subscription, SubscriptionId};
use shared::jira::client::JiraClient;
use shared::jira::connections::ConnectionError;
use shared::queue::disposition::Disposition;
use shared::store::StoreError;
use shared::store::backoffs::BackoffScope;
use shared::sync::apply::AllowedKeys;
use shared::sync::entity::Link;
use shared::sync::read::{GitlabReader, ProjectReader};
use shared::sync::transform::Source;

use crate::EventSync;
use crate::admit::AdmittedEvent;
use crate::tasks::{self, ReadResult};

/// How long work for a site without a usable connection waits before it is looked at again.
const NO_CONNECTION_BACKOFF: Duration = Duration::from_secs(900);

/// What becomes of messages, by their positions in the batch.
pub(crate) type Dispositions = Vec<(usize, Disposition)>;

impl EventSync {
    pub(crate) async fn sync_site(
        &self,
        id: SiteId,
        events: Vec<AdmittedEvent>,
    ) -> Result<Dispositions, StoreError> {
        let all = |disposition: &Disposition| -> Dispositions {
            events.iter().map(|event| (event.index, disposition.clone())).collect()
        };
        let Some(site) = self.store.site(id).await? else {
            return Ok(all(&Disposition::Drop { reason: "The Jira site was removed.".to_owned() }));
        };
        // Looked at before anything is read: a site that backs off for days must not cost GitLab a call.
        let backoff = self.store.backoff(&BackoffScope::Site(id)).await?;
        if let Some(backoff) = backoff.filter(|backoff| backoff.until > self.clock.now()) {
            return Ok(all(&Disposition::Wait { until: backoff.until, reason: backoff.reason.to_string() }));
        }
        let client = match self.writing_connection(&site).await? {
            Ok(client) => client,
            Err(disposition) => return Ok(all(&disposition)),
        };
        let (mut versions, mut dispositions) = (Vec::new(), Dispositions::new());
        for result in self.read(&site, &events).await? {
            match result {
                ReadResult::Entities(entities) => versions.extend(entities),
                ReadResult::Instead(instead) => dispositions.extend(instead),
            }
        }
        let allowed: AllowedKeys<'_> = events
            .iter()
            .map(|event| (event.subscription.id, event.subscription.project_keys.as_slice()))
            .collect();
        dispositions.extend(self.apply.apply(site, &client, &allowed, versions).await?);
        Ok(dispositions)
    }

    /// A client of the site's writing connection, or what its messages wait for.
    async fn writing_connection(&self, site: &Site) -> Result<Result<JiraClient, Disposition>, StoreError> {
        let wait = |reason: String| Disposition::Wait {
            until: self.clock.now().after(NO_CONNECTION_BACKOFF),
            reason,
        };
        if site.state.condition == SiteCondition::Switching {
            return Ok(Err(wait("The site's writing connection is being switched.".to_owned())));
        }
        let installation = match site.writer {
            Some(writer) => self.store.installation(site.id, writer).await?,
            None => None,
        };
        let Some(installation) = installation else {
            self.store.set_condition(site, SiteCondition::Uninstalled).await?;
            return Ok(Err(wait("The Jira site has no connection.".to_owned())));
        };
        match self.connections.open(site, &installation).await {
            Ok(client) => Ok(Ok(client)),
            Err(error) => {
                if matches!(error, ConnectionError::AwaitingToken) {
                    self.store.set_condition(site, SiteCondition::AwaitingToken).await?;
                }
                Ok(Err(wait(format!("{error}."))))
            }
        }
    }

    /// Reads what the hooks leave out, side by side for all projects of all links.
    async fn read(&self, site: &Site, events: &[AdmittedEvent]) -> Result<Vec<ReadResult>, StoreError> {
        let mut subscriptions: BTreeMap<SubscriptionId, &Arc<Subscription>> = BTreeMap::new();
        let mut projects: BTreeMap<(SubscriptionId, u64), Vec<&AdmittedEvent>> = BTreeMap::new();
        for event in events {
            subscriptions.insert(event.subscription.id, &event.subscription);
            projects.entry((event.subscription.id, event.project.id)).or_default().push(event);
        }
        let mut readers: BTreeMap<SubscriptionId, Option<GitlabReader<'_>>> = BTreeMap::new();
        for (id, subscription) in &subscriptions {
            readers.insert(*id, self.gitlab.reader(subscription).await?);
        }
        let sources: Vec<(SubscriptionId, Source, Vec<&AdmittedEvent>)> = projects
            .into_iter()
            .map(|((id, _), events)| (id, source(site, subscriptions[&id], &events), events))
            .collect();
        let tasks = sources
            .iter()
            .flat_map(|(id, source, events)| {
                let reader = readers[id].as_ref();
                let reader = reader.map(|reader| ProjectReader { reader, source, site: site.id });
                tasks::tasks(source, reader, events)
            })
            .collect();
        Ok(tasks::run(tasks).await)
    }
}

/// A project of a link, as its newest event describes it.
fn source(site: &Site, subscription: &Subscription, events: &[&AdmittedEvent]) -> Source {
    let newest = events.iter().max_by_key(|event| event.received_at);
    let project = newest.map(|event| event.project.clone()).unwrap_or_default();
    let link = Link {
        subscription: subscription.id,
        product: Arc::from(format!("GitLab {}", subscription.instance_version)),
    };
    let index = site.instance_index(&subscription.instance).unwrap_or(site.instances.len());
    Source::new(project, link, &subscription.instance, index)
}
