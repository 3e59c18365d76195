//! The program a person runs.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use gitlab_jira::cli::{Action, Bundle, Cli, completions};
use gitlab_jira::terminal::{print, warn};
use gitlab_jira::{control, demo, failure, open, serve, stack};
use rustix::fs::Mode;
use rustix::process::umask;
use shared::clock::SystemClock;
use shared::telemetry::{self, Format};

/// The default log filter of commands. What the SDK warns of while it searches for credentials is in the error, too.
const COMMANDS_LOG: &str = "warn,aws_config=error";

#[tokio::main]
async fn main() -> ExitCode {
    // Whatever creates a file, only the owner may read it from the start: SQLite and sockets take no mode.
    umask(Mode::RWXG | Mode::RWXO);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let done = match Cli::try_parse_from(&arguments) {
        Ok(cli) => run(cli).await,
        Err(wrong_usage) => Err(wrong_usage.into()),
    };
    done.unwrap_or_else(|error| failed(error, failure::wants_json(&arguments)))
}

/// Prints why nothing was done, or not everything.
fn failed(error: anyhow::Error, json: bool) -> ExitCode {
    let (message, code) = match error.downcast::<clap::Error>() {
        Ok(wrong_usage) => match failure::wrong_usage(&wrong_usage).filter(|_| json) {
            Some(message) => (message, u8::try_from(wrong_usage.exit_code()).unwrap_or(u8::MAX)),
            None => wrong_usage.exit(),
        },
        Err(error) => (format!("{error:#}"), 1),
    };
    if json {
        warn(failure::json(&message));
    } else {
        warn(message);
    }
    ExitCode::from(code)
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let filter = std::env::var("RUST_LOG").ok();
    match cli.action {
        Action::Serve { listen, admin_listen, directory, log_format } => {
            telemetry::init(log_format.into(), filter.as_deref());
            serve::serve(listen, admin_listen, &directory.path, Arc::new(SystemClock)).await?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Demo { once, connection, listen } => {
            telemetry::init(Format::Text, Some(filter.as_deref().unwrap_or("error")));
            demo::run(once, connection.into(), listen).await
        }
        Action::Open { no_browser, target } => {
            telemetry::init(Format::Text, Some(filter.as_deref().unwrap_or(COMMANDS_LOG)));
            let shown = open::Shown::of(no_browser, target.json);
            match &target.bundle {
                Bundle::Stack(stack) => open::of_stack(stack, shown).await?,
                Bundle::Directory(directory) => open::of_directory(&directory.path, shown).await?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Completions { shell } => {
            print(&completions(shell))?;
            Ok(ExitCode::SUCCESS)
        }
        action => {
            telemetry::init(Format::Text, Some(filter.as_deref().unwrap_or(COMMANDS_LOG)));
            let Some((command, target)) = action.command()? else {
                return Ok(ExitCode::SUCCESS);
            };
            let answer = match &target.bundle {
                Bundle::Stack(stack) => stack::command(stack, command).await??,
                Bundle::Directory(directory) => control::command(&directory.path, command).await??,
            };
            let text =
                if target.json { answer.json().to_string() } else { answer.text(&target.bundle.options()) };
            print(format!("{text}\n").as_bytes())?;
            Ok(if answer.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}
