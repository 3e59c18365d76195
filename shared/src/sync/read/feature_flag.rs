//! Feature flags: their strategies.

use super::{FeatureFlag, PendingEntity, ProjectReader, Read};

impl ProjectReader<'_> {
    pub(super) async fn feature_flag(&self, known: &FeatureFlag) -> Read<Vec<PendingEntity>> {
        let known_at = self.reader.now();
        let flag = self.reader.client.feature_flag(&self.source.project, &known.name, known.id).await?;
        Ok(vec![self.source.feature_flag(&flag, known_at).into()])
    }
}
