//! JSON Web Tokens as Atlassian uses them.

pub mod qsh;
