//! `forge-lifecycle` on Lambda.

use forge_lifecycle::Config;
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, aws) = lambda::start("forge-lifecycle", Config::read)?;
    lambda::serve(forge_lifecycle::router(config.gate(&aws)?)).await
}
