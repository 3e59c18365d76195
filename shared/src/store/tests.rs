//! Every kind of access while DynamoDB or the network fails.

pub(crate) mod removal;

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::faulty::{CALL_TIMEOUT, Fault, Faults};
use super::*;
use crate::clock::Timestamp;
use crate::domain::{Connection, Installation, InstallationId, Site, SubscriptionId};
use crate::envelope::Sealed;

/// A sealed secret that opens nowhere.
pub(super) fn sealed() -> Sealed {
    let json = serde_json::json!({
        "v": 1, "key": "AwMDAw==", "nonce": "AQEBAQEBAQEBAQEB", "data": "AgICAgICAgICAgICAgICAgI=",
    });
    serde_json::from_value(json).expect("sealed")
}

/// A site with its only connection, to be stored.
pub(crate) fn site() -> (Site, Installation) {
    let mut site = Site::new("https://acme.atlassian.net", Timestamp(0));
    site.cloud_id = Some("cloud".to_owned());
    let installation = Installation {
        id: InstallationId::generate(),
        site: site.id,
        connection: Connection::Connect {
            client_key: "key".to_owned(),
            shared_secret: sealed(),
            display_url: None,
        },
        installed_at: Timestamp(0),
    };
    (site, installation)
}

fn key(sk: &str) -> Key {
    Key::new("p", sk)
}

/// What the tests' partition holds.
async fn state(store: &Store) -> BTreeMap<String, u64> {
    let found: Vec<(Key, u64)> = store.query_keyed("p", "").await.expect("items");
    found.into_iter().map(|(key, value)| (key.sk, value)).collect()
}

fn state_of(items: &[(&str, u64)]) -> BTreeMap<String, u64> {
    items.iter().map(|(sk, value)| ((*sk).to_owned(), *value)).collect()
}

const BEFORE: [(&str, u64); 3] = [("a", 1), ("b", 2), ("c", 3)];

async fn bench() -> (Store, Faults) {
    let (store, faults, _) = Faults::store().await;
    for (sk, value) in BEFORE {
        store.put(&key(sk), &value, When::Always, None).await.expect("written");
    }
    (store, faults)
}

