//! Jira: the bodies of its provider APIs, how they are called through each connection, and what its answers mean.

pub mod answer;
pub mod client;
pub mod connections;
pub mod error;
mod limit;
mod measure;
pub mod model;
mod tokens;
