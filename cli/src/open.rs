//! `gitlab-jira open`: the local page in a browser. Of a data directory it is the page of the `serve` that runs there; of a
//! stack this program serves it itself, with the credentials of whoever runs it, until it is told to stop.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::middleware::from_fn;
use tokio::net::TcpListener;

use crate::operate::{Answer, Command, PageOpened};
use crate::serve::only_by_loopback_address;
use crate::terminal::{say, warn};
use crate::{control, page, stack};

/// How the link to the page is shown. It works once, so it is either followed or printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// In a browser.
    Browser,
    /// Printed for a person.
    Text,
    /// Printed for a script.
    Json,
}

impl Shown {
    /// What the options ask for.
    #[must_use]
    pub fn of(no_browser: bool, json: bool) -> Self {
        match (json, no_browser) {
            (true, _) => Self::Json,
            (false, true) => Self::Text,
            (false, false) => Self::Browser,
        }
    }
}

/// Opens the page of the bundle in `directory`.
///
/// # Errors
/// When nothing serves it.
pub async fn of_directory(directory: &Path, shown: Shown) -> anyhow::Result<()> {
    match control::command(directory, Command::Open).await?? {
        Answer::PageOpened(opened) => {
            show(opened, shown);
            Ok(())
        }
        _ => anyhow::bail!("the running gitlab-jira answers something else: it is of another version"),
    }
}

/// Serves and opens the page of a stack.
///
/// # Errors
/// When the stack can't be read, or no port can be listened on.
pub async fn of_stack(name: &str, shown: Shown) -> anyhow::Result<()> {
    let operator = Arc::new(stack::operator_of(name).await?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port can be listened on")?;
    let origin = format!("http://{}", listener.local_addr()?);
    let router = page::router(operator.clone(), origin).layer(from_fn(only_by_loopback_address));
    show(PageOpened { url: operator.page_sessions.invite()? }, shown);
    warn("The page stays until you press Ctrl-C.");
    tokio::select! {
        served = axum::serve(listener, router) => served.context("the page is not served any more"),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("the interrupt can't be waited for"),
    }
}

fn show(opened: PageOpened, shown: Shown) {
    match shown {
        Shown::Json => say(Answer::PageOpened(opened).json()),
        Shown::Browser if open::that_detached(&opened.url).is_ok() => {
            say("The page opens in your browser. If it does not, run this again with --no-browser.");
        }
        Shown::Browser | Shown::Text => say(format_args!("Open {}", opened.url)),
    }
}
