//! An SQS that answers as a test says, and keeps what it was asked.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Config, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use crate::queue::QueueError;
use crate::queue::sqs::SqsQueue;

pub const URL: &str = "https://sqs.eu-central-1.amazonaws.com/111122223333/events";
pub const DEAD_LETTERS_URL: &str = "https://sqs.eu-central-1.amazonaws.com/111122223333/events-dead";

/// What an answer takes, by the paused clock of the tests.
pub const LATENCY: Duration = Duration::from_secs(1);

/// Attempts at a call that the SDK makes here.
pub const ATTEMPTS: usize = 3;

pub enum Answer {
    Json(Value),
    Error(u16, &'static str),
    NoConnection,
}

/// What is answered to a call, by its name, its content, and how many of that name there have been.
type Rule = dyn Fn(&str, &Value, usize) -> Answer + Send + Sync;

#[derive(Clone)]
pub struct Script {
    rule: Arc<Rule>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Script {
    pub fn new(rule: impl Fn(&str, &Value, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self { rule: Arc::new(rule), asked: Arc::default() }
    }

    pub fn queue(&self) -> SqsQueue {
        let connector = SharedHttpConnector::new(self.clone());
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-central-1"))
            .allow_no_auth()
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS as u32))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        SqsQueue::new(Client::from_conf(config), URL, Some(DEAD_LETTERS_URL))
    }

    /// The names of the calls so far.
    pub fn calls(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(call, _)| call.clone()).collect()
    }

    /// What the calls of this name said.
    pub fn asked(&self, call: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(name, _)| name == call).map(|(_, asked)| asked.clone()).collect()
    }

    /// One field of each entry of each call of this name.
    pub fn entries(&self, call: &str, field: &str) -> Vec<Vec<Value>> {
        let fields = |asked: Value| {
            asked["Entries"].as_array().unwrap().iter().map(|entry| entry[field].clone()).collect()
        };
        self.asked(call).into_iter().map(fields).collect()
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call =
            request.headers().get("x-amz-target").unwrap().strip_prefix("AmazonSQS.").unwrap().to_owned();
        let asked: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let mut all_asked = self.asked.lock().unwrap();
        let earlier = all_asked.iter().filter(|(name, _)| *name == call).count();
        let answer = match (self.rule)(&call, &asked, earlier) {
            Answer::Json(body) => Ok((200, body)),
            Answer::Error(status, code) => {
                Ok((status, json!({ "__type": code, "message": "a sentence that may quote the request" })))
            }
            Answer::NoConnection => {
                Err(ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionRefused).into()))
            }
        };
        all_asked.push((call, asked));
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(LATENCY).await;
            let (status, body) = answer?;
            Ok(HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body.to_string())))
        })
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

/// An answer to a call on several messages: all succeeded but those that `failure` gives a code and a blame for, by
/// their position; those with an empty code are not mentioned.
pub fn results(asked: &Value, failure: impl Fn(usize) -> Option<(&'static str, bool)>) -> Answer {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (position, entry) in asked["Entries"].as_array().unwrap().iter().enumerate() {
        match failure(position) {
            None => successful.push(json!({
                "Id": entry["Id"], "MessageId": format!("m{position}"), "MD5OfMessageBody": "d41d8cd98f00b204",
            })),
            Some(("", _)) => {}
            Some((code, sender)) => failed.push(json!({
                "Id": entry["Id"], "Code": code, "SenderFault": sender, "Message": "a sentence, too",
            })),
        }
    }
    Answer::Json(json!({ "Successful": successful, "Failed": failed }))
}

/// The cause of an unavailable queue, after looking that nothing of `secret` is in the error.
pub fn cause(error: QueueError, secret: &str) -> String {
    assert!(!format!("{error} {error:?} {error:#?}").contains(secret), "{error:?}");
    let cause = error.source().expect("a cause").to_string();
    assert!(!cause.contains("sentence"), "{cause}");
    cause
}
