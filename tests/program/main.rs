//! The program as a person or a script meets it: its options, its questions and its exit codes. What commands do is tested
//! beside them, and in tests/it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod completions;
mod questions;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// The program with nothing of this machine's environment that it would use.
fn program(arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_gitlab-jira"));
    program.args(arguments).env_clear();
    program
}

/// How the program ends that reads `input`.
fn run(mut program: Command, input: &str) -> Output {
    let program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
