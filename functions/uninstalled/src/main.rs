//! `uninstalled` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("uninstalled", uninstalled::Config::read)?;
    lambda::serve(uninstalled::build(&services, &config)?).await
}
