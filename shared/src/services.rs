//! What functions are made of - state, secrets, queues, HTTP clients, connections to Jira - made the same way on
//! Lambda, in the local process, and for a person's commands on a stack. Each is made when a function asks for it: on
//! Lambda a cold start pays for nothing that the function does not use, and touches nothing that its role does not
//! allow. What a function does with them belongs to its package.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_smithy_http_client::HttpClientError;

use crate::aws::{self, AwsEnvironment};
use crate::clock::{SharedClock, SystemClock};
use crate::config::{ForgeFunction, JiraAccess, Lifecycle, Outbound, PageFunction};
use crate::envelope::{Envelope, Kms};
use crate::gitlab::client::GitlabHttp;
use crate::http::{ForgeGate, LifecycleGate, TenantGate};
use crate::install::forge::ForgeInstallations;
use crate::jira::connections::{AccessTokens, Connections};
use crate::jwt::asymmetric::LifecycleVerifier;
use crate::jwt::invocation::InvocationVerifier;
use crate::jwt::key_set::KeySet;
use crate::jwt::keystore::KeyStore;
use crate::linking::Linking;
use crate::outbound::{HostGuard, OutboundClientError, RedirectRule};
use crate::page::PageApi;
use crate::queue::SharedQueue;
use crate::queue::sqs::SqsQueue;
use crate::store::Store;

/// The services of one process.
#[derive(Clone, Debug)]
pub struct Services {
    backend: Backend,
    clock: SharedClock,
    /// Shared by all connections of the process, so that each credential asks for one token.
    tokens: AccessTokens,
}

#[derive(Clone, Debug)]
enum Backend {
    Aws(Box<SdkConfig>),
    Embedded { store: Store, envelope: Arc<Envelope>, queues: Queues },
}

/// The queues of a bundle, for callers that use them directly.
#[derive(Clone, Debug)]
pub struct Queues {
    /// The events queue.
    pub events: SharedQueue,
    /// The queue of steps.
    pub backfill: SharedQueue,
}

