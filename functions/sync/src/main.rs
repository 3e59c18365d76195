//! `sync` on Lambda.

use std::sync::Arc;

use shared::lambda;
use shared::queue::worker::Batch;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("sync", sync::Config::read)?;
    let sync = sync::build(&services, &config)?;
    lambda::work(Arc::new(move |batch: Batch| {
        let sync = sync.clone();
        Box::pin(async move { sync.handle(batch).await })
    }))
    .await
}
