//! Which entities share a call. Development information packs across projects; builds, deployments and flags go per
//! project and link, because `properties` belongs to the call, and properties are what unlinking deletes by.

use std::collections::BTreeMap;

use serde::Serialize;

use super::entity::{Content, Entity, Link};
use crate::domain::{Api, Capability, EntityKind, Site};
use crate::jira::model::{
    ApprovalStatus, Build, Deployment, FeatureFlag, PullRequest, PullRequestStatus, Repository,
};

/// Limits of one development-information call.
const MAX_ENTITIES: usize = 1000;
const MAX_REPOSITORIES: usize = 100;
const MAX_PER_KIND: usize = 400;

/// The limit of every other call.
const MAX_ITEMS: usize = 100;

/// Entities that are sent together.
#[derive(Clone, Debug)]
pub struct BulkCall {
    /// To which API.
    pub api: Api,
    /// What is sent.
    pub entities: Vec<Entity>,
}

/// Calls for `entities`, each within Jira's limits. Nothing here is to be deleted: deletions are calls of their own.
#[must_use]
pub fn pack(entities: Vec<Entity>) -> Vec<BulkCall> {
    let mut development = DevInfoPacker::default();
    let mut per_project: BTreeMap<(Api, Link, String), Vec<Entity>> = BTreeMap::new();
    for entity in entities {
        match entity.key.kind.api() {
            Api::DevInfo => development.add(entity),
            api => {
                let group = (api, entity.link.clone(), entity.key.project.clone());
                per_project.entry(group).or_default().push(entity);
            }
        }
    }
    let mut calls = development.calls();
    for ((api, ..), entities) in per_project {
        let mut entities = entities.into_iter().peekable();
        while entities.peek().is_some() {
            calls.push(BulkCall { api, entities: entities.by_ref().take(MAX_ITEMS).collect() });
        }
    }
    calls
}

/// Fills calls one after another; an entity that fits no open call opens one.
#[derive(Default)]
struct DevInfoPacker {
    full: Vec<BulkCall>,
    open: Vec<Entity>,
    counts: BTreeMap<String, BTreeMap<EntityKind, usize>>,
}

impl DevInfoPacker {
    fn add(&mut self, entity: Entity) {
        let repository = self.counts.get(&entity.key.project);
        let of_kind = repository.and_then(|kinds| kinds.get(&entity.key.kind)).copied().unwrap_or(0);
        let no_room = self.open.len() >= MAX_ENTITIES
            || of_kind >= MAX_PER_KIND
            || (repository.is_none() && self.counts.len() >= MAX_REPOSITORIES);
        if no_room {
            self.close();
        }
        let kinds = self.counts.entry(entity.key.project.clone()).or_default();
        *kinds.entry(entity.key.kind).or_default() += 1;
        self.open.push(entity);
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.full.push(BulkCall { api: Api::DevInfo, entities: std::mem::take(&mut self.open) });
        }
        self.counts.clear();
    }

    fn calls(mut self) -> Vec<BulkCall> {
        self.close();
        self.full
    }
}

impl BulkCall {
    /// Two calls with half the entities each; `None` when there is only one.
    #[must_use]
    pub fn halves(self) -> Option<(Self, Self)> {
        if self.entities.len() < 2 {
            return None;
        }
        let mut first = self;
        let second = first.entities.split_off(first.entities.len() / 2);
        Some((first.clone(), Self { api: first.api, entities: second }))
    }

    /// What goes over the wire.
    #[must_use]
    pub fn body(&self) -> Body<'_> {
        let product = self.entities.first().map_or("GitLab", |entity| &entity.link.product);
        let provider_metadata = ProviderMetadata { product };
        match self.api {
            Api::DevInfo => Body::DevInfo { repositories: self.repositories(), provider_metadata },
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
        self.entities.iter().filter_map(|entity| pick(&entity.content)).map(AsRef::as_ref).collect()
    }

