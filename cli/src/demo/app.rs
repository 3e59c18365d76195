//! The app's own page, as an administrator of the Jira site opens it: in Jira's frame, or on the local page where no app is
//! installed. What it shows is the page's.

use std::sync::Arc;

use axum::middleware::from_fn;
use shared::domain::ConnectionKind;
use standins::jira::Frames;

use super::bind;
use super::world::{ADMINISTRATOR, World};
use crate::operate::Operator;
use crate::{page, serve};

/// The page behind the connection of the story.
#[derive(Debug)]
pub enum App {
    /// In the frame of Jira's stand-in.
    Framed(Frames),
    /// Served by the bundle itself, to whoever it invites.
    Local(Arc<Operator>),
}

impl App {
    /// Opens the connection, and the way to its page.
    pub async fn connect(world: &World, connection: ConnectionKind) -> anyhow::Result<Self> {
        match connection {
            ConnectionKind::Forge => {
                let installation = world.install_forge_app().await?;
                Ok(Self::Framed(installation.frame(forge_file, "hosts/forge.js", ADMINISTRATOR).await?))
            }
            ConnectionKind::Connect => {
                // Before the install, which tells the bundle where the frame is.
                let frames = world.site.frame("postInstallPage", ADMINISTRATOR).await?;
                world.install().await?;
                Ok(Self::Framed(frames))
            }
            ConnectionKind::OauthCredentials => {
                world.add_oauth_credentials().await?;
                Self::serve(world).await
            }
        }
    }

    async fn serve(world: &World) -> anyhow::Result<Self> {
        let listener = bind(([127, 0, 0, 1], 0).into()).await?;
        let (operator, origin) =
            (Arc::clone(&world.local.operator), format!("http://{}", listener.local_addr()?));
        let router =
            page::router(Arc::clone(&operator), origin).layer(from_fn(serve::only_by_loopback_address));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the app's page is not served any more");
            }
        });
        Ok(Self::Local(operator))
    }

    /// Where it is, for whoever opens it next: an invitation to the local page works once.
    pub fn address(&self) -> anyhow::Result<String> {
        match self {
            Self::Framed(frames) => Ok(frames.url().to_owned()),
            Self::Local(operator) => Ok(operator.page_sessions.invite()?),
        }
    }
}

/// A file of the page, as it is packaged into the Forge app.
fn forge_file(name: &str) -> Option<Vec<u8>> {
    let text = match name {
        "hosts/forge.js" => include_str!("../../../page/hosts/forge.js"),
        name => shared::page::asset(name)?.body,
    };
    Some(text.as_bytes().to_vec())
}
