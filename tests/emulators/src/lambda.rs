//! Lambda's runtime interface emulator (<https://github.com/aws/aws-lambda-runtime-interface-emulator>): runs one function
//! as Lambda does, by the runtime API, without Docker.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{START_TIMEOUT, free_port};

/// Longer than a function's first answer takes on a busy machine, and longer than its calls to AWS may.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A function that can be invoked; ends with the value.
#[derive(Debug)]
pub struct Runtime {
    invocations: String,
    log: std::path::PathBuf,
    _child: Child,
    _directory: TempDir,
}

impl Runtime {
    /// Runs `bootstrap` with `variables` and no others.
    ///
    /// # Panics
    /// When the emulator is not on `PATH` or does not start.
    pub async fn start(bootstrap: &Path, variables: &[(&str, &str)]) -> Self {
        let program = match std::env::consts::ARCH {
            "aarch64" => "aws-lambda-rie-arm64",
            _ => "aws-lambda-rie-x86_64",
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = directory.path().join("log");
        let file = std::fs::File::create(&log).expect("a log file");
        let (calls, runtime) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let child = Command::new(program)
            .args(["--log-level", "error", "--runtime-interface-emulator-address", &calls])
            .args(["--runtime-api-address", &runtime])
            .arg(bootstrap)
            .env_clear()
            // Where the program is looked for.
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(variables.iter().copied())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the log file"))
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}; `make invoked` installs it"));
        let invocations = format!("http://{calls}/2015-03-31/functions/function/invocations");
        let running = Self { invocations, log, _child: child, _directory: directory };
        let deadline = tokio::time::Instant::now() + START_TIMEOUT;
        while tokio::net::TcpStream::connect(&calls).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "{program} does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        running
    }

    /// What the function answers to `event`.
    ///
    /// # Panics
    /// When it answers nothing in JSON within 30 seconds; with its log.
    pub async fn invoke(&self, event: &Value) -> Value {
        let call = reqwest::Client::new().post(&self.invocations).timeout(ANSWER_TIMEOUT).json(event);
        let answer = async { call.send().await?.json().await };
        answer.await.unwrap_or_else(|error: reqwest::Error| panic!("{error}\n{}", self.log()))
    }

    /// What the function and the emulator have said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
