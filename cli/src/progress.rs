//! How far a command has come that takes long, on standard error: linking a group whose projects get hooks of their own.

use std::pin::pin;
use std::time::Duration;

use crate::operate::{Answer, Command, Refusal};
use crate::terminal::warn;

/// How often it is looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Carries out `command`, and says how far it has come by asking for the `status` meanwhile.
pub async fn shown<T>(
    command: &Command,
    done: impl Future<Output = T>,
    status: impl AsyncFn() -> Option<Result<Answer, Refusal>>,
) -> T {
    if !matches!(command, Command::GroupLink(_)) {
        return done.await;
    }
    let (mut done, mut last) = (pin!(done), Vec::new());
    loop {
        tokio::select! {
            done = &mut done => return done,
            () = tokio::time::sleep(POLL_INTERVAL) => {
                let Some(Ok(Answer::Status(status))) = status().await else { continue };
                let now: Vec<String> = status.running_hooks().collect();
                now.iter().filter(|line| !last.contains(*line)).for_each(warn);
                last = now;
            }
        }
    }
}
