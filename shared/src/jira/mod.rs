//! Jira: the bodies of its provider APIs, how they are called through each door, and what its answers mean.

pub mod answer;
pub mod client;
pub mod doors;
pub mod forge;
mod measure;
pub mod model;
