//! Everything at a glance: queues, sites with their rests, and links that need somebody.

use serde_json::{Map, Value, json};
use shared::domain::{Site, Subscription, SubscriptionState};
use shared::jira::client::Api;
use shared::store::missed::Missed;
use shared::store::rests::Resting;

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
            let condition = site.state.condition;
            sites.push(json!({
                "id": site.id, "host": site.host(), "condition": condition, "remedy": condition.remedy(),
                "rests": self.rests(&site, &subscriptions).await?, "subscriptions": subscriptions.len(),
            }));
            for link in &subscriptions {
                let missed = self.store.missed(link.id).await?;
                links.extend(troubled(&site, link, missed));
            }
        }
        Ok(json!({ "queues": queues, "sites": sites, "links": links }))
    }

    /// What is left alone for now on the way to and from a site.
    async fn rests(&self, site: &Site, links: &[Subscription]) -> Result<Vec<Value>, Refusal> {
        let mut scopes = vec![("jira".to_owned(), Resting::Site(site.id))];
        scopes.extend(Api::ALL.map(|api| (format!("jira {api}"), Resting::Api(site.id, api))));
        scopes.extend(links.iter().map(|link| {
            let resting = Resting::Gitlab(link.instance.clone(), link.id.to_string());
            (format!("gitlab {}", link.group_path), resting)
        }));
        let now = self.clock.now();
        let mut rests = Vec::new();
        for (what, resting) in scopes {
            if let Some(rest) = self.store.rest(&resting).await?.filter(|rest| rest.until > now) {
                rests.push(json!({ "what": what, "until": rest.until.iso8601(), "reason": rest.reason }));
            }
        }
        Ok(rests)
    }
}

/// A link that somebody should look at.
fn troubled(site: &Site, link: &Subscription, missed: Option<Missed>) -> Option<Value> {
    let of_state = match link.state {
        SubscriptionState::Active => link.attention.clone(),
        SubscriptionState::Pending => Some(format!(
            "Linking or unlinking did not end: run `bridge group unlink {}`, and link the group again if it is wanted.",
            link.id
        )),
    };
    let attention: Vec<String> = of_state.into_iter().chain(missed.map(what_to_send_again)).collect();
    if attention.is_empty() {
        return None;
    }
    let missed = missed.map(|missed| {
        let (since, last) = (missed.since.iso8601(), missed.last.iso8601());
        json!({ "deliveries": missed.deliveries, "since": since, "last": last })
    });
    Some(json!({
        "id": link.id, "site": site.host(), "group": link.group_path, "state": link.state,
        "attention": attention.join(" "), "missed": missed,
    }))
}

/// GitLab never repeats a delivery by itself, but keeps each for some days and repeats it on demand
/// (<https://docs.gitlab.com/user/project/integrations/webhooks/>).
fn what_to_send_again(missed: Missed) -> String {
    let deliveries = match missed.deliveries {
        1 => "1 delivery".to_owned(),
        count => format!("{count} deliveries"),
    };
    format!(
        "{deliveries} could not be taken in since {}: send them again from Recent events on the hook's page in GitLab.",
        missed.since.iso8601()
    )
}
