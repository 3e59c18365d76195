//! The bundle as one local process: all functions behind one router, the embedded table and queues, and the commands of
//! an operator. What the functions do belongs to them; nothing here decides what reaches Jira.

pub mod operate;
pub mod settings;
