//! Commands with `--stack` where AWS can't be asked, or refuses.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use super::{program, run, text};

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "secret")];
const REGION: (&str, &str) = ("AWS_REGION", "eu-central-1");
const SIGN_IN: &str = "Sign in (aws sso login), or set AWS_PROFILE or AWS_REGION.\n";

/// What the program says of a stack that it can't ask for.
fn error(home: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = program(&["status", "--stack", "gitlab-for-jira"]);
    command.env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
    let output = run(command, "");
    assert_eq!(output.status.code(), Some(1));
    text(&output.stderr).to_owned()
}

/// Answers calls with a status and a body of CloudFormation's.
fn cloudformation(status: u16, code: &'static str, message: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let body = format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        );
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 16 * 1024]);
            let head = format!(
                "HTTP/1.1 {status} No\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    url
}

#[test]
fn a_missing_region_or_sign_in_is_one_sentence() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(error(home.path(), &KEYS), format!("AWS can't be asked: no region is set. {SIGN_IN}"));
    let nobody = format!("AWS can't be asked: no credentials found in chain. {SIGN_IN}");
    assert_eq!(error(home.path(), &[REGION]), nobody);
}

#[test]
fn an_expired_sign_in_is_one_sentence() {
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join(".aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    let config = "[profile work]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\nregion = eu-central-1\n\
                  [sso-session s]\nsso_region = eu-central-1\nsso_start_url = https://example.awsapps.com/start\n";
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    let token = r#"{"accessToken": "x", "expiresAt": "2020-01-01T00:00:00Z", "region": "eu-central-1"}"#;
    // The SHA-1 of the session's name.
    std::fs::write(cache.join("a0f1490a20d0211c997b44bc357e1972deab8ae3.json"), token).unwrap();
    let expired = format!("AWS can't be asked: the SSO token has expired and cannot be refreshed. {SIGN_IN}");
    assert_eq!(error(home.path(), &[("AWS_PROFILE", "work")]), expired);
}

#[test]
fn what_aws_refuses_is_one_sentence() {
    let home = tempfile::tempdir().unwrap();
    let ask = |url: &str| error(home.path(), &[&KEYS[..], &[REGION, ("AWS_ENDPOINT_URL", url)]].concat());
    let expired =
        cloudformation(403, "ExpiredToken", "The security token included in the request is expired");
    let refused =
        "AWS refuses: The security token included in the request is expired (ExpiredToken, HTTP status 403).";
    assert_eq!(ask(&expired), format!("{refused} {SIGN_IN}"));
    let missing =
        ask(&cloudformation(400, "ValidationError", "Stack with id gitlab-for-jira does not exist"));
    assert!(missing.starts_with("There is no stack gitlab-for-jira in eu-central-1"), "{missing}");
    let nobody = ask("http://127.0.0.1:1");
    assert!(
        nobody.starts_with("AWS can't be reached in eu-central-1") && nobody.lines().count() == 1,
        "{nobody}"
    );
}
