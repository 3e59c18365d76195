//! `descriptor` on Lambda.

use shared::config::Identity;
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (identity, _) = lambda::start("descriptor", Identity::read)?;
    lambda::serve(descriptor::router(&identity)).await
}
