//! Secrets are planted wherever one can come in, the program runs a whole story at its most verbose log level, and then
//! everything it wrote is read: no log line has a secret, a token, an address of a person or the text of a body, and no
//! file has a secret in clear.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Client;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use standins::gitlab::{
    Fault, GitlabStandin, HeldDeliveries, ProjectHandle, Role, Tier, Version, commit, merge_request,
};
use standins::jira::{Api, FailureRule, ForgeApp, JiraStandin, SiteHandle, User};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// Stands in every text that a body brings: messages, descriptions, titles, comments.
const BODY_TEXT: &str = "planted-body-text";

/// Stands in every e-mail address.
const PERSON: &str = "planted.person";

/// What strangers send as tokens, signatures and secrets.
const HOSTILE: &str = "planted-by-a-stranger";

/// The program, with all it prints in one file.
struct Program {
    variables: Vec<(&'static str, String)>,
    address: SocketAddr,
    data: tempfile::TempDir,
    output: tempfile::TempDir,
    /// What may be written nowhere.
    secrets: BTreeSet<String>,
    /// What may be written to a file, but to no log.
    names: BTreeSet<String>,
}

impl Program {
    fn new(jira: &JiraStandin, app: &ForgeApp, gitlab: &GitlabStandin) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let data = tempfile::tempdir().unwrap();
        let variables = vec![
            ("GITLAB_JIRA_DATA_DIR", data.path().to_str().unwrap().to_owned()),
            ("BASE_URL", format!("http://{address}")),
            ("ATLASSIAN_API_URL", jira.api_url()),
            ("INSTALL_KEYS_URL", jira.install_keys_url()),
            ("FORGE_APP_ID", app.id().to_owned()),
            ("FORGE_JWKS_URL", jira.forge_key_set_url()),
            ("GITLAB_URL", gitlab.url().to_owned()),
            ("ALLOWED_PRIVATE_HOSTS", "http://127.0.0.1".to_owned()),
            ("RUST_LOG", "trace".to_owned()),
            ("RUST_BACKTRACE", "1".to_owned()),
        ];
        Self {
            variables,
            address,
            data,
            output: tempfile::tempdir().unwrap(),
            secrets: BTreeSet::new(),
            names: BTreeSet::new(),
        }
    }

    fn log(&self) -> PathBuf {
        self.output.path().join("log")
    }

    fn command(&self) -> Command {
        let log = || std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gitlab-jira"));
        command.envs(self.variables.clone()).stdout(log()).stderr(log()).kill_on_drop(true);
        command
    }

