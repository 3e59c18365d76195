//! `explain`: why something is, or is not, on an issue: what became of everything that named its key, and what is in the way
//! of the rest.

use serde::{Deserialize, Serialize};
use shared::domain::{
    EntityKind, HoldReason, IssueKeys, KeyRule, Site, SiteId, Subscription, SubscriptionState,
};
use shared::health;
use shared::store::outcomes::{Outcome, Verdict};
use shared::text::count;

use super::text::{clean, notes, table};
use super::{Operator, Refusal, wording};

/// What `explain` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The issue's key.
    pub key: String,
    /// The sites where something named it.
    pub sites: Vec<SiteOutcomes>,
    /// What is in the way.
    pub notes: Vec<String>,
}

/// What became of everything that named the key, on one site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteOutcomes {
    /// Our id of the site.
    pub site: SiteId,
    /// Its host name.
    pub host: String,
    /// Newest first.
    pub outcomes: Vec<EntityOutcome>,
}

/// What became of an entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntityOutcome {
    /// Its kind.
    pub kind: EntityKind,
    /// What people call it: `acme/api!7`.
    pub label: String,
    /// When, in ISO 8601.
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub result: EntityResult,
    /// Issue keys beyond what Jira takes.
    pub dropped_keys: u32,
}

/// The result for one issue key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum EntityResult {
    /// It is on the issue.
    Accepted {
        /// The update sequence number it has at Jira.
        number: i64,
    },
    /// Jira has no such issue.
    UnknownIssue,
    /// Jira refused it.
    Rejected {
        /// Jira's text.
        reason: String,
    },
    /// It was not sent.
    Filtered {
        /// The rule that took its key.
        rule: KeyRule,
    },
    /// It waits.
    Waiting {
        /// For what.
        reason: HoldReason,
        /// Until when at least, in ISO 8601.
        until: String,
    },
    /// It was removed from the issue.
    Removed,
}

impl Operator {
    pub(super) async fn explain(&self, key: &str) -> Result<Explanation, Refusal> {
        let key = issue_key(key.trim())?;
        let (mut sites, mut notes, mut linked) = (Vec::new(), Vec::new(), false);
        for site in self.store.sites().await? {
            let outcomes = self.store.outcomes(site.id, &key).await?;
            if !outcomes.is_empty() {
                let outcomes = outcomes.into_iter().map(EntityOutcome::from).collect();
                sites.push(SiteOutcomes { site: site.id, host: site.host().to_owned(), outcomes });
            }
            let links = self.store.subscriptions(site.id).await?;
            linked |= !links.is_empty();
            notes.extend(obstacles(&site, &links, &key));
        }
        if !linked {
            notes.push("No group is linked: run `gitlab-jira group link`.".to_owned());
        } else if sites.is_empty() {
            notes.push(format!(
                "Nothing is known of {key}: since its group was linked no event named it, or the last one did more than 30 days ago. What Jira had been sent before stays there."
            ));
        }
        for (name, queue) in &self.queues {
            let depth = queue.depth().await?;
            let waiting = depth.ready + depth.delayed + depth.in_flight;
            if waiting > 0 {
                notes.push(format!(
                    "{} of the queue {name} not done yet; what becomes of them is not shown here.",
                    count(waiting, "message is", "messages are")
                ));
            }
            if depth.dead > 0 {
                notes.push(format!(
                    "{} of the queue {name} dead-lettered: run `gitlab-jira dlq list`.",
                    count(depth.dead, "message was", "messages were")
                ));
            }
        }
        Ok(Explanation { key, sites, notes })
    }
}

/// The key, if it is one as texts are searched for it.
fn issue_key(text: &str) -> Result<String, Refusal> {
    let is_key = |text: &str| IssueKeys::extract([text]).as_slice() == [text];
    if is_key(text) {
        return Ok(text.to_owned());
    }
    let capitals = text.to_ascii_uppercase();
    Err(Refusal::new(if is_key(&capitals) {
        format!("Only issue keys in capitals are found in texts: ask for {capitals}.")
    } else {
        "This is not an issue key: keys look like PAY-7.".to_owned()
    }))
}

impl From<Outcome> for EntityOutcome {
    fn from(outcome: Outcome) -> Self {
        let result = match outcome.verdict {
            Verdict::Accepted { number } => EntityResult::Accepted { number },
            Verdict::UnknownIssue => EntityResult::UnknownIssue,
            Verdict::Rejected { reason } => EntityResult::Rejected { reason },
            Verdict::Filtered { rule } => EntityResult::Filtered { rule },
            Verdict::Waiting { reason, until } => EntityResult::Waiting { reason, until: until.iso8601() },
            Verdict::Removed => EntityResult::Removed,
        };
        let (kind, label, at) = (outcome.entity.kind, outcome.label, outcome.at.iso8601());
        Self { kind, label, at, result, dropped_keys: outcome.dropped_keys }
    }
}

/// What keeps events with this key from a site.
fn obstacles(site: &Site, links: &[Subscription], key: &str) -> Vec<String> {
    let project = key.rsplit_once('-').map_or(key, |(project, _)| project);
    let mut notes = Vec::new();
    if links.is_empty() {
        return notes;
    }
    let host = site.host();
    if let Some(remedy) = wording::site_remedy(site) {
        let since = site.state.since.iso8601();
        notes.push(format!("Work for {host} is held since {since}. {remedy}"));
    }
    if site.suppressed_projects.iter().any(|suppressed| suppressed == project) {
        notes.push(format!(
            "{host} answered that it has no project {project}: its keys are not sent any more."
        ));
    }
    for link in links {
        let (id, group) = (link.id, &link.group_path);
        if !link.project_keys.is_empty() && !link.project_keys.iter().any(|allowed| allowed == project) {
            let allowed = link.project_keys.join(", ");
            notes.push(format!("The link {id} of {group} is limited to keys of {allowed}."));
        }
        if link.state == SubscriptionState::Pending {
            notes.push(format!("The link {id} of {group} is incomplete: run `gitlab-jira status`."));
        }
        let attention = link.attention.clone().map(health::LinkTrouble::Attention);
        let remedies = attention.iter().map(health::link_remedy);
        notes.extend(remedies.map(|remedy| format!("The link {id} of {group}: {remedy}")));
    }
    notes
}

impl Explanation {
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for site in &self.sites {
            lines.push(format!("{} on {}", self.key, clean(&site.host)));
            lines.extend(table(
                ["WHAT", "NAME", "WHEN", "RESULT"],
                site.outcomes.iter().map(|outcome| {
                    let kind = outcome.kind.to_string().replace('_', " ");
                    [kind, clean(&outcome.label), clean(&outcome.at), clean(outcome.words())]
                }),
            ));
        }
        lines.extend(notes(&self.notes));
        lines
    }
}

impl EntityOutcome {
    /// The result with what explains it.
    fn words(&self) -> String {
        let result = match &self.result {
            EntityResult::Accepted { .. } => "on the issue".to_owned(),
            EntityResult::UnknownIssue => "Jira has no such issue".to_owned(),
            EntityResult::Rejected { reason } => format!("rejected by Jira: {reason}"),
            EntityResult::Filtered { rule } => format!("not sent: {rule}"),
            EntityResult::Waiting { reason, until } => format!("waits until {until}: {reason}"),
            EntityResult::Removed => "removed from the issue".to_owned(),
        };
        match self.dropped_keys {
            0 => result,
            dropped => {
                format!("{result} ({} more than Jira takes)", count(u64::from(dropped), "key", "keys"))
            }
        }
    }
}
