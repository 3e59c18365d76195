//! Why something is, or is not, on an issue: what became of everything that named its key, and what stands in the way of
//! the rest.

use serde_json::{Value, json};
use shared::attention;
use shared::domain::{IssueKeys, Site, Subscription, SubscriptionState};
use shared::store::outcomes::{Outcome, Verdict};

use super::{Operator, Refusal};

impl Operator {
    pub(super) async fn explain(&self, key: &str) -> Result<Value, Refusal> {
        let key = issue_key(key.trim())?;
        let (mut sites, mut notes, mut linked) = (Vec::new(), Vec::new(), false);
        for site in self.store.sites().await? {
            let outcomes = self.store.outcomes(site.id, &key).await?;
            if !outcomes.is_empty() {
                let outcomes: Vec<Value> = outcomes.iter().map(shown).collect();
                sites.push(json!({ "site": site.id, "host": site.host(), "outcomes": outcomes }));
            }
            let links = self.store.subscriptions(site.id).await?;
            linked |= !links.is_empty();
            notes.extend(obstacles(&site, &links, &key));
        }
        if !linked {
            notes.push("No group is linked: run `gitlab-jira group link`.".to_owned());
        } else if sites.is_empty() {
            notes.push(format!(
                "Nothing is known of {key}: since its group was linked no event named it, or the last one did more than 30 days ago. What Jira had been told before stays there."
            ));
        }
        for (name, queue) in &self.queues {
            let depth = queue.depth().await?;
            let waiting = depth.ready + depth.delayed + depth.in_flight;
            if waiting > 0 {
                notes.push(format!(
                    "{waiting} messages of the queue {name} are not done yet; what they say is not shown here."
                ));
            }
            if depth.dead > 0 {
                notes.push(format!(
                    "{} messages of the queue {name} were given up: see `gitlab-jira dlq list`.",
                    depth.dead
                ));
            }
        }
        Ok(json!({ "key": key, "sites": sites, "notes": notes }))
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
        format!("Issue keys are in capitals, and no others are found in texts: ask for {capitals}.")
    } else {
        "This is not an issue key: keys look like PAY-7.".to_owned()
    }))
}

fn shown(outcome: &Outcome) -> Value {
    let mut shown = json!({
        "kind": outcome.entity.kind, "label": outcome.label, "at": outcome.at.iso8601(),
        "dropped_keys": outcome.dropped_keys,
    });
    let (result, name, detail) = match &outcome.verdict {
        Verdict::Accepted { number } => ("accepted", "number", json!(number)),
        Verdict::UnknownIssue => ("unknown_issue", "", Value::Null),
        Verdict::Rejected { reason } => ("rejected", "reason", json!(reason)),
        Verdict::Filtered { rule } => ("filtered", "rule", json!(rule)),
        Verdict::Waiting { reason, until } => {
            shown["until"] = json!(until.iso8601());
            ("waiting", "reason", json!(reason))
        }
        Verdict::Removed => ("removed", "", Value::Null),
    };
    shown["result"] = json!(result);
    if !name.is_empty() {
        shown[name] = detail;
    }
    shown
}

/// What keeps events with this key from a site.
fn obstacles(site: &Site, links: &[Subscription], key: &str) -> Vec<String> {
    let project = key.rsplit_once('-').map_or(key, |(project, _)| project);
    let mut notes = Vec::new();
    if links.is_empty() {
        return notes;
    }
    let host = site.host();
    if let Some(remedy) = site.state.condition.remedy() {
        let since = site.state.since.iso8601();
        notes.push(format!("Work for {host} is held since {since}. {remedy}"));
    }
    if site.suppressed_projects.iter().any(|suppressed| suppressed == project) {
        notes.push(format!("{host} said that it has no project {project}: its keys are not sent any more."));
    }
    for link in links {
        let (id, group) = (link.id, &link.group_path);
        if !link.project_keys.is_empty() && !link.project_keys.iter().any(|allowed| allowed == project) {
            let allowed = link.project_keys.join(", ");
            notes.push(format!("The link {id} of {group} lets only keys of {allowed} through."));
        }
        if link.state == SubscriptionState::Pending {
            notes.push(format!("The link {id} of {group} is not whole: see `gitlab-jira status`."));
        }
        notes.extend(
            link.attention
                .iter()
                .map(|attention| format!("The link {id} of {group}: {}", attention::of_attention(attention))),
        );
    }
    notes
}
