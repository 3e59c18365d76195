//! Output and input at the terminal: answers, secrets and confirmations. Which commands ask belongs to
//! `cli`.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Read as _, Write as _};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use secrecy::SecretString;

use crate::cli::Cli;
use crate::operate::Hidden;

/// Longer than any token.
const MAX_SECRET: u64 = 64 * 1024;

/// Prints an answer to standard output. A reader that stops reading, such as `head`, is no error.
///
/// # Errors
/// When it can't be written otherwise, as to a full disk.
pub fn print(answer: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(answer).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Prints a line to standard output, and ignores that it can't be written.
pub fn say(line: impl Display) {
    let _ = print(format!("{line}\n").as_bytes());
}

/// Prints a line to standard error. An error of that is ignored.
pub fn warn(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Where a secret may come from beside a terminal: standard input, so that it is in no shell history and no list of processes.
#[derive(Clone, Copy, Debug)]
pub struct SecretOption {
    /// The option that says so.
    pub name: &'static str,
    /// Whether it was given.
    pub is_given: bool,
}

/// Reads a secret, called `name`. At a terminal it asks, and what is typed is not shown; else `option` must say that standard
/// input has it.
///
/// # Errors
/// When there is none. Where nobody can be asked that is wrong usage: a [`clap::Error`].
pub fn secret(name: &str, option: SecretOption) -> anyhow::Result<Hidden> {
    let mut text = String::new();
    if io::stdin().is_terminal() {
        text = rpassword::prompt_password(format!("{name}: ")).context("the terminal can't be read")?;
    } else if !option.is_given {
        let message = format!(
            "{name}: there is no terminal to ask at, so give it on standard input, with {}.",
            option.name
        );
        return Err(Cli::command().error(ErrorKind::MissingRequiredArgument, message).into());
    } else {
        io::stdin().take(MAX_SECRET).read_to_string(&mut text).context("standard input can't be read")?;
    }
    let secret = text.trim();
    anyhow::ensure!(!secret.is_empty(), "the secret is expected on standard input");
    Ok(Hidden(SecretString::from(secret)))
}

/// Asks whether to do what `consequence` says, unless that was confirmed with `--yes`.
///
/// # Errors
/// Unless the answer is yes. Where nobody can be asked that is wrong usage: a [`clap::Error`].
pub fn confirm(consequence: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let message = format!("{consequence} There is no terminal to ask at: confirm it with --yes.");
        return Err(Cli::command().error(ErrorKind::MissingRequiredArgument, message).into());
    }
    write!(io::stderr(), "{consequence} Continue? [y/N] ").context("the terminal can't be written")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("the terminal can't be read")?;
    let agreed = ["y", "yes"].contains(&answer.trim().to_lowercase().as_str());
    anyhow::ensure!(agreed, "Nothing was changed.");
    Ok(())
}
