//! Every request in numbers: by route, connection and kind of answer.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ::http::Extensions;
use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;

use crate::domain::ConnectionKind;
use crate::telemetry::Measure;

/// In place of the route of a request that has none, and of the connection of a caller that came through none.
const NONE: &str = "none";

/// `router`, with each of its requests measured.
pub fn measured(router: Router) -> Router {
    router.layer(from_fn(measure))
}

/// The connection through which the caller of a request came, once that is proved.
#[derive(Clone, Debug, Default)]
pub(super) struct CameThrough(Arc<OnceLock<ConnectionKind>>);

impl CameThrough {
    /// Where to note it for the request with these extensions; nowhere if it is not measured.
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// The caller has proved that it comes through `connection`.
    pub(super) fn note(&self, connection: ConnectionKind) {
        // Proved twice it is the same connection.
        let _ = self.0.set(connection);
    }
}

async fn measure(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    // The route, not the path, which strangers choose; nor the method, for the same reason.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let connection = CameThrough::default();
    request.extensions_mut().insert(connection.clone());
    let response = next.run(request).await;
    let status = response.status();
    let outcome = match status.as_u16() {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    let route = route.as_ref().map_or(NONE, MatchedPath::as_str);
    let connection = connection.0.get().map_or(NONE, |connection| connection.name());
    Measure::new("answered a request")
        .by([("Route", route), ("Connection", connection), ("Outcome", outcome)])
        .time("RequestLatency", began)
        .detail("http.status", status.as_u16())
        .log();
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logged::Log;
    use axum::routing::get;
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn requests_count_by_route_connection_and_outcome_whatever_strangers_ask_for() {
        let log = Log::default();
        let recorded = log.record();
        let prove = |request: Request| async move {
            CameThrough::of(request.extensions()).note(ConnectionKind::Connect);
        };
        let router = measured(Router::new().route("/a/{id}", get(prove)));
        for (method, path) in [("GET", "/a/1"), ("GET", "/a/2?jwt=secret"), ("BREW", "/a/3"), ("GET", "/b")] {
            let request = Request::builder().method(method).uri(path).body(axum::body::Body::empty());
            router.clone().oneshot(request.unwrap()).await.unwrap();
        }
        drop(recorded);
        let lines = log.lines("answered a request");
        let of = |line: &String| line.split(" http.status").next().unwrap_or_default().to_owned();
        assert_eq!(
            lines.iter().map(of).collect::<Vec<_>>(),
            [
                "answered a request Route=/a/{id} Connection=connect Outcome=2xx",
                "answered a request Route=/a/{id} Connection=connect Outcome=2xx",
                "answered a request Route=/a/{id} Connection=none Outcome=4xx",
                "answered a request Route=none Connection=none Outcome=4xx",
            ]
        );
    }
}
