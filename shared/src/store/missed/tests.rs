use super::*;
use crate::store::faulty::{Fault, Faults};

#[tokio::test]
async fn deliveries_are_counted_from_the_first_to_the_last() {
    let (store, _, _) = Faults::store().await;
    let (link, other) = (SubscriptionId::generate(), SubscriptionId::generate());
    assert_eq!(store.missed(link).await.expect("read"), None);
    for at in [100, 200, 300] {
        store.mark_missed(link, Timestamp(at)).await.expect("counted");
    }
    let missed = Missed { since: Timestamp(100), last: Timestamp(300), deliveries: 3 };
    assert_eq!(store.missed(link).await.expect("read"), Some(missed));
    assert_eq!(store.missed(other).await.expect("read"), None);
    store.clear_missed(link).await.expect("cleared");
    assert_eq!(store.missed(link).await.expect("read"), None);
    store.mark_missed(link, Timestamp(400)).await.expect("counted");
    let missed = Missed { since: Timestamp(400), last: Timestamp(400), deliveries: 1 };
    assert_eq!(store.missed(link).await.expect("read"), Some(missed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_counts_are_all_kept() {
    let (store, faults, _) = Faults::store().await;
    faults.next("UpdateItem", []);
    faults.next("GetItem", []);
    let link = SubscriptionId::generate();
    let marks = (1..=40).map(|at| {
        let store = store.clone();
        tokio::spawn(async move { store.mark_missed(link, Timestamp(at)).await.expect("counted") })
    });
    for mark in Vec::from_iter(marks) {
        mark.await.expect("no panic");
    }
    assert_eq!((faults.calls("UpdateItem").0, faults.calls("GetItem").0), (40, 0), "one write each");
    assert_eq!(store.missed(link).await.expect("read").expect("missed").deliveries, 40);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_counts_once_or_twice() {
    let (store, faults, _) = Faults::store().await;
    let link = SubscriptionId::generate();
    faults.next("UpdateItem", [Fault::AnswerLost]);
    store.mark_missed(link, Timestamp(1)).await.expect("counted");
    assert_eq!(store.missed(link).await.expect("read").expect("missed").deliveries, 2);
}
