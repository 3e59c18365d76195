//! Metrics of what became of the entities of a call, and the log line that names the deliveries they came from.

use super::{SubmitOutcome, Submitted, Submitter};
use crate::domain::Api;
use crate::telemetry::Measure;

/// Trace ids in a line: as many as a batch has messages.
const MAX_TRACES: usize = 200;

/// Issue keys in a line. Those of most calls; `explain` knows them all.
const MAX_KEYS: usize = 50;

impl Submitter<'_> {
    /// Measures what became of entities of one call to `api`, or of what would have been one without a backoff.
    pub(super) fn measure(&self, api: Api, submitted: &[Submitted]) {
        if submitted.is_empty() {
            return;
        }
        let count = |is: fn(&SubmitOutcome) -> bool| submitted.iter().filter(|it| is(&it.outcome)).count();
        let some = |texts: &mut Vec<String>, most: usize| {
            texts.sort_unstable();
            texts.dedup();
            texts.truncate(most);
        };
        let origins = submitted.iter().flat_map(|it| &it.pending.origins);
        let mut traces = origins.map(|origin| origin.trace.to_string()).collect();
        some(&mut traces, MAX_TRACES);
        let keys = submitted.iter().flat_map(|it| it.pending.entity.associations.issue_keys());
        let mut keys = keys.cloned().collect();
        some(&mut keys, MAX_KEYS);
        Measure::new("delivered")
            .by([("Api", api.name())])
            .counts([
                ("EntitiesAccepted", count(|outcome| matches!(outcome, SubmitOutcome::Accepted))),
                ("EntitiesRejected", count(|outcome| matches!(outcome, SubmitOutcome::Rejected(_)))),
                ("EntitiesWaiting", count(|outcome| matches!(outcome, SubmitOutcome::Waiting(..)))),
                ("EntitiesFailed", count(|outcome| matches!(outcome, SubmitOutcome::Failed(_)))),
                ("UnknownKeys", submitted.iter().map(|it| it.unknown_keys.len()).sum()),
            ])
            .detail("site.id", self.site.id.to_string())
            .detail("entities", submitted.len())
            .detail("trace.ids", traces)
            .detail("issue.keys", keys)
            .log();
    }
}
