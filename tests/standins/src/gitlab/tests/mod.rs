//! The stand-in against the rules it must keep: each refusal, each limit and each kind of delivery once.

mod access;
mod ci;
mod deliveries;
mod gate;
mod graphql;
mod hook_api;
mod merge_requests;
mod paging;
mod pushes;
mod repository;
mod story;
mod tokens;

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{GitlabStandin, GroupHandle, ProjectHandle, Role, Tier, UserHandle, Version};

/// An instance with a Premium group, a project in it, an Owner, and the Owner's token.
struct Scene {
    gitlab: GitlabStandin,
    group: GroupHandle,
    project: ProjectHandle,
    ada: UserHandle,
    api: Api,
}

impl Scene {
    async fn new(version: Version) -> Self {
        let gitlab = GitlabStandin::start(version).await.unwrap();
        let group = gitlab.group("acme/payments", Tier::Premium);
        let ada = gitlab.user("ada");
        group.grant(&ada, Role::Owner);
        let project = group.project("api").acting_as(&ada);
        let api = Api::new(&gitlab, &ada.token(&["api"]));
        Scene { gitlab, group, project, ada, api }
    }

    /// A member of the group with this role, and a client for them.
    fn member(&self, name: &str, role: Role) -> Api {
        let user = self.gitlab.user(name);
        self.group.grant(&user, role);
        Api::new(&self.gitlab, &user.token(&["api"]))
    }

    fn project_path(&self, rest: &str) -> String {
        format!("/projects/{}{rest}", self.project.id())
    }

    fn group_path(&self, rest: &str) -> String {
        format!("/groups/{}{rest}", self.group.id())
    }

    /// A project hook for all events of project hooks.
    async fn listen(&self) -> Receiver {
        let receiver = Receiver::start().await;
        self.hook(&receiver, json!({})).await;
        receiver
    }

    /// A project hook with further attributes.
    async fn hook(&self, receiver: &Receiver, more: Value) -> u64 {
        let mut body = json!({ "url": receiver.url, "token": "in the clear" });
        for event in
            ["push", "tag_push", "merge_requests", "pipeline", "job", "deployment", "feature_flag", "note"]
        {
            body[format!("{event}_events")] = json!(true);
        }
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.api.post(&self.project_path("/hooks"), body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        made.body["id"].as_u64().unwrap()
    }
}

/// A client with one credential.
struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// What a call was answered.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    fn texts(&self, field: &str) -> Vec<&str> {
        self.body.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
    }
}

impl Api {
    fn new(gitlab: &GitlabStandin, token: &SecretString) -> Self {
        Api { token: Some(token.expose_secret().to_owned()), ..Api::anonymous(gitlab) }
    }

    fn anonymous(gitlab: &GitlabStandin) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Api { http, base: format!("{}/api/v4", gitlab.url()), token: None }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.http.post(format!("{}{path}", self.base)).json(&body)).await
    }

    async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(self.http.put(format!("{}{path}", self.base)).json(&body)).await
    }

    async fn delete(&self, path: &str) -> Reply {
        self.send(self.http.delete(format!("{}{path}", self.base))).await
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Reply {
        if let Some(token) = &self.token {
            request = request.header("PRIVATE-TOKEN", token);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply { status, headers, body }
    }
}

/// Something that receives webhooks.
struct Receiver {
    url: String,
    inner: Arc<Inbox>,
}

struct Inbox {
    received: Mutex<Vec<Received>>,
    answer: AtomicU16,
}

#[derive(Clone)]
struct Received {
    headers: HeaderMap,
    bytes: Vec<u8>,
    body: Value,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn event(&self) -> &str {
        self.header("x-gitlab-event").unwrap()
    }
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let inner = Arc::new(Inbox { received: Mutex::default(), answer: AtomicU16::new(200) });
        let router = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver { url, inner }
    }

    /// Answers with this status from now on.
    fn answer(&self, status: u16) {
        self.inner.answer.store(status, Ordering::SeqCst);
    }

    /// Takes what has arrived.
    fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.inner.received.lock().unwrap())
    }

    /// Takes the one thing that has arrived.
    #[track_caller]
    fn only(&self) -> Received {
        let mut all = self.take();
        assert_eq!(
            all.len(),
            1,
            "one delivery expected, got {:?}",
            all.iter().map(Received::event).collect::<Vec<_>>()
        );
        all.remove(0)
    }
}

async fn receive(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, bytes: Bytes) -> StatusCode {
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    inbox.received.lock().unwrap().push(Received { headers, bytes: bytes.to_vec(), body });
    StatusCode::from_u16(inbox.answer.load(Ordering::SeqCst)).unwrap()
}
