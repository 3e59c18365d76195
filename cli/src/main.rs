//! The program a person runs.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use gitlab_jira::cli::{Action, Cli};
use gitlab_jira::{control, demo, serve, stack};
use shared::clock::SystemClock;
use shared::telemetry::{self, Format};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let filter = std::env::var("RUST_LOG").ok();
    match cli.action {
        Action::Serve { listen, admin_listen, data_dir } => {
            telemetry::init(Format::Text, filter.as_deref());
            serve::serve(listen, admin_listen, &data_dir, Arc::new(SystemClock)).await?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Demo { once, connection, listen } => {
            telemetry::init(Format::Text, Some(filter.as_deref().unwrap_or("error")));
            demo::run(once, connection.into(), listen).await
        }
        action => {
            telemetry::init(Format::Text, Some(filter.as_deref().unwrap_or("warn")));
            let Some((command, on)) = action.command()? else {
                return Ok(ExitCode::SUCCESS);
            };
            let answer = match &on.stack {
                Some(stack) => stack::command(stack, command.clone()).await?,
                None => control::command(&on.data_dir, command.clone()).await?,
            };
            match answer {
                Ok(answer) => {
                    println!("{}", if on.json { answer.json().to_string() } else { answer.text() });
                    Ok(if answer.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
                }
                Err(refusal) => {
                    eprintln!("{refusal}");
                    Ok(ExitCode::FAILURE)
                }
            }
        }
    }
}
