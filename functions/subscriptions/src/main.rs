//! `subscriptions` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("subscriptions", subscriptions::Config::read)?;
    lambda::serve(subscriptions::build(&services, &config)?).await
}
