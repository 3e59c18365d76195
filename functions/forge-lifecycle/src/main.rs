//! `forge-lifecycle` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("forge-lifecycle", forge_lifecycle::Config::read)?;
    lambda::serve(forge_lifecycle::build(&services, &config)?).await
}
