//! `webhook` on Lambda.

use shared::lambda;
use shared::sync::verify::HookVerifier;
use webhook::{Config, Webhook};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, aws) = lambda::start("webhook", Config::read)?;
    let store = aws.store(&config.table_name);
    let verifier = HookVerifier::new(store.clone(), aws.envelope(&config.kms_key_id));
    let queue = aws.queue(&config.events_queue_url, None);
    lambda::serve(webhook::router(Webhook::new(store, verifier, queue, aws.clock()))).await
}
