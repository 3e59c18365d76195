//! `repository-search` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("repository-search", repository_search::Config::read)?;
    lambda::serve(repository_search::build(&services, &config)?).await
}
