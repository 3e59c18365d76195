//! What the functions share: connections to Jira, GitLab's hooks and API, state, secrets, queues and sync.

pub mod attention;
pub mod aws;
pub mod aws_error;
pub mod bundle;
pub mod clock;
pub mod config;
pub mod domain;
pub mod envelope;
pub mod gitlab;
pub mod http;
pub mod jira;
pub mod jwt;
pub mod lambda;
pub mod outbound;
pub mod queue;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod text;
pub mod tls_roots;
