//! GitLab from outside: its hooks, its REST and GraphQL APIs, and the things both of them speak of.

pub mod client;
pub mod date;
pub mod diff;
pub mod error;
pub mod graphql;
pub mod hooks;
mod measure;
pub mod model;
pub mod oauth;
mod rest;
pub mod signature;
pub mod version;
