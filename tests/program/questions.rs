//! What commands ask for, at a terminal and without one.

use rexpect::session::spawn_command;

use super::{program, run, text};

/// How long the program may take to say something.
const PATIENCE: Option<u64> = Some(30_000);

const SITE_ADD: [&str; 7] =
    ["site", "add", "--site", "acme.atlassian.net", "--client-id", "id", "--client-secret-stdin"];

#[test]
fn a_secret_that_is_typed_is_not_shown() {
    // Refused after the secret was read, for want of a directory.
    let arguments = [&SITE_ADD[..], &["--data-dir", "/dev/null/none"]].concat();
    let mut terminal = spawn_command(program(&arguments), PATIENCE).unwrap();
    terminal.exp_string("Client secret: ").unwrap();
    terminal.send_line("typed-by-hand").unwrap();
    let rest = terminal.exp_eof().unwrap();
    assert!(rest.contains("/dev/null/none"), "{rest}");
    assert!(!rest.contains("typed-by-hand"), "{rest}");
}

#[test]
fn a_secret_that_is_missing_is_named() {
    let output = run(program(&SITE_ADD), " \n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "the secret is expected on standard input\n");
}
