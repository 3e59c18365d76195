//! `gitlab-jira forge manifest`: this bundle's addresses for `forge`, which makes the manifest of them, and what else the
//! install script needs to know of the bundle.

use serde_json::{Value, json};

use super::{Operator, Refusal};
use crate::forge::{Addresses, manifest, page_path};

impl Operator {
    pub(super) fn forge_manifest(&self, app_id: &str, connect_key: Option<&str>) -> Result<Value, Refusal> {
        let remotes = self.forge.remotes.clone().ok_or_else(|| {
            Refusal::new(
                "The stack has no functions for Forge: update it to this release (sam build && sam deploy).",
            )
        })?;
        let addresses =
            Addresses { remotes, base_url: self.base_url.clone(), gitlab_url: self.gitlab_url.clone() };
        let refusal = |error| Refusal::new(format!("There is no manifest: {error}."));
        let manifest = manifest(&addresses, app_id, connect_key).map_err(refusal)?;
        let page_path = page_path(&addresses).map_err(refusal)?;
        Ok(json!({
            "manifest": manifest, "page_path": page_path, "bundle": self.forge.bundle,
            "bundle_app_id": self.forge.app_id,
        }))
    }
}
