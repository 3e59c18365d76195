//! Everything at a glance: queues, sites with their rests, and links that need somebody.

use serde_json::{Map, Value, json};
use shared::attention;
use shared::domain::Api;
use shared::domain::{Site, Subscription};
use shared::store::backoffs::BackoffScope;
use shared::store::missed::Missed;

use super::{Operator, Refusal};

impl Operator {
    pub(super) async fn status(&self) -> Result<Value, Refusal> {
        let mut queues = Map::new();
        for (name, queue) in &self.queues {
            queues.insert((*name).to_owned(), json!(queue.depth().await?));
        }
        let (mut sites, mut links) = (Vec::new(), Vec::new());
        for site in self.store.sites().await? {
            let subscriptions = self.store.subscriptions(site.id).await?;
            sites.push(json!({
                "id": site.id, "host": site.host(), "condition": site.state.condition,
                "remedy": attention::of_site(&site),
                "rests": self.backoffs(&site, &subscriptions).await?, "subscriptions": subscriptions.len(),
            }));
            for link in &subscriptions {
                let missed = self.store.missed(link.id).await?;
                links.extend(troubled(&site, link, missed));
            }
        }
        Ok(json!({ "queues": queues, "sites": sites, "links": links }))
    }

    /// What is left alone for now on the way to and from a site.
    async fn backoffs(&self, site: &Site, links: &[Subscription]) -> Result<Vec<Value>, Refusal> {
        let mut scopes = vec![("jira".to_owned(), BackoffScope::Site(site.id))];
        scopes.extend(Api::ALL.map(|api| (format!("jira {api}"), BackoffScope::Api(site.id, api))));
        scopes.extend(links.iter().map(|link| {
            let resting = BackoffScope::Gitlab(link.instance.clone(), link.id.to_string());
            (format!("gitlab {}", link.group_path), resting)
        }));
        let now = self.clock.now();
        let mut backoffs = Vec::new();
        for (what, resting) in scopes {
            if let Some(backoff) = self.store.backoff(&resting).await?.filter(|backoff| backoff.until > now) {
                backoffs.push(
                    json!({ "what": what, "until": backoff.until.iso8601(), "reason": backoff.reason }),
                );
            }
        }
        Ok(backoffs)
    }
}

/// A link that somebody should look at.
fn troubled(site: &Site, link: &Subscription, missed: Option<Missed>) -> Option<Value> {
    let attention = attention::of_link(link, missed)?;
    let missed = missed.map(|missed| {
        let (since, last) = (missed.since.iso8601(), missed.last.iso8601());
        json!({ "deliveries": missed.deliveries, "since": since, "last": last })
    });
    Some(json!({
        "id": link.id, "site": site.host(), "group": link.group_path, "state": link.state,
        "attention": attention, "missed": missed,
    }))
}
