//! The bundle as one local process: all functions behind one router, the embedded table and queues, and the commands of
//! an operator. What the functions do belongs to them; nothing here decides what reaches Jira.

// They panic on a closed pipe; use `terminal` instead.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod control;
pub mod demo;
pub mod failure;
pub mod forge_manifest;
pub mod listener;
pub mod local;
pub mod metrics;
pub mod open;
pub mod operate;
pub mod page;
pub mod progress;
pub mod pump;
pub mod serve;
pub mod settings;
pub mod stack;
pub mod terminal;
