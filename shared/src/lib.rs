//! What the functions and the command line share: connections to Jira, GitLab's hooks and API, state, secrets, queues,
//! syncing, linking and installing. Modules import only from those before them in the order that `.ci/modules` checks.

pub mod aws;
pub mod aws_error;
pub mod bundle;
pub mod clock;
pub mod config;
pub mod domain;
pub mod envelope;
pub mod gitlab;
pub mod health;
pub mod history;
pub mod http;
pub mod install;
pub mod jira;
pub mod jwt;
pub mod lambda;
mod lenient;
pub mod linking;
pub mod outbound;
pub mod page;
pub mod queue;
pub mod services;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod text;
pub mod tls_roots;
