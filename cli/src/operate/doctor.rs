//! `doctor`: checks what everything else depends on, and says of each whether it works and what to do if not. Changes
//! nothing. What became of an event belongs to `explain`, what goes on now to `status`.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::bundle::{CONNECT_BASE, DESCRIPTOR};
use shared::clock::Timestamp;
use shared::domain::Connection;
use shared::envelope::Context;
use shared::text::count;

use super::text::{clean, table};
use super::{Operator, Refusal};

/// How long the bundle's own address may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A clock that is further off breaks tokens: Atlassian's live for three minutes, and some servers allow no leeway.
const MAX_CLOCK_ERROR: Duration = Duration::from_secs(30);

/// Where whoever registered a Forge app manages it.
const DEVELOPER_CONSOLE: &str = "https://developer.atlassian.com/console/myapps";

/// What `doctor` answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Diagnosis {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
}

/// A check and what it found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What was checked.
    pub check: String,
    /// Whether nothing has to be done. The same as `finding` being [`Finding::Ok`].
    pub ok: bool,
    /// How it ended.
    pub finding: Finding,
    /// What was found, with the remedy.
    pub found: String,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Nothing to do.
    Ok,
    /// It works, but needs attention.
    Warn,
    /// It does not work.
    Fail,
}

impl Check {
    /// A check that ended with `finding`.
    pub(crate) fn new(check: &str, finding: Finding, found: impl Into<String>) -> Self {
        Self { check: check.to_owned(), ok: finding == Finding::Ok, finding, found: found.into() }
    }
}

impl Operator {
    pub(super) async fn doctor(&self) -> Result<Diagnosis, Refusal> {
        let (address, clock) = self.address_and_clock().await;
        let mut checks = vec![address, clock, self.key().await];
        checks.extend(self.dead_letters().await);
        checks.push(self.installers());
        checks.extend(self.forge_apps().await?);
        checks.extend(self.health().await?);
        Ok(Diagnosis { checks })
    }

    /// Whether the descriptor is served under `BASE_URL`, and what time its server has.
    async fn address_and_clock(&self) -> (Check, Check) {
        let url = format!("{}{}", self.base_url, DESCRIPTOR.path);
        let unknown = || Check::new("clock", Finding::Warn, "no server answered to compare with");
        let wrong = |found: String| Check::new("address", Finding::Fail, found);
        // Our own address, from our own configuration: nothing that the host guard is for.
        let client = reqwest::Client::builder().timeout(ANSWER_TIME).build();
        let answer = match client {
            Ok(client) => client.get(&url).send().await,
            Err(error) => return (wrong(error.to_string()), unknown()),
        };
        let Ok(answer) = answer else {
            let found = format!("{url} does not answer: is it served, and is BASE_URL right?");
            return (wrong(found), unknown());
        };
        let date = answer.headers().get("date").and_then(|date| date.to_str().ok().map(str::to_owned));
        let clock = date.map_or_else(unknown, |date| self.compare(&date));
        let status = answer.status();
        let descriptor: Value = answer.json().await.unwrap_or_default();
        let expected = format!("{}{}", self.base_url, CONNECT_BASE);
        let address = match descriptor["baseUrl"].as_str() {
            Some(base_url) if base_url == expected => {
                Check::new("address", Finding::Ok, format!("{url} answers"))
            }
            Some(base_url) => wrong(format!("{url} says that it is served at {base_url}: set BASE_URL")),
            None => {
                wrong(format!("{url} answers {status} without a descriptor: does it lead to this bundle?"))
            }
        };
        (address, clock)
    }

    fn compare(&self, date: &str) -> Check {
        let Some(theirs) = Timestamp::parse_http_date(date) else {
            return Check::new("clock", Finding::Warn, format!("the server's date can't be read: {date}"));
        };
        let off = self.clock.now().since(theirs).max(theirs.since(self.clock.now()));
        let finding = if off <= MAX_CLOCK_ERROR { Finding::Ok } else { Finding::Fail };
        Check::new("clock", finding, format!("{} s off the server's", off.as_secs()))
    }

