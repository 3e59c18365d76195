//! The bundle as a stack in an emulator of AWS: deployed with the SAM CLI from what `sam build` made, reached at its own
//! addresses, operated with `program --stack`, and deleted. What happens with it belongs to the story.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use emulators::{Emulator, Running};
use serde_json::{Value, json};
use shared::bundle::{FORGE_PAGE, FORGE_TOKEN, FUNCTIONS};
use standins::gitlab::GitlabStandin;
use standins::jira::{ForgeApp, JiraStandin};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::front::{Front, Reserved, cloudformation};
use crate::iam::Gate;
use crate::lambda::Lambda;

/// The stack's name.
pub const STACK: &str = "lab";

/// The folder that `sam build` made.
const BUILD: &str = "BUNDLE_BUILD";

/// How long the queue may take to run dry: a cold start of each function, and the waits between retries.
const TIMEOUT: Duration = Duration::from_secs(90);

/// How many lines of each log a failure shows.
const LOG_LINES: usize = 40;

/// A deployed bundle.
pub struct Bundle {
    /// The proxy between its functions and AWS.
    pub gate: Gate,
    /// Where Jira reaches it.
    pub public_url: String,
    emulator: Running,
    http: reqwest::Client,
    _fronts: [Front; 3],
}

impl Bundle {
    /// Starts the emulator, and deploys the bundle into it for this Jira, this GitLab and this Forge app.
    pub async fn deploy(jira: &JiraStandin, gitlab: &GitlabStandin, app: &ForgeApp) -> Self {
        let gate = Gate::new().await;
        let emulator = Emulator::Ministack.start_behind(Some(&gate.url)).await;
        let [public, webhook, forge] = [Reserved::new().await, Reserved::new().await, Reserved::new().await];
        let parameters = [
            ("Architecture", architecture().to_owned()),
            ("PublicUrl", public.url.clone()),
            ("WebhookUrl", webhook.url.clone()),
            ("ForgeUrl", forge.url.clone()),
            ("ForgeAppId", app.id().to_owned()),
            ("ForgeJwksUrl", jira.forge_key_set_url()),
            ("GitLabUrl", gitlab.url().to_owned()),
            ("AtlassianApiUrl", jira.api_url()),
            ("InstallKeysUrl", jira.install_keys_url()),
            ("AllowedPrivateHosts", "http://127.0.0.1".to_owned()),
            ("OAuthApplicationId", "demo-application".to_owned()),
        ];
        let mut sam = command("sam", &emulator);
        // With what the repository says about deployments, which SAM looks for beside the template that it built.
        sam.args(["deploy", "--stack-name", STACK, "--no-confirm-changeset", "--no-progressbar"])
            .args(["--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/../samconfig.toml")])
            .arg("--template-file")
            .arg(build().join("template.yaml"))
            .arg("--parameter-overrides")
            .args(parameters.map(|(name, value)| format!("{name}={value}")));
        let deployed = sam.output().await.unwrap();
        assert!(deployed.status.success(), "sam deploy\n{}\n{}", text(&deployed), tail(&emulator.log()));

