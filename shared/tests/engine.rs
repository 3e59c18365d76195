//! Tests of the embedded DynamoDB engine: reached through the SDK without a socket, exact under concurrent
//! conditional writes, and true to what it acknowledged after `kill -9`.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, DeleteRequest, Get,
    GlobalSecondaryIndex, KeySchemaElement, KeyType, KeysAndAttributes, Projection, ProjectionType, Put,
    PutRequest, ReturnValue, ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus, TransactGetItem, TransactWriteItem, WriteRequest,
};
use shared::store::embedded::EmbeddedEngine;

const TABLE: &str = "gitlab-jira";

/// Enough that a child is killed before, within and after a commit; few enough for every run of the suite.
const KILLS: u32 = 25;

/// Names the engine's file for the child that is to be killed.
const CHILD: &str = "ENGINE_TEST_CHILD";

type Item = HashMap<String, AttributeValue>;

fn s(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn n(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn key(pk: &str, sk: &str) -> Item {
    HashMap::from([("pk".to_owned(), s(pk)), ("sk".to_owned(), s(sk))])
}

fn attribute(name: &str) -> AttributeDefinition {
    let definition =
        AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
    definition.build().unwrap()
}

fn key_part(name: &str, key_type: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(key_type).build().unwrap()
}

async fn create_table(client: &Client) {
    let index = GlobalSecondaryIndex::builder()
        .index_name("gsi")
        .key_schema(key_part("gsi", KeyType::Hash))
        .projection(Projection::builder().projection_type(ProjectionType::All).build());
    client
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(vec![attribute("pk"), attribute("sk"), attribute("gsi")]))
        .set_key_schema(Some(vec![key_part("pk", KeyType::Hash), key_part("sk", KeyType::Range)]))
        .global_secondary_indexes(index.build().unwrap())
        .send()
        .await
        .unwrap();
}

async fn memory() -> (EmbeddedEngine, Client) {
    let engine = EmbeddedEngine::memory().unwrap();
    let client = engine.client();
    create_table(&client).await;
    (engine, client)
}

async fn put(client: &Client, pk: &str, sk: &str, count: i64) {
    let put = client.put_item().table_name(TABLE).set_item(Some(key(pk, sk)));
    put.item("count", n(count)).send().await.unwrap();
}

async fn count(client: &Client, pk: &str, sk: &str) -> Option<i64> {
    let get = client.get_item().table_name(TABLE).set_key(Some(key(pk, sk))).consistent_read(true);
    let item = get.send().await.unwrap().item?;
    item["count"].as_n().unwrap().parse().ok()
}

#[tokio::test]
async fn tables_are_made_once_and_described() {
    let (_engine, client) = memory().await;
    let table = client.describe_table().table_name(TABLE).send().await.unwrap().table.unwrap();
    assert_eq!(table.table_status, Some(TableStatus::Active));
    assert_eq!(table.global_secondary_indexes().len(), 1);

    let missing = client.describe_table().table_name("nothing").send().await.unwrap_err();
    assert!(missing.into_service_error().is_resource_not_found_exception());
}

#[tokio::test]
async fn items_are_put_got_updated_and_deleted() {
    let (_engine, client) = memory().await;
    put(&client, "site", "a", 1).await;
    let update = client.update_item().table_name(TABLE).set_key(Some(key("site", "a")));
    let updated = update
        .update_expression("ADD #c :one SET picture = :picture, tags = :tags, nested = :nested")
        .expression_attribute_names("#c", "count")
        .expression_attribute_values(":one", n(1))
        .expression_attribute_values(":picture", AttributeValue::B(vec![0, 255, 7].into()))
        .expression_attribute_values(":tags", AttributeValue::Ss(vec!["x".into(), "y".into()]))
        .expression_attribute_values(
            ":nested",
            AttributeValue::M(HashMap::from([("b".into(), AttributeValue::Bool(true))])),
        )
        .return_values(ReturnValue::AllNew)
        .send()
        .await
        .unwrap();
    let got = client
        .get_item()
        .table_name(TABLE)
        .set_key(Some(key("site", "a")))
        .send()
        .await
        .unwrap()
        .item
        .unwrap();
    assert_eq!(got, updated.attributes.unwrap());
    assert_eq!(
        (got["count"].as_n().unwrap().as_str(), got["picture"].as_b().unwrap().as_ref()),
        ("2", &[0, 255, 7][..])
    );

    let delete = client.delete_item().table_name(TABLE).set_key(Some(key("site", "a")));
    let deleted = delete.return_values(ReturnValue::AllOld).send().await.unwrap();
    assert_eq!(deleted.attributes, Some(got));
    assert_eq!(count(&client, "site", "a").await, None);
}

#[tokio::test]
async fn queries_and_scans_page_in_key_order() {
    let (_engine, client) = memory().await;
    for number in 0..5 {
        put(&client, "site", &format!("task#{number}"), number).await;
    }
    put(&client, "other", "task#9", 9).await;
    let query = client
        .query()
        .table_name(TABLE)
        .key_condition_expression("pk = :pk AND begins_with(sk, :task)")
        .expression_attribute_values(":pk", s("site"))
        .expression_attribute_values(":task", s("task#"))
        .limit(2);
    let pages: Vec<_> = query.into_paginator().items().send().collect::<Result<_, _>>().await.unwrap();
    let keys: Vec<_> = pages.iter().map(|item| item["sk"].as_s().unwrap().as_str()).collect();
    assert_eq!(keys, ["task#0", "task#1", "task#2", "task#3", "task#4"]);

    let scan = client.scan().table_name(TABLE).filter_expression("#c >= :three").limit(2);
    let scan = scan.expression_attribute_names("#c", "count").expression_attribute_values(":three", n(3));
    let found: Vec<_> = scan.into_paginator().items().send().collect::<Result<_, _>>().await.unwrap();
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn an_index_finds_an_item_by_its_other_key() {
    let (_engine, client) = memory().await;
    let put = client.put_item().table_name(TABLE).set_item(Some(key("site", "a"))).item("gsi", s("cloud"));
    put.send().await.unwrap();
    let query = client.query().table_name(TABLE).index_name("gsi").key_condition_expression("gsi = :cloud");
    let found = query.expression_attribute_values(":cloud", s("cloud")).send().await.unwrap();
    assert_eq!(found.items()[0]["sk"], s("a"));
}

#[tokio::test]
async fn batches_write_and_read_many_items() {
    let (_engine, client) = memory().await;
    put(&client, "site", "old", 0).await;
    let mut writes: Vec<_> = (0..24)
        .map(|number| {
            PutRequest::builder().set_item(Some(key("site", &format!("{number:02}")))).build().unwrap()
        })
        .map(|put| WriteRequest::builder().put_request(put).build())
        .collect();
    let delete = DeleteRequest::builder().set_key(Some(key("site", "old"))).build().unwrap();
    writes.push(WriteRequest::builder().delete_request(delete).build());
    let written = client.batch_write_item().request_items(TABLE, writes).send().await.unwrap();
    assert!(written.unprocessed_items().is_none_or(HashMap::is_empty));

    let keys =
        KeysAndAttributes::builder().keys(key("site", "00")).keys(key("site", "23")).keys(key("site", "old"));
    let read = client.batch_get_item().request_items(TABLE, keys.build().unwrap()).send().await.unwrap();
    assert_eq!(read.responses.unwrap()[TABLE].len(), 2);
}

#[tokio::test]
async fn a_failed_condition_changes_nothing_and_returns_the_item() {
    let (_engine, client) = memory().await;
    put(&client, "site", "a", 7).await;
    let put = client.put_item().table_name(TABLE).set_item(Some(key("site", "a")));
    let refused = put
        .condition_expression("attribute_not_exists(pk)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await
        .unwrap_err();
    let error = refused.into_service_error();
    assert!(error.is_conditional_check_failed_exception());
    let PutItemError::ConditionalCheckFailedException(failed) = error else {
        panic!("{error:?}");
    };
    assert_eq!(failed.item.unwrap()["count"], n(7));
    assert_eq!(count(&client, "site", "a").await, Some(7));
}

fn put_if_absent(sk: &str) -> TransactWriteItem {
    let put = Put::builder().table_name(TABLE).set_item(Some(key("site", sk)));
    let put = put.condition_expression("attribute_not_exists(pk)").build().unwrap();
    TransactWriteItem::builder().put(put).build()
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing_and_says_which_condition_failed() {
    let (_engine, client) = memory().await;
    put(&client, "site", "taken", 1).await;
    let writes = vec![put_if_absent("free"), put_if_absent("taken")];
    let refused = client.transact_write_items().set_transact_items(Some(writes)).send().await.unwrap_err();
    let error = refused.into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        panic!("{error:?}");
    };
    let codes: Vec<_> =
        canceled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default()).collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed"]);

    let check = ConditionCheck::builder().table_name(TABLE).set_key(Some(key("site", "taken")));
    let check = check.condition_expression("attribute_exists(pk)").build().unwrap();
    let writes = vec![put_if_absent("free"), TransactWriteItem::builder().condition_check(check).build()];
    client.transact_write_items().set_transact_items(Some(writes)).send().await.unwrap();

    let gets = ["free", "taken", "missing"]
        .map(|sk| Get::builder().table_name(TABLE).set_key(Some(key("site", sk))));
    let gets = gets.map(|get| TransactGetItem::builder().get(get.build().unwrap()).build());
    let read = client.transact_get_items().set_transact_items(Some(gets.into())).send().await.unwrap();
    let found: Vec<_> = read
        .responses()
        .iter()
        .map(|response| response.item().is_some_and(|item| !item.is_empty()))
        .collect();
    assert_eq!(found, [true, true, false]);
}

#[tokio::test]
async fn a_repeated_transaction_token_is_applied_once() {
    let (_engine, client) = memory().await;
    for _ in 0..2 {
        let transaction = client.transact_write_items().client_request_token("once");
        transaction.transact_items(put_if_absent("a")).send().await.unwrap();
    }
}

#[tokio::test]
async fn expired_items_go_with_the_sweep() {
    let (engine, client) = memory().await;
    let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name("ttl").build().unwrap();
    client.update_time_to_live().table_name(TABLE).time_to_live_specification(ttl).send().await.unwrap();
    let described = client.describe_time_to_live().table_name(TABLE).send().await.unwrap();
    let status = described.time_to_live_description.unwrap().time_to_live_status;
    assert_eq!(status, Some(TimeToLiveStatus::Enabled));

    // DynamoDB leaves an item alone whose time to live lies more than five years back, so "expired" is an hour ago.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for (sk, ttl) in [("gone", now - 3600), ("kept", now + 3600)] {
        let put = client.put_item().table_name(TABLE).set_item(Some(key("site", sk)));
        put.item("ttl", n(ttl)).item("count", n(1)).send().await.unwrap();
    }
    assert_eq!(engine.sweep_ttl().unwrap(), 1);
    assert_eq!((count(&client, "site", "gone").await, count(&client, "site", "kept").await), (None, Some(1)));
}

#[tokio::test]
async fn refusals_have_the_service_s_codes() {
    let (_engine, client) = memory().await;
    let get = client.get_item().table_name("nothing").set_key(Some(key("site", "a")));
    assert!(get.send().await.unwrap_err().into_service_error().is_resource_not_found_exception());

    let half_a_key = client.get_item().table_name(TABLE).key("pk", s("site")).send().await.unwrap_err();
    assert_eq!(half_a_key.code(), Some("ValidationException"));

    let put = client.put_item().table_name(TABLE).set_item(Some(key("site", "a")));
    let empty_set = put.item("tags", AttributeValue::Ss(vec![])).send().await.unwrap_err();
    assert_eq!(empty_set.code(), Some("ValidationException"));
    assert!(!empty_set.message().unwrap().contains("VALIDATION"), "{:?}", empty_set.message());

    let update =
        client.update_item().table_name(TABLE).set_key(Some(key("site", "a"))).update_expression("NOT AN");
    assert_eq!(update.send().await.unwrap_err().code(), Some("ValidationException"));

    let tables = client.list_tables().send().await.unwrap_err();
    assert_eq!(tables.code(), Some("UnknownOperationException"));
}

/// A client of a file, on a multi-threaded runtime, as the local process has it.
async fn file(path: &Path) -> Client {
    let client = EmbeddedEngine::open(path).unwrap().client();
    create_table(&client).await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_put_if_absent_exactly_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let client = file(&folder.path().join("store.db")).await;
    for round in 0..20 {
        let sk = format!("lock#{round}");
        let contenders = (0..16).map(|_| {
            let put = client.put_item().table_name(TABLE).set_item(Some(key("site", &sk)));
            tokio::spawn(put.condition_expression("attribute_not_exists(pk)").send())
        });
        let mut winners = 0;
        for contender in contenders.collect::<Vec<_>>() {
            match contender.await.unwrap() {
                Ok(_) => winners += 1,
                Err(error) => assert!(error.into_service_error().is_conditional_check_failed_exception()),
            }
        }
        assert_eq!(winners, 1, "round {round}");
    }
}

/// Reads, adds one and writes back if nobody else has meanwhile; answers how often it had to start over.
async fn increment(client: &Client) -> u32 {
    let mut collisions = 0;
    loop {
        let seen = count(client, "site", "counter").await.unwrap();
        let update = client
            .update_item()
            .table_name(TABLE)
            .set_key(Some(key("site", "counter")))
            .update_expression("SET #c = :next")
            .condition_expression("#c = :seen")
            .expression_attribute_names("#c", "count")
            .expression_attribute_values(":next", n(seen + 1))
            .expression_attribute_values(":seen", n(seen));
        match update.send().await {
            Ok(_) => return collisions,
            Err(error) => assert!(error.into_service_error().is_conditional_check_failed_exception()),
        }
        collisions += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_optimistic_increment_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let client = file(&folder.path().join("store.db")).await;
    put(&client, "site", "counter", 0).await;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut collisions = 0;
                for _ in 0..10 {
                    collisions += increment(&client).await;
                }
                collisions
            })
        })
        .collect();
    let mut collisions = 0;
    for task in tasks {
        collisions += task.await.unwrap();
    }
    assert_eq!(count(&client, "site", "counter").await, Some(160));
    assert!(collisions > 0, "the tasks never met, so nothing was proven");
}

