//! `oauth-application-id` on Lambda.

use oauth_application_id::OauthApplicationId;
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let state = lambda::start_alone("oauth-application-id", OauthApplicationId::read)?;
    lambda::serve(oauth_application_id::router(state)).await
}
