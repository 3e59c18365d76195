//! Which directories commands accept, and what they leave in others.

use super::{Served, program, run, text};

/// Every command on a local bundle.
const COMMANDS: [&[&str]; 12] = [
    &["site", "add", "--site", "acme.atlassian.net", "--client-id", "id", "--client-secret-stdin"],
    &["site", "list"],
    &["site", "switch", "--site", "acme.atlassian.net", "--to", "oauth"],
    &["site", "remove", "--yes", "--site", "acme.atlassian.net"],
    &["group", "list"],
    &["group", "unlink", "--yes", "01KAMV7Q3N8R5T2W4X6Y9Z0ABC"],
    &["forge", "manifest", "--app-id", "ari:cloud:ecosystem::app/00000000-0000-0000-0000-000000000000"],
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
    std::fs::create_dir(&empty).unwrap();
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
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
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
