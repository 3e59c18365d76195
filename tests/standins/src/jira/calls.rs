//! What the stand-in records of calls: counts, and the bodies that it read.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::api::{Api, Connection};

/// Bodies kept in memory, in bytes as received. Enough for a long test; a benchmark drops its oldest calls.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Names the folder that every stand-in appends its recorded calls to, one JSON-lines file each.
pub const RECORDING_DIR: &str = "JIRA_RECORDING_DIR";

/// Counts of calls by API, method and answered status. A call whose connection was dropped has status 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls(BTreeMap<(Api, String, u16), usize>);

impl Calls {
    pub(super) fn count(&mut self, api: Api, method: &str, status: u16) {
        *self.0.entry((api, method.to_owned(), status)).or_default() += 1;
    }

    /// All calls of an API.
    #[must_use]
    pub fn of(&self, api: Api) -> usize {
        self.sum(|(called, _, _)| *called == api)
    }

    /// Calls of an API with one method, in capitals.
    #[must_use]
    pub fn with_method(&self, api: Api, method: &str) -> usize {
        self.sum(|(called, used, _)| *called == api && used == method)
    }

    /// Calls of an API that were answered with this status.
    #[must_use]
    pub fn answered(&self, api: Api, status: u16) -> usize {
        self.sum(|(called, _, answered)| *called == api && *answered == status)
    }

    /// All calls.
    #[must_use]
    pub fn total(&self) -> usize {
        self.sum(|_| true)
    }

    fn sum(&self, wanted: impl Fn(&(Api, String, u16)) -> bool) -> usize {
        self.0.iter().filter(|(key, _)| wanted(key)).map(|(_, count)| count).sum()
    }
}

/// One authenticated call of a provider API, as it was read and answered.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedCall {
    /// When it was answered, RFC 3339.
    pub at: String,
    /// The site's cloudId.
    pub cloud_id: String,
    /// How it came in.
    pub connection: Connection,
    /// The API called.
    pub api: Api,
    /// Method, in capitals.
    pub method: String,
    /// Path below the API's root, as sent: `/bulk`.
    pub path: String,
    /// Query string without its `?`, as sent.
    pub query: Option<String>,
    /// The JSON body; null when there was none.
    pub body: Value,
    /// Status answered.
    pub status: u16,
}

impl RecordedCall {
    /// The entities of a body by the name of their list, such as `commits`, `pullRequests` or `builds`.
    pub fn entities<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let repositories = self.body["repositories"].as_array().into_iter().flatten();
        let bodies = repositories.chain([&self.body]);
        bodies.flat_map(move |body| body[kind].as_array().into_iter().flatten())
    }
}

/// A bounded memory of recorded calls.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    calls: VecDeque<(usize, RecordedCall)>,
    bytes: usize,
}

impl Recorded {
    pub(super) fn keep(&mut self, call: RecordedCall, size: usize) {
        self.bytes += size;
        self.calls.push_back((size, call));
        while self.bytes > KEPT_BYTES && self.calls.len() > 1 {
            self.bytes -= self.calls.pop_front().map_or(0, |(size, _)| size);
        }
    }

    pub(super) fn all(&self) -> Vec<RecordedCall> {
        self.calls.iter().map(|(_, call)| call.clone()).collect()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The file of one stand-in in the folder that [`RECORDING_DIR`] names.
#[derive(Debug)]
pub(super) struct Journal(Mutex<File>);

impl Journal {
    /// Opens a file of its own in the folder that the environment names, or nothing when it names none.
    pub(super) fn from_environment() -> anyhow::Result<Option<Self>> {
        std::env::var_os(RECORDING_DIR).map(|folder| Self::in_folder(Path::new(&folder))).transpose()
    }

    fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("jira-{}-{number}.jsonl", std::process::id()));
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let file = File::options().create(true).append(true).open(&path);
        Ok(Self(Mutex::new(file.with_context(|| format!("opening {}", path.display()))?)))
    }

    /// Appends one line.
    pub(super) fn append(&self, call: &RecordedCall) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(call)?;
        line.push(b'\n');
        let mut file = self.0.lock().expect("no writer panics while it holds the file");
        file.write_all(&line).context("appending to the recording file")
    }
}

/// Now, as recorded calls carry it.
pub(super) fn timestamp() -> String {
    OffsetDateTime::now_utc()
        .format(&time::format_description::well_known::Rfc3339)
        .expect("the present has an RFC 3339 form")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(path: &str) -> RecordedCall {
        RecordedCall {
            at: timestamp(),
            cloud_id: "cloud".to_owned(),
            connection: Connection::Connect,
            api: Api::Builds,
            method: "POST".to_owned(),
            path: path.to_owned(),
            query: None,
            body: Value::Null,
            status: 202,
        }
    }

    #[test]
    fn the_oldest_recorded_calls_are_dropped_first() {
        let mut recorded = Recorded::default();
        recorded.keep(call("/first"), KEPT_BYTES);
        recorded.keep(call("/second"), 1);
        let paths: Vec<_> = recorded.all().into_iter().map(|call| call.path).collect();
        assert_eq!(paths, ["/second"]);
    }

    #[test]
    fn every_stand_in_writes_lines_to_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let journals =
            [Journal::in_folder(folder.path()).unwrap(), Journal::in_folder(folder.path()).unwrap()];
        for (journal, count) in journals.iter().zip([1, 2]) {
            for _ in 0..count {
                journal.append(&call("/bulk")).unwrap();
            }
        }
        let files = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        let mut counts = Vec::new();
        for file in files {
            let lines: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!(lines.iter().all(|line| line["path"] == "/bulk" && line["connection"] == "connect"));
            counts.push(lines.len());
        }
        counts.sort_unstable();
        assert_eq!(counts, [1, 2]);
    }

    #[test]
    fn counts_add_up_by_api_method_and_status() {
        let mut calls = Calls::default();
        calls.count(Api::Builds, "POST", 202);
        calls.count(Api::Builds, "POST", 429);
        calls.count(Api::Builds, "DELETE", 202);
        calls.count(Api::DevInfo, "POST", 202);
        assert_eq!(calls.of(Api::Builds), 3);
        assert_eq!(calls.with_method(Api::Builds, "POST"), 2);
        assert_eq!(calls.answered(Api::Builds, 202), 2);
        assert_eq!(calls.total(), 4);
    }
}
