//! The body of a bulk call, as Jira's provider APIs take it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::BulkCall;
use crate::domain::Api;
use crate::jira::model::{Build, Deployment, FeatureFlag, Repository};
use crate::sync::apply::Operation;
use crate::sync::apply::pending::PendingEntity;
use crate::sync::entity::Content;

impl BulkCall {
    /// What goes over the wire.
    #[must_use]
    pub fn body(&self, operation: Operation) -> Body<'_> {
        let product = self.entities.first().map_or("GitLab", |pending| &pending.entity.link.product);
        let provider_metadata = ProviderMetadata { product };
        match self.api {
            Api::DevInfo => Body::DevInfo {
                repositories: self.repositories(),
                prevent_transitions: operation.is_backfill(),
                operation_type: operation.is_backfill().then_some("BACKFILL"),
                provider_metadata,
            },
            Api::Builds => Body::Builds {
                builds: self.each(
                    |content| {
                        if let Content::Build(build) = content { Some(build) } else { None }
                    },
                ),
                properties: self.properties(),
                provider_metadata,
            },
            Api::Deployments => Body::Deployments {
                deployments: self.each(|content| {
                    if let Content::Deployment(deployment) = content { Some(deployment) } else { None }
                }),
                properties: self.properties(),
                provider_metadata,
            },
            Api::FeatureFlags => {
                Body::FeatureFlags {
                    flags: self.each(|content| {
                        if let Content::FeatureFlag(flag) = content { Some(flag) } else { None }
                    }),
                    properties: self.properties(),
                    provider_metadata,
                }
            }
        }
    }

    fn each<'a, T>(&'a self, pick: impl Fn(&'a Content) -> Option<&'a Box<T>>) -> Vec<&'a T> {
        self.entities.iter().filter_map(|pending| pick(&pending.entity.content)).map(AsRef::as_ref).collect()
    }

    pub(super) fn repositories(&self) -> Vec<Repository> {
        let mut repositories: BTreeMap<&str, Repository> = BTreeMap::new();
        for PendingEntity { entity, .. } in &self.entities {
            let repository =
                repositories.entry(&entity.key.project).or_insert_with(|| (*entity.repository).clone());
            repository.update_sequence_id = repository.update_sequence_id.max(entity.version.known_at.0);
            match &entity.content {
                Content::Commit(commit) => repository.commits.push((**commit).clone()),
                Content::Branch(branch) => repository.branches.push((**branch).clone()),
                Content::PullRequest(pull_request) => repository.pull_requests.push((**pull_request).clone()),
                Content::Build(_) | Content::Deployment(_) | Content::FeatureFlag(_) | Content::Deleted => {}
            }
        }
        repositories.into_values().collect()
    }

    fn properties(&self) -> Properties {
        let first = self.entities.first().map(|pending| &pending.entity);
        Properties { link: first.map(|entity| entity.link.subscription.to_string()).unwrap_or_default() }
    }
}

/// The body of a call.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Body<'a> {
    /// `POST /rest/devinfo/0.10/bulk`.
    DevInfo {
        /// At most 100.
        repositories: Vec<Repository>,
        /// Whether Smart Commits and workflow triggers stay out.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        prevent_transitions: bool,
        /// `NORMAL` if missing.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_type: Option<&'static str>,
        /// Who sends.
        provider_metadata: ProviderMetadata<'a>,
    },
    /// `POST /rest/builds/0.1/bulk`.
    Builds {
        /// At most 100.
        builds: Vec<&'a Build>,
        /// What they can be deleted by.
        properties: Properties,
        /// Who sends.
        provider_metadata: ProviderMetadata<'a>,
    },
    /// `POST /rest/deployments/0.1/bulk`.
    Deployments {
        /// At most 100.
        deployments: Vec<&'a Deployment>,
        /// What they can be deleted by.
        properties: Properties,
        /// Who sends.
        provider_metadata: ProviderMetadata<'a>,
    },
    /// `POST /rest/featureflags/0.1/bulk`.
    FeatureFlags {
        /// At most 100.
        flags: Vec<&'a FeatureFlag>,
        /// What they can be deleted by.
        properties: Properties,
        /// Who sends.
        provider_metadata: ProviderMetadata<'a>,
    },
}

/// Who sends.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProviderMetadata<'a> {
    /// `GitLab <version>`.
    pub product: &'a str,
}

/// What everything of a call can be deleted by. Jira stores these hashed and never gives them back.
#[derive(Clone, Debug, Serialize)]
pub struct Properties {
    /// The subscription, so that unlinking finds what came through it.
    pub link: String,
}
