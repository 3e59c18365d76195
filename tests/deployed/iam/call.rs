//! What a request to AWS asks for, in IAM's words: actions, each on a resource. Only what the bundle's functions call is
//! known; anything else has no translation, which refuses it.

use std::collections::BTreeMap;

use serde_json::Value;

/// An action on a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Such as `dynamodb:GetItem`.
    pub action: String,
    /// The resource's ARN.
    pub resource: String,
    /// KMS's encryption context; empty for everything else.
    pub context: BTreeMap<String, String>,
    /// The partition keys of DynamoDB's items; empty for everything else.
    pub leading_keys: Vec<String>,
}

impl Call {
    fn new(action: &str, resource: String) -> Self {
        Self { action: action.to_owned(), resource, context: BTreeMap::new(), leading_keys: Vec::new() }
    }

    fn on_items(self, leading_keys: impl IntoIterator<Item = String>) -> Self {
        Self { leading_keys: leading_keys.into_iter().collect(), ..self }
    }

    /// What the request with this `X-Amz-Target` and this body asks for.
    pub fn all_of(target: &str, body: &Value, account: &str, region: &str) -> Result<Vec<Self>, String> {
        let unknown = || format!("nobody knows here what {target} asks for: {body}");
        let (service, operation) = target.split_once('.').ok_or_else(unknown)?;
        let table = |body: &Value| {
            let name = body["TableName"].as_str().ok_or_else(unknown)?;
            Ok::<_, String>(format!("arn:aws:dynamodb:{region}:{account}:table/{name}"))
        };
        match (service, operation) {
            // An index has an ARN of its own; the table has none.
            ("DynamoDB_20120810", "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem")
                if body["IndexName"].is_null() =>
            {
                let key = partition_key(body).ok_or_else(unknown)?;
                Ok(vec![Self::new(&format!("dynamodb:{operation}"), table(body)?).on_items([key])])
            }
            ("DynamoDB_20120810", "Query") if body["IndexName"].is_null() => {
                let key = queried_partition(body).ok_or_else(unknown)?;
                Ok(vec![Self::new("dynamodb:Query", table(body)?).on_items([key])])
            }
            ("DynamoDB_20120810", "BatchGetItem" | "BatchWriteItem") => {
                let tables = body["RequestItems"].as_object().ok_or_else(unknown)?;
                let call = |(name, items): (&String, &Value)| {
                    let keys = batch_keys(items).ok_or_else(unknown)?;
                    let table = format!("arn:aws:dynamodb:{region}:{account}:table/{name}");
                    Ok(Self::new(&format!("dynamodb:{operation}"), table).on_items(keys))
                };
                tables.iter().map(call).collect()
            }
            // Not an action by itself: each item is what it would be alone.
            // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
            ("DynamoDB_20120810", "TransactWriteItems") => {
                let items = body["TransactItems"].as_array().ok_or_else(unknown)?;
                let call = |(kind, item): (&String, &Value)| {
                    let action = match kind.as_str() {
                        "Put" | "Update" | "Delete" => format!("dynamodb:{kind}Item"),
                        "ConditionCheck" => "dynamodb:ConditionCheckItem".to_owned(),
                        _ => return Err(unknown()),
                    };
                    let key = partition_key(item).ok_or_else(unknown)?;
                    Ok(Self::new(&action, table(item)?).on_items([key]))
                };
                items.iter().flat_map(|item| item.as_object().into_iter().flatten()).map(call).collect()
            }
            // The action of a message is that of a batch, too.
            ("AmazonSQS", "SendMessage" | "SendMessageBatch") => {
                let url = body["QueueUrl"].as_str().ok_or_else(unknown)?;
                let name = url.rsplit('/').next().unwrap_or_default();
                Ok(vec![Self::new("sqs:SendMessage", format!("arn:aws:sqs:{region}:{account}:{name}"))])
            }
            ("TrentService", "GenerateDataKey" | "Decrypt") => {
                let key = body["KeyId"].as_str().filter(|key| key.starts_with("arn:")).ok_or_else(unknown)?;
                let pairs = body["EncryptionContext"].as_object().into_iter().flatten();
                let pairs = pairs.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
                let context = pairs.collect::<Option<_>>().ok_or_else(unknown)?;
                Ok(vec![Self { context, ..Self::new(&format!("kms:{operation}"), key.to_owned()) }])
            }
            _ => Err(unknown()),
        }
    }
}

/// The partition key of an item that is written, or of one that is named by its key.
fn partition_key(request: &Value) -> Option<String> {
    let named = request.get("Item").or_else(|| request.get("Key"))?;
    Some(named["pk"]["S"].as_str()?.to_owned())
}

/// The partition that a query asks for, in the one way in which the store asks.
fn queried_partition(query: &Value) -> Option<String> {
    let asks = query["KeyConditionExpression"].as_str()?;
    let (first, rest) = asks.split_at_checked("#pk = :pk".len())?;
    let is_known = first == "#pk = :pk" && (rest.is_empty() || rest.starts_with(" AND "));
    let is_known = is_known && query["ExpressionAttributeNames"]["#pk"] == "pk";
    let partition = query["ExpressionAttributeValues"][":pk"]["S"].as_str().filter(|_| is_known)?;
    Some(partition.to_owned())
}

