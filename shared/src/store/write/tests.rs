use tokio::time::Instant;

use super::*;
use crate::clock::Timestamp;
use crate::domain::{SiteId, SubscriptionId};
use crate::store::faulty::{CALL_TIMEOUT, Fault, Faults};
use crate::store::tests::site;

/// The longest that a write is tried: the pauses of all rounds.
const ALL_PAUSES: Duration = Duration::from_millis(2540);

/// Whether a site is stored: all of it or nothing.
async fn is_stored(store: &Store, id: SiteId) -> bool {
    let found = [
        store.site(id).await.expect("read").is_some(),
        !store.sites().await.expect("read").is_empty(),
        !store.installations(id).await.expect("read").is_empty(),
        store.client_key_pointer("key").await.expect("read").is_some(),
        store.site_by_cloud_id("cloud").await.expect("read").is_some(),
    ];
    assert!(found == [found[0]; 5], "{found:?}");
    found[0]
}

#[tokio::test(start_paused = true)]
async fn a_contended_transaction_is_retried() {
    for reasons in [
        &["None", "TransactionConflict", "None"][..],
        &["ThrottlingError"],
        &["None", "ProvisionedThroughputExceeded", "TransactionConflict"],
    ] {
        let (store, faults, _) = Faults::store().await;
        faults.next("TransactWriteItems", vec![Fault::cancelled(reasons); 5]);
        let (site, installation) = site();
        store.create_site(&site, &installation).await.expect("stored");
        assert_eq!(faults.calls("TransactWriteItems").0, 6, "{reasons:?}");
        assert!(is_stored(&store, site.id).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_stays_contended_is_an_outage_and_no_conflict() {
    for reason in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
        let (store, faults, _) = Faults::store().await;
        faults.plan("TransactWriteItems", [], Fault::cancelled(&["None", reason]));
        let (site, installation) = site();
        let begun = Instant::now();
        let ended = store.create_site(&site, &installation).await;
        assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{reason}: {ended:?}");
        assert!(begun.elapsed() <= ALL_PAUSES + CALL_TIMEOUT, "{:?}", begun.elapsed());
        assert_eq!(faults.calls("TransactWriteItems").0, 8);
        assert!(!is_stored(&store, site.id).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_does_not_hold_is_a_conflict_whatever_else_is_wrong() {
    for reasons in [
        &["ConditionalCheckFailed"][..],
        &["None", "ConditionalCheckFailed"],
        &["TransactionConflict", "ConditionalCheckFailed"],
        &["ConditionalCheckFailed", "ThrottlingError"],
    ] {
        let (store, faults, _) = Faults::store().await;
        faults.next("TransactWriteItems", [Fault::cancelled(reasons)]);
        let (site, installation) = site();
        let ended = store.create_site(&site, &installation).await;
        assert!(matches!(ended, Err(StoreError::Conflict)), "{reasons:?}: {ended:?}");
        assert_eq!(faults.calls("TransactWriteItems").0, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_transaction_can_never_do_is_not_repeated() {
    for reason in ["ValidationError", "ItemCollectionSizeLimitExceeded"] {
        let (store, faults, _) = Faults::store().await;
        faults.next("TransactWriteItems", [Fault::cancelled(&[reason])]);
        let (site, installation) = site();
        let ended = store.create_site(&site, &installation).await;
        assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{reason}: {ended:?}");
        assert_eq!(faults.calls("TransactWriteItems").0, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_for_the_transaction_that_holds_its_item() {
    let (store, faults, _) = Faults::store().await;
    let key = Key::new("p", "a");
    faults.next("PutItem", vec![Fault::transaction_conflict(); 5]);
    store.put(&key, &1_u64, When::Absent, None).await.expect("written");
    faults.next("UpdateItem", vec![Fault::transaction_conflict(); 5]);
    let link = SubscriptionId::generate();
    store.mark_missed(link, Timestamp(1)).await.expect("counted");
    assert_eq!(store.missed(link).await.expect("read").map(|missed| missed.deliveries), Some(1));

    faults.plan("PutItem", [], Fault::transaction_conflict());
    let begun = Instant::now();
    let ended = store.put(&key, &2_u64, When::Always, None).await;
    assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{ended:?}");
    assert!(begun.elapsed() <= ALL_PAUSES, "{:?}", begun.elapsed());
    assert_eq!(store.get::<u64>(&key).await.expect("read").map(|stored| stored.value), Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_update_starts_over_after_a_conflict() {
    let (store, faults, _) = Faults::store().await;
    let key = Key::new("p", "a");
    store.put(&key, &1_u64, When::Always, None).await.expect("written");
    faults.next("PutItem", vec![Fault::condition_failed(); 7]);
    assert_eq!(store.update(&key, |value: &mut u64| *value += 1).await.expect("changed"), Some(2));
    faults.plan("PutItem", [], Fault::condition_failed());
    let ended = store.update(&key, |value: &mut u64| *value += 1).await;
    assert!(matches!(ended, Err(StoreError::Conflict)), "{ended:?}");
    assert_eq!(faults.calls("PutItem").0, 8);
    faults.end();

    let add = async || store.update(&key, |value: &mut u64| *value += 1).await.expect("changed");
    tokio::join!(add(), add(), add(), add());
    assert_eq!(store.get::<u64>(&key).await.expect("read").map(|stored| stored.value), Some(6));
}

/// The SDK repeats a call whose answer was lost, and DynamoDB finds it done.
#[tokio::test(start_paused = true)]
async fn a_repeated_write_does_not_conflict_with_itself() {
    for times in 1..=2 {
        let (store, faults, clock) = Faults::store().await;
        faults.next("PutItem", vec![Fault::AnswerLost; times]);
        let expires_at = Timestamp(crate::clock::Clock::now(&*clock).0 + 60_000);
        assert!(store.use_token("token", expires_at).await.expect("used"));
        assert!(!store.use_token("token", expires_at).await.expect("read"), "a replay is one all the same");
        faults.next("TransactWriteItems", vec![Fault::AnswerLost; times]);
        let (site, installation) = site();
        store.create_site(&site, &installation).await.expect("stored");
        assert_eq!(faults.calls("TransactWriteItems").0, times + 1);
        assert!(is_stored(&store, site.id).await);
        faults.next("PutItem", vec![Fault::AnswerLost; times]);
        assert!(store.claim_cloud_id(site.id, "other").await.expect("claimed"));
    }
}
