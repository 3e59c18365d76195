//! A server on a loopback port whose answers are computed from the requests: what the tests of the clients and of
//! delivery need of the world outside.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use url::Url;

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    /// Method and target.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    /// A header by its lower-case name; empty when it was not sent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body; null when it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { method, target, headers, body })
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    status: u16,
    headers: String,
    body: Vec<u8>,
    delay: Duration,
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: String::new(), body: body.into(), delay: Duration::ZERO }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, body.to_string())
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    fn write(&self, mut stream: &TcpStream) {
        thread::sleep(self.delay);
        let (status, length) = (self.status, self.body.len());
        let head = format!(
            "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n{}\r\n",
            self.headers
        );
        // A client that gave up or refuses the rest of a large body is part of the test.
        let _ = stream.write_all(&[head.as_bytes(), &self.body].concat());
    }
}

type Script = Arc<dyn Fn(&Request) -> Response + Send + Sync>;

/// A server that lives as long as the test process.
#[derive(Clone, Debug)]
pub(crate) struct ScriptedServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl ScriptedServer {
    /// Answers every request as `script` says.
    pub(crate) fn start(script: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let server = Self { address: listener.local_addr().expect("bound"), requests: Arc::default() };
        let (requests, script): (_, Script) = (Arc::clone(&server.requests), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (requests, script) = (Arc::clone(&requests), Arc::clone(&script));
                thread::spawn(move || {
                    if let Some(request) = Request::read(&stream) {
                        requests.lock().expect("no panic holds it").push(request.clone());
                        script(&request).write(&stream);
                    }
                });
            }
        });
        server
    }

    /// Where it is, without a path.
    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("http://{}", self.address)).expect("a URL")
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic holds it").clone()
    }

    /// Method and target of the requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Request::line).collect()
    }
}
