//! What the functions share: doors to Jira, GitLab's hooks and API, state, secrets, queues and sync.

pub mod jwt;
