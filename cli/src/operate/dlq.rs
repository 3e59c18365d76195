//! `dlq`: listing and redriving the messages of the dead-letter queues. Their bodies are not shown: they hold people's texts
//! and addresses, and may be large.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::queue::DeadLetter;
use shared::text::count;

use super::next::Next;
use super::text::{clean, table};
use super::{Operator, Refusal};

/// More than a person reads, and little enough for one answer.
const MAX_LISTED: usize = 1_000;

/// What `dlq list` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetters {
    /// The newest, newest first.
    pub letters: Vec<DeadLetterSummary>,
    /// How many there are in all.
    pub dead: u64,
}

/// A dead-lettered message, without its body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetterSummary {
    /// Its queue.
    pub queue: String,
    /// What `dlq redrive` names it by.
    pub id: String,
    /// Why it was dead-lettered.
    pub reason: String,
    /// When, in ISO 8601.
    pub died_at: String,
    /// The trace id of its delivery, where the message can be read.
    pub message: Option<String>,
    /// The link it came through.
    pub subscription: Option<String>,
    /// The project it is about.
    pub project: Option<String>,
    /// How large it is.
    pub bytes: usize,
}

/// What `dlq redrive` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Redriven {
    /// How many messages were put back.
    pub redriven: u64,
}

impl Operator {
    pub(super) async fn dlq_list(&self, limit: usize) -> Result<DeadLetters, Refusal> {
        if limit == 0 {
            return Err(Refusal::new("--limit must be 1 or more."));
        }
        let limit = limit.min(MAX_LISTED);
        let (mut letters, mut dead) = (Vec::new(), 0);
        for (name, queue) in &self.queues {
            dead += queue.depth().await?.dead;
            letters.extend(queue.dead_letters(limit).await?.into_iter().map(|letter| (*name, letter)));
        }
        letters.sort_by_key(|(_, letter)| std::cmp::Reverse(letter.died_at));
        let letters = letters.iter().take(limit).map(|(queue, letter)| summary(queue, letter)).collect();
        Ok(DeadLetters { letters, dead })
    }

    pub(super) async fn dlq_redrive(&self, ids: &[String]) -> Result<Redriven, Refusal> {
        let ids: Vec<String> = ids.iter().map(|id| id.trim().to_owned()).collect();
        let chosen = (!ids.is_empty()).then_some(ids.as_slice());
        let mut redriven = 0;
        for queue in self.queues.values() {
            redriven += queue.redrive(chosen).await?;
        }
        if redriven == 0 && chosen.is_some() {
            return Err(Refusal::new(
                "No dead-lettered message has any of these ids: run `gitlab-jira dlq list` to see them.",
            ));
        }
        tracing::info!(redriven, "redrove messages");
        Ok(Redriven { redriven })
    }
}

fn summary(queue: &str, letter: &DeadLetter) -> DeadLetterSummary {
    let message: Value = serde_json::from_str(&letter.body).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    DeadLetterSummary {
        queue: queue.to_owned(),
        id: letter.id.clone(),
        reason: letter.reason.clone(),
        died_at: letter.died_at.iso8601(),
        message: text(&message["id"]),
        subscription: text(&message["body"]["subscription"]),
        project: text(&message["body"]["project"]["path"]),
        bytes: letter.body.len(),
    }
}

impl DeadLetters {
    pub(super) fn lines(&self) -> Vec<String> {
        if self.letters.is_empty() {
            return vec!["No dead-lettered messages.".to_owned()];
        }
        let mut lines = table(
            ["ID", "QUEUE", "WHEN", "PROJECT", "REASON"],
            self.letters.iter().map(|letter| {
                let project = letter.project.as_deref().unwrap_or("-");
                [&letter.id, &letter.queue, &letter.died_at, project, &letter.reason].map(clean)
            }),
        );
        if self.dead > self.letters.len() as u64 {
            lines.push(format!("{} of {} are shown.", self.letters.len(), self.dead));
        }
        lines.push(
            "To put them back on their queue, redrive them: all, or those with the ids that you give."
                .to_owned(),
        );
        lines
    }

    pub(super) fn next(&self) -> Vec<Next> {
        if self.letters.is_empty() { Vec::new() } else { vec![Next::Redrive] }
    }
}

impl Redriven {
    pub(super) fn lines(&self) -> Vec<String> {
        vec![match self.redriven {
            0 => "No dead-lettered messages: nothing to redrive.".to_owned(),
            redriven => format!("Put {} back on the queue.", count(redriven, "message", "messages")),
        }]
    }
}
