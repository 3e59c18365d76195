//! `forge-page` on Lambda.

use forge_page::Config;
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, aws) = lambda::start("forge-page", Config::read)?;
    lambda::serve(forge_page::router(config.gate(&aws)?)).await
}
