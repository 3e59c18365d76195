//! Removals that are interrupted at any call: what is left can be removed again, and misleads no reader.

use super::*;
use crate::domain::{Hook, HookKind, SiteId, Subscription, SubscriptionState};

/// More than fit two batches.
const HOOKS: u64 = 60;

fn hook(project_id: Option<u64>) -> Hook {
    Hook {
        kind: HookKind::Project,
        id: None,
        project_id,
        token: sealed(),
        signing_token: sealed(),
        signed: false,
        previous: Vec::new(),
        mark: None,
    }
}

/// A link of a site.
pub(crate) fn link(site: SiteId) -> Subscription {
    Subscription {
        id: SubscriptionId::generate(),
        site,
        instance: "https://gitlab.example.com".to_owned(),
        instance_version: "19.1.0".to_owned(),
        group_id: 1,
        group_path: "acme".to_owned(),
        state: SubscriptionState::Pending,
        hook: hook(None),
        credential: None,
        project_keys: Vec::new(),
        attention: None,
        hooks: None,
        upkeep: None,
        created_at: Timestamp(0),
        linked_by: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_is_there_until_all_that_belongs_to_it_is_gone() {
    let mut calls = 0;
    loop {
        let (store, faults, _) = Faults::store().await;
        let link = link(SiteId::generate());
        store.create_subscription(&link).await.expect("stored");
        for project in 0..HOOKS {
            store.put_project_hook(link.id, project, &hook(Some(project))).await.expect("stored");
        }
        store.mark_missed(link.id, Timestamp(1)).await.expect("counted");
        faults.plan("BatchWriteItem", vec![Fault::Pass; calls], Fault::throttled());
        let is_cut_off = store.delete_subscription(&link).await.is_err();
        faults.end();
        if is_cut_off {
            let is_there = store.subscription(link.id).await.expect("read").is_some();
            assert!(is_there, "cut off after {calls} calls");
            assert_eq!(store.subscriptions(link.site).await.expect("read").len(), 1);
            store.delete_subscription(&link).await.expect("removed");
        }
        assert!(store.subscription(link.id).await.expect("read").is_none());
        assert!(store.subscriptions(link.site).await.expect("read").is_empty());
        assert!(store.project_hooks(link.id).await.expect("read").is_empty());
        assert!(store.missed(link.id).await.expect("read").is_none());
        if !is_cut_off {
            break;
        }
        calls += 1;
    }
    assert_eq!(calls, 7, "three for the hooks, one for history, two for what was counted, one for the link");
}

#[tokio::test(start_paused = true)]
async fn a_site_is_there_until_nothing_leads_to_it() {
    let (store, faults, _) = Faults::store().await;
    let (site, installation) = site();
    store.create_site(&site, &installation).await.expect("stored");
    for done in [0, 1, 2] {
        // The first batch in part, and no more of it.
        faults.plan("BatchWriteItem", [Fault::Undone { done }], Fault::throttled());
        assert!(store.delete_site(&site).await.is_err());
        faults.end();
        assert!(store.site(site.id).await.expect("read").is_some());
        assert_eq!(store.sites().await.expect("read").len(), 1);
    }
    store.delete_site(&site).await.expect("removed");
    assert!(store.sites().await.expect("read").is_empty());
    assert!(store.client_key_pointer("key").await.expect("read").is_none());
    // Nothing of it prevents another one of the same name.
    let (again, installation) = super::site();
    store.create_site(&again, &installation).await.expect("stored");
}
