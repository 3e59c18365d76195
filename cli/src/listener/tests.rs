use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What `serve` gets here, unless a test bounds it more tightly.
const WIDE: Bounds =
    Bounds { connections: 100, head: TIMEOUT, request: TIMEOUT, write: TIMEOUT, body_bytes: 1024 * 1024 };

/// Short, but long enough to be told from at once.
const SHORT: Duration = Duration::from_millis(300);

struct Served {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Served {
    async fn start(router: Router, bounds: Bounds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, router, bounds, async {
            let _ = stopped.await;
        }));
        Self { address, stop, task }
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

/// All that comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let _ = timeout(TIMEOUT, stream.read_to_string(&mut text)).await.expect("it is closed");
    text
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" })).route("/body", post(|_: Bytes| async { "read" }))
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const GET_AND_CLOSE: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn heads_that_do_not_end_and_connections_that_idle_are_closed() {
    let served = Served::start(hello(), Bounds { head: SHORT, ..WIDE }).await;
    for (sent, answered) in [("", false), ("GET / HTTP/1.1\r\nhost:", false), (GET, true)] {
        let began = Instant::now();
        let text = rest(&mut served.send(sent).await).await;
        assert_eq!(text.starts_with("HTTP/1.1 200"), answered, "{sent:?}: {text}");
        assert!(began.elapsed() >= SHORT, "{sent:?}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_times_out() {
    let served = Served::start(hello(), Bounds { request: SHORT, ..WIDE }).await;
    let mut slow = served.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc").await;
    let text = rest(&mut slow).await;
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
}

#[tokio::test]
async fn a_caller_who_takes_no_answers_is_cut_off() {
    let long = Router::new().route("/", get(|| async { "x".repeat(1024 * 1024) }));
    let served = Served::start(long, Bounds { connections: 1, write: SHORT, ..WIDE }).await;
    // More than the buffers of both ends hold.
    let _deaf = served.send(&GET.repeat(100)).await;
    let text =
        rest(&mut served.send("POST /body HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await).await;
    assert!(text.starts_with("HTTP/1.1 404"), "the only place is free again: {text}");
}

#[tokio::test]
async fn connections_above_the_maximum_wait_for_a_place() {
    let served = Served::start(hello(), Bounds { connections: 2, ..WIDE }).await;
    let (first, _second) = (served.send("GET").await, served.send("GET").await);
    let mut third = served.send(GET_AND_CLOSE).await;
    let mut byte = [0];
    assert!(timeout(SHORT, third.read(&mut byte)).await.is_err(), "there is no place for it");
    drop(first);
    assert!(rest(&mut third).await.contains("hello"));
}

#[tokio::test]
async fn bodies_are_read_only_as_far_as_there_is_room_for_all_of_them() {
    const BODY: usize = 40 * 1024;
    let (read, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let hold = {
        let (read, go_on) = (read.clone(), go_on.clone());
        move |body: Bytes| async move {
            read.fetch_add(1, Ordering::Relaxed);
            go_on.notified().await;
            body.len().to_string()
        }
    };
    let router = Router::new().route("/", post(hold));
    let served = Served::start(router, Bounds { body_bytes: 2 * BODY, ..WIDE }).await;
    let request =
        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY}\r\nconnection: close\r\n\r\n");
    let request = request + &"x".repeat(BODY);
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(served.send(&request).await);
        tokio::time::sleep(SHORT).await;
    }
    assert_eq!(read.load(Ordering::Relaxed), 2, "a third one has no room");
    go_on.notify_one();
    tokio::time::sleep(SHORT).await;
    assert_eq!(read.load(Ordering::Relaxed), 3, "one was answered, and the third has its room");
    go_on.notify_waiters();
    for mut stream in streams {
        assert!(rest(&mut stream).await.ends_with(&BODY.to_string()));
    }
}

#[tokio::test]
async fn stopping_answers_what_was_asked_and_closes_the_rest() {
    let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let wait = {
        let (asked, go_on) = (asked.clone(), go_on.clone());
        move || async move {
            asked.notify_one();
            go_on.notified().await;
            "done"
        }
    };
    let served = Served::start(hello().route("/wait", get(wait)), WIDE).await;
    let mut idle = served.send(GET).await;
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    let mut busy = served.send("GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await;
    asked.notified().await;
    served.stop.send(()).unwrap();
    assert!(rest(&mut idle).await.ends_with("hello"));
    assert!(TcpStream::connect(served.address).await.is_err(), "nobody else gets in");
    assert!(!served.task.is_finished());
    go_on.notify_one();
    assert!(rest(&mut busy).await.ends_with("done"));
    timeout(TIMEOUT, served.task).await.expect("it stops").unwrap();
}
