//! What became of the entities of a call, in numbers, and which deliveries they came from.

use super::{SubmitOutcome, Submitted, Submitter};
use crate::domain::Api;
use crate::telemetry::Measure;

/// Trace ids in a line: as many as a batch has messages.
const MAX_TRACES: usize = 200;

/// Issue keys in a line. Those of most calls; `explain` knows them all.
const MAX_KEYS: usize = 50;

impl Submitter<'_> {
    /// Notes what became of entities that were one call to `api`, or would have been if it did not rest.
    pub(super) fn note_delivered(&self, api: Api, delivered: &[Submitted]) {
        let count = |is: fn(&SubmitOutcome) -> bool| delivered.iter().filter(|it| is(&it.outcome)).count();
        let some = |texts: &mut Vec<String>, most: usize| {
            texts.sort_unstable();
            texts.dedup();
            texts.truncate(most);
        };
        let traces = delivered.iter().filter_map(|it| self.traces.get(&it.entity.key));
        let mut traces = traces.flatten().map(ToString::to_string).collect();
        some(&mut traces, MAX_TRACES);
        let mut keys = delivered.iter().flat_map(|it| it.entity.issue_keys.as_slice()).cloned().collect();
        some(&mut keys, MAX_KEYS);
        Measure::new("delivered")
            .by([("Api", api.name())])
            .counts([
                ("EntitiesAccepted", count(|outcome| matches!(outcome, SubmitOutcome::Accepted))),
                ("EntitiesRejected", count(|outcome| matches!(outcome, SubmitOutcome::Rejected(_)))),
                ("EntitiesWaiting", count(|outcome| matches!(outcome, SubmitOutcome::Waiting(..)))),
                ("EntitiesFailed", count(|outcome| matches!(outcome, SubmitOutcome::Failed(_)))),
                ("UnknownKeys", delivered.iter().map(|it| it.unknown_keys.len()).sum()),
            ])
            .detail("site.id", self.site.id.to_string())
            .detail("entities", delivered.len())
            .detail("trace.ids", traces)
            .detail("issue.keys", keys)
            .log();
    }
}
