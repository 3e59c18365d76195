//! `status`: queues, sites with their backoffs, and links that need attention.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::domain::{
    Api, HistorySlot, Site, SiteCondition, SiteId, Subscription, SubscriptionId, SubscriptionState,
};
use shared::health::{self, LinkTrouble};
use shared::history::audit::AuditSummary;
use shared::queue::Depth;
use shared::store::backoffs::BackoffScope;
use shared::store::missed::Missed;
use shared::text::count;

use super::history::audit_line;
use super::next::Next;
use super::text::{clean, table};
use super::wording::condition_name;
use super::{HistorySummary, NO_SITE, Operator, ProjectHooks, Refusal};

/// What `status` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Messages by queue and state.
    pub queues: BTreeMap<String, Depth>,
    /// Every site.
    pub sites: Vec<SiteStatus>,
    /// Links that need attention.
    pub links: Vec<LinkStatus>,
    /// Links whose projects' hooks are being made or renewed.
    #[serde(default)]
    pub hooks: Vec<RunningHooks>,
    /// Links whose history has begun.
    #[serde(default)]
    pub history: Vec<LinkHistory>,
    /// Every link, with its last event.
    #[serde(default)]
    pub events: Vec<LinkEvent>,
}

/// A link with its last event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinkEvent {
    /// The link.
    pub id: SubscriptionId,
    /// The group's full path.
    pub group: String,
    /// When a delivery last came in, to the minute, in ISO 8601; none where there was none yet.
    pub last_event: Option<String>,
}

/// A link whose history has begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinkHistory {
    /// The link.
    pub id: SubscriptionId,
    /// The group's full path.
    pub group: String,
    /// How far it has come.
    pub progress: HistorySummary,
    /// What the last audit has found; none where there was none.
    pub audit: Option<AuditSummary>,
}

/// A link whose projects' hooks are being made or renewed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunningHooks {
    /// The link.
    pub id: SubscriptionId,
    /// The group's full path.
    pub group: String,
    /// How far they have come.
    pub projects: ProjectHooks,
}

/// A site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteStatus {
    /// Our id.
    pub id: SiteId,
    /// Its host name.
    pub host: String,
    /// Whether work flows to it.
    pub condition: SiteCondition,
    /// What to do if not.
    pub remedy: Option<String>,
    /// What backs off on the way to and from it.
    pub backoffs: Vec<BackoffStatus>,
    /// How many groups are linked to it.
    pub subscriptions: usize,
}

/// A backoff that has not ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackoffStatus {
    /// What backs off: `jira`, `jira devinfo`, `gitlab acme`.
    pub what: String,
    /// Until when, in ISO 8601.
    pub until: String,
    /// Why.
    pub reason: String,
}

/// A link that needs attention.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinkStatus {
    /// The link.
    pub id: SubscriptionId,
    /// The host name of its site.
    pub site: String,
    /// The group's full path.
    pub group: String,
    /// Whether it is whole.
    pub state: SubscriptionState,
    /// What to do.
    pub attention: String,
    /// Deliveries that could not be queued.
    pub missed: Option<MissedDeliveries>,
    /// Deliveries that came in and were not understood, in the last days.
    #[serde(default)]
    pub not_understood: Option<MissedDeliveries>,
}

/// Deliveries that could not be queued.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MissedDeliveries {
    /// How many.
    pub deliveries: u64,
    /// When the first came in, in ISO 8601.
    pub since: String,
    /// When the last came in.
    pub last: String,
}

impl Operator {
    pub(super) async fn status(&self) -> Result<Status, Refusal> {
        let mut queues = BTreeMap::new();
        for (name, queue) in &self.queues {
            queues.insert((*name).to_owned(), queue.depth().await?);
        }
        let (mut sites, mut links, mut hooks, mut history) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut events = Vec::new();
        for site in self.store.sites().await? {
            let subscriptions = self.store.subscriptions(site.id).await?;
            sites.push(SiteStatus {
                id: site.id,
                host: site.host().to_owned(),
                condition: site.state.condition,
                remedy: super::wording::site_remedy(&site),
                backoffs: self.backoffs(&site, &subscriptions).await?,
                subscriptions: subscriptions.len(),
            });
            for link in &subscriptions {
                let missed = self.store.missed(link.id).await?;
                let not_understood = self.store.not_understood(link.id).await?;
                if let Some(progress) = self.store.history_progress(HistorySlot::history(link.id)).await? {
                    let progress = HistorySummary::new(&progress, self.clock.now());
                    let audit = self.linking.history().last_audit(link.id).await?;
                    history.push(LinkHistory {
                        id: link.id,
                        group: link.group_path.clone(),
                        progress,
                        audit,
                    });
                }
                let last_event = self.store.last_event(link.id).await?.map(|at| at.iso8601());
                events.push(LinkEvent { id: link.id, group: link.group_path.clone(), last_event });
                hooks.extend(running(link));
                links.extend(unhealthy(&site, link, missed, not_understood, self.clock.now()));
            }
        }
        Ok(Status { queues, sites, links, hooks, history, events })
    }

