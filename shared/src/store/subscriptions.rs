//! Subscriptions and the hooks of single projects.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::{Key, Store, StoreError, When};
use crate::domain::{Hook, SiteId, Subscription, SubscriptionId};

/// From a site to one of its subscriptions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pointer(SubscriptionId);

impl Store {
    /// A subscription by id.
    pub async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        Ok(self.get(&key(id)).await?.map(|stored| stored.value))
    }

    /// The subscriptions with these ids, where they exist.
    pub async fn subscriptions_with(
        &self,
        ids: &BTreeSet<SubscriptionId>,
    ) -> Result<HashMap<SubscriptionId, Subscription>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(|id| key(*id)).collect();
        let found = self.get_many::<Subscription>(&keys).await?.into_values();
        Ok(found.map(|subscription| (subscription.id, subscription)).collect())
    }

    /// The subscriptions of a site, oldest first.
    pub async fn subscriptions(&self, site: SiteId) -> Result<Vec<Subscription>, StoreError> {
        let pointers: Vec<Pointer> = self.query(&format!("SITE#{site}"), "SUBSCRIPTION#").await?;
        let keys: Vec<Key> = pointers.iter().map(|pointer| key(pointer.0)).collect();
        let mut subscriptions: Vec<Subscription> = self.get_many(&keys).await?.into_values().collect();
        subscriptions.sort_by_key(|subscription: &Subscription| subscription.id);
        Ok(subscriptions)
    }

    /// The ids of a site's subscriptions.
    pub async fn subscription_ids(&self, site: SiteId) -> Result<BTreeSet<SubscriptionId>, StoreError> {
        let pointers: Vec<Pointer> = self.query(&format!("SITE#{site}"), "SUBSCRIPTION#").await?;
        Ok(pointers.into_iter().map(|pointer| pointer.0).collect())
    }

    /// Whether a site has any.
    pub async fn has_subscriptions(&self, site: SiteId) -> Result<bool, StoreError> {
        Ok(!self.subscription_ids(site).await?.is_empty())
    }

    /// Stores a new subscription.
    pub async fn create_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        let pointer = Pointer(subscription.id);
        self.transact(vec![
            self.put_of(&key(subscription.id), subscription, When::Absent, None)?,
            self.put_of(&pointer_key(subscription), &pointer, When::Absent, None)?,
        ])
        .await
    }

    /// Changes a subscription; `None` when there is none.
    pub async fn update_subscription(
        &self,
        id: SubscriptionId,
        change: impl Fn(&mut Subscription) + Send + Sync,
    ) -> Result<Option<Subscription>, StoreError> {
        self.update(&key(id), change).await
    }

    /// Removes a subscription with what belongs to it. The subscription goes last, so that a removal that was cut off can
    /// be done again.
    pub async fn delete_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        let hooks = self.project_hooks(subscription.id).await?;
        let hooks = hooks.iter().filter_map(|hook| hook.project_id);
        let keys: Vec<Key> = hooks.map(|project| hook_key(subscription.id, project)).collect();
        self.delete_many(&keys).await?;
        self.clear_missed(subscription.id).await?;
        self.delete_history(subscription.id).await?;
        let id = subscription.id;
        let others = [super::leases::key(id), super::leases::sending_key(id), super::last_events::key(id)];
        self.delete_many(&others).await?;
        self.delete_many(&[key(subscription.id), pointer_key(subscription)]).await
    }

    /// The hook of one project.
    pub async fn project_hook(
        &self,
        subscription: SubscriptionId,
        project: u64,
    ) -> Result<Option<Hook>, StoreError> {
        Ok(self.get(&hook_key(subscription, project)).await?.map(|stored| stored.value))
    }

    /// The hooks of single projects.
    pub async fn project_hooks(&self, subscription: SubscriptionId) -> Result<Vec<Hook>, StoreError> {
        self.query(&format!("SUBSCRIPTION#{subscription}"), "HOOK#").await
    }

    /// Stores the hook of one project.
    pub async fn put_project_hook(
        &self,
        subscription: SubscriptionId,
        project: u64,
        hook: &Hook,
    ) -> Result<(), StoreError> {
        self.put(&hook_key(subscription, project), hook, When::Always, None).await
    }

    /// Changes a link's hook, or that of one of its projects; `None` when there is none.
    pub async fn update_hook(
        &self,
        subscription: SubscriptionId,
        project: Option<u64>,
        change: impl Fn(&mut Hook) + Send + Sync,
    ) -> Result<Option<Hook>, StoreError> {
        match project {
            Some(project) => self.update(&hook_key(subscription, project), change).await,
            None => {
                let changed = self.update_subscription(subscription, |link| change(&mut link.hook)).await?;
                Ok(changed.map(|link| link.hook))
            }
        }
    }

    /// Forgets the hook of one project.
    pub async fn delete_project_hook(
        &self,
        subscription: SubscriptionId,
        project: u64,
    ) -> Result<(), StoreError> {
        self.delete_many(&[hook_key(subscription, project)]).await
    }

    /// Records that a hook signs its deliveries: from now on it must.
    pub async fn demand_signature(
        &self,
        subscription: SubscriptionId,
        project: Option<u64>,
    ) -> Result<(), StoreError> {
        self.update_hook(subscription, project, |hook| hook.signed = true).await.map(drop)
    }
}

fn key(id: SubscriptionId) -> Key {
    Key::new(format!("SUBSCRIPTION#{id}"), "SUBSCRIPTION")
}

fn pointer_key(subscription: &Subscription) -> Key {
    Key::new(format!("SITE#{}", subscription.site), format!("SUBSCRIPTION#{}", subscription.id))
}

fn hook_key(subscription: SubscriptionId, project: u64) -> Key {
    Key::new(format!("SUBSCRIPTION#{subscription}"), format!("HOOK#{project}"))
}