/// The kinds of access, with the operations of DynamoDB that each needs.
const ACCESSES: [(Access, &[&str]); 9] = [
    (Access::Get, &["GetItem"]),
    (Access::GetMany, &["BatchGetItem"]),
    (Access::Query, &["Query"]),
    (Access::Put, &["PutItem"]),
    (Access::Update, &["GetItem", "PutItem"]),
    (Access::Transact, &["TransactWriteItems"]),
    (Access::PutMany, &["BatchWriteItem"]),
    (Access::DeleteMany, &["BatchWriteItem"]),
    (Access::Count, &["UpdateItem"]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Get,
    GetMany,
    Query,
    Put,
    Update,
    Transact,
    PutMany,
    DeleteMany,
    Count,
}

impl Access {
    async fn run(self, store: &Store) -> Result<(), StoreError> {
        let (a, b, d) = (key("a"), key("b"), key("d"));
        match self {
            Self::Get => assert_eq!(store.get::<u64>(&a).await?.map(|stored| stored.value), Some(1)),
            Self::GetMany => {
                let found = store.get_many::<u64>(&[a.clone(), b.clone(), d]).await?;
                assert_eq!(found, HashMap::from([(a, 1), (b, 2)]));
            }
            Self::Query => assert_eq!(store.query::<u64>("p", "").await?, [1, 2, 3]),
            Self::Put => store.put(&a, &10_u64, When::Always, None).await?,
            Self::Update => {
                assert_eq!(store.update(&a, |value: &mut u64| *value = 10).await?, Some(10));
            }
            Self::Transact => {
                let puts = [
                    store.put_of(&a, &10_u64, When::Always, None)?,
                    store.put_of(&d, &10_u64, When::Absent, None)?,
                ];
                store.transact(puts.into()).await?;
            }
            Self::PutMany => store.put_many(vec![(a, 10_u64, None), (d, 10, None)]).await?,
            Self::DeleteMany => store.delete_many(&[a, b]).await?,
            Self::Count => store.mark_missed(SubscriptionId::generate(), store.clock.now()).await?,
        }
        Ok(())
    }

    fn state_after(self) -> BTreeMap<String, u64> {
        state_of(match self {
            Self::Get | Self::GetMany | Self::Query | Self::Count => &BEFORE,
            Self::Put | Self::Update => &[("a", 10), ("b", 2), ("c", 3)],
            Self::Transact | Self::PutMany => &[("a", 10), ("b", 2), ("c", 3), ("d", 10)],
            Self::DeleteMany => &[("c", 3)],
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_retried() {
    for (access, operations) in ACCESSES {
        for operation in operations {
            for (fault, times) in Fault::transient() {
                let (store, faults) = bench().await;
                faults.next(operation, vec![fault.clone(); times]);
                let begun = Instant::now();
                access.run(&store).await.unwrap_or_else(|error| panic!("{access:?} {fault:?}: {error:?}"));
                assert!(begun.elapsed() <= CALL_TIMEOUT, "{access:?} {fault:?}: {:?}", begun.elapsed());
                assert!(faults.calls(operation).0 > times, "{access:?} {fault:?}");
                assert_eq!(state(&store).await, access.state_after(), "{access:?} {fault:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lasting_failure_is_reported_in_time_and_nothing_is_half_done() {
    for (access, operations) in ACCESSES {
        for operation in operations {
            for (fault, _) in Fault::transient() {
                let (store, faults) = bench().await;
                faults.plan(operation, [], fault.clone());
                let begun = Instant::now();
                let ended = access.run(&store).await;
                assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{access:?} {fault:?}: {ended:?}");
                assert!(begun.elapsed() <= CALL_TIMEOUT, "{access:?} {fault:?}: {:?}", begun.elapsed());
                faults.end();
                let is_done = matches!(fault, Fault::AnswerLost) && *operation != "GetItem";
                let expected = if is_done { access.state_after() } else { state_of(&BEFORE) };
                assert_eq!(state(&store).await, expected, "{access:?} {fault:?}");
                // And it can be done again.
                if !is_done {
                    access.run(&store).await.expect("done");
                }
            }
        }
    }
}

/// Each of DynamoDB's pages holds at most 1 MiB.
async fn many_pages() -> (Store, Faults) {
    let (store, faults) = bench().await;
    for index in 0..30 {
        let long = "x".repeat(100 * 1024);
        store
            .put(&Key::new("long", format!("{index:02}")), &long, When::Always, None)
            .await
            .expect("written");
    }
    (store, faults)
}

#[tokio::test(start_paused = true)]
async fn a_query_has_all_pages_or_none() {
    let (store, faults) = many_pages().await;
    let read = async || store.query::<String>("long", "").await.map(|found| found.len());
    faults.next("Query", []);
    assert_eq!(read().await.expect("all"), 30);
    let pages = faults.calls("Query").0;
    assert!(pages >= 3, "{pages}");
    for (fault, times) in Fault::transient() {
        let second = vec![fault.clone(); times];
        faults.next("Query", [vec![Fault::Pass], second, vec![Fault::Pass, fault.clone()]].concat());
        assert_eq!(read().await.expect("all"), 30, "{fault:?}");
        assert_eq!(faults.calls("Query").0, pages + times + 1, "{fault:?}");
        faults.plan("Query", [Fault::Pass], fault.clone());
        assert!(matches!(read().await, Err(StoreError::Unavailable(_))), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_not_there() {
    let (store, _, clock) = Faults::store().await;
    store.put(&key("a"), &1_u64, When::Always, Some(Duration::from_secs(60))).await.expect("written");
    clock.advance(Duration::from_secs(60));
    assert_eq!(state(&store).await, state_of(&[("a", 1)]));
    assert!(matches!(store.put(&key("a"), &2_u64, When::Absent, None).await, Err(StoreError::Conflict)));
    clock.advance(Duration::from_secs(1));
    assert!(store.get::<u64>(&key("a")).await.expect("read").is_none());
    assert!(store.get_many::<u64>(&[key("a")]).await.expect("read").is_empty());
    assert!(state(&store).await.is_empty());
    store.put(&key("a"), &2_u64, When::Absent, None).await.expect("written");
}
