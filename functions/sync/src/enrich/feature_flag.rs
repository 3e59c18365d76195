//! Feature flags: their strategies.

use super::{Candidate, FeatureFlag, GitlabError, GitlabReader, Read, Task};

impl Task<'_> {
    pub(super) async fn read_feature_flag(
        &self,
        reader: &GitlabReader<'_>,
        hook: &FeatureFlag,
    ) -> Read<Vec<Candidate>> {
        let known_at = reader.now();
        match reader.client.feature_flag(&self.source.project, &hook.name, hook.id).await {
            Ok(flag) => Ok(vec![self.source.feature_flag(&flag, known_at).into()]),
            // Renamed or removed since; the hook is the last that is known of it.
            Err(GitlabError::NotFound) => Ok(self.as_hooks_say()),
            Err(error) => Err(error),
        }
    }
}
