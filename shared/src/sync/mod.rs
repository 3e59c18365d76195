//! From GitLab's things to Jira's: what a message says, how an entity is filled, which version of it counts, how
//! entities share calls, and what became of them. Reading GitLab and answering the queue belong to the functions.

pub mod deliver;
pub mod entity;
pub mod message;
pub mod pack;
pub mod transform;
pub mod verify;
