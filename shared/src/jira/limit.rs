//! The time that a call to Jira may take as a whole: a wait for a token, the request for it and the call share it. Without it
//! a call with OAuth credentials could take as long as four requests, after a deadline, and after a change that no call is to
//! outlast.

use std::time::Duration;

use tokio::time::Instant;

use super::error::JiraError;

/// When a call has to have ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimit(Instant);

impl TimeLimit {
    /// A limit `time` from now.
    pub(super) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Does a part of the call, as far as there is time.
    pub(super) async fn keep<T>(
        self,
        part: impl Future<Output = Result<T, JiraError>>,
    ) -> Result<T, JiraError> {
        tokio::time::timeout_at(self.0, part).await.unwrap_or(Err(JiraError::OutOfTime))
    }
}
