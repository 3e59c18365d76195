//! Where the program writes, and what becomes of it when nobody reads.

use std::io::{Read as _, Write as _, pipe};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rexpect::session::spawn_command;

use super::{Served, program, text};

/// How long the program may take to start.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The writing end of a pipe whose reader has gone.
fn nobody() -> Stdio {
    let (_, writer) = pipe().unwrap();
    writer.into()
}

fn exit_code(command: &mut Command) -> Option<i32> {
    command.stdin(Stdio::null()).status().unwrap().code()
}

#[test]
fn answers_that_nobody_reads_are_no_error() {
    let data = tempfile::tempdir().unwrap();
    drop(Served::start(data.path(), &[], &[]));
    let mut status = program(&["status", "--data-dir"]);
    status.arg(data.path());
    for mut command in [program(&["completions", "bash"]), program(&["--help"]), status] {
        let output = command.stdin(Stdio::null()).stdout(nobody()).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{command:?}");
    }
}

#[test]
fn errors_that_nobody_reads_still_set_the_exit_code() {
    for (arguments, code) in [
        (&["status", "--data-dir", "/dev/null/none"][..], 1),
        (&["status", "--json", "--data-dir", "/dev/null/none"], 1),
        (&["group", "unlink", "01KAMV7Q3N8R5T2W4X6Y9Z0ABC"], 2),
    ] {
        assert_eq!(exit_code(program(arguments).stderr(nobody())), Some(code), "{arguments:?}");
    }
}

#[test]
fn serve_goes_on_when_nobody_reads_what_it_says_and_logs() {
    let data = tempfile::tempdir().unwrap();
    let mut serve = program(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    serve.arg(data.path()).env("RUST_LOG", "debug").stdin(Stdio::null()).stdout(nobody()).stderr(nobody());
    let mut process = serve.spawn().unwrap();
    let began = Instant::now();
    let answer = loop {
        assert!(began.elapsed() < TIMEOUT);
        assert_eq!(process.try_wait().unwrap(), None, "it ended");
        match std::fs::read_to_string(data.path().join("admin-address")).map(TcpStream::connect) {
            Ok(Ok(mut stream)) => {
                stream
                    .write_all(b"GET /status HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
                    .unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                break answer;
            }
            _ => thread::sleep(Duration::from_millis(50)),
        }
    };
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(process.try_wait().unwrap(), None, "it ended");
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn there_are_no_colours_in_a_file_and_none_where_nobody_wants_them() {
    let data = tempfile::tempdir().unwrap();
    let log = Served::start(data.path(), &[], &[]).stop();
    assert!(log.contains("serving") && !log.contains('\u{1b}'), "{log:?}");
    for (variables, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let mut serve = program(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
        serve.arg(data.path()).envs(variables.iter().copied());
        let mut terminal = spawn_command(serve, Some(TIMEOUT.as_millis() as u64)).unwrap();
        let said = terminal.exp_string("Serving http").unwrap();
        assert_eq!(said.contains('\u{1b}'), coloured, "{said:?}");
    }
}
