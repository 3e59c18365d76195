//! `forge-page` on Lambda.

use forge_page::{Config, ForgePage, on_stack};
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, aws) = lambda::start("forge-page", Config::read)?;
    let name = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    let page = ForgePage { gate: config.gate(&aws)?, on: on_stack(&name).into() };
    lambda::serve(forge_page::router(page)).await
}
