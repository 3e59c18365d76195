//! `forge-token` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("forge-token", forge_token::Config::read)?;
    lambda::serve(forge_token::build(&services, &config)?).await
}
