//! A webhook as it is configured, its delivery history, and the rule that disables a failing one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::gitlab::hooks::Trigger;

/// Consecutive failures before a hook is temporarily disabled
/// (<https://docs.gitlab.com/user/project/integrations/webhooks/#auto-disabled-webhooks>).
const FAILURES_UNTIL_TEMPORARILY_DISABLED: u32 = 4;
/// Consecutive failures before a hook is disabled until somebody sends a test event.
const FAILURES_UNTIL_DISABLED: u32 = 40;
/// How long a hook is disabled first; each further failure doubles it.
const FIRST_BACKOFF: Duration = Duration::minutes(1);
/// A hook is temporarily disabled no longer than this.
const MAX_BACKOFF: Duration = Duration::days(1);
/// How long the API keeps a delivery.
const HISTORY: Duration = Duration::days(7);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum HookOwner {
    Project(u64),
    Group(u64),
    /// The instance itself: system hooks.
    Instance,
}

/// One delivery in the history.
#[derive(Clone)]
pub(crate) struct HookLog {
    pub(crate) id: u64,
    pub(crate) trigger: Trigger,
    pub(crate) request_headers: Value,
    pub(crate) request_data: Value,
    pub(crate) response_headers: Value,
    pub(crate) response_body: String,
    /// A number, or `internal error` when there was no answer.
    pub(crate) response_status: String,
    pub(crate) seconds: f64,
    pub(crate) idempotency_key: String,
    pub(crate) event_uuid: String,
    pub(crate) at: OffsetDateTime,
    /// Who asked for a resend, and when: only a few per minute are allowed.
    pub(crate) resent: Vec<(u64, OffsetDateTime)>,
}

/// What an owner can set.
#[derive(Clone)]
pub(crate) struct HookSettings {
    pub(crate) url: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) signing_token: Option<String>,
    pub(crate) triggers: BTreeSet<Trigger>,
    pub(crate) enable_ssl_verification: bool,
    pub(crate) branch_filter: Option<String>,
    /// wildcard, regex or all_branches.
    pub(crate) branch_filter_strategy: String,
    pub(crate) custom_headers: BTreeMap<String, String>,
}

impl HookSettings {
    /// GitLab's defaults: pushes only.
    pub(crate) fn new(url: &str) -> Self {
        HookSettings {
            url: url.to_owned(),
            name: None,
            description: None,
            token: None,
            signing_token: None,
            triggers: BTreeSet::from([Trigger::Push]),
            enable_ssl_verification: true,
            branch_filter: None,
            branch_filter_strategy: "wildcard".to_owned(),
            custom_headers: BTreeMap::new(),
        }
    }

    /// Does the hook want pushes to this branch?
    pub(crate) fn wants_branch(&self, branch: &str) -> bool {
        let Some(filter) = self.branch_filter.as_deref().filter(|filter| !filter.is_empty()) else {
            return true;
        };
        match self.branch_filter_strategy.as_str() {
            "all_branches" => true,
            "regex" => regex::Regex::new(filter).is_ok_and(|filter| filter.is_match(branch)),
            _ => matches_wildcard(filter, branch),
        }
    }
}

pub(crate) struct Hook {
    pub(crate) id: u64,
    pub(crate) owner: HookOwner,
    pub(crate) uuid: String,
    pub(crate) settings: HookSettings,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) failures: u32,
    pub(crate) disabled_until: Option<OffsetDateTime>,
    pub(crate) log: Vec<HookLog>,
}

impl Hook {
    pub(crate) fn new(id: u64, owner: HookOwner, settings: HookSettings, created_at: OffsetDateTime) -> Self {
        let uuid = crate::gitlab::random::uuid();
        Hook { id, owner, uuid, settings, created_at, failures: 0, disabled_until: None, log: Vec::new() }
    }

    /// Counts deliveries that failed in a row without making them.
    pub(crate) fn fail(&mut self, failures: u32, now: OffsetDateTime) {
        self.failures = failures.min(FAILURES_UNTIL_DISABLED);
        self.disabled_until = (failures >= FAILURES_UNTIL_TEMPORARILY_DISABLED).then(|| now + FIRST_BACKOFF);
    }

    /// GitLab's word for the hook's health.
    pub(crate) fn alert_status(&self, now: OffsetDateTime, auto_disable: bool) -> &'static str {
        if !auto_disable {
            "executable"
        } else if self.failures >= FAILURES_UNTIL_DISABLED {
            "disabled"
        } else if self.failures >= FAILURES_UNTIL_TEMPORARILY_DISABLED
            && self.disabled_until.is_some_and(|until| until >= now)
        {
            "temporarily_disabled"
        } else {
            "executable"
        }
    }

    /// Counts a delivery: consecutive failures disable the hook, a success enables it again.
    pub(crate) fn record(&mut self, entry: HookLog, succeeded: bool, auto_disable: bool) {
        let now = entry.at;
        self.log.retain(|old| now - old.at < HISTORY);
        self.log.push(entry);
        if succeeded {
            self.failures = 0;
            self.disabled_until = None;
        } else if auto_disable {
            self.failures = (self.failures + 1).min(FAILURES_UNTIL_DISABLED);
            if self.failures >= FAILURES_UNTIL_TEMPORARILY_DISABLED {
                let doublings = (self.failures - FAILURES_UNTIL_TEMPORARILY_DISABLED).min(16);
                self.disabled_until = Some(now + (FIRST_BACKOFF * 2_i32.pow(doublings)).min(MAX_BACKOFF));
            }
        }
    }
}

/// `feature/*` and the like; `*` stands for any text.
fn matches_wildcard(filter: &str, branch: &str) -> bool {
    let pattern = filter.split('*').map(regex::escape).collect::<Vec<_>>().join(".*");
    regex::Regex::new(&format!("^{pattern}$")).is_ok_and(|filter| filter.is_match(branch))
}
