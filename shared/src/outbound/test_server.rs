//! The smallest HTTP server that unit tests of this crate need: one answer per path, and a count of the requests.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One canned answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
    length: usize,
    delay: Duration,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, headers: String::new(), length: body.len(), body, delay: Duration::ZERO }
    }

    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        Self { headers: format!("Location: {location}\r\n"), ..Self::new(status, "") }
    }

    /// Closes the connection after `length` bytes of the body.
    pub(crate) fn cut_to(mut self, length: usize) -> Self {
        self.body.truncate(length);
        self
    }

    pub(crate) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// A server on a free loopback port that lives as long as the test process.
#[derive(Clone, Debug)]
pub(crate) struct TestServer {
    address: SocketAddr,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = Self { address, answers: Arc::default(), requests: Arc::default() };
        let handler = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let handler = handler.clone();
                thread::spawn(move || handler.serve(stream));
            }
        });
        server
    }

    /// Answers requests for `path` with `answer`; other paths get an empty 404.
    pub(crate) fn answer(&self, path: &str, answer: Answer) {
        self.answers.lock().expect("no panic holds it").insert(path.to_owned(), answer);
    }

    /// Method and path of each request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic holds it").clone()
    }

    /// `127.0.0.1:port`.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:port` and `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head);
        let mut words = head.split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return;
        };
        self.requests.lock().expect("no panic holds it").push(format!("{method} {path}"));
        let answer = self.answers.lock().expect("no panic holds it").get(path).cloned();
        let answer = answer.unwrap_or_else(|| Answer::new(404, ""));
        thread::sleep(answer.delay);
        let head = format!(
            "HTTP/1.1 {} x\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n",
            answer.status, answer.length, answer.headers
        );
        let _ = stream.write_all(&[head.as_bytes(), &answer.body].concat());
    }
}
