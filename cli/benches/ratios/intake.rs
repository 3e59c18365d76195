//! Accepting webhooks, at the durability that is shipped, compared with a bare axum handler that reads the same body.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use gitlab_jira::demo::world::World;
use gitlab_jira::operate::CredentialChoice;
use shared::clock::SystemClock;
use standins::gitlab::{Delivery, Role, Tier, Version, commit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{in_turn, row};

/// Senders at the same time.
const SENDERS: usize = 32;

/// Requests of each sender and round.
const REQUESTS: usize = 40;

/// Every delivery is another one, where its id is not signed.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Of a link with a token, signed; and of one without, where the time of the first delivery is written to the table, so
/// each has an id of its own, as only unsigned ones can have here.
pub(crate) async fn run() {
    measure("of a link with a token", Version::V19_1, CredentialChoice::Auto).await;
    measure("of a link without one", Version::V17_3, CredentialChoice::None).await;
}

async fn measure(link: &str, version: Version, credential: CredentialChoice) {
    let world = World::start(version, Arc::new(SystemClock)).await.unwrap();
    world.add_oauth_credentials().await.unwrap();
    let ada = world.gitlab.user("ada");
    let group = world.gitlab.group("acme", Tier::Premium);
    group.grant(&ada, Role::Owner);
    let api = group.project("api").acting_as(&ada);
    let command = world.link_command("acme", &ada.token(&["api"]), credential);
    world.command(command).await.unwrap();
    // What is measured is accepting deliveries, not what `sync` does meanwhile.
    world.stop_pump();
    let held = world.gitlab.hold_deliveries();
    api.push("main", [commit("PAY-1 one").adds("a", 1), commit("PAY-2 two").adds("b", 1)]).await;
    let delivery = held.take().remove(0);

    let bare = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bare_address = bare.local_addr().unwrap().to_string();
    let handler = Router::new().route("/{*path}", post(|body: Bytes| async move { body.len().to_string() }));
    tokio::spawn(async move { axum::serve(bare, handler).await });
    let ours_address = world.base_url().trim_start_matches("http://").to_owned();

    let (ours, bare) =
        in_turn(async || load(&ours_address, &delivery).await, async || load(&bare_address, &delivery).await)
            .await;
    let rate = |seconds: f64| (SENDERS * REQUESTS) as f64 / seconds;
    row(
        &format!("webhook intake {link} beside a bare axum handler, 32 senders"),
        &format!("{:.0}/s beside {:.0}/s: {:.2}", rate(ours), rate(bare), bare / ours),
    );
}

async fn load(address: &str, delivery: &Delivery) -> Duration {
    let started = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (address, delivery) = (address.to_owned(), delivery.clone());
            tokio::spawn(async move { send(&address, &delivery).await })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    started.elapsed()
}

/// A client as thin as can be: what it costs counts on both sides.
async fn send(address: &str, delivery: &Delivery) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let path = delivery.url().splitn(4, '/').nth(3).unwrap();
    let mut answer = vec![0; 4096];
    for _ in 0..REQUESTS {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut request =
            format!("POST /{path} HTTP/1.1\r\nHost: {address}\r\nIdempotency-Key: bench-{number}\r\n");
        for name in
            ["x-gitlab-event", "x-gitlab-token", "webhook-id", "webhook-timestamp", "webhook-signature"]
        {
            if let Some(value) = delivery.header(name) {
                request += &format!("{name}: {value}\r\n");
            }
        }
        request +=
            &format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", delivery.body().len());
        let request = [request.as_bytes(), delivery.body()].concat();
        stream.write_all(&request).await.unwrap();
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    }
}
