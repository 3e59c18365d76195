//! Two workers of `sync` on an emulator of AWS, killed in turn. Each is a process of its own, this test's program once
//! more, and gets its batches as an event source mapping gives them to functions.

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use emulators::{Emulator, Running};
use gitlab_jira::forge_manifest::Setup;
use gitlab_jira::operate::{Command, CredentialChoice, GroupLink, Hidden, Operator};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::aws::AwsEnvironment;
use shared::bundle::{BACKFILL_QUEUE, EVENTS_QUEUE};
use shared::clock::SystemClock;
use shared::config::{PageFunction, Variables};
use shared::page::PageApi;
use shared::queue::Received;
use shared::queue::worker::{Batch, Deadline, Handler, Work};
use shared::services::Services;
use standins::gitlab::{GitlabStandin, Version};
use standins::jira::{JiraStandin, SiteHandle};
use tokio::net::TcpListener;
use tokio::process::Child;

use super::{Bundle, Stage, number_of_events, play};

/// How many events happen, unless `CHAOS_EVENTS` says otherwise: the emulator is slower than AWS.
const EVENTS: usize = 300;

/// What makes a process of this program a worker.
const WORKER: &str = "CHAOS_WORKER";

/// The name of the test that is a worker then.
const WORKER_TEST: &str = "chaos::emulated::a_worker_of_the_story";

/// A batch, as the template has it.
const BATCH: usize = 200;

/// How long messages of a worker that was killed stay hidden. On AWS it is minutes, which nobody waits for here.
const VISIBILITY: Duration = Duration::from_secs(10);

/// How often a message may be received: kills come far more often here than crashes do on AWS.
const MAX_RECEIVES: u32 = 100;

/// How long a batch may take.
const TIME: Duration = Duration::from_secs(120);

struct Emulated {
    operator: Operator,
    variables: BTreeMap<&'static str, String>,
    workers: Vec<Child>,
    kills: usize,
    _emulator: Running,
}

impl Emulated {
    async fn new(jira: &JiraStandin, gitlab: &GitlabStandin) -> Self {
        let emulator = Emulator::Ministack.start().await;
        let sdk = emulator.sdk().await;
        let services = Services::aws(sdk.clone(), Arc::new(SystemClock));
        let sqs = aws_sdk_sqs::Client::new(&sdk);
        let (events, dead_events) = queues(&sqs, "events").await;
        let (steps, dead_steps) = queues(&sqs, "backfill").await;
        let key = aws_sdk_kms::Client::new(&sdk).create_key().send().await.unwrap().key_metadata.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let variables = BTreeMap::from([
            ("BASE_URL", url.clone()),
            ("WEBHOOK_URL", url),
            ("GITLAB_URL", gitlab.url().to_owned()),
            ("ATLASSIAN_API_URL", jira.api_url()),
            ("ALLOWED_PRIVATE_HOSTS", "http://127.0.0.1".to_owned()),
            ("TABLE_NAME", "gitlab-jira".to_owned()),
            ("KMS_KEY_ID", key.arn.unwrap()),
            ("EVENTS_QUEUE_URL", events.clone()),
            ("EVENTS_DEAD_LETTER_QUEUE_URL", dead_events.clone()),
            ("BACKFILL_QUEUE_URL", steps.clone()),
            ("AWS_ENDPOINT_URL", emulator.url.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ]);
        let page = read(&variables, PageFunction::read);
        let PageApi { linking, application_id, .. } = services.page_api(&page).unwrap();
        linking.store.create_table().await.unwrap();
        let router = webhook::build(&services, &read(&variables, webhook::Config::read));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let queues = BTreeMap::from([
            (EVENTS_QUEUE, services.events_queue(&events, Some(&dead_events))),
            (BACKFILL_QUEUE, services.backfill_queue(&steps, Some(&dead_steps))),
        ]);
        let operator = Operator {
            store: linking.store.clone(),
            linking,
            queues,
            clock: services.clock(),
            base_url: page.identity.base_url.clone(),
            allowed_jira_sites: [].into(),
            forge: Setup { app_id: None, bundle: String::new(), remotes: None },
            key: None,
            application_id,
            page_sessions: Arc::default(),
        };
        let workers = vec![worker(&variables), worker(&variables)];
        Self { operator, variables, workers, kills: 0, _emulator: emulator }
    }

    async fn run(&self, command: Command) -> Value {
        self.operator.run(command).await.unwrap().json()
    }
}

/// A queue and its dead-letter queue, by their URLs.
async fn queues(sqs: &aws_sdk_sqs::Client, name: &str) -> (String, String) {
    let dead = sqs.create_queue().queue_name(format!("{name}-dead")).send().await.unwrap().queue_url.unwrap();
    let arn = [QueueAttributeName::QueueArn];
    let attributes = sqs.get_queue_attributes().queue_url(&dead).set_attribute_names(Some(arn.into()));
    let attributes = attributes.send().await.unwrap().attributes.unwrap();
    let arn = &attributes[&QueueAttributeName::QueueArn];
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES });
    let queue = sqs.create_queue().queue_name(name);
    let queue = queue.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
    let queue = queue.attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY.as_secs().to_string());
    (queue.send().await.unwrap().queue_url.unwrap(), dead)
}