impl Services {
    /// The services of the Lambda function called `function`.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn lambda(function: &'static str, environment: AwsEnvironment) -> Result<Self, HttpClientError> {
        Ok(Self::aws(aws::sdk_config(function, environment)?, Arc::new(SystemClock)))
    }

    /// The services of AWS through `sdk`, as with a person's own credentials.
    #[must_use]
    pub fn aws(sdk: SdkConfig, clock: SharedClock) -> Self {
        Self { backend: Backend::Aws(Box::new(sdk)), clock, tokens: AccessTokens::default() }
    }

    /// The services of the local process. There is one of each, so names of tables, keys and queues are not looked at.
    #[must_use]
    pub fn embedded(store: Store, envelope: Arc<Envelope>, queues: Queues, clock: SharedClock) -> Self {
        let backend = Backend::Embedded { store, envelope, queues };
        Self { backend, clock, tokens: AccessTokens::default() }
    }

    /// Whether no other process works on the same queues.
    #[must_use]
    pub fn is_only_process(&self) -> bool {
        matches!(self.backend, Backend::Embedded { .. })
    }

    /// Tells the time.
    #[must_use]
    pub fn clock(&self) -> SharedClock {
        self.clock.clone()
    }

    /// State, in the table of this name.
    #[must_use]
    pub fn store(&self, table_name: &str) -> Store {
        match &self.backend {
            Backend::Aws(sdk) => Store::new(aws_sdk_dynamodb::Client::new(sdk), table_name, self.clock()),
            Backend::Embedded { store, .. } => store.clone(),
        }
    }

    /// Secrets, under the key of this id or ARN.
    #[must_use]
    pub fn envelope(&self, kms_key_id: &str) -> Arc<Envelope> {
        match &self.backend {
            Backend::Aws(sdk) => {
                let kms = Kms::new(aws_sdk_kms::Client::new(sdk), kms_key_id);
                Arc::new(Envelope::new(Arc::new(kms)))
            }
            Backend::Embedded { envelope, .. } => envelope.clone(),
        }
    }

    /// The events queue at `url`. A function that dead-letters messages names the dead-letter queue as well.
    #[must_use]
    pub fn events_queue(&self, url: &str, dead_letter_queue_url: Option<&str>) -> SharedQueue {
        match &self.backend {
            Backend::Aws(sdk) => {
                Arc::new(SqsQueue::new(aws_sdk_sqs::Client::new(sdk), url, dead_letter_queue_url))
            }
            Backend::Embedded { queues, .. } => queues.events.clone(),
        }
    }

    /// The queue of steps at `url`, as [`Services::events_queue`].
    #[must_use]
    pub fn backfill_queue(&self, url: &str, dead_letter_queue_url: Option<&str>) -> SharedQueue {
        match &self.backend {
            Backend::Aws(sdk) => {
                Arc::new(SqsQueue::new(aws_sdk_sqs::Client::new(sdk), url, dead_letter_queue_url))
            }
            Backend::Embedded { queues, .. } => queues.backfill.clone(),
        }
    }

    /// HTTP clients for GitLab.
    ///
    /// # Errors
    /// [`OutboundClientError`].
    pub fn gitlab_http(&self, outbound: &Outbound) -> Result<GitlabHttp, OutboundClientError> {
        Ok(GitlabHttp {
            reads: outbound.client(RedirectRule::SameOriginGet)?,
            writes: outbound.client(RedirectRule::None)?,
        })
    }

    /// Connections to Jira, whose credentials `envelope` opens. They share `gitlab`'s client that follows no redirects:
    /// making another would cost a cold start a millisecond.
    #[must_use]
    pub fn connections(
        &self,
        jira: &JiraAccess,
        guard: &HostGuard,
        gitlab: &GitlabHttp,
        envelope: Arc<Envelope>,
    ) -> Connections {
        Connections {
            http: gitlab.writes.clone(),
            guard: guard.clone(),
            envelope,
            clock: self.clock(),
            app_key: jira.app_key.clone(),
            api_url: jira.api_url.clone(),
            tokens: self.tokens.clone(),
        }
    }

    /// What the page's API works with.
    ///
    /// # Errors
    /// [`OutboundClientError`].
    pub fn page_api(&self, config: &PageFunction) -> Result<PageApi, OutboundClientError> {
        let (gitlab, guard) = (self.gitlab_http(&config.outbound)?, &config.outbound.guard);
        let envelope = self.envelope(&config.kms_key_id);
        let events = self.events_queue(&config.events_queue_url, None);
        let steps = self.backfill_queue(&config.backfill_queue_url, None);
        let linking = Linking {
            store: self.store(&config.table_name),
            connections: self.connections(&config.jira, guard, &gitlab, envelope.clone()),
            envelope,
            gitlab,
            guard: guard.clone(),
            queues: vec![events, steps.clone()],
            steps,
            clock: self.clock(),
            webhook_base_url: config.webhook_url.clone(),
            gitlab_url: config.gitlab_url.clone(),
        };
        let application_id = config.oauth_application_id.clone();
        Ok(PageApi { linking, application_id, redirect_uri: config.redirect_uri() })
    }

    /// What authenticates Connect lifecycle events.
    ///
    /// # Errors
    /// [`OutboundClientError`].
    pub fn lifecycle_gate(
        &self,
        lifecycle: &Lifecycle,
        store: Store,
    ) -> Result<LifecycleGate, OutboundClientError> {
        let client = lifecycle.outbound.client(RedirectRule::None)?;
        let keys = KeyStore::new(client, lifecycle.keys.clone(), self.clock());
        let verifier = LifecycleVerifier::new(keys, lifecycle.identity.audiences(), self.clock());
        Ok(LifecycleGate { verifier, store, clock: self.clock() })
    }

    /// What authenticates calls of a Connect tenant's users.
    #[must_use]
    pub fn tenant_gate(&self, table_name: &str, kms_key_id: &str) -> TenantGate {
        TenantGate { store: self.store(table_name), envelope: self.envelope(kms_key_id), clock: self.clock() }
    }

    /// What authenticates Forge's calls.
    ///
    /// # Errors
    /// [`OutboundClientError`].
    pub fn forge_gate(&self, config: &ForgeFunction) -> Result<ForgeGate, OutboundClientError> {
        let forge = &config.forge;
        let http = forge.outbound.client(RedirectRule::None)?;
        let verifier = forge.app_id.clone().map(|app_id| {
            let keys = KeySet::new(http.clone(), forge.key_set_url.clone(), self.clock());
            InvocationVerifier::new(keys, app_id, self.clock())
        });
        let installations = ForgeInstallations {
            store: self.store(&config.table_name),
            envelope: self.envelope(&config.kms_key_id),
            http,
            guard: forge.outbound.guard.clone(),
            api_url: forge.atlassian_api_url.clone(),
            allowed_sites: forge.allowed_sites.clone().into(),
            clock: self.clock(),
        };
        Ok(ForgeGate { verifier, installations })
    }
}
