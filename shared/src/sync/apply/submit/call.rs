//! One call: whether Jira took it, refused it, or failed, and who is to blame when it fails. A server error is the
//! state of an API as long as nothing goes through; an entity is to blame only when it fails alone while others of its
//! API go through.

use super::{BulkCall, SubmitOutcome, Submitted, Submitter};
use crate::domain::Api;
use crate::jira::answer::{Answer, RateLimitReason};
use crate::jira::client::JiraError;
use crate::store::StoreError;
use crate::store::backoffs::BackoffScope;

/// Failed calls of an API in a batch, with none that it took, after which it counts as down: a call and both its halves.
const TOLERATED_FAILURES: u32 = 3;

/// This many more calls are tried when pauses did not help, so that a few culprits that fail everything are found.
const MORE_AFTER_PAUSES: u32 = 16;

/// A server error: its status, and the sentence.
#[derive(Clone, Debug)]
pub(super) struct ServerError {
    pub(super) status: u16,
    pub(super) sentence: String,
}

/// How a call ended.
pub(super) enum CallResult {
    /// Jira took the call.
    Answered(Answer),
    /// Something in the call is in the way. If it is alone, this is what became of it.
    Refused(SubmitOutcome),
    /// A server error: the API is down, or something in the call brings it down.
    Failed(ServerError),
    /// This is what became of all of it.
    All(SubmitOutcome),
}

impl Submitter<'_> {
    pub(super) async fn call(&mut self, call: &BulkCall) -> Result<CallResult, StoreError> {
        self.calls += 1;
        let answer = self.client.submit(call.api, &call.body(self.operation)).await;
        self.judge(call.api, answer).await
    }

    /// What the answer to a call of `api` means.
    pub(super) async fn judge(
        &mut self,
        api: Api,
        answer: Result<Answer, JiraError>,
    ) -> Result<CallResult, StoreError> {
        Ok(match answer {
            Ok(answer) => {
                self.succeeded(api).await?;
                let progress = self.progress.entry(api).or_default();
                (progress.took_any, progress.failed) = (true, 0);
                CallResult::Answered(answer)
            }
            Err(JiraError::BadRequest(text) | JiraError::TooLarge(text)) => {
                CallResult::Refused(SubmitOutcome::Rejected(text))
            }
            Err(error @ JiraError::RateLimited { reason: RateLimitReason::PerIssue, .. }) => {
                CallResult::Refused(self.failed(api, &error).await?)
            }
            Err(error) => match server_error(&error) {
                Some(error) => {
                    self.progress.entry(api).or_default().failed += 1;
                    CallResult::Failed(error)
                }
                None => CallResult::All(self.failed(api, &error).await?),
            },
        })
    }

    /// Whether so many calls failed in a row that the API is down, whatever is sent.
    pub(super) fn is_down(&self, api: Api) -> bool {
        let pauses = self.backoffs.get(&BackoffScope::Api(self.site.id, api));
        let pauses = pauses.map_or(0, |backoff| backoff.consecutive_failures.min(MORE_AFTER_PAUSES));
        let failed = self.progress.get(&api).map_or(0, |progress| progress.failed);
        failed >= TOLERATED_FAILURES + pauses
    }

    /// Whether the API took a call of this batch.
    pub(super) fn took_any(&self, api: Api) -> bool {
        self.progress.get(&api).is_some_and(|progress| progress.took_any)
    }

    /// Remembers an entity that failed alone, until it is known how others did.
    pub(super) fn suspect(&mut self, alone: BulkCall, error: &ServerError) {
        let suspects = alone.entities.into_iter().map(|entity| (entity, error.clone()));
        self.progress.entry(alone.api).or_default().suspects.extend(suspects);
    }

    /// Entities that failed alone are to blame if others went through; else the API is down, and they wait.
    pub(super) async fn judge_suspects(&mut self, api: Api) -> Result<Vec<Submitted>, StoreError> {
        let progress = self.progress.entry(api).or_default();
        let (suspects, took_any) = (std::mem::take(&mut progress.suspects), progress.took_any);
        let mut judged = Vec::with_capacity(suspects.len());
        let mut down: Option<SubmitOutcome> = None;
        for (pending, error) in suspects {
            let outcome = match &down {
                _ if took_any => SubmitOutcome::Failed(error.sentence),
                Some(outcome) => outcome.clone(),
                None => down.insert(self.api_unavailable(api, &error).await?).clone(),
            };
            judged.push(Submitted::new(pending, outcome));
        }
        Ok(judged)
    }
}

/// A server error that an entity may be to blame for. A 503 is the site's own word for being down.
fn server_error(error: &JiraError) -> Option<ServerError> {
    let status = match error {
        JiraError::Unavailable { status, .. } if *status != http::StatusCode::SERVICE_UNAVAILABLE => status,
        JiraError::Unexpected(status) => status,
        _ => return None,
    };
    Some(ServerError { status: status.as_u16(), sentence: error.to_string() })
}
