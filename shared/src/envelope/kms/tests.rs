//! What KMS may answer, played back by a script; the emulators' part is in [`emulated`].

mod emulated;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{BehaviorVersion, Config, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::envelope::contract::context;
use crate::telemetry::logged::Log;

const KEY_ID: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// 32 bytes that can be looked for.
const PLAINTEXT: &[u8; 32] = b"planted-data-key-of-32-bytes-9c1";

#[derive(Clone, Debug)]
enum Answer {
    Status(u16, String),
    NoConnection,
    Silence,
}

impl Answer {
    fn error(status: u16, code: &str) -> Self {
        Self::Status(status, json!({ "__type": code, "message": "a text that is not ours" }).to_string())
    }

    fn plaintext(bytes: &[u8]) -> Self {
        let body = json!({
            "Plaintext": STANDARD.encode(bytes), "CiphertextBlob": STANDARD.encode("wrapped"), "KeyId": KEY_ID,
        });
        Self::Status(200, body.to_string())
    }
}

/// Gives its answers one after another, the last one for ever, and keeps what it was asked.
#[derive(Clone, Debug)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), asked: Arc::default() }
    }

    fn kms(&self) -> Kms {
        let connector = SharedHttpConnector::new(self.clone());
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-central-1"))
            .allow_no_auth()
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(
                TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(1)).build(),
            )
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Kms::new(Client::from_conf(config), KEY_ID)
    }

    fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").expect("a target").to_owned();
        let body = serde_json::from_slice(request.body().bytes().expect("bytes")).expect("JSON");
        self.asked.lock().expect("no panic").push((target, body));
        let mut answers = self.answers.lock().expect("no panic");
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        match answer.expect("an answer") {
            Answer::Status(status, body) => {
                let status = StatusCode::try_from(status).expect("a status");
                HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
            }
            Answer::NoConnection => {
                let reset = io::Error::from(io::ErrorKind::ConnectionReset);
                HttpConnectorFuture::ready(Err(ConnectorError::io(reset.into())))
            }
            Answer::Silence => HttpConnectorFuture::new(std::future::pending()),
        }
    }
}

/// How both calls end.
async fn both(kms: &Kms) -> [Result<(), KeyServiceError>; 2] {
    let made = kms.generate_data_key(&context()).await.map(drop);
    [made, kms.unwrap_data_key(b"wrapped", &context()).await.map(drop)]
}

#[tokio::test]
async fn the_key_and_the_context_are_always_named() {
    let script = Script::new([Answer::plaintext(PLAINTEXT)]);
    let made = script.kms().generate_data_key(&context()).await.expect("a key");
    assert_eq!((&*made.plaintext, made.wrapped.as_slice()), (PLAINTEXT, b"wrapped".as_slice()));
    let opened = script.kms().unwrap_data_key(&made.wrapped, &context()).await.expect("a key");
    assert_eq!(&*opened, PLAINTEXT);
    let context = json!({ "site": "site", "purpose": "shared-secret" });
    let generate = json!({ "KeyId": KEY_ID, "KeySpec": "AES_256", "EncryptionContext": context });
    let decrypt = json!({
        "KeyId": KEY_ID, "CiphertextBlob": STANDARD.encode("wrapped"), "EncryptionContext": context,
    });
    let expected = [("TrentService.GenerateDataKey", generate), ("TrentService.Decrypt", decrypt)];
    assert_eq!(script.asked(), expected.map(|(target, body)| (target.to_owned(), body)));
}

