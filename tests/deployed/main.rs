//! The bundle as it is deployed: built by SAM, put into an emulator of AWS as a stack, and put through its story at the
//! addresses that the stack has, with stand-ins of Jira and GitLab outside. Every call that a function makes is held
//! against its deployed role, because the emulator asks nobody for permission. What a kind of event leads to on an issue
//! is tested in `tests/it`; that the template says what the code needs is for `tests/stack`.

#![expect(clippy::unwrap_used, reason = "a story that can't go on fails")]

mod bundle;
mod front;
mod iam;
mod lambda;
mod story;
