//! Every request in numbers: by route, door and kind of answer.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ::http::Extensions;
use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;

use crate::domain::DoorKind;
use crate::telemetry::Measure;

/// In place of a route for what no route is for, and of a door for whoever did not come through one.
const NONE: &str = "none";

/// `router`, with each of its requests measured.
pub fn measured(router: Router) -> Router {
    router.layer(from_fn(measure))
}

/// The door through which the caller of a request came, once that is proved.
#[derive(Clone, Debug, Default)]
pub(super) struct CameThrough(Arc<OnceLock<DoorKind>>);

impl CameThrough {
    /// Where to note it for the request with these extensions; nowhere if it is not measured.
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// The caller has proved that it comes through `door`.
    pub(super) fn note(&self, door: DoorKind) {
        // Proved twice it is the same door.
        let _ = self.0.set(door);
    }
}

async fn measure(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    // The route, not the path, which strangers choose; nor the method, for the same reason.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let door = CameThrough::default();
    request.extensions_mut().insert(door.clone());
    let response = next.run(request).await;
    let status = response.status();
    let outcome = match status.as_u16() {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    let route = route.as_ref().map_or(NONE, MatchedPath::as_str);
    let door = door.0.get().map_or(NONE, |door| door.name());
    Measure::new("answered a request")
        .by([("Route", route), ("Door", door), ("Outcome", outcome)])
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
    async fn requests_count_by_route_door_and_outcome_whatever_strangers_ask_for() {
        let log = Log::default();
        let recorded = log.record();
        let prove = |request: Request| async move {
            CameThrough::of(request.extensions()).note(DoorKind::Connect);
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
                "answered a request Route=/a/{id} Door=connect Outcome=2xx",
                "answered a request Route=/a/{id} Door=connect Outcome=2xx",
                "answered a request Route=/a/{id} Door=none Outcome=4xx",
                "answered a request Route=none Door=none Outcome=4xx",
            ]
        );
    }
}