#[test]
fn a_file_that_is_not_a_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(
        &path,
        "nothing that SQLite knows, and long enough to be looked at as a header of one hundred bytes or more",
    )
    .unwrap();
    let error = EmbeddedEngine::open(&path).unwrap_err();
    assert!(error.to_string().contains("store.db"), "{error}");
}

/// Not a test of its own: what `acknowledged_writes_survive_kill_9` runs and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let client = EmbeddedEngine::open(Path::new(&path)).unwrap().client();
    let run = std::process::id();
    for number in 0_u64.. {
        let pair = [
            key(&format!("run#{run}"), &number.to_string()),
            key(&format!("twin#{run}"), &number.to_string()),
        ];
        let puts = pair.map(|item| Put::builder().table_name(TABLE).set_item(Some(item)).build().unwrap());
        let puts = puts.map(|put| TransactWriteItem::builder().put(put).build());
        client.transact_write_items().set_transact_items(Some(puts.into())).send().await.unwrap();
        println!("\nACK {run} {number}");
    }
}

/// The acknowledged writes of a child that was killed `after` it acknowledged its first.
fn run_and_kill(path: &Path, after: Duration) -> Vec<(String, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_that_writes_until_it_is_killed", "--exact", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut kill_at = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some(write) = line.strip_prefix("ACK ").and_then(|write| write.split_once(' ')) else {
            continue;
        };
        acknowledged.push((write.0.to_owned(), write.1.to_owned()));
        if Instant::now() >= *kill_at.get_or_insert_with(|| Instant::now() + after) {
            // SIGKILL; what the child has printed until then is still read from the pipe.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    acknowledged
}

