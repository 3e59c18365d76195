//! Links of one site whose groups lie in each other: an event of a project in both comes in through both, and is brought by
//! the link whose group is nearest to the project. So it is sent once, with the token and under the project keys of that
//! link. Where that link would not bring it, the other does: what is sent twice is harmless, and what is not sent is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use shared::domain::{HookKind, Subscription, SubscriptionId, SubscriptionState, lies_under};
use shared::gitlab::model::Project;
use shared::store::{Store, StoreError};

/// How long it is remembered which group a link is of, which changes when a group was renamed and its link is renewed.
const CACHE_TTL: Duration = Duration::from_secs(300);

/// How many links are remembered, at some hundred bytes each.
const MAX_LINKS: u64 = 10_000;

/// Instance and path of a link's group.
type LinkedGroup = (String, String);

/// The links of sites.
#[derive(Clone, Debug)]
pub struct NearerLinks {
    store: Store,
    groups: Cache<SubscriptionId, Arc<LinkedGroup>>,
}

impl NearerLinks {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, groups: Cache::builder().max_capacity(MAX_LINKS).time_to_live(CACHE_TTL).build() }
    }

    /// For each of `projects` the link that brings its events in place of `ours`, if there is one.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn of(
        &self,
        ours: &Subscription,
        projects: impl Iterator<Item = &Project>,
    ) -> Result<BTreeMap<u64, SubscriptionId>, StoreError> {
        let mut inside = self.groups(ours).await?;
        inside.retain(|(_, group)| group.0 == ours.instance && lies_under(&group.1, &ours.group_path));
        inside.sort_by_key(|(_, group)| std::cmp::Reverse(group.1.len()));
        let mut nearer = BTreeMap::new();
        if inside.is_empty() {
            return Ok(nearer);
        }
        for project in projects {
            for (link, _) in inside.iter().filter(|(_, group)| lies_under(&project.path, &group.1)) {
                if !nearer.contains_key(&project.id) && self.brings(*link, ours, project.id).await? {
                    nearer.insert(project.id, *link);
                }
            }
        }
        Ok(nearer)
    }

    /// The groups of all links of the site.
    async fn groups(
        &self,
        ours: &Subscription,
    ) -> Result<Vec<(SubscriptionId, Arc<LinkedGroup>)>, StoreError> {
        let (mut known, mut unknown) = (Vec::new(), BTreeSet::new());
        for id in self.store.subscription_ids(ours.site).await? {
            match self.groups.get(&id).await {
                Some(group) => known.push((id, group)),
                None => drop(unknown.insert(id)),
            }
        }
        for (id, link) in self.store.subscriptions_with(&unknown).await? {
            let group = Arc::new((link.instance, link.group_path));
            self.groups.insert(id, Arc::clone(&group)).await;
            known.push((id, group));
        }
        Ok(known)
    }

    /// Whether a link brings what `ours` would bring of a project.
    async fn brings(
        &self,
        link: SubscriptionId,
        ours: &Subscription,
        project: u64,
    ) -> Result<bool, StoreError> {
        let Some(link) = self.store.subscription(link).await? else { return Ok(false) };
        if link.state != SubscriptionState::Active || (link.credential.is_none() && ours.credential.is_some())
        {
            return Ok(false);
        }
        Ok(match link.hook.kind {
            HookKind::Group => link.hook.id.is_some(),
            HookKind::Project => {
                self.store.project_hook(link.id, project).await?.is_some_and(|hook| hook.id.is_some())
            }
            HookKind::Manual => true,
        })
    }
}
