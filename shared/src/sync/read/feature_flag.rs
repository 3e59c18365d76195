//! Feature flags: their strategies.

use super::{FeatureFlag, PendingEntity, ProjectReader, Read};

impl ProjectReader<'_> {
    pub(super) async fn feature_flag(&self, known: &FeatureFlag) -> Read<Vec<PendingEntity>> {
        if let Some((known_at, flag)) = self.batch.feature_flags.get(&known.name) {
            return Ok(vec![self.source.feature_flag(flag, *known_at).into()]);
        }
        let known_at = self.reader.now();
        let flag = self.reader.client.feature_flag(&self.source.project, &known.name).await?;
        Ok(vec![self.source.feature_flag(&flag, known_at).into()])
    }
}
