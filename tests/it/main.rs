//! The integration suite: stories told through the public surface, with stand-ins of Jira and GitLab that refuse what
//! the real ones refuse. Rules of single modules are tested beside them.

#![expect(clippy::unwrap_used, reason = "a story that can't go on fails")]

mod audit;
mod batches;
mod chaos;
mod connections;
mod crash;
mod credentials;
mod deadlines;
mod events;
mod failures;
mod force_pushes;
mod forge;
mod history;
mod hostile;
mod keyless;
mod listings;
mod odd_histories;
mod ordering;
mod outage;
mod page;
mod payloads;
mod program;
mod properties;
mod repository_search;
mod secrets;
mod stage;