#[tokio::test]
async fn a_refusal_is_final_and_its_code_is_logged() {
    for code in [
        "AccessDeniedException",
        "DisabledException",
        "IncorrectKeyException",
        "InvalidCiphertextException",
        "InvalidGrantIdException",
        "InvalidGrantTokenException",
        "InvalidKeyUsageException",
        "KMSInvalidStateException",
        "NotFoundException",
        "UnsupportedOperationException",
        "ValidationException",
    ] {
        let (script, log) = (Script::new([Answer::error(400, code)]), Log::default());
        let recorded = log.record();
        assert_eq!(both(&script.kms()).await, [Err(KeyServiceError::Refused), Err(KeyServiceError::Refused)]);
        drop(recorded);
        assert_eq!(script.asked().len(), 2, "{code} is not tried again");
        let errors = log.lines("ERROR");
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors.iter().all(|line| line.contains(&format!("kms.error=\"{code}\""))), "{errors:?}");
        assert!(!errors.iter().any(|line| line.contains(KEY_ID) || line.contains("not ours")), "{errors:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_else_is_an_outage_that_says_what_it_was() {
    for (answer, cause, calls) in [
        (Answer::error(400, "ThrottlingException"), "ThrottlingException", 3),
        (Answer::error(400, "LimitExceededException"), "LimitExceededException", 3),
        (Answer::error(500, "KMSInternalException"), "KMSInternalException", 3),
        (Answer::error(500, "KeyUnavailableException"), "KeyUnavailableException", 3),
        (Answer::error(503, "DependencyTimeoutException"), "DependencyTimeoutException", 3),
        (Answer::error(400, "ExpiredTokenException"), "ExpiredTokenException", 1),
        (Answer::error(400, "AnExceptionOfNextYear"), "AnExceptionOfNextYear", 1),
        (Answer::Status(502, "<html>".to_owned()), "HTTP status 502", 3),
        (Answer::Status(200, "{".to_owned()), "an answer that can't be read", 1),
        (Answer::NoConnection, "no connection", 3),
        (Answer::Silence, "no answer in time", 3),
    ] {
        // Retries draw on a budget that a client keeps, so each call gets a client of its own.
        let script = Script::new([answer]);
        let unavailable = Err(KeyServiceError::Unavailable(cause.to_owned()));
        let made = script.kms().generate_data_key(&context()).await.map(drop);
        assert_eq!((made, script.asked().len()), (unavailable.clone(), calls), "{cause}");
        let opened = script.kms().unwrap_data_key(b"wrapped", &context()).await.map(drop);
        assert_eq!((opened, script.asked().len()), (unavailable, 2 * calls), "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_and_lost_connections_are_retried() {
    for fault in [
        Answer::error(400, "ThrottlingException"),
        Answer::error(500, "KMSInternalException"),
        Answer::NoConnection,
        Answer::Silence,
    ] {
        let script = Script::new([fault.clone(), fault, Answer::plaintext(PLAINTEXT)]);
        let opened = script.kms().unwrap_data_key(b"wrapped", &context()).await;
        assert_eq!(opened.as_deref(), Ok(PLAINTEXT));
        assert_eq!(script.asked().len(), 3);
    }
}

#[tokio::test]
async fn a_key_of_another_length_is_refused() {
    let long = [&PLAINTEXT[..], &[0]].concat();
    for plaintext in [&[][..], &PLAINTEXT[..16], &PLAINTEXT[..31], &long] {
        let (script, log) = (Script::new([Answer::plaintext(plaintext)]), Log::default());
        let recorded = log.record();
        assert_eq!(both(&script.kms()).await, [Err(KeyServiceError::Refused), Err(KeyServiceError::Refused)]);
        drop(recorded);
        assert!(
            log.lines("ERROR").iter().all(|line| line.contains("of another length")),
            "{:?}",
            log.lines("ERROR")
        );
    }
    for body in ["{}", r#"{"CiphertextBlob":"AAAA"}"#, r#"{"Plaintext":null}"#] {
        let script = Script::new([Answer::Status(200, body.to_owned())]);
        assert_eq!(both(&script.kms()).await, [Err(KeyServiceError::Refused), Err(KeyServiceError::Refused)]);
    }
}

#[tokio::test]
async fn nothing_secret_is_logged_at_any_level() {
    let (script, log) = (Script::new([Answer::plaintext(PLAINTEXT)]), Log::default());
    let recorded = log.record();
    assert_eq!(both(&script.kms()).await, [Ok(()), Ok(())]);
    drop(recorded);
    let (text, bytes) = (log.text(), PLAINTEXT.as_slice());
    assert!(text.contains("aws_sdk_kms"), "the SDK logs something: {text}");
    for form in [STANDARD.encode(bytes), hex::encode(bytes), format!("{bytes:?}"), "planted-data".to_owned()]
    {
        assert!(!text.contains(&form), "{form} in {text}");
    }
}