    /// What backs off on the way to and from a site.
    pub(super) async fn backoffs(
        &self,
        site: &Site,
        links: &[Subscription],
    ) -> Result<Vec<BackoffStatus>, Refusal> {
        let mut scopes = vec![("jira".to_owned(), BackoffScope::Site(site.id))];
        scopes.extend(Api::ALL.map(|api| (format!("jira {api}"), BackoffScope::Api(site.id, api))));
        scopes.extend(links.iter().map(|link| {
            let scope = BackoffScope::Gitlab(link.instance.clone(), link.id.to_string());
            (format!("gitlab {}", link.group_path), scope)
        }));
        let now = self.clock.now();
        let mut backoffs = Vec::new();
        for (what, scope) in scopes {
            if let Some(backoff) = self.store.backoff(&scope).await?.filter(|backoff| backoff.until > now) {
                backoffs.push(BackoffStatus {
                    what,
                    until: backoff.until.iso8601(),
                    reason: backoff.reason.to_string(),
                });
            }
        }
        Ok(backoffs)
    }
}

impl From<Missed> for MissedDeliveries {
    fn from(missed: Missed) -> Self {
        let Missed { since, last, deliveries } = missed;
        Self { deliveries, since: since.iso8601(), last: last.iso8601() }
    }
}

fn running(link: &Subscription) -> Option<RunningHooks> {
    let plan = link.hooks.as_ref().filter(|plan| plan.is_running())?;
    Some(RunningHooks { id: link.id, group: link.group_path.clone(), projects: plan.into() })
}

fn unhealthy(
    site: &Site,
    link: &Subscription,
    missed: Option<Missed>,
    not_understood: Option<Missed>,
    now: Timestamp,
) -> Option<LinkStatus> {
    let troubles: Vec<LinkTrouble> = health::link_troubles(link, missed, now);
    let remedies = super::wording::link_remedies(link, &troubles);
    let odd = not_understood.map(|odd| {
        let deliveries = count(odd.deliveries, "delivery", "deliveries");
        format!(
            "{deliveries} since {} could not be understood: look at Recent events on the hook's page in GitLab for what was sent.",
            odd.since.iso8601()
        )
    });
    let sentences: Vec<String> = remedies.into_iter().chain(odd).collect();
    if sentences.is_empty() {
        return None;
    }
    Some(LinkStatus {
        id: link.id,
        site: site.host().to_owned(),
        group: link.group_path.clone(),
        state: link.state,
        attention: sentences.join(" "),
        missed: missed.map(MissedDeliveries::from),
        not_understood: not_understood.map(MissedDeliveries::from),
    })
}

impl Status {
    /// A line for each link whose projects' hooks are being made or renewed.
    pub(crate) fn running_hooks(&self) -> impl Iterator<Item = String> {
        self.hooks.iter().map(|running| {
            let progress = running.projects.progress();
            format!("{} ({}): hooks of its projects: {progress}", clean(&running.group), running.id)
        })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = table(
            ["QUEUE", "READY", "DELAYED", "IN FLIGHT", "DEAD"],
            self.queues.iter().map(|(name, depth)| {
                let [ready, delayed, in_flight, dead] =
                    [depth.ready, depth.delayed, depth.in_flight, depth.dead].map(clean);
                [name.clone(), ready, delayed, in_flight, dead]
            }),
        );
        if self.sites.is_empty() {
            lines.push(NO_SITE.to_owned());
        } else {
            lines.push(String::new());
            lines.extend(table(
                ["SITE", "CONDITION", "LINKS"],
                self.sites.iter().map(|site| {
                    [clean(&site.host), condition_name(site.condition), clean(site.subscriptions)]
                }),
            ));
        }
        for site in &self.sites {
            lines.extend(site.backoffs.iter().map(|backoff| {
                let (what, reason) = (clean(&backoff.what), clean(&backoff.reason));
                format!("{}: {what} backs off until {}: {reason}", clean(&site.host), backoff.until)
            }));
        }
        let remedies = self.sites.iter().filter_map(|site| Some((site, site.remedy.as_ref()?)));
        lines.extend(remedies.map(|(site, remedy)| format!("{}: {}", clean(&site.host), clean(remedy))));
        lines.extend(
            self.links
                .iter()
                .map(|link| format!("{} ({}): {}", clean(&link.group), link.id, clean(&link.attention))),
        );
        lines.extend(self.running_hooks());
        lines.extend(self.history.iter().map(|history| {
            let audit =
                history.audit.as_ref().map(|audit| format!(". {}", audit_line(audit))).unwrap_or_default();
            format!("{} ({}): {}{audit}", clean(&history.group), history.id, history.progress.line())
        }));
        lines.extend(self.events.iter().map(|link| {
            let last =
                link.last_event.as_ref().map_or("no event yet".to_owned(), |at| format!("last event {at}"));
            format!("{} ({}): {last}", clean(&link.group), link.id)
        }));
        lines
    }

    pub(super) fn next(&self) -> Vec<Next> {
        let has_dead = self.queues.values().any(|depth| depth.dead > 0);
        if has_dead { vec![Next::ListDeadLetters] } else { Vec::new() }
    }
}
