//! `forge-token` on Lambda.

use forge_token::Config;
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, aws) = lambda::start("forge-token", Config::read)?;
    lambda::serve(forge_token::router(config.gate(&aws)?)).await
}
