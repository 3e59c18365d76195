//! `backfill` on Lambda.

use std::sync::Arc;

use shared::lambda;
use shared::queue::worker::Batch;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("backfill", backfill::Config::read)?;
    let backfill = backfill::build(&services, &config)?;
    lambda::work(Arc::new(move |batch: Batch| {
        let backfill = backfill.clone();
        Box::pin(async move { backfill.handle(batch).await })
    }))
    .await
}
