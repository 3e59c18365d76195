//! `descriptor` on Lambda.

use shared::config::Identity;
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let identity = lambda::start_alone("descriptor", Identity::read)?;
    lambda::serve(descriptor::router(&identity)).await
}