fn read<T>(
    variables: &BTreeMap<&'static str, String>,
    read: impl FnOnce(&mut Variables<'_>) -> Option<T>,
) -> T {
    let source = |name: &str| variables.get(name).cloned();
    let mut variables = Variables::new(&source);
    let config = read(&mut variables);
    variables.finish(config).unwrap()
}

fn worker(variables: &BTreeMap<&'static str, String>) -> Child {
    tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", WORKER_TEST, "--ignored"])
        .env(WORKER, "1")
        .envs(variables)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

impl Bundle for Emulated {
    const LIFE: Duration = Duration::from_secs(2);

    async fn add_site(&self, site: &SiteHandle, client_id: String, client_secret: SecretString) {
        let client_secret = Hidden(client_secret);
        self.run(Command::SiteAdd { site: site.base_url(), client_id, client_secret }).await;
    }

    async fn link(&self, site: &SiteHandle, group: &str, token: &SecretString, credential: CredentialChoice) {
        let link = GroupLink {
            site: site.base_url().trim_start_matches("http://").to_owned(),
            group: group.to_owned(),
            gitlab_url: None,
            gitlab_token: Hidden(token.clone()),
            no_hook: false,
            project_keys: Vec::new(),
            credential,
            history: false,
        };
        self.run(Command::GroupLink(link)).await;
    }

    async fn queue(&self) -> Value {
        self.run(Command::Status).await["queues"]["events"].take()
    }

    async fn dead_letters(&self) -> Value {
        self.run(Command::DlqList { limit: 10 }).await
    }

    async fn kill(&mut self) {
        let place = self.kills % self.workers.len();
        self.workers[place].kill().await.unwrap();
        self.workers[place] = worker(&self.variables);
        self.kills += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an emulator: make emulated"]
async fn in_the_end_jira_shows_what_gitlab_has() {
    let jira = JiraStandin::start().await.unwrap();
    let gitlab = GitlabStandin::start(Version::V19_1).await.unwrap();
    let mut emulated = Emulated::new(&jira, &gitlab).await;
    play(Stage::new(&jira, gitlab).await, &mut emulated, number_of_events(EVENTS)).await;
}

/// One of the two, when the story starts it; by itself it does nothing.
#[tokio::test]
#[ignore = "started by the story above"]
async fn a_worker_of_the_story() {
    if std::env::var_os(WORKER).is_none() {
        return;
    }
    let source = |name: &str| std::env::var(name).ok();
    let mut variables = Variables::new(&source);
    let (environment, config) = (AwsEnvironment::read(&mut variables), sync::Config::read(&mut variables));
    let config = variables.finish(config).unwrap();
    let services = Services::lambda("sync", environment).unwrap();
    let sync = sync::build(&services, &config).unwrap();
    let handler: Handler = Arc::new(move |batch: Batch| {
        let sync = sync.clone();
        Box::pin(async move { sync.handle(batch).await })
    });
    let sdk = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let queue = Source { sqs: aws_sdk_sqs::Client::new(&sdk), url: config.events_queue_url };
    loop {
        let messages = queue.receive().await;
        let mut work = Work::start(messages, Deadline::after(TIME), handler.clone());
        while let Some(receipts) = work.acknowledged().await {
            queue.delete(receipts).await;
        }
    }
}

/// An event source mapping of a queue.
struct Source {
    sqs: aws_sdk_sqs::Client,
    url: String,
}

impl Source {
    /// A batch: at once what is there, as many as fit.
    async fn receive(&self) -> Vec<Received> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            // The first call waits for messages, the others for none.
            let wait = if batch.is_empty() { 5 } else { 0 };
            let call = self.sqs.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let call = call.wait_time_seconds(wait);
            let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
            let messages = call.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() && !batch.is_empty() {
                break;
            }
            batch.extend(messages.into_iter().map(received));
        }
        batch
    }

    async fn delete(&self, receipts: Vec<String>) {
        for receipts in receipts.chunks(10) {
            let entries = receipts.iter().enumerate().map(|(number, receipt)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
                entry.receipt_handle(receipt).build().unwrap()
            });
            let call = self.sqs.delete_message_batch().queue_url(&self.url);
            call.set_entries(Some(entries.collect())).send().await.unwrap();
        }
    }
}

fn received(message: Message) -> Received {
    let attributes: HashMap<_, _> = message.attributes.unwrap_or_default();
    let attribute = |name| attributes.get(&name).cloned().unwrap_or_default();
    Received {
        receipt: message.receipt_handle.unwrap(),
        group: attribute(MessageSystemAttributeName::MessageGroupId),
        body: message.body.unwrap(),
        receives: attribute(MessageSystemAttributeName::ApproximateReceiveCount).parse().unwrap(),
    }
}
