//! `explain`: why something is, or is not, on an issue: the outcome of every entity that named its key, and what holds back
//! further ones; of a project, whether a link covers it and history has reached it (`project`). What is asked about is told apart by
//! `subject`.

mod project;
mod subject;

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::domain::{
    EntityKind, HistoryProgress, HistorySlot, HistoryState, HoldReason, KeyRule, Site, SiteId, Subscription,
    SubscriptionId,
};
use shared::health::{self, LinkTrouble};
use shared::store::ignored_deliveries::{IgnoreReason, IgnoredDelivery};
use shared::store::outcomes::{Outcome, Verdict};
use shared::text::count;

use self::subject::Subject;
use super::text::{clean, notes, table};
use super::{Operator, Refusal, wording};

/// What `explain` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The issue's key.
    pub key: String,
    /// The sites where something named it.
    pub sites: Vec<SiteOutcomes>,
    /// Deliveries of the last days that named it, or have this id, and led to nothing.
    #[serde(default)]
    pub deliveries: Vec<DeliveryOutcome>,
    /// What holds events back.
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

/// A delivery that led to nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeliveryOutcome {
    /// The link it came through.
    pub link: SubscriptionId,
    /// When, in ISO 8601.
    pub at: String,
    /// What GitLab calls it.
    pub delivery: Option<String>,
    /// What it is about.
    pub label: String,
    /// Why it led to nothing.
    pub answer: IgnoreReason,
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
        /// The rule that removed its key.
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
    /// The link it came through was removed, and what was sent through it.
    Unlinked,
}

impl Operator {
    pub(super) async fn explain(&self, text: &str, project: Option<&str>) -> Result<Explanation, Refusal> {
        let subject = Subject::parse(text.trim())?;
        let (mut sites, mut deliveries, mut notes, mut linked) = (Vec::new(), Vec::new(), Vec::new(), false);
        for site in self.store.sites().await? {
            let links = self.store.subscriptions(site.id).await?;
            linked |= !links.is_empty();
            if let Some(path) = project {
                notes.extend(self.explain_project(path.trim().trim_matches('/'), site.host(), &links).await?);
            }
            for link in &links {
                let ignored = self.store.ignored(link.id).await?.into_iter();
                let ignored = ignored.filter(|delivery| subject.is_named_by(delivery));
                deliveries.extend(ignored.map(|delivery| DeliveryOutcome::new(link.id, delivery)));
            }
            let Subject::Issue(key) = &subject else { continue };
            let outcomes = self.store.outcomes(site.id, key).await?;
            for link in &links {
                let progress = self.store.history_progress(HistorySlot::history(link.id)).await?;
                notes.extend(history_note(link, progress.as_ref(), outcomes.is_empty()));
            }
            if !outcomes.is_empty() {
                let outcomes =
                    outcomes.into_iter().map(|outcome| EntityOutcome::new(outcome, &links)).collect();
                sites.push(SiteOutcomes { site: site.id, host: site.host().to_owned(), outcomes });
            }
            let now = self.clock.now();
            notes.extend(obstacles(&site, &links, key, now));
            for link in &links {
                let missed = self.store.missed(link.id).await?;
                notes.extend(troubles(link, &health::link_troubles(link, missed, now)));
            }
            for backoff in self.backoffs(&site, &links).await? {
                let (host, what, until) = (site.host(), backoff.what, backoff.until);
                notes.push(format!("Work for {host} waits ({what}) until {until}: {}", backoff.reason));
            }
        }
        if !linked {
            notes.push("No group is linked: run `gitlab-jira group link`.".to_owned());
        }
        let is_known = !linked || !sites.is_empty() || !deliveries.is_empty();
        notes.extend(self.waiting_notes(&subject, is_known).await?);
        Ok(Explanation { key: text.trim().to_owned(), sites, deliveries, notes })
    }

    /// What is on the queues, and what that means for a subject of which nothing else is known.
    async fn waiting_notes(&self, subject: &Subject, is_known: bool) -> Result<Vec<String>, Refusal> {
        let (mut notes, mut may_wait) = (Vec::new(), false);
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
            may_wait |= waiting + depth.dead > 0;
        }
        if !is_known {
            notes.insert(0, if may_wait { subject.may_wait() } else { subject.nothing_known() });
        }
        Ok(notes)
    }
}

impl DeliveryOutcome {
    fn new(link: SubscriptionId, ignored: IgnoredDelivery) -> Self {
        let IgnoredDelivery { at, delivery, label, answer, .. } = ignored;
        Self { link, at: at.iso8601(), delivery, label, answer }
    }

    fn words(&self) -> &'static str {
        match self.answer {
            IgnoreReason::NoIssueKeys => "it names no issue",
            IgnoreReason::Outside => "its project is outside the linked group",
            IgnoreReason::NotUnderstood => "it does not say what it is about",
            IgnoreReason::OtherProject => "it came through the hook of another project",
            IgnoreReason::TokenMissing => "the link has no token to read it with: link the group with one",
            IgnoreReason::NotRead => {
                "it names no issue itself, and GitLab did not let the link read more: renew the link's token, then send the delivery again"
            }
            IgnoreReason::CommitsLeftOut => "of so many commits only the newest were looked through",
            IgnoreReason::MergeRequestsLeftOut => {
                "its commit is in so many merge requests that only the newest were looked through"
            }
            IgnoreReason::DeploymentsLeftOut => {
                "so much was deployed after it that what is new in it could not be told; only its own commit counts"
            }
        }
    }
}