    async fn serve(&self) -> Child {
        let child = self.command().args(["serve", "--listen", &self.address.to_string()]).spawn().unwrap();
        for _ in 0..500 {
            if reqwest::get(format!("http://{}/healthz", self.address)).await.is_ok() {
                return child;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the program does not start");
    }

    /// Gives a command with a secret on standard input, and answers whether it went well and what it printed. Its log is
    /// read with the others.
    async fn run(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut command = self.command();
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    async fn done(&self, arguments: &[&str], input: &str) -> Value {
        let (success, text) = self.run(&[arguments, &["--json"]].concat(), input).await;
        assert!(success, "{arguments:?}: {}", std::fs::read_to_string(self.log()).unwrap());
        serde_json::from_str(&text).unwrap()
    }

    /// Waits until nothing is ready or being worked on.
    async fn settled(&self) {
        for _ in 0..500 {
            let status = self.done(&["status"], "").await;
            let events = &status["queues"]["events"];
            if events["ready"] == 0 && events["in_flight"] == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the queue does not run dry");
    }
}

/// The Connect connection: an install, a rotated secret, people's links, and strangers with tokens of their own.
async fn by_connect(program: &mut Program, site: &SiteHandle) {
    let base = format!("http://{}/-/jira_connect", program.address);
    site.act_as(&format!("{PERSON}@account"));
    site.install(&base).await.unwrap();
    program.secrets.insert(site.app_credentials().unwrap().1);
    let call =
        site.lifecycle_call("installed").unwrap().claim("jti", 1).field("sharedSecret", HOSTILE.repeat(3));
    let (http, url) = (Client::new(), call.url().to_owned());
    for token in
        [call.clone().claim("exp", 1).token(), format!("{HOSTILE}.{HOSTILE}.{HOSTILE}"), HOSTILE.to_owned()]
    {
        let authorization = format!("JWT {token}");
        program.secrets.insert(token);
        for body in [call.body().to_string(), format!("{{\"clientKey\":\"{HOSTILE}\""), BODY_TEXT.to_owned()]
        {
            let answer = http.post(&url).header("authorization", &authorization).body(body).send().await;
            assert_eq!(answer.unwrap().status(), 401);
        }
    }
    let forged = call.clone().header("kid", HOSTILE).claim("iss", HOSTILE).field("clientKey", HOSTILE);
    assert_eq!(forged.send().await.unwrap(), 401);
    assert_eq!(
        call.clone().field("baseUrl", format!("https://{HOSTILE}.example")).send().await.unwrap(),
        422
    );

    let no_redirects = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let branch = site.create_branch_url("PAY-1", BODY_TEXT, PERSON).unwrap();
    let (address, token) = branch.split_once("jwt=").unwrap();
    program.secrets.insert(token.split('&').next().unwrap().to_owned());
    assert_eq!(no_redirects.get(&branch).send().await.unwrap().status(), 302);
    let wrong = format!("{address}jwt={HOSTILE}");
    assert_eq!(no_redirects.get(&wrong).send().await.unwrap().status(), 403);
    program.names.insert(site.client_key());
}

/// The OAuth-credentials connection, with a wrong secret first; answers client id and secret.
async fn by_oauth(program: &mut Program, site: &SiteHandle) -> (String, String) {
    let apis = [Api::DevInfo, Api::Builds, Api::Deployments, Api::FeatureFlags];
    let (id, secret) = site.add_oauth_credentials(&apis);
    let host = site.base_url();
    let arguments = ["site", "add", "--site", &host, "--client-id", &id, "--client-secret-stdin"];
    assert!(!program.run(&arguments, HOSTILE).await.0);
    program.done(&arguments, &secret).await;
    program.secrets.insert(secret.clone());
    (id, secret)
}

/// The Forge connection: an install, the hourly token, the page, and strangers.
async fn by_forge(program: &mut Program, site: &SiteHandle, app: &ForgeApp) {
    let manifest = program.done(&["forge", "manifest", "--app-id", app.id()], "").await;
    app.deploy(manifest["manifest"].as_str().unwrap()).unwrap();
    let (installation, answers) = app.install(site).await.unwrap();
    assert_eq!(answers, [200]);
    site.add_user(User::admin(&format!("{PERSON}@account"), PERSON));
    let page = installation.page(&format!("{PERSON}@account"), "/forge/page").unwrap();
    for call in [installation.hourly().unwrap(), page.clone()] {
        program.secrets.extend([call.token(), call.system_token().unwrap().to_owned()]);
        let answer = call.send().await.unwrap();
        assert_eq!((answer.status, answer.text.contains("eyJ")), (200, false), "{}", answer.text);
    }
    for wrong in [
        installation.hourly().unwrap().header("kid", HOSTILE).claim("iss", HOSTILE),
        installation.hourly().unwrap().app_claim("apiBaseUrl", "https://api.example"),
        page.claim("context", json!({ "siteUrl": HOSTILE, "cloudId": format!("{HOSTILE}/..") })),
    ] {
        let wrong = wrong.field("text", BODY_TEXT).with_system_token(Some(HOSTILE));
        program.secrets.insert(wrong.token());
        assert!((400..500).contains(&wrong.send().await.unwrap().status));
    }
}

/// Links a group, by a hook that is made or by one made by hand; answers what the command does.
async fn link(program: &mut Program, site: &SiteHandle, group: &str, token: &str, more: &[&str]) -> Value {
    let host = site.base_url().replace("http://", "");
    let arguments = ["group", "link", "--site", &host, "--group", group, "--gitlab-token-stdin"];
    assert!(!program.run(&arguments, HOSTILE).await.0);
    let link = program.done(&[&arguments, more].concat(), token).await;
    program.secrets.insert(token.to_owned());
    program.secrets.extend(
        link["secrets"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(_, secret)| secret.as_str().unwrap().to_owned()),
    );
    link
}

/// The stand-ins of Jira and GitLab, with what is installed and linked there.
struct Stage<'a> {
    acme: &'a SiteHandle,
    globex: &'a SiteHandle,
    client: (String, String),
    gitlab: &'a GitlabStandin,
    api: ProjectHandle,
    manual: Value,
}

impl Stage<'_> {
    /// Sends what was held back to both links, once more as a repeat that can't be told from the first, and waits.
    async fn deliver(&self, program: &mut Program, held: &HeldDeliveries) {
        let url = self.manual["webhook_url"].as_str().unwrap();
        let token = self.manual["secrets"]["token"].as_str().unwrap();
        for delivery in held.take() {
            let proofs = ["x-gitlab-token", "webhook-signature"];
            program.secrets.extend(proofs.map(|name| delivery.header(name).unwrap().to_owned()));
            let by_hand = delivery.clone().to(url).without_header("webhook-signature");
            for delivery in [delivery.clone(), by_hand.with_header("x-gitlab-token", token)] {
                assert_eq!(delivery.send().await.unwrap(), 200);
                assert_eq!(delivery.without_header("idempotency-key").send().await.unwrap(), 200);
            }
        }
        program.settled().await;
    }
}

/// What people do in a project, with something to hide in every text.
async fn tell(api: &ProjectHandle, key: &str) {
    let by = |message: String| commit(&message).by(BODY_TEXT, &format!("{PERSON}@example.com"));
    let branch = format!("{key}-x");
    api.push(&branch, [by(format!("{key} {BODY_TEXT}")).adds("a", 1)]).await;
    let spec = merge_request(&branch, &format!("{key} {BODY_TEXT}")).describe(BODY_TEXT);
    let request = api.open_merge_request(spec).await;
    request.comment(BODY_TEXT).await;
    api.start_pipeline(&branch).await.status("success").await;
    api.deploy("production", &branch).status("success").await;
    api.feature_flag(&format!("flag-{key}")).describe(&format!("{key} {BODY_TEXT}")).toggle(true).await;
}

/// Deliveries by strangers, and by the hook with bodies that no parser likes.
async fn hostile_deliveries(link: &Value) {
    let (url, token) = (link["webhook_url"].as_str().unwrap(), link["secrets"]["token"].as_str().unwrap());
    let http = Client::new();
    let stranger = |name: &'static str| http.post(url).header(name, HOSTILE).body(BODY_TEXT);
    for name in ["x-gitlab-token", "webhook-signature", "authorization", "cookie", "idempotency-key"] {
        assert_eq!(stranger(name).send().await.unwrap().status(), 401);
    }
    for body in [
        BODY_TEXT.to_owned(),
        format!("{{\"{BODY_TEXT}\":"),
        json!({"object_kind": "push", "project_id": BODY_TEXT}).to_string(),
        json!({"object_kind": "push", "commits": format!("{PERSON}@example.com")}).to_string(),
        json!({"object_kind": "merge_request", "object_attributes": {"draft": BODY_TEXT}}).to_string(),
        json!({"object_kind": "feature_flag", "object_attributes": {"id": BODY_TEXT}}).to_string(),
        json!({"object_kind": BODY_TEXT}).to_string(),
        json!({"object_kind": "push", "ref": BODY_TEXT}).to_string(),
        json!({"object_kind": "pipeline", "object_attributes": {"ref": BODY_TEXT}}).to_string(),
    ] {
        let answer = http.post(url).header("x-gitlab-token", token).body(body.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{body}");
    }
}

/// Jira and GitLab fail in every way, with telling texts. What backs off because of it is made to try again in between, as an
/// administrator would do it.
async fn failures(program: &mut Program, stage: &Stage<'_>) {
    let telling = format!("{BODY_TEXT} of {PERSON}@example.com is not welcome");
    let sites = [stage.acme, stage.globex];
    let held = stage.gitlab.hold_deliveries();
    let pushed = stage.api.push("main", [commit("PAY-11 x").adds("a", 1)]).await;
    stage.acme.fail(FailureRule::refuse_entity(&pushed.after, &telling));
    stage.globex.fail(FailureRule::reject_entity(&pushed.after, &telling));
    stage.deliver(program, &held).await;
    for (number, status) in (13..).zip([400, 413, 429, 500, 503, 403, 404, 401]) {
        for site in sites {
            site.clear_failures();
            site.fail(FailureRule::status(status));
        }
        stage.api.push("main", [commit(&format!("PAY-{number} x")).adds("a", 1)]).await;
        stage.deliver(program, &held).await;
        sites.into_iter().for_each(SiteHandle::clear_failures);
        let installed = stage.acme.lifecycle_call("installed").unwrap().claim("jti", number);
        assert_eq!(installed.send().await.unwrap(), 200);
        let arguments = ["site", "add", "--site", &stage.globex.base_url(), "--client-id", &stage.client.0];
        program.done(&[&arguments[..], &["--client-secret-stdin"]].concat(), &stage.client.1).await;
    }
    let faults =
        [Fault::status(500), Fault::status(403), Fault::dropped(), Fault::status(429), Fault::status(401)];
    for (number, fault) in (31..).zip(faults) {
        stage.gitlab.inject(fault.on("/projects"));
        stage.api.push("main", [commit(&format!("PAY-{number} x")).adds("a", 1)]).await;
        stage.deliver(program, &held).await;
        stage.gitlab.clear_faults();
    }
}

/// Everything in files below `directory`, sockets apart; what is no text has replacement characters in it.
fn files(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    found
}

/// The forms that a careless program may write a secret in.
fn forms(secret: &str) -> [String; 4] {
    let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    // Without the end, which depends on what follows.
    let base64 = STANDARD.encode(secret);
    let url_safe = URL_SAFE_NO_PAD.encode(secret);
    let cut = |text: String| text[..text.len().min(secret.len())].to_owned();
    [secret.to_owned(), hex, cut(base64), cut(url_safe)]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_ever_written() {
    let jira = JiraStandin::start().await.unwrap();
    let (acme, globex) = (jira.site("acme").await.unwrap(), jira.site("globex").await.unwrap());
    let (initech, app) = (jira.site("initech").await.unwrap(), jira.register_forge_app());
    let gitlab = GitlabStandin::start(Version::V19_1).await.unwrap();
    let ada = gitlab.user(PERSON).with_public_email();
    let mut program = Program::new(&jira, &app, &gitlab);
    let mut child = program.serve().await;
    for site in [&acme, &globex] {
        site.add_issue_range("PAY", 1..=50);
    }
    by_connect(&mut program, &acme).await;
    by_forge(&mut program, &initech, &app).await;
    let client = by_oauth(&mut program, &globex).await;

    let token = ada.token(&["api"]);
    let group = gitlab.group("payments", Tier::Premium);
    group.grant(&ada, Role::Owner);
    let api = group.project("api").acting_as(&ada);
    link(&mut program, &acme, "payments", token.expose_secret(), &[]).await;
    let by_hand = ["--no-hook", "--credential", "given"];
    let manual = link(&mut program, &globex, "payments", token.expose_secret(), &by_hand).await;
    // Asks Jira through the connection that Forge opened.
    link(&mut program, &initech, "payments", token.expose_secret(), &by_hand).await;

    let stage = Stage { acme: &acme, globex: &globex, client, gitlab: &gitlab, api, manual };
    let held = gitlab.hold_deliveries();
    tell(&stage.api, "PAY-1").await;
    stage.deliver(&mut program, &held).await;
    for _ in 0..2 {
        stage.api.push("PAY-3-gone", [commit(BODY_TEXT).adds("a", 1)]).await;
        stage.api.delete_branch("PAY-3-gone").await;
        stage.deliver(&mut program, &held).await;
    }
    drop(held);
    for site in [&acme, &globex] {
        let issue = site.issue("PAY-1");
        assert_eq!((issue.commits.len(), issue.flags.len()), (1, 1), "the story was told");
    }
    hostile_deliveries(&stage.manual).await;
    failures(&mut program, &stage).await;
    for arguments in
        [&["site", "list"][..], &["group", "list"], &["status"], &["explain", "PAY-1"], &["dlq", "list"]]
    {
        let (_, text) = program.run(arguments, "").await;
        let json = program.done(arguments, "").await.to_string();
        for secret in &program.secrets {
            assert!(!text.contains(secret) && !json.contains(secret), "{arguments:?}");
        }
    }
    // Something stays on the queue, and something happens while the program dies.
    acme.suspend();
    tell(&stage.api, "PAY-2").await;
    child.kill().await.unwrap();
    child = program.serve().await;
    program.done(&["status"], "").await;
    assert_eq!(acme.uninstall().await.unwrap(), 200);
    child.kill().await.unwrap();

    files_are_clean(&program);
    logs_are_clean(&program);
}

fn logs_are_clean(program: &Program) {
    let log = std::fs::read_to_string(program.log()).unwrap();
    for told in [
        "installed",
        "the Forge app was installed",
        "group linked",
        "accepted a delivery",
        "called GitLab",
        "called Jira",
        "delivered Api=devinfo",
        "done with a message",
        "looked at sites and links",
        "answered a request",
        "synced",
        "refused",
        "Jira rejected an entity",
        "backing off",
        "DEBUG",
    ] {
        assert!(log.contains(told), "the log does not tell of {told:?}");
    }
    // Not "JWT ": a trace id may end in these letters, and what follows the scheme starts in "eyJ".
    let planted = [BODY_TEXT, HOSTILE, PERSON, "glpat-", "whsec_", "eyJ", "Bearer "];
    let hidden = program.secrets.iter().chain(&program.names).flat_map(|text| forms(text));
    let forbidden = planted.map(str::to_owned).into_iter().chain(hidden);
    let mut leaks = Vec::new();
    for text in forbidden {
        leaks.extend(
            log.lines().filter(|line| line.contains(&text)).take(3).map(|line| format!("{text}: {line}")),
        );
    }
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
}

fn files_are_clean(program: &Program) {
    let files = files(program.data.path());
    let somewhere = |text: &str| files.iter().any(|(_, content)| content.contains(text));
    assert!(
        somewhere("payments/api") && somewhere(BODY_TEXT),
        "there is something to read, on the queue too"
    );
    assert!(files.iter().any(|(path, _)| path.ends_with("key")));
    for (path, content) in &files {
        for secret in program.secrets.iter().flat_map(|secret| forms(secret)) {
            assert!(!content.contains(&secret), "{} has {secret}", path.display());
        }
        for beginning in ["glpat-", "whsec_", "eyJhbGci", "eyJ0eXAi"] {
            assert!(!content.contains(beginning), "{} has {beginning}", path.display());
        }
    }
}
