use tokio::time::Instant;

use super::*;
use crate::store::faulty::{CALL_TIMEOUT, Fault, Faults};

/// The pauses of all rounds.
const ALL_PAUSES: Duration = Duration::from_millis(2540);

fn items(count: u64) -> Vec<(Key, u64, Option<Duration>)> {
    (0..count).map(|value| (Key::new("p", format!("{value:03}")), value, None)).collect()
}

fn keys(count: u64) -> Vec<Key> {
    items(count).into_iter().map(|(key, ..)| key).collect()
}

async fn stored(store: &Store) -> Vec<u64> {
    store.query("p", "").await.expect("items")
}

/// Of every batch nothing, one item, some, all but one.
fn undone() -> [Fault; 6] {
    [0, 1, 0, 7, 3, 24].map(|done| Fault::Undone { done })
}

#[tokio::test(start_paused = true)]
async fn what_was_left_undone_is_written_in_the_end() {
    let (store, faults, _) = Faults::store().await;
    faults.next("BatchWriteItem", undone());
    store.put_many(items(60)).await.expect("written");
    assert_eq!(stored(&store).await, (0..60).collect::<Vec<u64>>());
    assert!(faults.calls("BatchWriteItem").0 > 6);
    faults.next("BatchWriteItem", undone());
    store.delete_many(&keys(59)).await.expect("deleted");
    assert_eq!(stored(&store).await, [59]);
}

#[tokio::test(start_paused = true)]
async fn what_was_left_undone_is_read_in_the_end() {
    let (store, faults, _) = Faults::store().await;
    store.put_many(items(230)).await.expect("written");
    faults.next("BatchGetItem", undone());
    let found = store.get_many::<u64>(&keys(240)).await.expect("read");
    assert_eq!(found, items(230).into_iter().map(|(key, value, _)| (key, value)).collect());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_stays_undone_is_an_outage() {
    let (store, faults, _) = Faults::store().await;
    let begun = Instant::now();
    faults.plan("BatchWriteItem", [], Fault::Undone { done: 0 });
    let ended = store.put_many(items(3)).await;
    assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{ended:?}");
    faults.plan("BatchGetItem", [], Fault::Undone { done: 0 });
    let ended = store.get_many::<u64>(&keys(3)).await;
    assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{ended:?}");
    assert!(begun.elapsed() <= 2 * ALL_PAUSES, "{:?}", begun.elapsed());
    assert_eq!((faults.calls("BatchWriteItem").0, faults.calls("BatchGetItem").0), (8, 8));
}

#[tokio::test(start_paused = true)]
async fn of_several_batches_the_later_ones_may_be_missing() {
    let (store, faults, _) = Faults::store().await;
    let begun = Instant::now();
    faults.plan("BatchWriteItem", [Fault::Pass, Fault::Undone { done: 5 }], Fault::throttled());
    let ended = store.put_many(items(60)).await;
    assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{ended:?}");
    assert!(begun.elapsed() <= CALL_TIMEOUT, "{:?}", begun.elapsed());
    assert_eq!(stored(&store).await, (0..30).collect::<Vec<u64>>());
    // Once more is enough.
    faults.end();
    store.put_many(items(60)).await.expect("written");
    assert_eq!(stored(&store).await.len(), 60);
}