    fn repositories(&self) -> Vec<Repository> {
        let mut repositories: BTreeMap<&str, Repository> = BTreeMap::new();
        for entity in &self.entities {
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
        let first = self.entities.first();
        Properties {
            link: first.map(|entity| entity.link.subscription.to_string()).unwrap_or_default(),
            project_id: first.map(|entity| format!("project-{}", entity.key.project)).unwrap_or_default(),
        }
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
#[serde(rename_all = "camelCase")]
pub struct Properties {
    /// The subscription, so that unlinking finds what came through it.
    pub link: String,
    /// The project, so that its removal does.
    pub project_id: String,
}

/// What Atlassian's schema does not list and sites may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undocumented {
    /// Status `DRAFT`.
    Draft,
    /// Reviewers with `NEEDSWORK`.
    NeedsWork,
}

impl Undocumented {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Draft, Self::NeedsWork];

    /// What is known of it at `site`.
    #[must_use]
    pub fn capability(self, site: &Site) -> Capability {
        match self {
            Self::Draft => site.draft,
            Self::NeedsWork => site.needs_work,
        }
    }

    /// Whether `entity` uses it.
    #[must_use]
    pub fn is_used_by(self, entity: &Entity) -> bool {
        let Content::PullRequest(pull_request) = &entity.content else {
            return false;
        };
        match self {
            Self::Draft => pull_request.status == PullRequestStatus::Draft,
            Self::NeedsWork => needs_work(pull_request).next().is_some(),
        }
    }

    /// Says the same in documented words.
    pub fn replace(self, entity: &mut Entity) {
        let Content::PullRequest(pull_request) = &mut entity.content else {
            return;
        };
        match self {
            Self::Draft if pull_request.status == PullRequestStatus::Draft => {
                pull_request.status = PullRequestStatus::Open;
            }
            Self::Draft => {}
            Self::NeedsWork => {
                for reviewer in &mut pull_request.reviewers {
                    if reviewer.approval_status == ApprovalStatus::NeedsWork {
                        reviewer.approval_status = ApprovalStatus::Unapproved;
                    }
                }
            }
        }
    }
}

fn needs_work(pull_request: &PullRequest) -> impl Iterator<Item = &crate::jira::model::Reviewer> {
    pull_request.reviewers.iter().filter(|reviewer| reviewer.approval_status == ApprovalStatus::NeedsWork)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{IssueKeys, SubscriptionId};
    use crate::gitlab::model::{Commit, Person, Pipeline, Project};
    use crate::sync::transform::Source;

    fn source(project: u64) -> Source {
        let project = Project {
            id: project,
            name: format!("p{project}"),
            web_url: format!("https://gitlab.example.com/acme/p{project}"),
            path: format!("acme/p{project}"),
            ..Project::default()
        };
        let subscription: SubscriptionId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("an id");
        let link = Link { subscription, product: Arc::from("GitLab 19.1.0") };
        Source::new(project, link, "https://gitlab.example.com", 0)
    }

    fn commit(project: u64, number: usize) -> Entity {
        let commit = Commit {
            sha: format!("{number:040}"),
            message: "PAY-1".to_owned(),
            keys: IssueKeys::extract(["PAY-1"]),
            author: Person::default(),
            committed_at: None,
            web_url: String::new(),
            merge: false,
            file_count: None,
            files: Vec::new(),
            parent: None,
        };
        source(project).commit(&commit, Timestamp(1))
    }

    fn build(project: u64, iid: u64) -> Entity {
        let pipeline =
            Pipeline { id: iid, iid: Some(iid), status: "running".to_owned(), ..Pipeline::default() };
        source(project).build(&pipeline, Timestamp(1), false).expect("it has a number")
    }

    #[test]
    fn dev_info_packs_across_projects_within_every_limit() {
        let entities = (0..1200).map(|number| commit((number % 150) as u64, number)).collect();
        let calls = pack(entities);
        let sizes: Vec<_> =
            calls.iter().map(|call| (call.entities.len(), call.repositories().len())).collect();
        assert!(
            sizes.iter().all(|(entities, repositories)| *entities <= 1000 && *repositories <= 100),
            "{sizes:?}"
        );
        assert_eq!(sizes.iter().map(|(entities, _)| entities).sum::<usize>(), 1200);

        let one_project = pack((0..1000).map(|number| commit(1, number)).collect());
        assert_eq!(one_project.iter().map(|call| call.entities.len()).collect::<Vec<_>>(), [400, 400, 200]);
    }

    #[test]
    fn builds_go_per_project_with_its_properties() {
        let entities = (1..=150).map(|iid| build(7, iid)).chain([build(8, 1)]).collect();
        let calls = pack(entities);
        assert_eq!(calls.iter().map(|call| call.entities.len()).collect::<Vec<_>>(), [100, 50, 1]);
        let body = serde_json::to_value(calls[2].body()).expect("JSON");
        assert_eq!(body["properties"]["projectId"], "project-8");
        assert_eq!(body["providerMetadata"]["product"], "GitLab 19.1.0");
    }

    #[test]
    fn halving_ends_with_the_culprit_alone() {
        let call = BulkCall { api: Api::DevInfo, entities: (0..5).map(|number| commit(1, number)).collect() };
        let (first, second) = call.halves().expect("more than one");
        assert_eq!((first.entities.len(), second.entities.len()), (2, 3));
        let alone = BulkCall { api: Api::DevInfo, entities: vec![commit(1, 1)] };
        assert!(alone.halves().is_none());
    }
}
