//! Checks of the whole project against contracts that others publish.
//!
//! Two programs use it: `check-recordings` holds every request that the suite and the demo sent to Jira against
//! Atlassian's documents, and `check-cases` holds `docs/CASES.md` against the list of acceptance cases.
//! The documents are reference data outside the repository ([`reference::Reference`]); without them every
//! check says that it was skipped. What one module does by itself is tested beside that module, not here.

pub mod cases;
pub mod documents;
pub mod exceptions;
pub mod operations;
pub mod recording;
pub mod reference;
pub mod verdict;
pub mod wording;
