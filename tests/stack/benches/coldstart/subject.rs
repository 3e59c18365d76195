//! What is measured: the functions of the bundle, an empty function, and one of Node. Builds all of them first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use shared::bundle::{CONNECT_BASE, FUNCTIONS};
use shared::jwt::Request;
use standins::jira::{Signature, compact_token};

use super::host::Host;

/// Where the events in `infra/events/` go.
pub const BASE_URL: &str = "https://jira.example.com";

/// A function and what it is asked.
pub struct Subject {
    /// What the table calls it.
    pub name: String,
    /// What is started.
    pub program: PathBuf,
    /// With what.
    pub arguments: Vec<String>,
    /// Its event.
    pub event: Value,
    /// The HTTP status that it answers, if it answers one.
    pub status: Option<Value>,
    /// What is deployed: a file, or a folder.
    package: PathBuf,
}

impl Subject {
    /// All of them.
    pub fn all(host: &Host) -> Vec<Self> {
        let names = FUNCTIONS.iter().map(|function| function.name);
        build(names.clone().chain(["empty"]));
        let release = release();
        let mut subjects: Vec<Self> = names.map(|name| Self::of_bundle(host, &release.join(name))).collect();
        subjects.push(Self {
            name: "empty function in Rust".to_owned(),
            status: Some(json!(200)),
            ..Self::rust(&release.join("empty"), json!({}))
        });
        match node_folder() {
            Some(folder) => subjects.push(Self {
                name: format!("`installed` on Node {}", node_version()),
                program: PathBuf::from("/usr/bin/env"),
                arguments: vec!["node".to_owned(), folder.join("index.js").display().to_string()],
                event: signed(host, read("installed")),
                status: Some(json!(200)),
                package: folder,
            }),
            None => println!("Node or npm is missing: nothing to compare with."),
        }
        subjects
    }

    fn of_bundle(host: &Host, program: &Path) -> Self {
        let name = program.file_name().unwrap().to_str().unwrap();
        let event = read(name);
        let is_signed = matches!(name, "installed" | "uninstalled");
        let answer = read(&format!("answers/{name}"));
        let (event, status) = if is_signed {
            (signed(host, event), Some(json!(200)))
        } else {
            (event, answer.get("statusCode").cloned())
        };
        Self { name: format!("`{name}`"), status, ..Self::rust(program, event) }
    }

    fn rust(program: &Path, event: Value) -> Self {
        let package = program.to_owned();
        Self {
            name: String::new(),
            program: program.to_owned(),
            arguments: Vec::new(),
            event,
            status: None,
            package,
        }
    }

    /// The size of what is deployed.
    pub fn bytes(&self) -> u64 {
        bytes(&self.package)
    }

    /// Its size as a zip file, which is how SAM uploads it.
    pub fn zipped_bytes(&self) -> u64 {
        let zip = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package.zip");
        run(Command::new("python3").args(["-m", "zipfile", "-c"]).arg(&zip).arg(&self.package));
        let bytes = zip.metadata().unwrap().len();
        std::fs::remove_file(zip).unwrap();
        bytes
    }
}

/// Builds with the release profile, as `sam build` does.
fn build<'a>(packages: impl Iterator<Item = &'a str>) {
    let packages = packages.flat_map(|name| ["-p", name]);
    run(Command::new(env!("CARGO")).args(["build", "--quiet", "--release", "--locked"]).args(packages));
}

/// Where cargo puts what is built with the release profile: the folder beside the one for temporary files.
fn release() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("release")
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
}

/// The function of Node with its libraries; `None` without Node or npm.
fn node_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
    std::fs::create_dir_all(&folder).ok()?;
    for file in ["index.js", "package.json"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/coldstart/node").join(file);
        std::fs::copy(from, folder.join(file)).ok()?;
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--omit=dev", "--no-audit", "--no-fund"]).current_dir(&folder);
    let installed = npm.stdout(Stdio::null()).stderr(Stdio::null()).status();
    installed.is_ok_and(|status| status.success()).then_some(folder)
}

fn node_version() -> String {
    let version = Command::new("node").arg("--version").output().unwrap().stdout;
    String::from_utf8(version).unwrap().trim().trim_start_matches('v').to_owned()
}

fn bytes(path: &Path) -> u64 {
    if !path.is_dir() {
        return path.metadata().unwrap().len();
    }
    path.read_dir().unwrap().map(|entry| bytes(&entry.unwrap().path())).sum()
}

/// A file of `infra/events/`.
fn read(name: &str) -> Value {
    let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/events");
    serde_json::from_slice(&std::fs::read(events.join(format!("{name}.json"))).unwrap()).unwrap()
}

/// A lifecycle event with a token that is good, in place of the one that it brings.
fn signed(host: &Host, mut event: Value) -> Value {
    let key = host.key();
    let tenant: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
    let path = event["rawPath"].as_str().unwrap().trim_start_matches(CONNECT_BASE);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": tenant["clientKey"],
        "aud": [format!("{BASE_URL}{CONNECT_BASE}")],
        "iat": now,
        "exp": now + 3600,
        "qsh": Request { method: "POST", path, query: None }.qsh(),
    });
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": key.kid()});
    let token = compact_token(&header, &claims, &Signature::Rsa(key));
    event["headers"]["authorization"] = format!("JWT {token}").into();
    event
}
