//! `gitlab-jira open`: the local page in a browser. Of a data directory it is the page of the `serve` that runs there; of a
//! stack this program serves it itself, with the credentials of whoever runs it, until it is told to stop.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::middleware::from_fn;
use tokio::net::TcpListener;

use crate::operate::{Answer, Command};
use crate::serve::only_by_loopback_address;
use crate::terminal::say;
use crate::{control, page, stack};

/// Opens the page of the bundle in `directory`.
///
/// # Errors
/// When nothing serves it.
pub async fn of_directory(directory: &Path, no_browser: bool) -> anyhow::Result<()> {
    match control::command(directory, Command::Open).await? {
        Ok(Answer::PageOpened(opened)) => {
            show(&opened.url, no_browser);
            Ok(())
        }
        Ok(_) => anyhow::bail!("the running gitlab-jira answers something else: it is of another version"),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Serves and opens the page of a stack.
///
/// # Errors
/// When the stack can't be read, or no port can be listened on.
pub async fn of_stack(name: &str, no_browser: bool) -> anyhow::Result<()> {
    let operator = Arc::new(stack::operator_of(name).await?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port can be listened on")?;
    let origin = format!("http://{}", listener.local_addr()?);
    let router = page::router(operator.clone(), origin).layer(from_fn(only_by_loopback_address));
    show(&operator.page_sessions.invite()?, no_browser);
    say("The page stays until you press Ctrl-C.");
    tokio::select! {
        served = axum::serve(listener, router) => served.context("the page is not served any more"),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("the interrupt can't be waited for"),
    }
}

fn show(url: &str, no_browser: bool) {
    if no_browser || open::that_detached(url).is_err() {
        say(format_args!("Open {url}"));
    } else {
        say("The page opens in your browser. If it does not, run this again with --no-browser.");
    }
}
