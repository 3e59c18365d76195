//! What the function is told by variables, and what it is made of on AWS.

use shared::aws::Aws;
use shared::config::{Identity, Outbound, Variables, atlassian_api_url};
use shared::gitlab::client::GitlabHttp;
use shared::jira::connections::{AccessTokens, Connections};
use shared::outbound::{OutboundClientError, RedirectRule};
use shared::sync::verify::HookVerifier;
use url::Url;

use crate::{EventSync, GitlabCache};

/// The variables.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who the app is.
    pub identity: Identity,
    /// Atlassian's API gateway.
    pub atlassian_api_url: Url,
    /// How GitLab and Jira may be called.
    pub outbound: Outbound,
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
    /// Where events come from, and go back to.
    pub events_queue_url: String,
    /// Where events are given up.
    pub events_dead_letter_queue_url: String,
}

impl Config {
    /// Reads them.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let identity = Identity::read(variables);
        let atlassian_api_url = atlassian_api_url(variables);
        let outbound = Outbound::read(variables);
        let (table_name, kms_key_id) = (variables.required("TABLE_NAME"), variables.required("KMS_KEY_ID"));
        let events_queue_url = variables.required("EVENTS_QUEUE_URL");
        let events_dead_letter_queue_url = variables.required("EVENTS_DEAD_LETTER_QUEUE_URL");
        Some(Self {
            identity: identity?,
            atlassian_api_url: atlassian_api_url?,
            outbound: outbound?,
            table_name,
            kms_key_id,
            events_queue_url,
            events_dead_letter_queue_url,
        })
    }

    /// The function on AWS.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub fn build(self, aws: &Aws) -> Result<EventSync, OutboundClientError> {
        let (store, envelope) = (aws.store(&self.table_name), aws.envelope(&self.kms_key_id));
        let strict = self.outbound.client(RedirectRule::None)?;
        let reads = self.outbound.client(RedirectRule::SameOriginGet)?;
        let connections = Connections {
            http: strict.clone(),
            guard: self.outbound.guard.clone(),
            envelope: envelope.clone(),
            clock: aws.clock(),
            app_key: self.identity.app_key,
            api_url: self.atlassian_api_url,
            tokens: AccessTokens::default(),
        };
        Ok(EventSync {
            verifier: HookVerifier::new(store.clone(), envelope.clone()),
            store,
            envelope,
            queue: aws.queue(&self.events_queue_url, Some(&self.events_dead_letter_queue_url)),
            clock: aws.clock(),
            connections,
            gitlab: GitlabHttp { reads, writes: strict },
            guard: self.outbound.guard,
            lookups: GitlabCache::default(),
        })
    }
}
