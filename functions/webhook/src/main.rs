//! `webhook` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("webhook", webhook::Config::read)?;
    lambda::serve(webhook::build(&services, &config)).await
}
