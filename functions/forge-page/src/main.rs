//! `forge-page` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("forge-page", forge_page::Config::read)?;
    let name = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    lambda::serve(forge_page::build(&services, &config, &forge_page::on_stack(&name))?).await
}
