//! A project and the numbered things inside it.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::{Deployment, Environment, FeatureFlag, MergeRequest, Pipeline, Repository, Role};

pub(crate) struct Project {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) group: u64,
    pub(crate) description: String,
    pub(crate) avatar_url: Option<String>,
    pub(crate) default_branch: String,
    pub(crate) archived: bool,
    pub(crate) public: bool,
    pub(crate) members: BTreeMap<u64, Role>,
    pub(crate) repository: Repository,
    /// By iid.
    pub(crate) merge_requests: BTreeMap<u64, MergeRequest>,
    /// By id.
    pub(crate) pipelines: BTreeMap<u64, Pipeline>,
    /// By id.
    pub(crate) environments: BTreeMap<u64, Environment>,
    /// By id.
    pub(crate) deployments: BTreeMap<u64, Deployment>,
    /// By name.
    pub(crate) feature_flags: BTreeMap<String, FeatureFlag>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) last_activity_at: OffsetDateTime,
}

impl Project {
    /// GitLab's number for the visibility: 0 private, 20 public.
    pub(crate) fn visibility_level(&self) -> u64 {
        if self.public { 20 } else { 0 }
    }

    pub(crate) fn visibility(&self) -> &'static str {
        if self.public { "public" } else { "private" }
    }

    /// The open merge requests whose source is this branch.
    pub(crate) fn open_merge_requests_from(&self, branch: &str) -> Vec<u64> {
        self.merge_requests
            .values()
            .filter(|request| request.state == "opened" && request.source_branch == branch)
            .map(|request| request.iid)
            .collect()
    }

    pub(crate) fn environment(&self, id: u64) -> &Environment {
        self.environments.get(&id).expect("a deployment's environment is never removed")
    }
}
