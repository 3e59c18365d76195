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
}

impl Call {
    fn new(action: &str, resource: String) -> Self {
        Self { action: action.to_owned(), resource, context: BTreeMap::new() }
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
            ("DynamoDB_20120810", "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" | "Query")
                if body["IndexName"].is_null() =>
            {
                Ok(vec![Self::new(&format!("dynamodb:{operation}"), table(body)?)])
            }
            ("DynamoDB_20120810", "BatchGetItem" | "BatchWriteItem") => {
                let tables = body["RequestItems"].as_object().ok_or_else(unknown)?.keys();
                let tables = tables.map(|name| format!("arn:aws:dynamodb:{region}:{account}:table/{name}"));
                Ok(tables.map(|table| Self::new(&format!("dynamodb:{operation}"), table)).collect())
            }
            // Not an action by itself: each item is what it would be alone.
            // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
            ("DynamoDB_20120810", "TransactWriteItems") => {
                let items = body["TransactItems"].as_array().ok_or_else(unknown)?;
                items
                    .iter()
                    .flat_map(|item| item.as_object().into_iter().flatten())
                    .map(|(kind, item)| match kind.as_str() {
                        "Put" | "Update" | "Delete" => Ok((format!("dynamodb:{kind}Item"), item)),
                        "ConditionCheck" => Ok(("dynamodb:ConditionCheckItem".to_owned(), item)),
                        _ => Err(unknown()),
                    })
                    .map(|found| found.and_then(|(action, item)| Ok(Self::new(&action, table(item)?))))
                    .collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(target: &str, body: Value) -> Vec<(String, String)> {
        let calls = Call::all_of(target, &body, "1", "r").unwrap();
        calls.into_iter().map(|call| (call.action, call.resource)).collect()
    }

    #[test]
    fn a_transaction_asks_for_what_its_items_are() {
        let items = json!({"TransactItems": [
            {"Put": {"TableName": "a"}}, {"ConditionCheck": {"TableName": "b"}}, {"Delete": {"TableName": "a"}},
        ]});
        let table = |action: &str, name: &str| {
            (format!("dynamodb:{action}"), format!("arn:aws:dynamodb:r:1:table/{name}"))
        };
        let expected = [table("PutItem", "a"), table("ConditionCheckItem", "b"), table("DeleteItem", "a")];
        assert_eq!(asked("DynamoDB_20120810.TransactWriteItems", items), expected);
        let tables = json!({"RequestItems": {"a": [], "b": []}});
        let expected = [table("BatchWriteItem", "a"), table("BatchWriteItem", "b")];
        assert_eq!(asked("DynamoDB_20120810.BatchWriteItem", tables), expected);
    }

    #[test]
    fn a_batch_of_messages_asks_for_what_a_message_asks_for() {
        let queue = json!({"QueueUrl": "http://127.0.0.1:4566/1/lab-events"});
        let expected = [("sqs:SendMessage".to_owned(), "arn:aws:sqs:r:1:lab-events".to_owned())];
        assert_eq!(asked("AmazonSQS.SendMessageBatch", queue), expected);
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        for (target, body) in [
            ("DynamoDB_20120810.Scan", json!({"TableName": "a"})),
            ("DynamoDB_20120810.Query", json!({"TableName": "a", "IndexName": "i"})),
            (
                "DynamoDB_20120810.TransactWriteItems",
                json!({"TransactItems": [{"Touch": {"TableName": "a"}}]}),
            ),
            ("TrentService.Decrypt", json!({"CiphertextBlob": "x"})),
            ("AmazonSQS.PurgeQueue", json!({"QueueUrl": "http://x/1/q"})),
            ("", json!({})),
        ] {
            assert!(Call::all_of(target, &body, "1", "r").is_err(), "{target}");
        }
    }
}
