//! `installed` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("installed", installed::Config::read)?;
    lambda::serve(installed::build(&services, config)?).await
}
