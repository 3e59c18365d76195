//! `housekeeping` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("housekeeping", housekeeping::Config::read)?;
    let housekeeping = housekeeping::build(&services, &config);
    lambda::scheduled(move || {
        let housekeeping = housekeeping.clone();
        Box::pin(async move { housekeeping.run().await })
    })
    .await
}
