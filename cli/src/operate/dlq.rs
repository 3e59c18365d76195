//! Messages that were given up, in all queues: looking at them and trying them again. Their bodies are not shown: they hold
//! people's texts and addresses, and may be large.

use serde_json::{Value, json};
use shared::queue::DeadLetter;

use super::{Operator, Refusal};

/// More than a person reads, and little enough for one answer.
const MAX_LETTERS: usize = 1_000;

impl Operator {
    pub(super) async fn dlq_list(&self, limit: usize) -> Result<Value, Refusal> {
        if limit == 0 {
            return Err(Refusal::new("A list of none is no list: give a limit of 1 or more."));
        }
        let limit = limit.min(MAX_LETTERS);
        let (mut letters, mut dead) = (Vec::new(), 0);
        for (name, queue) in &self.queues {
            dead += queue.depth().await?.dead;
            letters.extend(queue.dead_letters(limit).await?.into_iter().map(|letter| (*name, letter)));
        }
        letters.sort_by_key(|(_, letter)| std::cmp::Reverse(letter.died_at));
        let letters: Vec<Value> =
            letters.iter().take(limit).map(|(queue, letter)| shown(queue, letter)).collect();
        Ok(json!({ "letters": letters, "dead": dead }))
    }

    pub(super) async fn dlq_redrive(&self, ids: &[String]) -> Result<Value, Refusal> {
        let ids: Vec<String> = ids.iter().map(|id| id.trim().to_owned()).collect();
        let chosen = (!ids.is_empty()).then_some(ids.as_slice());
        let mut redriven = 0;
        for queue in self.queues.values() {
            redriven += queue.redrive(chosen).await?;
        }
        if redriven == 0 && chosen.is_some() {
            return Err(Refusal::new(
                "No message that was given up has any of these ids: run `gitlab-jira dlq list`.",
            ));
        }
        tracing::info!(redriven, "messages are tried again");
        Ok(json!({ "redriven": redriven }))
    }
}

fn shown(queue: &str, letter: &DeadLetter) -> Value {
    let message: Value = serde_json::from_str(&letter.body).unwrap_or_default();
    json!({
        "queue": queue, "id": letter.id, "reason": letter.reason, "died_at": letter.died_at.iso8601(),
        "message": message["id"], "subscription": message["body"]["subscription"],
        "project": message["body"]["project"]["path"], "bytes": letter.body.len(),
    })
}
