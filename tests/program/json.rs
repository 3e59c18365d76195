//! What scripts read with `--json`: one shape of answers, and one of errors, whatever the error is.

use serde_json::Value;

use super::{Served, program, run, text};

#[test]
fn every_error_is_one_line_of_json() {
    let data = tempfile::tempdir().unwrap();
    drop(Served::start(data.path(), &[], &[]));
    let served = data.path().to_str().unwrap();
    let cases: [(&[&str], i32, &str); 9] = [
        (&["status", "--data-dir", "/dev/null/none"], 1, "is no bundle's data directory"),
        (&["status", "--stack", "gitlab-for-jira"], 1, "no region is set"),
        (&["open", "--data-dir", "/dev/null/none"], 1, "is no bundle's data directory"),
        (&["open", "--data-dir", served], 1, "start it first"),
        (&["site", "recheck", "--site", "acme.atlassian.net", "--data-dir", served], 1, "No site has this"),
        (
            &["site", "add", "--site", "acme.atlassian.net", "--client-id", "id", "--client-secret-stdin"],
            1,
            "the secret is expected",
        ),
        (&["dlq", "redrive"], 2, "confirm it with --yes"),
        (&["site", "recheck"], 2, "--site <SITE>"),
        (&["statsu"], 2, "unrecognized subcommand 'statsu'"),
    ];
    for (arguments, code, message) in cases {
        let mut command = program(&[arguments, &["--json"]].concat());
        command.env("HOME", data.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        let output = run(command, "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let error: Value = serde_json::from_slice(&output.stderr)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}", text(&output.stderr)));
        let said = error["error"]["message"].as_str().unwrap();
        assert!(said.contains(message) && !said.contains('\n'), "{arguments:?}: {said}");
        assert_eq!(text(&output.stderr).lines().count(), 1, "{arguments:?}");
    }
}

#[test]
fn help_is_no_error() {
    let output = run(program(&["status", "--json", "--help"]), "");
    assert!(output.status.success() && text(&output.stdout).contains("Usage:"), "{output:?}");
}

#[test]
fn the_link_to_the_page_is_an_answer() {
    let data = tempfile::tempdir().unwrap();
    let _served = Served::start(data.path(), &[], &[]);
    let mut open = program(&["open", "--json", "--data-dir"]);
    open.arg(data.path());
    let output = run(open, "");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{answer}");
}
