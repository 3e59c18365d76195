//! What HTTP functions share: the one error they answer with, extractors that prove who called, and how calls are
//! measured. A handler that has
//! such a value in its signature can't be reached by anybody else. What a call does belongs to its function.

mod error;
mod forge_invocation;
mod lifecycle;
mod measured;
mod tenant;

pub use error::Error;
pub use forge_invocation::{ForgeAdmin, ForgeCall, ForgeGate};
pub use lifecycle::{JiraLifecycle, LifecycleGate, LifecycleKind, Tenant};
pub use measured::measured;
pub use tenant::{JiraFrame, JiraScript, JiraUser, TenantGate};

use ::http::Uri;

use crate::bundle::CONNECT_BASE;

/// The path of a Connect call below the app's base URL, exactly as it was sent: what the query-string hash covers.
fn connect_path(uri: &Uri) -> &str {
    let path = uri.path();
    path.find(CONNECT_BASE).and_then(|start| path.get(start + CONNECT_BASE.len()..)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashed_path_is_the_sent_one_below_the_base() {
        for (uri, path) in [
            ("/-/jira_connect/events/installed?user_key=a", "/events/installed"),
            ("/gitlab-jira/-/jira_connect/branches/route", "/branches/route"),
            ("/-/jira_connect/a%20b%2Fc", "/a%20b%2Fc"),
        ] {
            assert_eq!(connect_path(&uri.parse().expect("a URI")), path);
        }
    }
}
