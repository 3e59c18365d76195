//! `create-branch` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("create-branch", create_branch::Config::read)?;
    lambda::serve(create_branch::build(&services, config)).await
}
