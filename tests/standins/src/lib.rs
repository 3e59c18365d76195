//! Stateful stand-ins for Jira Cloud and GitLab. They check what the real services check (signatures, qsh,
//! scopes, roles, limits, paging, rate limits) and refuse what those refuse. Nothing of the product's own
//! behaviour belongs here.

pub mod gitlab;
pub mod jira;