        let http = reqwest::Client::new();
        let lambda = Lambda { url: &emulator.url, http: &http };
        let address = emulator.url.trim_start_matches("http://").to_owned();
        let api = physical_id(&emulator, "HttpApi").await;
        let port = address.rsplit(':').next().unwrap();
        let public_url = public.url.clone();
        let fronts = [
            public.lead_to(vec![("/", format!("{api}.execute-api.localhost:{port}"))], address.clone()),
            webhook.lead_to(vec![("/", lambda.url_host("webhook").await)], address.clone()),
            forge.lead_to(
                vec![
                    (FORGE_TOKEN.path, lambda.url_host("forge-token").await),
                    (FORGE_PAGE.path, lambda.url_host("forge-page").await),
                    ("/forge/", lambda.url_host("forge-lifecycle").await),
                ],
                address,
            ),
        ];
        lambda.number_the_concurrency().await;
        let mut roles = BTreeMap::new();
        // That none is missing is for `tests/stack`.
        for function in FUNCTIONS {
            if lambda.is_there(function.name).await {
                roles.insert(function.name.to_owned(), lambda.role(function.name).await);
            }
        }
        gate.open(&emulator.url, roles);
        Self { gate, public_url, emulator, http, _fronts: fronts }
    }

    /// What the program answers to an operator command on the stack.
    pub async fn program(&self, arguments: &[&str], secret: Option<&str>) -> Value {
        self.program_exits(arguments, secret, 0).await
    }

    /// What the program answers to an operator command on the stack, with this exit code.
    pub async fn program_exits(&self, arguments: &[&str], secret: Option<&str>, code: i32) -> Value {
        let mut program = command(env!("CARGO_BIN_EXE_gitlab-jira"), &self.emulator);
        program.args(arguments).args(["--stack", STACK, "--json"]).env_remove("GITLAB_JIRA_DATA_DIR");
        let mut program = program.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = program.stdin.take().unwrap();
        stdin.write_all(secret.unwrap_or_default().as_bytes()).await.unwrap();
        drop(stdin);
        let answer = program.wait_with_output().await.unwrap();
        let ended = answer.status.code();
        assert_eq!(ended, Some(code), "program {arguments:?}\n{}\n{}", text(&answer), self.log().await);
        serde_json::from_slice(&answer.stdout).unwrap_or_else(|_| panic!("{}", text(&answer)))
    }

    /// Waits until every event is done, waiting for later, or dead-lettered.
    pub async fn settled(&self) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let status = self.program(&["status"], None).await;
            let events = &status["queues"]["events"];
            if events["ready"] == 0 && events["in_flight"] == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "the queue does not run dry: {events}\n{}", self.log().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Puts a message on the events queue that no release ever sent.
    pub async fn send_nonsense(&self) {
        let url = self.output("EventsQueueUrl").await;
        let sqs = aws_sdk_sqs::Client::new(&self.emulator.sdk().await);
        sqs.send_message().queue_url(url).message_body("nonsense").send().await.unwrap();
    }

    /// Does what the schedule of a function does, and returns what the function logged.
    pub async fn on_schedule(&self, function: &str) -> String {
        let lambda = Lambda { url: &self.emulator.url, http: &self.http };
        lambda.invoke(function, &json!({})).await;
        lambda.log(function).await
    }

    /// An output of the stack.
    pub async fn output(&self, name: &str) -> String {
        let cloudformation = aws_sdk_cloudformation::Client::new(&self.emulator.sdk().await);
        let described = cloudformation.describe_stacks().stack_name(STACK).send().await.unwrap();
        let output = described.stacks()[0].outputs().iter().find(|output| output.output_key() == Some(name));
        output.and_then(|output| output.output_value.clone()).unwrap()
    }

    /// What the functions and the emulator logged last.
    pub async fn log(&self) -> String {
        let lambda = Lambda { url: &self.emulator.url, http: &self.http };
        let mut logs = String::new();
        for function in FUNCTIONS {
            let log = lambda.log(function.name).await;
            logs.push_str(&format!("-- {}\n{}\n", function.name, tail(&log)));
        }
        logs + "-- ministack\n" + &tail(&self.emulator.log())
    }

    /// Deletes the stack, and returns what is left of its functions.
    pub async fn delete(&self) -> Vec<&'static str> {
        let (cloudformation, _front) = cloudformation(&self.emulator.url).await;
        let mut sam = command("sam", &self.emulator);
        sam.args(["delete", "--stack-name", STACK, "--no-prompts"]);
        let deleted = sam.env("AWS_ENDPOINT_URL_CLOUDFORMATION", cloudformation).output().await.unwrap();
        assert!(deleted.status.success(), "sam delete\n{}\n{}", text(&deleted), self.log().await);
        let lambda = Lambda { url: &self.emulator.url, http: &self.http };
        let mut left = Vec::new();
        for function in FUNCTIONS {
            if lambda.is_there(function.name).await {
                left.push(function.name);
            }
        }
        left
    }

    /// Whether the table still has items, and the key's state.
    pub async fn what_is_kept(&self, table: &str, key: &str) -> (bool, String) {
        let sdk = self.emulator.sdk().await;
        let scan = aws_sdk_dynamodb::Client::new(&sdk).scan().table_name(table).limit(1);
        let items = scan.send().await.unwrap().count();
        let key = aws_sdk_kms::Client::new(&sdk).describe_key().key_id(key).send().await.unwrap();
        let state = key.key_metadata.and_then(|key| key.key_state).unwrap();
        (items > 0, state.to_string())
    }
}

/// A program that takes the emulator for AWS.
fn command(program: &str, emulator: &Running) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("AWS_ENDPOINT_URL", &emulator.url)
        .env("AWS_ACCESS_KEY_ID", "testing")
        .env("AWS_SECRET_ACCESS_KEY", "testing")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("SAM_CLI_TELEMETRY", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn build() -> PathBuf {
    let build = std::env::var_os(BUILD);
    build.unwrap_or_else(|| panic!("{BUILD} names no folder; `make deployed` makes one")).into()
}

/// The emulator runs functions on this machine.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

/// What AWS calls the stack's resource with this logical ID.
async fn physical_id(emulator: &Running, logical_id: &str) -> String {
    let cloudformation = aws_sdk_cloudformation::Client::new(&emulator.sdk().await);
    let described = cloudformation.describe_stack_resources().stack_name(STACK);
    let described = described.logical_resource_id(logical_id).send().await.unwrap();
    described.stack_resources()[0].physical_resource_id().unwrap().to_owned()
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).join("\n")
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
