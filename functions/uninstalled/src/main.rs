//! `uninstalled` on Lambda.

use shared::lambda;
use uninstalled::{Config, Uninstalled};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, aws) = lambda::start("uninstalled", Config::read)?;
    let store = aws.store(&config.table_name);
    let gate = config.lifecycle.gate(store.clone(), aws.clock())?;
    lambda::serve(uninstalled::router(Uninstalled { gate, store, clock: aws.clock() })).await
}