    /// Whether a secret can be sealed and opened again.
    async fn key(&self) -> Check {
        let (context, envelope) = (Context::probe(), &self.linking.envelope);
        let secret = SecretString::from("a text that is no secret");
        let opened = match envelope.seal(&secret, &context).await {
            Ok(sealed) => envelope.open(&sealed, &context).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(opened) if opened.expose_secret() == secret.expose_secret() => {
                Check::new("key", Finding::Ok, "seals and opens")
            }
            Ok(_) => Check::new("key", Finding::Fail, "does not return what was sealed"),
            Err(error) => {
                let found = format!("{error}: is the key enabled, and may you use it?");
                Check::new("key", Finding::Fail, found)
            }
        }
    }

    async fn dead_letters(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for (name, queue) in &self.queues {
            let (finding, found) = match queue.depth().await {
                Ok(depth) if depth.dead == 0 => {
                    (Finding::Ok, format!("{name}: {} ready, {} delayed", depth.ready, depth.delayed))
                }
                Ok(depth) => (
                    Finding::Fail,
                    format!("{name}: {} dead-lettered, run `gitlab-jira dlq list`", depth.dead),
                ),
                Err(error) => (Finding::Fail, format!("{name}: {error}")),
            };
            checks.push(Check::new("queue", finding, found));
        }
        checks
    }

    fn installers(&self) -> Check {
        match self.allowed_jira_sites.len() {
            0 => Check::new(
                "installers",
                Finding::Warn,
                "any Jira site may install the app: set ALLOWED_JIRA_SITES",
            ),
            sites => Check::new(
                "installers",
                Finding::Ok,
                format!("{} may install the app", count(sites as u64, "Jira site", "Jira sites")),
            ),
        }
    }

    /// The Forge app of every site that has one: the site's condition shows a missing token only with the next event.
    /// Whether the app is set to Sharing is Atlassian's to know, so that is said and not checked.
    async fn forge_apps(&self) -> Result<Vec<Check>, Refusal> {
        let app = self.forge.app_id.as_deref().and_then(|id| id.rsplit_once('/'));
        let console = app.map_or_else(
            || DEVELOPER_CONSOLE.to_owned(),
            |(_, uuid)| format!("{DEVELOPER_CONSOLE}/{uuid}/manage/distribution"),
        );
        let mut checks = Vec::new();
        for site in self.store.sites().await? {
            for installation in self.store.installations(site.id).await? {
                let Connection::Forge { token, .. } = &installation.connection else { continue };
                let token = token.as_ref().filter(|token| token.usable_until > self.clock.now());
                let (finding, found) = match token {
                    Some(token) => {
                        let until = token.usable_until.iso8601();
                        let sharing = format!("if its page opens for nobody but you, set the app to Sharing: {console}");
                        (Finding::Ok, format!("has a token until {until}; {sharing}"))
                    }
                    None => (
                        if site.writer == Some(installation.id) { Finding::Fail } else { Finding::Warn },
                        "has no token that can be used: is the app still installed? `forge logs -e production` shows its calls"
                            .to_owned(),
                    ),
                };
                checks.push(Check::new("forge", finding, format!("{}: {found}", site.host())));
            }
        }
        Ok(checks)
    }

    /// Sites and links that need attention.
    async fn health(&self) -> Result<Vec<Check>, Refusal> {
        let status = self.status().await?;
        let sites = status.sites.iter().filter_map(|site| {
            Some(Check::new("site", Finding::Fail, format!("{}: {}", site.host, site.remedy.as_ref()?)))
        });
        let links = status
            .links
            .iter()
            .map(|link| Check::new("link", Finding::Fail, format!("{}: {}", link.group, link.attention)));
        let mut checks: Vec<Check> = sites.chain(links).collect();
        if checks.is_empty() {
            checks.push(Check::new("links", Finding::Ok, "no site and no link needs attention"));
        }
        Ok(checks)
    }
}

impl Diagnosis {
    pub(super) fn lines(&self) -> Vec<String> {
        let mark = |finding: Finding| match finding {
            Finding::Ok => "ok",
            Finding::Warn => "WARN",
            Finding::Fail => "FAIL",
        };
        let row = |check: &Check| [mark(check.finding).to_owned(), clean(&check.check), clean(&check.found)];
        table(["", "CHECK", "FOUND"], self.checks.iter().map(row))
    }

    /// Whether nothing failed.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|check| check.finding != Finding::Fail)
    }
}
