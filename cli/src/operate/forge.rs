//! `forge manifest`: the Forge app's manifest with this bundle's addresses, and what else the install script needs to know of
//! the bundle.

use serde::{Deserialize, Serialize};

use super::{Operator, Refusal};
use crate::forge_manifest::{Addresses, manifest, page_path};

/// What `forge manifest` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForgeManifest {
    /// The manifest, in YAML.
    pub manifest: String,
    /// The path of the page's remote endpoint.
    pub page_path: String,
    /// Which bundle this is: `REGION.ACCOUNT.NAME` for a stack, empty for a data directory.
    pub bundle: String,
    /// The app that the bundle is configured for.
    pub bundle_app_id: Option<String>,
}

impl Operator {
    pub(super) fn forge_manifest(
        &self,
        app_id: &str,
        connect_key: Option<&str>,
    ) -> Result<ForgeManifest, Refusal> {
        let remotes = self.forge.remotes.clone().ok_or_else(|| {
            Refusal::new(
                "The stack has no functions for Forge: update it to this release (sam build && sam deploy).",
            )
        })?;
        let (base_url, gitlab_url) = (self.base_url.clone(), self.linking.gitlab_url.clone());
        let addresses = Addresses { remotes, base_url, gitlab_url };
        let refusal = |error| Refusal::new(format!("No manifest can be made: {error}."));
        Ok(ForgeManifest {
            manifest: manifest(&addresses, app_id, connect_key).map_err(refusal)?,
            page_path: page_path(&addresses).map_err(refusal)?,
            bundle: self.forge.bundle.clone(),
            bundle_app_id: self.forge.app_id.clone(),
        })
    }
}

impl ForgeManifest {
    /// For a file: nothing but the manifest.
    pub(super) fn lines(&self) -> Vec<String> {
        self.manifest.lines().map(str::to_owned).collect()
    }
}
