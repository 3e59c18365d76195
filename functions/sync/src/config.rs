//! The function's environment variables, and what it is made of.

use shared::config::{JiraAccess, Outbound, Variables, replaced_commits};
use shared::outbound::OutboundClientError;
use shared::services::Services;
use shared::sync::apply::{Apply, Operation};
use shared::sync::auth::HookAuthenticator;
use shared::sync::read::{GitlabAccess, GitlabCache, ReplacedCommits};
use shared::sync::site_access::SiteAccess;

use crate::{EventSync, NearerLinks};

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// How Jira is called.
    pub jira: JiraAccess,
    /// How GitLab and Jira may be called.
    pub outbound: Outbound,
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
    /// Where events come from, and go back to.
    pub events_queue_url: String,
    /// Where events go that are not tried again.
    pub events_dead_letter_queue_url: String,
    /// What becomes of commits that a force push replaced.
    pub replaced_commits: ReplacedCommits,
}

impl Config {
    /// Reads it from environment variables.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let jira = JiraAccess::read(variables);
        let outbound = Outbound::read(variables);
        let (table_name, kms_key_id) = (variables.required("TABLE_NAME"), variables.required("KMS_KEY_ID"));
        let events_queue_url = variables.required("EVENTS_QUEUE_URL");
        let events_dead_letter_queue_url = variables.required("EVENTS_DEAD_LETTER_QUEUE_URL");
        let replaced_commits = replaced_commits(variables);
        Some(Self {
            jira: jira?,
            outbound: outbound?,
            table_name,
            kms_key_id,
            events_queue_url,
            events_dead_letter_queue_url,
            replaced_commits: replaced_commits?,
        })
    }
}

/// The function as `services` and its configuration make it.
///
/// # Errors
/// When no HTTP client can be made.
pub fn build(services: &Services, config: &Config) -> Result<EventSync, OutboundClientError> {
    let store = services.store(&config.table_name);
    let envelope = services.envelope(&config.kms_key_id);
    let dead_letters = Some(config.events_dead_letter_queue_url.as_str());
    let (http, guard) = (services.gitlab_http(&config.outbound)?, &config.outbound.guard);
    Ok(EventSync {
        sites: SiteAccess {
            store: store.clone(),
            connections: services.connections(&config.jira, guard, &http, envelope.clone()),
            clock: services.clock(),
        },
        gitlab: GitlabAccess {
            store: store.clone(),
            envelope: envelope.clone(),
            clock: services.clock(),
            http,
            guard: guard.clone(),
            cache: GitlabCache::default(),
            replaced_commits: config.replaced_commits,
        },
        apply: Apply { store: store.clone(), clock: services.clock(), operation: Operation::Live },
        nearer: NearerLinks::new(store.clone()),
        authenticator: HookAuthenticator::new(store.clone(), envelope),
        queue: services.events_queue(&config.events_queue_url, dead_letters),
        clock: services.clock(),
        is_only_process: services.is_only_process(),
        store,
    })
}
