//! Proxies to the emulator. Each of a stack's addresses gets a port of its own here, and Forge's three functions share
//! one: the emulator answers all of them at one port and tells them apart by their host names, which nothing here
//! resolves. Apart from that one header every byte goes through as it is, because tokens are made over paths and
//! queries, and signatures over bodies. What passes between functions and AWS is looked at in `iam`.

use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// More than the stand-ins send before a body.
const MAX_HEAD: usize = 64 * 1024;

/// Where a request's head ends.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A port that leads nowhere yet: a stack wants to know its addresses before it has them.
pub struct Reserved {
    listener: TcpListener,
    pub url: String,
}

/// A port that leads to a host; closed with the value.
pub struct Front(JoinHandle<()>);

impl Drop for Front {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reserved {
    pub async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Leads to one of `hosts` at the emulator, which listens at `address`: the first whose path a request's begins with.
    pub fn lead_to(self, hosts: Vec<(&'static str, String)>, address: String) -> Front {
        Front(tokio::spawn(async move {
            while let Ok((client, _)) = self.listener.accept().await {
                let (hosts, address) = (hosts.clone(), address.clone());
                // What breaks off is seen by the one who called.
                tokio::spawn(async move { pass(client, &hosts, &address).await });
            }
        }))
    }
}

/// Passes one request and its answer.
async fn pass(mut client: TcpStream, hosts: &[(&'static str, String)], address: &str) -> std::io::Result<()> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD) {
            break at;
        }
        if read.len() > MAX_HEAD || client.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let path = read[..end].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let Some((_, host)) = hosts.iter().find(|(begins, _)| path.starts_with(begins.as_bytes())) else {
        return Ok(());
    };
    let mut server = TcpStream::connect(address).await?;
    server.write_all(&to_host(&read[..end], host)).await?;
    server.write_all(&read[end..]).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// The head of a request, addressed to `host`, and the last one on its connection.
fn to_host(head: &[u8], host: &str) -> Vec<u8> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut addressed = lines.next().unwrap_or_default().to_vec();
    addressed.extend_from_slice(format!("\r\nHost: {host}\r\nConnection: close").as_bytes());
    let is_ours = |line: &[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b"connection")
    };
    for line in lines.filter(|line| !is_ours(line)) {
        addressed.extend_from_slice(b"\r\n");
        addressed.extend_from_slice(line);
    }
    addressed
}

/// CloudFormation, telling of templates in S3 by AWS's addresses. The SAM CLI takes no others when it deletes a stack.
pub async fn cloudformation(emulator: &str) -> (String, Front) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (emulator, http) = (emulator.to_owned(), reqwest::Client::new());
    let tell = async move |headers: HeaderMap, body: Bytes| {
        let (status, mut headers, body) = forward(&http, &emulator, headers, body).await.unwrap();
        headers.remove("content-length");
        let body = String::from_utf8_lossy(&body).replace(&emulator, "https://s3.us-east-1.amazonaws.com");
        (status, headers, body)
    };
    let router = Router::new().fallback(tell);
    (url, Front(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })))
}

/// Makes a call of an AWS client to the emulator.
pub async fn forward(
    http: &reqwest::Client,
    emulator: &str,
    mut headers: HeaderMap,
    body: Bytes,
) -> reqwest::Result<(StatusCode, HeaderMap, Bytes)> {
    // Of this connection; the next has its own.
    for name in ["host", "content-length", "connection"] {
        headers.remove(name);
    }
    let answer = http.post(emulator).headers(headers).body(body).send().await?;
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove("transfer-encoding");
    Ok((status, headers, answer.bytes().await?))
}

#[test]
fn only_the_host_and_the_connection_are_changed() {
    let head = b"GET /a%2Fb/?q=%41+b&q= HTTP/1.1\r\nhost: 127.0.0.1:1\r\nX-Odd:  two  \xff\r\nconnection: keep-alive";
    let addressed: &[u8] =
        b"GET /a%2Fb/?q=%41+b&q= HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\nX-Odd:  two  \xff";
    assert_eq!(to_host(head, "api.example"), addressed);
}
