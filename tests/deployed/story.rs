//! The story: what a person who deploys the bundle goes through, from the first deployment to the last deletion.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use shared::bundle::FORGE_PAGE;
use standins::gitlab::{
    GitlabStandin, GroupHandle, ProjectHandle, Role, Tier, Version, commit, merge_request,
};
use standins::jira::{Api, FailureRule, ForgeApp, JiraStandin, RsaKey, Signature, SiteHandle, User};

use crate::bundle::Bundle;

/// Statements that are there for Lambda itself: it writes logs, sends traces and reads the queue with a function's role,
/// and the emulator does so without one.
const OF_LAMBDA: [&str; 3] = ["Logs: ", "Tracing: ", "Consume: "];

/// Functions whose work needs an administrator at the page, or project hooks: the stories of one process play it, and
/// here only what their roles refuse is asked.
const PLAYED_ELSEWHERE: [&str; 4] = ["backfill", "forge-page", "housekeeping", "subscriptions"];

/// Everything that the story is about.
struct Stage {
    bundle: Bundle,
    jira: JiraStandin,
    forge: ForgeApp,
    /// Has the Connect app.
    site: SiteHandle,
    gitlab: GitlabStandin,
    group: GroupHandle,
    api: ProjectHandle,
}

#[tokio::test]
#[ignore = "needs a bundle that SAM built: make deployed"]
async fn the_deployed_bundle_passes_its_story() {
    let stage = Stage::deploy().await;
    stage.installs().await;
    let subscription = stage.links().await;
    stage.events_arrive_on_issues().await;
    stage.people_create_branches().await;
    stage.people_associate_repositories().await;
    stage.a_site_with_oauth_credentials_works_too().await;
    stage.a_site_with_the_forge_app_works_too().await;
    stage.history_is_sent_and_audited().await;
    stage.outages_are_survived().await;
    stage.operators_see_what_happened().await;
    stage.goes(&subscription).await;
    stage.roles_allow_what_was_done_and_nothing_else().await;
    stage.is_deleted().await;
}

impl Stage {
    async fn deploy() -> Self {
        let jira = JiraStandin::start().await.unwrap();
        let site = jira.site("acme").await.unwrap();
        site.add_issue_range("PAY", 1..=50);
        let gitlab = GitlabStandin::start(Version::V19_1).await.unwrap();
        let group = gitlab.group("acme", Tier::Premium);
        let api = group.project("api").acting_as(&gitlab.user("ada"));
        let forge = jira.register_forge_app();
        let bundle = Bundle::deploy(&jira, &gitlab, &forge).await;
        Self { bundle, jira, forge, site, gitlab, group, api }
    }

    fn connect_base_url(&self) -> String {
        format!("{}/-/jira_connect", self.bundle.public_url)
    }

    /// How much an issue shows: branches, commits, merge requests, builds, deployments and flags.
    fn on_issue(&self, key: &str) -> [usize; 6] {
        let issue = self.site.issue(key);
        [
            issue.branches.len(),
            issue.commits.len(),
            issue.pull_requests.len(),
            issue.builds.len(),
            issue.deployments.len(),
            issue.flags.len(),
        ]
    }

    async fn installs(&self) {
        let installed = self.site.install(&self.connect_base_url()).await;
        if let Err(error) = installed {
            panic!("{error:#}\n{}", self.bundle.log().await);
        }
        // Signed by somebody else, for another request, and used before.
        let call = || self.site.lifecycle_call("installed").unwrap();
        let stranger = std::sync::Arc::new(RsaKey::generate().unwrap());
        assert_eq!(call().signed_with(Signature::Rsa(stranger)).send().await.unwrap(), 401);
        assert_eq!(call().claim("qsh", "0".repeat(64)).send().await.unwrap(), 401);
        assert_eq!(call().unauthorized().send().await.unwrap(), 401);
        next_second().await;
        let call = call();
        assert_eq!(call.send().await.unwrap(), 200);
        assert_eq!(call.send().await.unwrap(), 401, "a token counts once");
        let sites = self.bundle.program(&["site", "list"], None).await;
        assert_eq!(sites["sites"].as_array().unwrap().len(), 1);
        assert_eq!(sites["sites"][0]["condition"], "active", "{sites}");
    }

    async fn links(&self) -> String {
        let ada = self.gitlab.user("ada").with_public_email();
        self.group.grant(&ada, Role::Owner);
        self.api.push("main", [commit("Start").adds("README.md", 1)]).await;
        let link = self.link(&self.site, "acme", &["--no-history"]).await;
        link["subscription"].as_str().unwrap_or_else(|| panic!("{link}")).to_owned()
    }

