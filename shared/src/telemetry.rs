//! Logs: structured, one line each, without secrets, tokens, bodies or addresses of people.

use tracing_subscriber::EnvFilter;

/// Libraries that write headers or bodies when asked for everything. Our own records say what is needed.
const QUIET: [&str; 10] = [
    "aws_config=info",
    "aws_runtime=info",
    "aws_sdk_dynamodb=info",
    "aws_smithy_runtime=info",
    "aws_smithy_runtime_api=info",
    "h2=info",
    "hyper=info",
    "hyper_util=info",
    "reqwest=info",
    "rustls=info",
];

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a log service.
    Json,
    /// For a person at a terminal.
    Text,
}

/// Starts logging to standard error at the level that `filter` (`RUST_LOG`) names. The second start in a process does
/// nothing.
pub fn init(format: Format, filter: Option<&str>) {
    let filter = QUIET.iter().fold(EnvFilter::new(filter.unwrap_or("info")), |filter, directive| {
        match directive.parse() {
            Ok(directive) => filter.add_directive(directive),
            Err(_) => filter,
        }
    });
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Another subscriber may be there already, as in a test that starts the process twice.
    let _ = match format {
        Format::Json => subscriber.json().flatten_event(true).with_current_span(true).try_init(),
        Format::Text => subscriber.with_target(false).try_init(),
    };
}
