//! How AWS's SDK is set up for a function on Lambda. Which clients are made from it belongs to `services`; a program
//! outside Lambda, with a person's credentials, brings its own [`SdkConfig`].

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Connector, HttpClientError};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};

use crate::config::Variables;
use crate::tls_roots;

/// A connection inside a region takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// One attempt at a call: a hundred times what such calls take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1500);

/// A call with all its attempts. GitLab waits ten seconds for a webhook's answer: that is time for a call that fails and for
/// one that puts the delivery on the queue.
const CALL_TIMEOUT: Duration = Duration::from_millis(3500);

/// Attempts at a call, the first included.
const ATTEMPTS: u32 = 3;

/// Where a function runs, from the variables that Lambda sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsEnvironment {
    region: String,
    endpoint_url: Option<String>,
}

impl AwsEnvironment {
    /// Reads `AWS_REGION` and `AWS_ENDPOINT_URL`, as every SDK of AWS does.
    pub fn read(variables: &mut Variables<'_>) -> Self {
        Self {
            region: variables.required("AWS_REGION"),
            endpoint_url: variables.optional("AWS_ENDPOINT_URL"),
        }
    }
}

/// What the clients of the function called `function` are made from; AWS's logs of calls then name it. They share one pool
/// of connections.
///
/// The SDK's own search for credentials and regions, in files and on the network, is left out: on Lambda both are in
/// variables, and the search costs a cold start several milliseconds.
///
/// # Errors
/// When TLS can't be set up.
pub fn sdk_config(function: &'static str, environment: AwsEnvironment) -> Result<SdkConfig, HttpClientError> {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(environment.region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client()?)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts);
    sdk.set_endpoint_url(environment.endpoint_url);
    sdk.set_app_name(AppName::new(function).ok());
    Ok(sdk.build())
}

/// One connector for all clients. Left to the SDK, every client would set up TLS when it is made, and throw it away.
fn http_client() -> Result<SharedHttpClient, HttpClientError> {
    let trust = TrustStore::empty().with_pem_certificate(tls_roots::system_pem());
    let connector = Connector::builder()
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .sleep_impl(TokioSleep::new())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(TlsContext::builder().with_trust_store(trust).build()?)
        .build();
    let connector = SharedHttpConnector::new(connector);
    Ok(http_client_fn(move |_, _| connector.clone()))
}
