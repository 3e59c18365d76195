//! How a test says what users do in GitLab. An `async` method triggers hooks, and returns when their deliveries are
//! answered. Any other method is set-up and triggers none.

mod commit;
mod deployment;
mod feature_flag;
mod group;
mod merge_request;
mod merge_request_spec;
mod pipeline;
mod project;
mod push;
mod user;

pub use commit::{CommitSpec, commit};
pub use deployment::DeploymentHandle;
pub use feature_flag::FeatureFlagHandle;
pub use group::GroupHandle;
pub use merge_request::MergeRequestHandle;
pub use merge_request_spec::{MergeRequestSpec, merge_request};
pub use pipeline::PipelineHandle;
pub use project::ProjectHandle;
pub use push::Pushed;
pub use user::UserHandle;

pub(crate) use group::{add_group_bot, ensure_group};
pub(crate) use user::ensure_user;

/// Who acts when the test does not say: an administrator.
const DEFAULT_ACTOR: &str = "root";

/// `acme-payments` as people write it: `Acme Payments`.
fn title_case(path: &str) -> String {
    let capitalised = path.split(['-', '_']).map(|word| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    });
    capitalised.collect::<Vec<String>>().join(" ")
}
