//! The program as a process of its own, to be killed and started again.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use standins::gitlab::GitlabStandin;
use standins::jira::JiraStandin;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// The program with a data directory, between stand-ins.
pub struct Program {
    jira: String,
    gitlab: String,
    listen: String,
    /// Where it keeps its state.
    pub data: tempfile::TempDir,
    /// Environment variables beside those that lead to the stand-ins.
    pub settings: Vec<(&'static str, &'static str)>,
}

impl Program {
    /// A program that does not run yet.
    pub fn new(jira: &JiraStandin, gitlab: &GitlabStandin) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self {
            jira: jira.api_url(),
            gitlab: gitlab.url().to_owned(),
            listen: free.to_string(),
            data: tempfile::tempdir().unwrap(),
            settings: Vec::new(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gitlab-jira"));
        command
            .env("GITLAB_JIRA_DATA_DIR", self.data.path())
            .env("BASE_URL", format!("http://{}", self.listen))
            .env("ATLASSIAN_API_URL", &self.jira)
            .env("GITLAB_URL", &self.gitlab)
            .env("ALLOWED_PRIVATE_HOSTS", "http://127.0.0.1")
            .env("RUST_LOG", "warn")
            .envs(self.settings.iter().copied())
            .kill_on_drop(true);
        command
    }

    /// Starts it, and waits until it answers.
    pub async fn serve(&self) -> Child {
        let child =
            self.command().args(["serve", "--listen", &self.listen]).stdout(Stdio::null()).spawn().unwrap();
        let health = format!("http://{}/healthz", self.listen);
        for _ in 0..500 {
            if reqwest::get(&health).await.is_ok() {
                return child;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the program does not start");
    }

    /// Gives a command with something on standard input, and reads its JSON.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Value {
        let mut child = self
            .command()
            .args(arguments)
            .arg("--json")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