    /// What linking a group of Ada's answers.
    async fn link(&self, site: &SiteHandle, group: &str, options: &[&str]) -> Value {
        let token = self.gitlab.user("ada").token(&["api"]);
        let host = host(site);
        let mut arguments = vec!["group", "link", "--site", &host, "--group", group, "--gitlab-token-stdin"];
        arguments.extend(options);
        self.bundle.program(&arguments, Some(token.expose_secret())).await
    }

    async fn events_arrive_on_issues(&self) {
        // Nothing is remembered of the data keys yet, and one event alone needs few.
        self.bundle.gate.take_keys_opened();
        self.api.push("PAY-9-first", [commit("PAY-9 first").adds("c", 1)]).await;
        self.bundle.settled().await;
        let opened = self.bundle.gate.take_keys_opened();
        assert!(opened["webhook"] <= 1 && opened["sync"] <= 2, "a hook's; Jira's and GitLab's: {opened:?}");

        self.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
        self.api.open_merge_request(merge_request("PAY-1-x", "PAY-1 MR")).await;
        self.api.start_pipeline("PAY-1-x").await.status("success").await;
        self.api.deploy("production", "PAY-1-x").status("success").await;
        self.api.feature_flag("f").describe("PAY-1").toggle(true).await;
        self.bundle.settled().await;
        assert_eq!(self.on_issue("PAY-1"), [1; 6], "{}", self.bundle.log().await);

        let held = self.gitlab.hold_deliveries();
        self.api.push("PAY-2-x", [commit("PAY-2 x").adds("b", 1)]).await;
        let [delivery] = held.take().try_into().unwrap();
        drop(held);
        assert_eq!(delivery.send().await.unwrap(), 200);
        self.bundle.settled().await;
        assert_eq!(self.on_issue("PAY-2")[..2], [1, 1]);
        let calls = self.site.calls().total();
        assert_eq!(delivery.send().await.unwrap(), 200, "GitLab gets a success");
        self.bundle.settled().await;
        assert_eq!(self.site.calls().total(), calls, "the same delivery makes no second call");
        let forged =
            delivery.with_body(r#"{"object_kind":"push"}"#).with_header("idempotency-key", "another");
        assert_eq!(forged.send().await.unwrap(), 401);

        self.api.delete_branch("PAY-2-x").await;
        self.bundle.settled().await;
        assert_eq!(self.on_issue("PAY-2")[..2], [0, 1], "the branch goes, its commit stays");
    }

    /// The path and query that Jira signs pass the API.
    async fn people_create_branches(&self) {
        let url = self.site.create_branch_url("PAY-1", "Fix \"quotes\" & more / 100 %", "account").unwrap();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 302);
        let location = answer.headers()["location"].to_str().unwrap();
        assert!(location.starts_with(self.gitlab.url()), "{location}");
        let other = "the token's query-string hash is of another request";
        assert!(!self.bundle.log().await.contains(other), "{}", self.bundle.log().await);
        assert_eq!(client.get(format!("{url}&more=1")).send().await.unwrap().status(), 302);
        assert!(self.bundle.log().await.contains(other), "the log says so, or nothing above was shown");
        let url = format!("{}/oauth_application_id", self.connect_base_url());
        let answer: Value = client.get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["application_id"], "demo-application", "{answer}");
    }

    /// What Jira's toolchain asks for, with a real hash of each request.
    async fn people_associate_repositories(&self) {
        let other = "the token's query-string hash is of another request";
        let logged = async || self.bundle.log().await.matches(other).count();
        let before = logged().await;
        let workspaces = self.site.search_workspaces("ac me", 1, 20).await.unwrap();
        assert_eq!(workspaces, Vec::<Value>::new());
        let workspaces = self.site.search_workspaces("acme", 1, 20).await.unwrap();
        assert_eq!(workspaces[0]["name"], "acme");
        let found = self.site.search_repositories("", 1, 20, workspaces[0]["id"].as_str()).await.unwrap();
        assert_eq!(found.len(), 1, "{found:?}\n{}", self.bundle.log().await);
        let id = found[0]["id"].as_str().unwrap();
        let associated = self.site.associate_repository(id).await.unwrap().unwrap();
        assert_eq!(associated["url"], self.api.web_url());
        assert_eq!(logged().await, before, "{}", self.bundle.log().await);
    }

    /// The other connection to Jira, and a link without a token, whose hook somebody makes by hand.
    async fn a_site_with_oauth_credentials_works_too(&self) {
        let site = self.jira.site("other").await.unwrap();
        site.add_issue_range("OPS", 1..=5);
        let apis = [Api::DevInfo, Api::Builds, Api::Deployments, Api::FeatureFlags];
        let (client_id, secret) = site.add_oauth_credentials(&apis);
        let host = host(&site);
        let arguments = ["site", "add", "--site", &host, "--client-id", &client_id, "--client-secret-stdin"];
        self.bundle.program(&arguments, Some(&secret)).await;

        let ada = self.gitlab.user("ada");
        let group = self.gitlab.group("ops", Tier::Premium);
        group.grant(&ada, Role::Owner);
        let project = group.project("infra").acting_as(&ada);
        let link = self.link(&site, "ops", &["--no-history", "--no-hook", "--credential", "none"]).await;
        let hooks = format!("{}/api/v4/groups/ops/hooks", self.gitlab.url());
        let http = reqwest::Client::new();
        let token = ada.token(&["api"]);
        let hook = json!({ "url": link["webhook_url"], "token": link["secrets"]["token"] });
        let made = http.post(&hooks).header("private-token", token.expose_secret()).json(&hook);
        let made: Value = made.send().await.unwrap().json().await.unwrap();

        // webhook can't read whose hook that is: the delivery is verified later.
        self.bundle.gate.break_down("webhook", "DynamoDB_20120810.GetItem");
        project.push("main", [commit("OPS-1 x").adds("a", 1)]).await;
        self.bundle.gate.repair();
        self.bundle.settled().await;

        // The hook signs from now on, and webhook keeps that in mind.
        let change = json!({ "url": hook["url"], "signing_token": link["secrets"]["signing_token"] });
        let changed =
            http.put(format!("{hooks}/{}", made["id"])).header("private-token", token.expose_secret());
        assert_eq!(changed.json(&change).send().await.unwrap().status(), 200, "{made}");
        project.push("main", [commit("OPS-2 x").adds("b", 1)]).await;
        // It is ignored, and remembered for `explain`.
        project.push("main", [commit("No key").adds("c", 1)]).await;
        self.bundle.settled().await;
        let commits = ["OPS-1", "OPS-2"].map(|key| site.issue(key).commits.len());
        assert_eq!(commits, [1, 1], "{}", self.bundle.log().await);
    }

    /// The connection for new sites: its manifest comes from the stack, and each of its functions may be the first to hear of
    /// an installation.
    async fn a_site_with_the_forge_app_works_too(&self) {
        let site = self.jira.site("forged").await.unwrap();
        site.add_issue_range("FRG", 1..=5);
        let manifest = self.bundle.program(&["forge", "manifest", "--app-id", self.forge.id()], None).await;
        self.forge.deploy(manifest["manifest"].as_str().unwrap()).unwrap();
        let (installation, answers) = self.forge.install(&site).await.unwrap();
        assert_eq!(answers, [200], "{}", self.bundle.log().await);
        let forged = installation.hourly().unwrap().claim("aud", "another app");
        assert_eq!(forged.send().await.unwrap().status, 401);

        let ada = self.gitlab.user("ada");
        let group = self.gitlab.group("forge", Tier::Premium);
        group.grant(&ada, Role::Owner);
        let project = group.project("app").acting_as(&ada);
        self.link(&site, "forge", &["--no-history"]).await;
        project.push("main", [commit("FRG-1 x").adds("a", 1)]).await;
        self.bundle.settled().await;
        assert_eq!(site.issue("FRG-1").commits.len(), 1, "{}", self.bundle.log().await);

        // The app is installed again and again, and other calls than the install are the first to come in.
        installation.remove();
        next_second().await;
        let second = self.forge.installation(&site);
        assert_eq!(second.tick().await.unwrap(), [200], "{}", self.bundle.log().await);
        second.remove();
        next_second().await;
        let third = self.forge.installation(&site);
        site.add_user(User::admin("admin", "Jira administrator"));
        let page = third.page("admin", FORGE_PAGE.path).unwrap().send().await.unwrap();
        assert_eq!((page.status, &page.body["links"][0]["path"]), (200, &json!("forge")), "{}", page.text);
        project.push("main", [commit("FRG-2 x").adds("b", 1)]).await;
        self.bundle.settled().await;
        assert_eq!(site.issue("FRG-2").commits.len(), 1, "{}", self.bundle.log().await);
        third.remove();
        let elsewhere = self.jira.site("elsewhere").await.unwrap();
        let first_call = self.forge.installation(&elsewhere).tick().await.unwrap();
        assert_eq!(first_call, [200], "{}", self.bundle.log().await);
        next_second().await;
        let fourth = self.forge.install(&site).await.unwrap().0;
        next_second().await;
        assert_eq!(fourth.uninstall().await.unwrap(), 200, "{}", self.bundle.log().await);
    }

    /// What happened before a group was linked, and then what no hook announces.
    async fn history_is_sent_and_audited(&self) {
        let ada = self.gitlab.user("ada");
        let group = self.gitlab.group("old", Tier::Premium);
        group.grant(&ada, Role::Owner);
        let project = group.project("api").acting_as(&ada);
        project.push("main", [commit("Start").adds("README.md", 1)]).await;
        let branches: Vec<String> = (21..=24).map(|number| format!("PAY-{number}-x")).collect();
        for branch in &branches {
            project.push(branch, [commit("PAY-20 x").adds("a", 1)]).await;
        }
        project.open_merge_request(merge_request("PAY-21-x", "PAY-20 MR")).await;
        project.start_pipeline("PAY-21-x").await.status("success").await;
        project.deploy("production", "PAY-21-x").status("success").await;

        let link = self.link(&self.site, "old", &[]).await;
        let link = link["subscription"].as_str().unwrap_or_else(|| panic!("{link}"));
        let history = self.ended(link, "progress").await;
        assert_eq!((&history["state"], &history["failed"]), (&json!("done"), &json!(0)), "{history}");
        assert_eq!(self.on_issue("PAY-20"), [1, 4, 1, 1, 1, 0], "{}", self.bundle.log().await);
        assert_eq!(self.on_issue("PAY-22")[0], 1);

        project.delete_branches(branches.iter().map(String::as_str)).await;
        self.bundle.program(&["history", "audit", link], None).await;
        let audit = self.ended(link, "audit").await;
        assert_eq!((&audit["removed"], &audit["missing"]), (&json!(4), &json!(0)), "{audit}");
        assert_eq!(self.on_issue("PAY-22")[0], 0);
    }

    /// A link's history, or its audit, once it has ended.
    async fn ended(&self, link: &str, what: &str) -> Value {
        for _ in 0..150 {
            let mut shown = self.bundle.program(&["history", "show", link], None).await;
            if shown[what]["state"] != "running" {
                return shown[what].take();
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        panic!("it does not end\n{}", self.bundle.log().await)
    }

    async fn outages_are_survived(&self) {
        // The queue is down: GitLab is told so, and the operator how many are missing.
        self.bundle.gate.break_down("webhook", "AmazonSQS.SendMessageBatch");
        self.api.push("PAY-3-x", [commit("PAY-3 x").adds("e", 1)]).await;
        self.bundle.gate.repair();
        let status = self.bundle.program(&["status"], None).await;
        assert_eq!(status["links"][0]["missed"]["deliveries"], 1, "{status}");

        // What no release ever sent is dead-lettered.
        self.bundle.send_nonsense().await;
        self.bundle.settled().await;
        let letters = self.bundle.program(&["dlq", "list"], None).await;
        assert_eq!(
            letters["letters"].as_array().map(Vec::len),
            Some(1),
            "{letters}\n{}",
            self.bundle.log().await
        );

        // Jira fails for a moment: its events wait.
        self.site.fail(FailureRule::status(503).times(1));
        self.api.push("PAY-4-x", [commit("PAY-4 x").adds("c", 1)]).await;
        self.bundle.settled().await;
        let status = self.bundle.program(&["status"], None).await;
        assert_eq!(status["queues"]["events"]["delayed"], 1, "{status}");
    }

    async fn operators_see_what_happened(&self) {
        // A delivery was missed: its link needs attention.
        let log = self.bundle.on_schedule("housekeeping").await;
        assert!(log.contains(r#""LinksNeedingAttention":1"#), "{log}");
        let explained = self.bundle.program(&["explain", "PAY-1"], None).await;
        let outcomes = explained["sites"][0]["outcomes"].as_array().unwrap();
        let accepted = outcomes.iter().filter(|outcome| outcome["result"] == "accepted");
        assert_eq!((outcomes.len(), accepted.count()), (6, 6), "{explained}");
        // `doctor` fails: a message was dead-lettered.
        let diagnosis = self.bundle.program_exits(&["doctor"], None, 1).await;
        let checks = diagnosis["checks"].as_array().unwrap();
        // Of each queue there is a finding of its own: all are well, or not.
        let is_well = |check: &str| {
            let found =
                checks.iter().filter(|found| found["check"] == check).map(|found| found["ok"] == true);
            found.reduce(|all, ok| all && ok)
        };
        for check in ["address", "clock", "key", "alarms"] {
            assert_eq!(is_well(check), Some(true), "{check}: {diagnosis}");
        }
        assert_eq!(is_well("queue"), Some(false), "a message was dead-lettered: {diagnosis}");
        assert_eq!(is_well("installers"), Some(false), "anybody may install: {diagnosis}");
    }

    async fn goes(&self, subscription: &str) {
        self.bundle.program(&["group", "unlink", "--yes", subscription], None).await;
        self.bundle.settled().await;
        assert_eq!(self.on_issue("PAY-1"), [0; 6], "what was sent is deleted");
        next_second().await;
        let status = self.site.uninstall().await.unwrap();
        assert_eq!(status, 200, "{:?}\n{}", self.bundle.gate.take_denied(), self.bundle.log().await);
        let sites = self.bundle.program(&["site", "list"], None).await;
        let sites = sites["sites"].as_array().unwrap();
        let gone = sites.iter().filter(|site| site["condition"] == "uninstalled");
        assert_eq!(gone.count(), 2, "the Connect app, and the Forge app of another site: {sites:?}");
    }

    async fn roles_allow_what_was_done_and_nothing_else(&self) {
        let gate = &self.bundle.gate;
        assert_eq!(gate.take_denied(), Vec::<String>::new());
        let unused = gate.unused();
        let is_ours = |grant: &str| !OF_LAMBDA.iter().any(|own| grant.starts_with(own));
        let is_played = |function: &str| !PLAYED_ELSEWHERE.contains(&function);
        let unused: Vec<_> =
            unused.iter().filter(|(function, grant)| is_played(function) && is_ours(grant)).collect();
        assert!(unused.is_empty(), "no function does what its role allows: {unused:#?}");

        let table = self.bundle.output("TableName").await;
        let item = |partition| json!({ "TableName": table, "Key": { "pk": { "S": partition } } });
        let id = self.bundle.output("KmsKeyId").await;
        let key = |purpose| json!({ "KeyId": id, "EncryptionContext": { "purpose": purpose } });
        for (function, target, body) in [
            ("webhook", "DynamoDB_20120810.DeleteItem", item("SUBSCRIPTION#1")),
            ("descriptor", "DynamoDB_20120810.GetItem", item("SITE#1")),
            ("webhook", "DynamoDB_20120810.GetItem", item("SITE#1")),
            ("installed", "DynamoDB_20120810.GetItem", item("SUBSCRIPTION#1")),
            ("create-branch", "DynamoDB_20120810.GetItem", item("LEDGER#1#1")),
            ("forge-page", "DynamoDB_20120810.GetItem", item("LEDGER#1#1")),
            ("subscriptions", "DynamoDB_20120810.GetItem", item("TOKEN#1")),
            ("webhook", "TrentService.Decrypt", key("gitlab-token")),
            ("create-branch", "TrentService.GenerateDataKey", key("shared-secret")),
            ("nobody", "DynamoDB_20120810.GetItem", item("SITE#1")),
        ] {
            let request = reqwest::Client::new().post(&gate.url).header("x-amz-target", target);
            let request = request.header("user-agent", format!("aws-sdk-rust/1 app/{function}")).json(&body);
            let answer: Value = request.send().await.unwrap().json().await.unwrap();
            assert_eq!(answer["__type"], "AccessDeniedException", "{function} {target}");
        }
    }

    async fn is_deleted(&self) {
        let (table, key) = (self.bundle.output("TableName").await, self.bundle.output("KmsKeyId").await);
        assert_eq!(self.bundle.delete().await, Vec::<&str>::new(), "functions are left");
        let kept = self.bundle.what_is_kept(&table, &key).await;
        assert_eq!(kept, (true, "Enabled".to_owned()), "the table's items and the key");
    }
}

/// A site as operators name it.
fn host(site: &SiteHandle) -> String {
    site.base_url().trim_start_matches("http://").to_owned()
}

/// Jira's tokens have whole seconds, and none is accepted twice.
async fn next_second() {
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
}
