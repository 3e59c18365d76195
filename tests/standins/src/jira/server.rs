//! A listener of its own on the loopback interface, in process. It reads whole requests and can close a connection
//! without an answer, which a failure rule may ask for. What is answered is decided elsewhere.

use std::net::Ipv4Addr;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// What is read of a body at most. Far above what any API takes, so that an oversized call gets its proper answer.
const MAX_READ: usize = 64 * 1024 * 1024;

/// How a call ends.
pub(super) enum Reply {
    Answer(Response),
    /// The connection is closed without an answer.
    Drop,
}

/// Stops listening, and closes all connections, when it goes.
#[derive(Debug)]
pub(super) struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A bound socket that doesn't answer yet.
pub(super) struct Bound {
    listener: TcpListener,
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub url: String,
}

/// Takes a free port.
pub(super) async fn bind() -> anyhow::Result<Bound> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok(Bound { listener, url })
}

impl Bound {
    /// Answers every request with what `handler` makes of it.
    pub(super) fn serve<H, F>(self, handler: H) -> Listening
    where
        H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send,
    {
        Listening(tokio::spawn(async move {
            // Connections end with the listener, because the set aborts its tasks when it goes.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = self.listener.accept().await {
                while connections.try_join_next().is_some() {}
                let handler = handler.clone();
                let service = service_fn(move |request| respond(handler.clone(), request));
                connections.spawn(async move {
                    // Errors here are connections closed by either side.
                    let _closed = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }))
    }
}

async fn respond<H, F>(handler: H, request: Request<Incoming>) -> Result<Response, Dropped>
where
    H: Fn(Request<Bytes>) -> F,
    F: Future<Output = Reply>,
{
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(Body::new(body), MAX_READ).await else {
        return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response());
    };
    match handler(Request::from_parts(parts, body)).await {
        Reply::Answer(response) => Ok(response),
        Reply::Drop => Err(Dropped),
    }
}

/// Makes the HTTP library close the connection.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a failure rule closed the connection")
    }
}

impl std::error::Error for Dropped {}
