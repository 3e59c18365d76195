//! `create-branch` on Lambda.

use std::sync::Arc;

use create_branch::{Config, CreateBranch};
use shared::http::TenantGate;
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let (config, aws) = lambda::start("create-branch", Config::read)?;
    let gate = TenantGate {
        store: aws.store(&config.table_name),
        envelope: aws.envelope(&config.kms_key_id),
        clock: aws.clock(),
    };
    lambda::serve(create_branch::router(CreateBranch { gate, gitlab_url: Arc::new(config.gitlab_url) })).await
}
