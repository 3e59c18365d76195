//! `sync` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("sync", sync::Config::read)?;
    let sync = sync::build(&services, &config)?;
    lambda::work(move |batch| {
        let sync = sync.clone();
        Box::pin(async move { sync.handle(batch).await })
    })
    .await
}