/// The partition keys of what a batch reads or writes in one table.
fn batch_keys(items: &Value) -> Option<Vec<String>> {
    if let Some(keys) = items["Keys"].as_array() {
        return keys.iter().map(|key| Some(key["pk"]["S"].as_str()?.to_owned())).collect();
    }
    let requests = items.as_array()?.iter().flat_map(|item| item.as_object().into_iter().flatten());
    requests.map(|(_, request)| partition_key(request)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(target: &str, body: Value) -> Vec<(String, String)> {
        let calls = Call::all_of(target, &body, "1", "r").unwrap();
        calls.into_iter().map(|call| (call.action, call.resource)).collect()
    }

    fn leading_keys(target: &str, body: Value) -> Vec<Vec<String>> {
        let calls = Call::all_of(target, &body, "1", "r").unwrap();
        calls.into_iter().map(|call| call.leading_keys).collect()
    }

    fn key(pk: &str) -> Value {
        json!({"pk": {"S": pk}, "sk": {"S": "s"}})
    }

    #[test]
    fn a_transaction_asks_for_what_its_items_are() {
        let items = json!({"TransactItems": [
            {"Put": {"TableName": "a", "Item": key("A#1")}}, {"ConditionCheck": {"TableName": "b", "Key": key("B#1")}},
            {"Delete": {"TableName": "a", "Key": key("C")}},
        ]});
        let table = |action: &str, name: &str| {
            (format!("dynamodb:{action}"), format!("arn:aws:dynamodb:r:1:table/{name}"))
        };
        let expected = [table("PutItem", "a"), table("ConditionCheckItem", "b"), table("DeleteItem", "a")];
        assert_eq!(asked("DynamoDB_20120810.TransactWriteItems", items.clone()), expected);
        assert_eq!(leading_keys("DynamoDB_20120810.TransactWriteItems", items), [["A#1"], ["B#1"], ["C"]]);
        let tables = json!({"RequestItems": {"a": [], "b": []}});
        let expected = [table("BatchWriteItem", "a"), table("BatchWriteItem", "b")];
        assert_eq!(asked("DynamoDB_20120810.BatchWriteItem", tables), expected);
    }

    #[test]
    fn every_item_has_its_partition() {
        for (operation, body, expected) in [
            ("GetItem", json!({"TableName": "t", "Key": key("A#1")}), vec!["A#1"]),
            ("PutItem", json!({"TableName": "t", "Item": key("A#1")}), vec!["A#1"]),
            ("UpdateItem", json!({"TableName": "t", "Key": key("A#1")}), vec!["A#1"]),
            (
                "Query",
                json!({"TableName": "t", "KeyConditionExpression": "#pk = :pk AND begins_with(#sk, :sk)",
                       "ExpressionAttributeNames": {"#pk": "pk", "#sk": "sk"},
                       "ExpressionAttributeValues": {":pk": {"S": "A#1"}, ":sk": {"S": "x"}}}),
                vec!["A#1"],
            ),
            ("BatchGetItem", json!({"RequestItems": {"t": {"Keys": [key("A"), key("B")]}}}), vec!["A", "B"]),
            (
                "BatchWriteItem",
                json!({"RequestItems": {"t": [
                    {"PutRequest": {"Item": key("A")}}, {"DeleteRequest": {"Key": key("B")}},
                ]}}),
                vec!["A", "B"],
            ),
        ] {
            let keys = leading_keys(&format!("DynamoDB_20120810.{operation}"), body);
            assert_eq!(keys, [expected], "{operation}");
        }
    }

    #[test]
    fn a_batch_of_messages_asks_for_what_a_message_asks_for() {
        let queue = json!({"QueueUrl": "http://127.0.0.1:4566/1/lab-events"});
        let expected = [("sqs:SendMessage".to_owned(), "arn:aws:sqs:r:1:lab-events".to_owned())];
        assert_eq!(asked("AmazonSQS.SendMessageBatch", queue), expected);
    }

    #[test]
    fn calls_without_a_translation_are_refused() {
        for (target, body) in [
            ("DynamoDB_20120810.Scan", json!({"TableName": "a"})),
            ("DynamoDB_20120810.Query", json!({"TableName": "a", "IndexName": "i"})),
            ("DynamoDB_20120810.Query", json!({"TableName": "a", "KeyConditionExpression": "a = b"})),
            ("DynamoDB_20120810.GetItem", json!({"TableName": "a", "Key": {"id": {"S": "x"}}})),
            (
                "DynamoDB_20120810.BatchWriteItem",
                json!({"RequestItems": {"a": [{"PutRequest": {"Item": {}}}]}}),
            ),
            (
                "DynamoDB_20120810.TransactWriteItems",
                json!({"TransactItems": [{"Touch": {"TableName": "a", "Key": key("A")}}]}),
            ),
            ("TrentService.Decrypt", json!({"CiphertextBlob": "x"})),
            ("AmazonSQS.PurgeQueue", json!({"QueueUrl": "http://x/1/q"})),
            ("", json!({})),
        ] {
            assert!(Call::all_of(target, &body, "1", "r").is_err(), "{target}");
        }
    }
}
