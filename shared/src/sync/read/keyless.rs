//! What a listing has found and names no issue. Most of it never did, and is left out; what issues show all the same has lost
//! its last key since it was sent, which an edited title triggers no event for beside the merge request's own.

use std::collections::HashSet;

use super::history::{Found, HistoryPage, ListError};
use super::{IssueKeys, Object, Pipeline, ProjectBatch, ProjectReader};
use crate::domain::{EntityKey, EntityKind, HistoryKind};
use crate::sync::transform::issue_keys;

impl ProjectReader<'_> {
    /// Leaves out of a page what names no issue, but for what issues show all the same when a plan of this `kind` looks for it.
    pub(super) async fn leave_out_keyless(
        &self,
        page: &mut HistoryPage,
        kind: HistoryKind,
    ) -> Result<(), ListError> {
        let objects = page.found.objects();
        let keyless: Vec<_> = objects.iter().map(|object| self.keyless(object, &page.batch)).collect();
        let entities = keyless.iter().flatten().flatten().filter(|_| kind == HistoryKind::Audit);
        let shown = self.shown(entities).await?;
        let is_shown = |entities: Vec<EntityKey>| entities.iter().any(|entity| shown.contains(entity));
        page.found.retain_in_order(keyless.into_iter().map(|keyless| keyless.is_none_or(is_shown)));
        Ok(())
    }

    /// The entities that Jira may have of an object that names no issue; none of one that may do so.
    fn keyless(&self, object: &Object<'_>, batch: &ProjectBatch) -> Option<Vec<EntityKey>> {
        match object {
            Object::MergeRequest(known) if known.keys.is_empty() => {
                let id = self.source.merge_request_id(known.id);
                let is_here = known.source_project_id == Some(self.source.project.id);
                let branch =
                    (is_here && known.is_open()).then(|| self.source.branch_key(&known.source_branch));
                Some([self.source.key(EntityKind::PullRequest, id)].into_iter().chain(branch).collect())
            }
            Object::Pipeline(known) if !may_have_keys(known, batch) => {
                let build = self.source.build(known, self.reader.now(), false);
                Some(build.map(|build| build.key).into_iter().collect())
            }
            Object::FeatureFlag(known) if known.keys.is_empty() => {
                Some(vec![self.source.feature_flag(known, self.reader.now()).key])
            }
            // Its message never changes.
            Object::Commit(known) if known.keys.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }

    /// Those of `entities` that Jira has.
    async fn shown(
        &self,
        entities: impl Iterator<Item = &EntityKey>,
    ) -> Result<HashSet<EntityKey>, ListError> {
        let entities: Vec<&EntityKey> = entities.collect();
        if entities.is_empty() {
            return Ok(HashSet::new());
        }
        let entries = self.reader.access.store.ledger(self.site, entities).await.map_err(ListError::Store)?;
        let live = entries.into_iter().filter(|(_, entry)| !entry.is_tombstone());
        Ok(live.map(|(entity, _)| entity).collect())
    }
}

impl Found {
    /// Keeps what `keep` says, thing by thing in their order.
    fn retain_in_order(&mut self, keep: impl IntoIterator<Item = bool>) {
        fn retain<T>(items: &mut Vec<T>, keep: impl IntoIterator<Item = bool>) {
            let mut keep = keep.into_iter();
            items.retain(|_| keep.next().unwrap_or(true));
        }
        match self {
            Self::MergeRequests(found) => retain(found, keep),
            Self::Branches(found) => retain(found, keep),
            Self::Commits(found) => retain(found, keep),
            Self::Pipelines(found) => retain(found, keep),
            Self::Deployments(found) => retain(found, keep),
            Self::FeatureFlags(found) => retain(found, keep),
            Self::DeletedBranches(found) => retain(found, keep),
        }
    }
}

/// Whether a pipeline names an issue, or its merge requests are not known.
fn may_have_keys(pipeline: &Pipeline, batch: &ProjectBatch) -> bool {
    if !issue_keys(pipeline).is_empty() || !IssueKeys::extract([pipeline.git_ref.as_str()]).is_empty() {
        return true;
    }
    if pipeline.git_ref.starts_with("refs/") {
        // Few enough, and its merge request's own keys decide.
        return true;
    }
    match batch.of_branches.get(&pipeline.git_ref) {
        Some(found) => found.iter().any(|it| !it.merge_request.keys.is_empty()),
        None => !pipeline.tag,
    }
}
