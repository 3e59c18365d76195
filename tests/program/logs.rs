//! What `serve` logs, and how.

use serde_json::Value;

use super::{Served, program, run, text};

#[test]
fn logs_are_json_where_they_are_asked_for() {
    for (arguments, variables) in [(&["--log-format", "json"][..], &[][..]), (&[], &[("LOG_FORMAT", "json")])]
    {
        let data = tempfile::tempdir().unwrap();
        let log = Served::start(data.path(), arguments, variables).stop();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let serving = lines.iter().find(|line| line["message"] == "serving").expect("a line");
        assert_eq!(serving["level"], "INFO");
        assert!(serving["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
}

#[test]
fn logs_are_text_otherwise() {
    let data = tempfile::tempdir().unwrap();
    let log = Served::start(data.path(), &[], &[]).stop();
    assert!(log.lines().any(|line| line.contains("INFO") && line.contains("serving")), "{log}");
    assert!(log.lines().all(|line| !line.starts_with('{')), "{log}");
    let unknown = run(program(&["serve", "--log-format", "xml"]), "");
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown.stderr));
}

#[test]
fn a_new_bundle_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("mistyped");
    let said =
        |log: &str| log.lines().any(|line| line.contains("made a new bundle") && line.contains("mistyped"));
    assert!(said(&Served::start(&data, &[], &[]).stop()));
    assert!(!said(&Served::start(&data, &[], &[]).stop()));
}
