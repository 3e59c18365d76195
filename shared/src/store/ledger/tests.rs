use super::*;
use crate::store::faulty::{Fault, Faults};

fn entity(kind: EntityKind, id: &str) -> EntityKey {
    EntityKey { kind, project: "7".to_owned(), id: id.to_owned() }
}

fn upsert(number: i64) -> LedgerEntry {
    LedgerEntry {
        number,
        known_at: None,
        changed_at: None,
        rank: 1,
        deleted_head: None,
        reserved: None,
        branch: None,
        branch_name: None,
        as_history: false,
    }
}

fn tombstone(number: i64) -> LedgerEntry {
    LedgerEntry {
        number,
        known_at: None,
        changed_at: None,
        rank: 0,
        deleted_head: Some("c0ffee".to_owned()),
        reserved: None,
        branch: None,
        branch_name: None,
        as_history: false,
    }
}

async fn entry(store: &Store, site: SiteId, entity: &EntityKey) -> Option<LedgerEntry> {
    store.ledger(site, [entity]).await.expect("read").remove(entity)
}

fn orders(entries: &[LedgerEntry; 3]) -> [Vec<LedgerEntry>; 6] {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    orders.map(|order| order.map(|index| entries[index].clone()).to_vec())
}

#[tokio::test]
async fn the_highest_number_stays_in_any_order() {
    let site = SiteId::generate();
    for versions in [
        [upsert(10), upsert(20), upsert(30)],
        // A branch that was deleted, and created again.
        [upsert(10), tombstone(20), upsert(30)],
        [upsert(10), upsert(20), tombstone(30)],
        [tombstone(9), upsert(100), tombstone(101)],
    ] {
        for order in orders(&versions) {
            let (store, _, _) = Faults::store().await;
            let branch = entity(EntityKind::Branch, "b");
            for version in &order {
                store.record_sent(site, vec![(branch.clone(), version.clone())]).await.expect("recorded");
            }
            assert_eq!(entry(&store, site, &branch).await.as_ref(), versions.last(), "{order:?}");
        }
    }
}

#[tokio::test]
async fn the_first_of_two_with_one_number_stays() {
    let (site, branch) = (SiteId::generate(), entity(EntityKind::Branch, "b"));
    let (store, _, _) = Faults::store().await;
    for version in [tombstone(10), upsert(10)] {
        store.record_sent(site, vec![(branch.clone(), version)]).await.expect("recorded");
    }
    assert_eq!(entry(&store, site, &branch).await, Some(tombstone(10)));
}

/// Two workers, each with its own half of the highest numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_workers_leave_the_highest_number() {
    const ENTITIES: usize = 40;
    let (store, faults, _) = Faults::store().await;
    faults.next("PutItem", []);
    let site = SiteId::generate();
    let version = |worker: usize, index: usize, round: usize| {
        let number = i64::try_from(10 * round + (worker + index) % 2).expect("small");
        if (worker + index + round).is_multiple_of(3) { tombstone(number) } else { upsert(number) }
    };
    let workers = [0, 1].map(|worker| {
        let store = store.clone();
        tokio::spawn(async move {
            // One of them goes forwards, the other one backwards.
            let rounds: Vec<usize> = if worker == 0 { (0..8).collect() } else { (0..8).rev().collect() };
            for round in rounds {
                let entries = (0..ENTITIES).map(|index| {
                    (entity(EntityKind::Branch, &index.to_string()), version(worker, index, round))
                });
                store.record_sent(site, entries.collect()).await.expect("recorded");
            }
        })
    });
    for worker in workers {
        worker.await.expect("no panic");
    }
    let entities: Vec<EntityKey> =
        (0..ENTITIES).map(|index| entity(EntityKind::Branch, &index.to_string())).collect();
    let ledger = store.ledger(site, &entities).await.expect("read");
    for (index, entity) in entities.iter().enumerate() {
        let highest = [0, 1].map(|worker| version(worker, index, 7));
        let highest = highest.into_iter().max_by_key(|version| version.number);
        assert_eq!(ledger.get(entity), highest.as_ref(), "{index}");
    }
    let (calls, at_once) = faults.calls("PutItem");
    assert_eq!(calls, 2 * 8 * ENTITIES);
    assert!((2..=2 * WRITES).contains(&at_once), "{at_once}");
}

#[tokio::test]
async fn entries_live_as_long_as_they_are_needed() {
    let day = Duration::from_secs(24 * 3600);
    let site = SiteId::generate();
    let cases = [
        ("commit", EntityKind::Commit, upsert(10), Some(90)),
        ("branch", EntityKind::Branch, upsert(10), None),
        ("gone", EntityKind::Branch, tombstone(10), Some(14)),
    ];
    for (id, kind, version, days) in cases {
        let (store, _, clock) = Faults::store().await;
        let entity = entity(kind, id);
        store.record_sent(site, vec![(entity.clone(), version)]).await.expect("recorded");
        let Some(days) = days else {
            clock.advance(day * 5000);
            assert!(entry(&store, site, &entity).await.is_some(), "{id}");
            continue;
        };
        clock.advance(day * days);
        assert!(entry(&store, site, &entity).await.is_some(), "{id}");
        clock.advance(Duration::from_secs(1));
        assert!(entry(&store, site, &entity).await.is_none(), "{id}");
        // What has expired blocks nothing, whether or not DynamoDB has removed it.
        store.record_sent(site, vec![(entity.clone(), upsert(3))]).await.expect("recorded");
        assert_eq!(entry(&store, site, &entity).await, Some(upsert(3)), "{id}");
    }
}

#[tokio::test]
async fn a_branch_that_was_made_anew_does_not_expire_with_its_tombstone() {
    let (site, branch) = (SiteId::generate(), entity(EntityKind::Branch, "b"));
    let (store, _, clock) = Faults::store().await;
    for version in [tombstone(10), upsert(20)] {
        store.record_sent(site, vec![(branch.clone(), version)]).await.expect("recorded");
    }
    clock.advance(TOMBSTONE_LIFETIME * 2);
    assert_eq!(entry(&store, site, &branch).await, Some(upsert(20)));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_reported_and_a_repetition_completes() {
    let site = SiteId::generate();
    let (store, faults, _) = Faults::store().await;
    let entries: Vec<_> =
        (0..50).map(|index| (entity(EntityKind::Commit, &index.to_string()), upsert(index))).collect();
    faults.plan("PutItem", vec![Fault::Pass; 20], Fault::throttled());
    let ended = store.record_sent(site, entries.clone()).await;
    assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{ended:?}");
    faults.next("PutItem", vec![Fault::AnswerLost; 10]);
    store.record_sent(site, entries.clone()).await.expect("recorded");
    assert!(faults.calls("PutItem").1 <= WRITES);
    let ledger = store.ledger(site, entries.iter().map(|(entity, _)| entity)).await.expect("read");
    assert_eq!(ledger, entries.into_iter().collect());
}
