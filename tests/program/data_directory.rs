//! Which directories commands accept, what they leave in others, and who may read what `serve` makes.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Served, program, run, text};

/// Every command on a local bundle.
const COMMANDS: [&[&str]; 13] = [
    &["site", "add", "--site", "acme.atlassian.net", "--client-id", "id", "--client-secret-stdin"],
    &["site", "list"],
    &["site", "switch", "--site", "acme.atlassian.net", "--to", "oauth"],
    &["site", "remove", "--yes", "--site", "acme.atlassian.net"],
    &["group", "list"],
    &["group", "unlink", "--yes", "01KAMV7Q3N8R5T2W4X6Y9Z0ABC"],
    &["forge", "manifest", "--app-id", "ari:cloud:ecosystem::app/00000000-0000-0000-0000-000000000000"],
    &["key", "rotate"],
    &["status"],
    &["doctor"],
    &["explain", "PAY-7"],
    &["dlq", "list"],
    &["dlq", "redrive", "--yes"],
];

#[test]
fn a_mistyped_directory_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, empty) = (folder.path().join("missing"), folder.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    for arguments in COMMANDS {
        for directory in [&missing, &empty] {
            let mut command = program(arguments);
            command.arg("--data-dir").arg(directory).env("BASE_URL", "https://gitlab-jira.example.com");
            let output = run(command, "secret");
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}");
            assert!(error.contains(&directory.display().to_string()), "{arguments:?}: {error}");
            assert!(error.contains("gitlab-jira serve --data-dir"), "{arguments:?}: {error}");
        }
    }
    assert!(!missing.exists());
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
}

#[test]
fn commands_work_where_it_served_whether_or_not_it_still_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let status = || {
        let mut command = program(&["status", "--json", "--data-dir"]);
        command.arg(&data);
        run(command, "")
    };
    let served = Served::start(&data, &[], &[]);
    assert!(served.said.starts_with("Serving http://127.0.0.1:"), "{}", served.said);
    assert!(status().status.success());
    drop(served);
    let alone = status();
    assert!(alone.status.success(), "{}", text(&alone.stderr));
}

/// The files in a directory, and for each what others than the owner may do with it.
fn exposed(directory: &Path) -> BTreeMap<String, u32> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    let modes = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?.mode() & 0o077))
    });
    modes.collect()
}

/// A `serve` that was started by somebody whose new files are everybody's.
fn careless(data: &Path) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "umask 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_gitlab-jira")]).env_clear();
    shell.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
    shell
}

#[test]
fn what_serve_makes_is_private_from_its_first_moment() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let done = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = BTreeMap::new();
            while !done.load(Ordering::Relaxed) {
                for (name, mode) in exposed(&data) {
                    *seen.entry(name).or_default() |= mode;
                }
            }
            seen
        });
        let served = Served::of(careless(&data));
        done.store(true, Ordering::Relaxed);
        drop(served);
        watch.join().unwrap()
    });
    for name in ["control.sock", "lock", "state.sqlite-wal", "state.sqlite-shm", "queues.sqlite-wal"] {
        assert!(seen.contains_key(name) || exposed(&data).contains_key(name), "no {name} in {seen:?}");
    }
    assert_eq!(seen.into_iter().chain(exposed(&data)).find(|(_, mode)| *mode != 0), None);
    assert_eq!(fs::metadata(&data).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn databases_that_were_everybodys_become_private() {
    let data = tempfile::tempdir().unwrap();
    // Killed, so that what lies beside its databases stays.
    drop(Served::start(data.path(), &[], &[]));
    let databases = ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm", "queues.sqlite-wal"];
    for name in databases {
        fs::set_permissions(data.path().join(name), Permissions::from_mode(0o666)).unwrap();
    }
    let _served = Served::start(data.path(), &[], &[]);
    for name in databases {
        assert_eq!(exposed(data.path())[name], 0, "{name}");
    }
}

#[test]
fn the_key_is_rotated_whether_or_not_it_serves() {
    let data = tempfile::tempdir().unwrap();
    let key = || fs::read(data.path().join("key")).unwrap();
    let rotate = || {
        let mut command = program(&["key", "rotate", "--data-dir"]);
        command.arg(data.path());
        let output = run(command, "");
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    let served = Served::start(data.path(), &[], &[]);
    let first = key();
    rotate();
    let second = key();
    drop(served);
    rotate();
    assert!(first != second && second != key());
    assert_eq!(key().len(), 32);
    drop(Served::start(data.path(), &[], &[]));
}

#[test]
fn the_directory_of_the_environment_yields_to_what_is_typed() {
    let folder = tempfile::tempdir().unwrap();
    let error = |arguments: &[&str], variable: &str| {
        let mut command = program(arguments);
        command.current_dir(folder.path()).env("GITLAB_JIRA_DATA_DIR", variable).env("HOME", folder.path());
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        let output = run(command, "");
        (output.status.code(), text(&output.stderr).to_owned())
    };
    // AWS is asked, and not the directory.
    let (code, stack) = error(&["status", "--stack", "gitlab-for-jira"], "elsewhere");
    assert!(code == Some(1) && stack.starts_with("AWS can't be asked"), "{stack}");
    let (code, other) = error(&["status", "--data-dir", "other"], "elsewhere");
    assert!(code == Some(1) && other.starts_with("other is no bundle's data directory"), "{other}");
    let (code, both) = error(&["status", "--stack", "gitlab-for-jira", "--data-dir", "other"], "");
    assert!(code == Some(2) && both.contains("give one of them"), "{both}");
    let (code, empty) = error(&["status"], "");
    assert!(code == Some(1) && empty.starts_with(".data is no bundle's data directory"), "{empty}");
    let (code, nameless) = error(&["status", "--data-dir", ""], "elsewhere");
    assert!(code == Some(2) && nameless.contains("--data-dir is empty"), "{nameless}");
}

#[test]
fn settings_that_differ_are_named_whether_or_not_it_serves() {
    let data = tempfile::tempdir().unwrap();
    let status = |variables: &[(&str, &str)]| {
        let mut command = program(&["status", "--data-dir"]);
        command.arg(data.path()).envs(variables.iter().copied());
        let output = run(command, "");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr).to_owned()
    };
    let other = [("GITLAB_URL", "https://gitlab.example.com")];
    let served = Served::start(data.path(), &[], &[]);
    let running = status(&other);
    assert!(running.contains("serve` runs with other values of GITLAB_URL"), "{running}");
    assert_eq!(status(&[]), "");
    drop(served);
    let stopped = status(&other);
    assert!(stopped.contains("serve` last ran with other values of GITLAB_URL"), "{stopped}");
    assert_eq!(status(&[]), "");
}

#[test]
fn a_directory_of_an_earlier_release_needs_serve_once() {
    let data = tempfile::tempdir().unwrap();
    drop(Served::start(data.path(), &[], &[]));
    fs::remove_file(data.path().join("settings.json")).unwrap();
    let mut status = program(&["status", "--data-dir"]);
    status.arg(data.path());
    let refused = run(status, "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("start `gitlab-jira serve` once"), "{}", text(&refused.stderr));
    let mut status = program(&["status", "--data-dir"]);
    status.arg(data.path()).env("BASE_URL", "https://gitlab-jira.example.com");
    assert!(run(status, "").status.success());
}
