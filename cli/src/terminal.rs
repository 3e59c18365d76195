//! What a person is asked at the terminal. Which commands ask belongs to `cli`.

use std::io::{self, IsTerminal as _, Read as _};

use anyhow::Context as _;
use secrecy::SecretString;

use crate::operate::Hidden;

/// Longer than any token.
const MAX_SECRET: u64 = 64 * 1024;

/// Reads a secret, called `name`, from standard input, so that it is in no shell history and no list of processes. At a
/// terminal it asks, and what is typed is not shown.
///
/// # Errors
/// When there is none.
pub fn secret(name: &str) -> anyhow::Result<Hidden> {
    let mut text = String::new();
    if io::stdin().is_terminal() {
        text = rpassword::prompt_password(format!("{name}: ")).context("the terminal can't be read")?;
    } else {
        io::stdin().take(MAX_SECRET).read_to_string(&mut text).context("standard input can't be read")?;
    }
    let secret = text.trim();
    anyhow::ensure!(!secret.is_empty(), "the secret is expected on standard input");
    Ok(Hidden(SecretString::from(secret)))
}
