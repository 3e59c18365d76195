//! Emulators of AWS, for tests that need an engine behind its APIs: ministack and moto, Python programs, and
//! [`lambda::Runtime`], which the SAM CLI brings. All are looked for on `PATH`. Ministack and moto have faults, and
//! different ones, so what matters runs on both. Tests that need an emulator are marked `#[ignore]`; `make emulated` and
//! `make invoked` run them.

pub mod lambda;

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Longer than a cold start of Python on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Which emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulator {
    /// Runs whole stacks, Lambda functions included. Its KMS does not authenticate what it encrypts.
    Ministack,
    /// Its KMS goes on with disabled keys, and its DynamoDB ignores tokens of transactions.
    Moto,
}

/// A running emulator, empty at first; ends with the value.
#[derive(Debug)]
pub struct Running {
    /// Which one.
    pub emulator: Emulator,
    /// Where it answers.
    pub url: String,
    _child: Child,
    directory: TempDir,
}

impl Emulator {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Ministack, Self::Moto];

    /// Starts it on a free port of the loopback interface.
    ///
    /// # Panics
    /// When its program is not on `PATH` or does not answer.
    pub async fn start(self) -> Running {
        self.start_behind(None).await
    }

    /// Starts it like [`Emulator::start`]. Functions that it runs are told to find AWS at `gate`, which passes on to it.
    ///
    /// # Panics
    /// When its program is not on `PATH` or does not answer.
    pub async fn start_behind(self, gate: Option<&str>) -> Running {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = match self {
            Self::Ministack => {
                let mut command = Command::new("ministack");
                command
                    .env("BIND_HOST", "127.0.0.1")
                    .env("IOT_MTLS_ENABLED", "0")
                    .env("GATEWAY_PORT", port.to_string())
                    // Handed on to the functions it runs.
                    .env("AWS_ENDPOINT_URL", gate.unwrap_or(&url));
                command
            }
            Self::Moto => {
                let mut command = Command::new("moto_server");
                command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
                command
            }
        };
        let log = std::fs::File::create(directory.path().join("log")).expect("a log file");
        let child = command
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{self:?} does not start: {error}; `make emulated` installs it"));
        let running = Running { emulator: self, url, _child: child, directory };
        running.wait().await;
        running
    }
}

impl Running {
    async fn wait(&self) {
        let deadline = tokio::time::Instant::now() + START_TIMEOUT;
        while reqwest::get(&self.url).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "{:?} does not answer", self.emulator);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What it has written so far, the output of the functions it runs included.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Configuration of SDK clients. The credentials are the emulator's first account's.
    #[must_use]
    pub async fn sdk(&self) -> SdkConfig {
        aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(&self.url)
            .region(Region::from_static("us-east-1"))
            .test_credentials()
            .load()
            .await
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
