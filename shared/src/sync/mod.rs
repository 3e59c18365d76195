//! From GitLab's events to Jira's entities: authenticating deliveries ([`auth`]), queue messages ([`message`],
//! [`step`]), reading GitLab ([`read`]), filling entities ([`transform`]), and bringing them to Jira ([`apply`]). Which
//! messages are taken, and how a queue is answered, belongs to the functions.

pub mod apply;
pub mod auth;
pub mod entity;
pub mod message;
pub mod read;
pub mod site_access;
pub mod step;
pub mod transform;
