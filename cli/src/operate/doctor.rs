//! Tries what everything else rests on, and says of each whether it works and what to do if not. Changes nothing. What an
//! event's way was belongs to `explain`, what is going on to `status`.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use shared::bundle::DESCRIPTOR;
use shared::clock::Timestamp;
use shared::envelope::{Context, Purpose};

use super::{Operator, Refusal};

/// A clock that is further off breaks tokens: Atlassian's live for three minutes, and some servers allow no leeway.
const MAX_CLOCK_ERROR: Duration = Duration::from_secs(30);

/// What was tried, whether it works, and what was found.
struct Finding {
    check: &'static str,
    ok: bool,
    found: String,
}

impl Operator {
    pub(super) async fn doctor(&self) -> Result<Value, Refusal> {
        let (address, clock) = self.address_and_clock().await;
        let mut findings = vec![address, clock, self.key().await];
        findings.extend(self.dead_letters().await);
        findings.push(self.installers());
        findings.extend(self.links().await?);
        let checks: Vec<Value> = findings
            .into_iter()
            .map(|Finding { check, ok, found }| json!({ "check": check, "ok": ok, "found": found }))
            .collect();
        Ok(json!({ "checks": checks }))
    }

    /// Whether the descriptor answers under the address that Jira is told, and what time its server has.
    async fn address_and_clock(&self) -> (Finding, Finding) {
        let url = format!("{}{}", self.base_url, DESCRIPTOR.path);
        let unknown =
            || Finding { check: "clock", ok: false, found: "no server was there to compare with".to_owned() };
        let wrong = |found: String| Finding { check: "address", ok: false, found };
        // Our own address, told by our own configuration: nothing that the host guard is for.
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build();
        let answer = match client {
            Ok(client) => client.get(&url).send().await,
            Err(error) => return (wrong(error.to_string()), unknown()),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) => {
                return (
                    wrong(format!("{url} gives no answer: is it served, and is BASE_URL right?")),
                    unknown(),
                );
            }
        };
        let date = answer.headers().get("date").and_then(|date| date.to_str().ok().map(str::to_owned));
        let clock = date.map_or_else(unknown, |date| self.compare(&date));
        let status = answer.status();
        let descriptor: Value = answer.json().await.unwrap_or_default();
        let expected = format!("{}{}", self.base_url, shared::bundle::CONNECT_BASE);
        let address = match descriptor["baseUrl"].as_str() {
            Some(base_url) if base_url == expected => {
                Finding { check: "address", ok: true, found: format!("{url} answers") }
            }
            Some(base_url) => wrong(format!("{url} says that it is served at {base_url}: set BASE_URL")),
            None => {
                wrong(format!("{url} answers {status} without a descriptor: does it lead to this bundle?"))
            }
        };
        (address, clock)
    }

    fn compare(&self, date: &str) -> Finding {
        let Some(theirs) = Timestamp::parse_http_date(date) else {
            return Finding {
                check: "clock",
                ok: false,
                found: format!("the server's date is not one: {date}"),
            };
        };
        let off = self.clock.now().since(theirs).max(theirs.since(self.clock.now()));
        let found = format!("{} s off the server's", off.as_secs());
        Finding { check: "clock", ok: off <= MAX_CLOCK_ERROR, found }
    }

    /// Whether a secret can be sealed and opened again.
    async fn key(&self) -> Finding {
        let context = Context::new("doctor", Purpose::HookSecret, "doctor");
        let secret = SecretString::from("a text that is no secret");
        let opened = match self.envelope.seal(&secret, &context).await {
            Ok(sealed) => self.envelope.open(&sealed, &context).await,
            Err(error) => Err(error),
        };
        let (ok, found) = match opened {
            Ok(opened) if opened.expose_secret() == secret.expose_secret() => {
                (true, "seals and opens".to_owned())
            }
            Ok(_) => (false, "opens to something else".to_owned()),
            Err(error) => (false, format!("{error}: is the key enabled, and may you use it?")),
        };
        Finding { check: "key", ok, found }
    }

    async fn dead_letters(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, queue) in &self.queues {
            let (ok, found) = match queue.depth().await {
                Ok(depth) if depth.dead == 0 => {
                    (true, format!("{name}: {} ready, {} waiting", depth.ready, depth.delayed))
                }
                Ok(depth) => (false, format!("{name}: {} given up, see `gitlab-jira dlq list`", depth.dead)),
                Err(error) => (false, format!("{name}: {error}")),
            };
            findings.push(Finding { check: "queue", ok, found });
        }
        findings
    }

    fn installers(&self) -> Finding {
        let (ok, found) = match self.allowed_jira_sites.len() {
            0 => (false, "any Jira site may install the app: set ALLOWED_JIRA_SITES".to_owned()),
            count => (true, format!("{count} Jira sites may install the app")),
        };
        Finding { check: "installers", ok, found }
    }

    /// Sites and links that need somebody.
    async fn links(&self) -> Result<Vec<Finding>, Refusal> {
        let status = self.status().await?;
        let of = |list: &Value| list.as_array().cloned().unwrap_or_default();
        let mut findings = Vec::new();
        for site in of(&status["sites"]).into_iter().filter(|site| !site["remedy"].is_null()) {
            let found = format!(
                "{}: {}",
                site["host"].as_str().unwrap_or_default(),
                site["remedy"].as_str().unwrap_or_default()
            );
            findings.push(Finding { check: "site", ok: false, found });
        }
        for link in of(&status["links"]) {
            let found = format!(
                "{}: {}",
                link["group"].as_str().unwrap_or_default(),
                link["attention"].as_str().unwrap_or_default()
            );
            findings.push(Finding { check: "link", ok: false, found });
        }
        if findings.is_empty() {
            findings.push(Finding {
                check: "links",
                ok: true,
                found: "no site and no link needs anybody".to_owned(),
            });
        }
        Ok(findings)
    }
}