impl EntityOutcome {
    fn new(outcome: Outcome, links: &[Subscription]) -> Self {
        // What was sent through a link is deleted with it, unless somebody asked to keep it.
        let is_unlinked = outcome.link.is_some_and(|id| links.iter().all(|link| link.id != id));
        let result = match outcome.verdict {
            _ if is_unlinked => EntityResult::Unlinked,
            Verdict::Accepted { number } => EntityResult::Accepted { number },
            Verdict::UnknownIssue => EntityResult::UnknownIssue,
            Verdict::Rejected { reason } => EntityResult::Rejected { reason },
            Verdict::Filtered { rule } => EntityResult::Filtered { rule },
            Verdict::Waiting { reason, until } => EntityResult::Waiting { reason, until: until.iso8601() },
            Verdict::Removed => EntityResult::Removed,
            Verdict::Unlinked => EntityResult::Unlinked,
        };
        let (kind, label, at) = (outcome.entity.kind, outcome.label, outcome.at.iso8601());
        Self { kind, label, at, result, dropped_keys: outcome.dropped_keys }
    }
}

/// What keeps events with this key from a site.
fn obstacles(site: &Site, links: &[Subscription], key: &str, now: Timestamp) -> Vec<String> {
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
    if let Some(until) = site.suppressed_projects.get(project).filter(|until| **until > now) {
        notes.push(format!(
            "{host} answered that it has no project {project}: its keys are not sent until {}. If there is one by now, \
             run `gitlab-jira site recheck --site {host}`.",
            until.iso8601()
        ));
    }
    for link in links {
        let (id, group) = (link.id, &link.group_path);
        if !link.project_keys.is_empty() && !link.project_keys.iter().any(|allowed| allowed == project) {
            let allowed = link.project_keys.join(", ");
            notes.push(format!("The link {id} of {group} is limited to keys of {allowed}."));
        }
    }
    notes
}

/// What is wrong with a link: its token, its hooks, deliveries that were missed.
fn troubles(link: &Subscription, troubles: &[LinkTrouble]) -> Option<String> {
    let remedies = wording::link_remedies(link, troubles)?;
    Some(format!("The link {} of {}: {remedies}", link.id, link.group_path))
}

/// What a link's history leaves out; where nothing is known of an issue, how far back it goes, too.
fn history_note(link: &Subscription, progress: Option<&HistoryProgress>, is_unknown: bool) -> Option<String> {
    let (id, group) = (link.id, &link.group_path);
    let Some(progress) = progress else {
        return is_unknown.then(|| match link.credential {
            None => format!(
                "The link {id} of {group} has no token, so nothing is sent that happened before it was linked."
            ),
            Some(_) => format!(
                "What happened in {group} before it was linked was not sent: run `gitlab-jira history resync {id}`."
            ),
        });
    };
    let show = format!("run `gitlab-jira history show {id}`");
    Some(match progress.plan.state {
        HistoryState::Running => {
            let reached = match progress.total() {
                Some(total) => format!("{} of {}", progress.ended, count(total, "project", "projects")),
                None => count(progress.ended, "project", "projects"),
            };
            format!("The history of {group} has reached {reached}: {show}.")
        }
        HistoryState::Paused => {
            format!("The history of {group} is paused: run `gitlab-jira history resume {id}`.")
        }
        HistoryState::Cancelled => {
            format!("The history of {group} was cancelled: run `gitlab-jira history resume {id}`.")
        }
        HistoryState::Failed(cause) => {
            format!("The history of {group} stopped. {}", health::history_remedy(cause))
        }
        HistoryState::Done if progress.failed > 0 => format!(
            "The history of {group} leaves out parts of {}: {show}.",
            count(progress.failed, "project", "projects")
        ),
        HistoryState::Done if is_unknown => {
            let since = progress.plan.depth.since?.iso8601();
            format!(
                "The history of {group} goes back to {since}, and to the newest {} of each kind: `gitlab-jira history resync {id} --all` brings what is older.",
                progress.plan.depth.at_least
            )
        }
        HistoryState::Done => return None,
    })
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
        if !self.deliveries.is_empty() {
            lines.push("Deliveries that led to nothing".to_owned());
            lines.extend(table(
                ["WHAT", "WHEN", "DELIVERY", "WHY"],
                self.deliveries.iter().map(|delivery| {
                    let id = delivery.delivery.as_deref().unwrap_or_default();
                    [clean(&delivery.label), clean(&delivery.at), clean(id), delivery.words().to_owned()]
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
            EntityResult::Unlinked => {
                "its group was unlinked: on the issue only if another link covers it, or if it was kept"
                    .to_owned()
            }
        };
        match self.dropped_keys {
            0 => result,
            dropped => {
                format!("{result} ({} more than Jira takes)", count(u64::from(dropped), "key", "keys"))
            }
        }
    }
}
