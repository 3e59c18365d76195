//! Which entities share a call, what the call's body is (`body`), and what not every site takes (`undocumented`). Development
//! information packs across links; builds, deployments and flags pack across the projects of a link, because `properties`
//! belongs to the call, and properties are what unlinking deletes by.

mod body;
mod undocumented;

use std::collections::BTreeMap;

pub use body::Body;
pub use undocumented::Undocumented;

use super::pending::PendingEntity;
use crate::domain::{Api, EntityKind};
use crate::sync::entity::Link;

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
    pub entities: Vec<PendingEntity>,
}

/// Calls for `entities`, each within Jira's limits. Nothing here is to be deleted: deletions are calls of their own.
#[must_use]
pub fn pack(entities: Vec<PendingEntity>) -> Vec<BulkCall> {
    let mut development = DevInfoPacker::default();
    let mut per_link: BTreeMap<(Api, Link), Vec<PendingEntity>> = BTreeMap::new();
    for pending in entities {
        let entity = &pending.entity;
        match entity.key.kind.api() {
            Api::DevInfo => development.add(pending),
            api => per_link.entry((api, entity.link.clone())).or_default().push(pending),
        }
    }
    let mut calls = development.calls();
    for ((api, _), entities) in per_link {
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
    open: Vec<PendingEntity>,
    counts: BTreeMap<String, BTreeMap<EntityKind, usize>>,
}

impl DevInfoPacker {
    fn add(&mut self, pending: PendingEntity) {
        let entity = &pending.entity;
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
        self.open.push(pending);
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
    /// Two calls with half the entities each.
    ///
    /// # Errors
    /// The call itself, when it has only one.
    pub fn halves(mut self) -> Result<[Self; 2], Self> {
        if self.entities.len() < 2 {
            return Err(self);
        }
        let second = self.entities.split_off(self.entities.len() / 2);
        let api = self.api;
        Ok([self, Self { api, entities: second }])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{IssueKeys, SubscriptionId};
    use crate::gitlab::model::{Commit, Person, Pipeline, Project};
    use crate::sync::apply::Operation;
    use crate::sync::entity::Entity;
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
        let entities = (0..1200).map(|number| commit((number % 150) as u64, number).into()).collect();
        let calls = pack(entities);
        let sizes: Vec<_> =
            calls.iter().map(|call| (call.entities.len(), call.repositories().len())).collect();
        assert!(
            sizes.iter().all(|(entities, repositories)| *entities <= 1000 && *repositories <= 100),
            "{sizes:?}"
        );
        assert_eq!(sizes.iter().map(|(entities, _)| entities).sum::<usize>(), 1200);

        let one_project = pack((0..1000).map(|number| commit(1, number).into()).collect());
        assert_eq!(one_project.iter().map(|call| call.entities.len()).collect::<Vec<_>>(), [400, 400, 200]);
    }

    #[test]
    fn builds_of_a_link_share_calls_with_its_properties() {
        let entities = (1..=150).map(|iid| build(7, iid)).chain([build(8, 1)]).map(Into::into).collect();
        let calls = pack(entities);
        assert_eq!(calls.iter().map(|call| call.entities.len()).collect::<Vec<_>>(), [100, 51]);
        let body = serde_json::to_value(calls[1].body(Operation::Live)).expect("JSON");
        assert_eq!(body["properties"], serde_json::json!({"link": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}));
        assert_eq!(body["providerMetadata"]["product"], "GitLab 19.1.0");
    }

    #[test]
    fn halving_ends_with_the_culprit_alone() {
        let call =
            BulkCall { api: Api::DevInfo, entities: (0..5).map(|number| commit(1, number).into()).collect() };
        let [first, second] = call.halves().expect("more than one");
        assert_eq!((first.entities.len(), second.entities.len()), (2, 3));
        let alone = BulkCall { api: Api::DevInfo, entities: vec![commit(1, 1).into()] };
        assert!(alone.halves().is_err());
    }
}
