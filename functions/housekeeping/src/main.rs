//! `housekeeping` on Lambda.

use housekeeping::{Config, Housekeeping};
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, aws) = lambda::start("housekeeping", Config::read)?;
    let housekeeping = Housekeeping { store: aws.store(&config.table_name) };
    lambda::scheduled(move || {
        let housekeeping = housekeeping.clone();
        Box::pin(async move { housekeeping.run().await })
    })
    .await
}
