//! The public listener: HTTP with a bound on everything that a client can occupy: connections, request heads, requests, and
//! the bytes of bodies. What requests are answered with belongs to the functions.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use futures::StreamExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tower_http::timeout::TimeoutLayer;

/// What one connection may buffer in each direction; a request's head must fit. Forge's tokens, the longest headers, are a
/// few kilobytes.
const MAX_BUFFER: usize = 32 * 1024;

/// Until a request is answered. As much as Lambda's HTTP API gives a function.
pub const MAX_REQUEST: Duration = Duration::from_secs(30);

/// How much clients may occupy, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections that are open at the same time. Further ones wait in the backlog of the system.
    pub connections: usize,
    /// Until the head of a request is there: from when the connection was opened, or from the answer before it.
    pub head: Duration,
    /// Until a request is answered, reading its body included.
    pub request: Duration,
    /// How long a client may read nothing of an answer.
    pub write: Duration,
    /// Bytes of bodies in memory, of all requests together. Beyond that, bodies are not read.
    pub body_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // Half of the 1,024 files that many systems let a process open; databases and calls to Jira need some, too.
            connections: 512,
            head: Duration::from_secs(10),
            request: MAX_REQUEST,
            write: Duration::from_secs(30),
            // Several webhooks of the largest size, and thousands of the usual one.
            body_bytes: 32 * 1024 * 1024,
        }
    }
}

/// Serves `router` on `listener` until `stop`; then takes no more connections, and answers what was asked already.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: impl Future<Output = ()>) {
    let service = TowerToHyperService::new(bounded(router, bounds));
    let places = Arc::new(Semaphore::new(bounds.connections));
    // HTTP/1 alone: while the builder finds out which version a client speaks, no time-out applies.
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(bounds.head).max_buf_size(MAX_BUFFER);
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, place) = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = &mut stop => break,
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(bounds.write));
        let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service.clone());
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await.expect("never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // Of a client that has gone already, or of the system, such as too many open files, which needs a moment.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn bounded(router: Router, bounds: Bounds) -> Router {
    let memory = Arc::new(Semaphore::new(bounds.body_bytes));
    router
        .layer(from_fn_with_state(memory, hold_bodies_in))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, bounds.request))
}

/// Hands a part of the request's body on only when `memory` has room for it, and takes that room until the request is
/// answered. Counts what was received, not what `Content-Length` announced.
async fn hold_bodies_in(State(memory): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let held = Arc::new(Mutex::new(Vec::new()));
    let of_request = held.clone();
    let request = request.map(|body| {
        Body::from_stream(body.into_data_stream().then(move |part| {
            let (memory, held) = (memory.clone(), of_request.clone());
            async move {
                let part = part?;
                let room = room(memory, part.len()).await.map_err(axum::Error::new)?;
                held.lock().unwrap_or_else(PoisonError::into_inner).push(room);
                Ok::<_, axum::Error>(part)
            }
        }))
    });
    let response = next.run(request).await;
    drop(held);
    response
}

async fn room(memory: Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
    let bytes = u32::try_from(bytes).expect("a part is no larger than a connection's buffer");
    memory.acquire_many_owned(bytes).await
}

#[cfg(test)]
mod tests;
