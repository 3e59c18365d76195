//! `forge-page` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("forge-page", forge_page::Config::read)?;
    lambda::serve(forge_page::build(&services, &config)?).await
}
