//! The folder of reference data that the contracts are checked against, and how to read it.
//! Nothing here knows where the folder is by default: whoever runs a check says so in `REFERENCE_DIR`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

/// What a check prints instead of a result when there is no reference folder.
pub const SKIPPED: &str = "skipped: no reference folder";

/// An existing folder of reference data.
#[derive(Clone, Debug)]
pub struct Reference {
    folder: PathBuf,
}

/// One recorded webhook.
#[derive(Clone, Debug)]
pub struct Payload {
    /// What it reports, such as `merge_request`: the file's name without its extension.
    pub name: String,
    /// The body's bytes, as GitLab sends them.
    pub body: Vec<u8>,
}

impl Reference {
    /// The folder that `REFERENCE_DIR` names, or `None` when the variable is unset or no such folder exists.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        let folder = PathBuf::from(env::var_os("REFERENCE_DIR")?);
        folder.is_dir().then_some(Self { folder })
    }

    /// The text of one file, by its path inside the folder.
    ///
    /// # Errors
    /// When the file is missing or not UTF-8.
    pub fn text(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = self.folder.join(path);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// One JSON document, by its path inside the folder.
    ///
    /// # Errors
    /// When the file is missing or not JSON.
    pub fn json(&self, path: impl AsRef<Path>) -> Result<Value> {
        let text = self.text(&path)?;
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.as_ref().display()))
    }

    /// Recorded webhook bodies, by name.
    ///
    /// # Errors
    /// When the folder can't be read or is empty: a test over no payload proves nothing.
    pub fn webhook_payloads(&self) -> Result<Vec<Payload>> {
        let folder = self.folder.join("payloads/webhooks");
        let mut payloads = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "json") {
                let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                payloads.push(Payload { name, body: fs::read(&file)? });
            }
        }
        anyhow::ensure!(!payloads.is_empty(), "no payload in {}", folder.display());
        payloads.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(payloads)
    }
}
