//! Requests as the Jira stand-in records them: JSON lines, one object per request it answered.
//! Judging them belongs to [`crate::verdict`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// One request to a provider API and the status it was answered with.
#[derive(Clone, Debug, Deserialize)]
pub struct Exchange {
    /// The API, such as `dev-info`.
    pub api: String,
    /// HTTP method, in capitals.
    pub method: String,
    /// Path below the API's root, such as `/bulk`.
    pub path: String,
    /// The connection it came through: Connect, Forge or OAuth credentials, in the stand-in's words.
    pub connection: String,
    /// The JSON body; null for a request without one.
    pub body: Value,
    /// HTTP status of the answer; 0 when the connection was dropped instead.
    pub status: u16,
}

/// Where an [`Exchange`] was recorded, for messages.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// File and line, `name.jsonl:12`.
    pub place: String,
    /// What was recorded there.
    pub exchange: Exchange,
}

/// Every exchange in the `*.jsonl` files directly inside `folder`, in file and line order.
///
/// # Errors
/// When the folder can't be read, or a line is not an [`Exchange`]: a recording that is cut short is a fault.
pub fn read_folder(folder: &Path) -> Result<Vec<Recorded>> {
    let mut exchanges = Vec::new();
    for file in files(folder)? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        for (index, line) in text.lines().enumerate() {
            let place = format!("{name}:{}", index + 1);
            let exchange =
                serde_json::from_str(line).with_context(|| format!("{place} is not a recorded request"))?;
            exchanges.push(Recorded { place, exchange });
        }
    }
    Ok(exchanges)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
