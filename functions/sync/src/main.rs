//! `sync` on Lambda.

use shared::lambda;
use sync::Config;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, aws) = lambda::start("sync", Config::read)?;
    let sync = config.build(&aws)?;
    lambda::work(move |batch| {
        let sync = sync.clone();
        Box::pin(async move { sync.handle(batch).await })
    })
    .await
}
