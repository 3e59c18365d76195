//! `GET /metrics` of `serve`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::Served;

/// The answer of `address` to a request under the name `host`.
fn get(address: &str, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn prometheus_reads_requests_and_the_queue() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start(data.path(), &[], &[]);
    let public = served.said.split("on http://").nth(1).unwrap().split(',').next().unwrap();
    assert!(get(public, public, "/-/jira_connect/app_descriptor.json").starts_with("HTTP/1.1 200"));
    let admin = std::fs::read_to_string(data.path().join("admin-address")).unwrap();
    let metrics = get(&admin, &admin, "/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    assert!(metrics.contains("content-type: application/openmetrics-text"), "{metrics}");
    for line in [
        r#"gitlab_jira_request_latency_seconds_count{route="/-/jira_connect/app_descriptor.json",connection="none",outcome="2xx"} 1"#,
        r#"gitlab_jira_queue_messages{queue="events",state="ready"} 0"#,
        r#"gitlab_jira_dead_letters{queue="events"} 0"#,
        r#"gitlab_jira_oldest_message_age_seconds{queue="events"} 0"#,
        "# EOF",
    ] {
        assert!(metrics.lines().any(|it| it == line), "no {line} in {metrics}");
    }
    assert!(get(&admin, "evil.example", "/metrics").starts_with("HTTP/1.1 403"));
    assert!(!get(public, public, "/metrics").starts_with("HTTP/1.1 200"));
}
