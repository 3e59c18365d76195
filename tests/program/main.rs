//! The program as a person or a script uses it: its options, its prompts and its exit codes. What commands do is tested
//! beside them, and in tests/it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod aws;
mod completions;
mod data_directory;
mod help;
mod json;
mod logs;
mod metrics;
mod prompts;
mod streams;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

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

/// A `serve` of its own in a data directory; ends with this value.
struct Served {
    process: Child,
    /// What it says of where it serves.
    said: String,
    // Held, so that the process can write.
    _rest: BufReader<ChildStdout>,
}

impl Served {
    /// Starts it, with more arguments and variables.
    fn start(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut serve = program(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
        serve.arg(data).args(arguments).envs(variables.iter().copied());
        Self::of(serve)
    }

    /// Starts what becomes a `serve`.
    fn of(mut serve: Command) -> Self {
        serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = serve.spawn().unwrap();
        let mut rest = BufReader::new(process.stdout.take().unwrap());
        let mut said = String::new();
        rest.read_line(&mut said).unwrap();
        Self { process, said, _rest: rest }
    }

    /// Stops it, and returns what it logged.
    fn stop(mut self) -> String {
        self.process.kill().unwrap();
        let mut log = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
