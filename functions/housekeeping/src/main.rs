//! `housekeeping` on Lambda.

use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, services) = lambda::start("housekeeping", housekeeping::Config::read)?;
    let (upkeep, housekeeping) = housekeeping::build(&services, &config)?;
    lambda::scheduled(move |deadline| {
        let (upkeep, housekeeping) = (upkeep.clone(), housekeeping.clone());
        Box::pin(async move {
            upkeep.run(deadline).await?;
            housekeeping.run().await
        })
    })
    .await
}
