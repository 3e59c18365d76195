//! A site's links as Jira's workspaces, and which of them a search or an id is about.

use std::sync::Arc;

use serde::Serialize;
use shared::domain::{Site, Subscription, SubscriptionState, lies_under};
use shared::sync::transform::{repository_id, workspace_id};

/// The links that are asked of GitLab for one call of Jira's, which waits a few seconds only.
const MAX_LINKS: usize = 50;

/// A linked group.
#[derive(Debug, Serialize)]
pub(crate) struct Workspace {
    /// Its id at Jira.
    pub(crate) id: String,
    /// Its full path when it was linked.
    pub(crate) name: String,
    /// The link.
    #[serde(skip)]
    pub(crate) link: Subscription,
    /// The position of its instance among those of the site.
    #[serde(skip)]
    pub(crate) instance_index: usize,
}

/// The linked groups of a site, in the order in which they were linked.
#[derive(Debug)]
pub(crate) struct Workspaces(Vec<Arc<Workspace>>);

impl Workspaces {
    /// Those of `site` whose link is whole.
    pub(crate) fn of(site: &Site, links: Vec<Subscription>) -> Self {
        let whole = links.into_iter().filter(|link| link.state == SubscriptionState::Active);
        let workspaces = whole.map(|link| {
            let instance_index = site.instance_index(&link.instance).unwrap_or(site.instances.len());
            Arc::new(Workspace {
                id: workspace_id(link.group_id, &link.instance, instance_index),
                name: link.group_path.clone(),
                link,
                instance_index,
            })
        });
        Self(workspaces.collect())
    }

    /// Those with `words` in their names.
    pub(crate) fn named_like(&self, words: &str) -> impl Iterator<Item = &Arc<Workspace>> {
        let words = words.to_lowercase();
        self.0.iter().filter(move |workspace| workspace.name.to_lowercase().contains(&words))
    }

    /// Those whose projects a search goes through: the one with this id, or else all, but none that lies inside
    /// another, whose projects would be found twice. A link without a token can't be searched: nothing else knows its
    /// projects' names.
    pub(crate) fn searched_for(&self, id: Option<&str>) -> Vec<Arc<Workspace>> {
        let searched = |workspace: &&Arc<Workspace>| match id {
            Some(id) => workspace.id == id,
            None => !self.readable().any(|outer| workspace.lies_inside(outer)),
        };
        self.readable().filter(searched).take(MAX_LINKS).cloned().collect()
    }

    /// GitLab's id of the project that is this repository at Jira, and the links that it may belong to: those of an instance
    /// whose ids look so.
    pub(crate) fn that_may_have(&self, id: &str) -> (u64, Vec<Arc<Workspace>>) {
        let project = id.rsplit('-').next().and_then(|project| project.parse().ok()).unwrap_or_default();
        let has_id = |workspace: &&Arc<Workspace>| {
            repository_id(project, &workspace.link.instance, workspace.instance_index) == id
        };
        (project, self.readable().filter(has_id).take(MAX_LINKS).cloned().collect())
    }

    fn readable(&self) -> impl Iterator<Item = &Arc<Workspace>> {
        self.0.iter().filter(|workspace| workspace.link.credential.is_some())
    }
}

impl Workspace {
    fn lies_inside(&self, outer: &Self) -> bool {
        self.link.instance == outer.link.instance && lies_under(&self.link.group_path, &outer.link.group_path)
    }
}