/// What the file holds under partition keys that begin with `prefix`, without it.
async fn stored(client: &Client, prefix: &str) -> HashSet<(String, String)> {
    let scan = client.scan().table_name(TABLE).consistent_read(true).into_paginator().items().send();
    let items: Vec<Item> = scan.collect::<Result<_, _>>().await.unwrap();
    let keys = items.iter().map(|item| (item["pk"].as_s().unwrap(), item["sk"].as_s().unwrap()));
    keys.filter_map(|(pk, sk)| Some((pk.strip_prefix(prefix)?.to_owned(), sk.clone()))).collect()
}

#[tokio::test]
async fn acknowledged_writes_survive_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(file(&path).await);
    let mut acknowledged = HashSet::new();
    for round in 0..KILLS {
        // Unequal steps of up to 0.2 s, so that no two children die at the same point.
        let after = Duration::from_micros(u64::from(round * 7919 % KILLS) * 8_000 + u64::from(round * 137));
        let written = run_and_kill(&path, after);
        assert!(!written.is_empty(), "round {round} acknowledged nothing");
        acknowledged.extend(written);

        let client = EmbeddedEngine::open(&path).unwrap().client();
        let found = stored(&client, "run#").await;
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "round {round} lost {lost:?}");
        assert_eq!(found, stored(&client, "twin#").await, "round {round} tore a transaction apart");
    }
    eprintln!("{KILLS} kills, {} acknowledged writes, none lost", acknowledged.len());
}
