//! `installed` on Lambda.

use installed::{Config, Installed};
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, aws) = lambda::start("installed", Config::read)?;
    let store = aws.store(&config.table_name);
    let state = Installed {
        gate: config.lifecycle.gate(store.clone(), aws.clock())?,
        store,
        envelope: aws.envelope(&config.kms_key_id),
        guard: config.lifecycle.outbound.guard,
        allowed_sites: config.allowed_sites.into(),
        clock: aws.clock(),
    };
    lambda::serve(installed::router(state)).await
}
