//! GitLab's recorded webhooks.

use serde_json::Value;

use crate::reference;

#[test]
fn recorded_webhooks_are_named_json_objects() {
    let Some(reference) = reference() else { return };
    let payloads = reference.webhook_payloads().unwrap();
    assert!(payloads.iter().any(|payload| payload.name == "merge_request"));
    for payload in payloads {
        let body: Value = serde_json::from_slice(&payload.body).unwrap();
        assert!(body.is_object(), "{}", payload.name);
    }
}
