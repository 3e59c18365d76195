//! An entity from the moment it is read until what became of it is recorded: one value, carried from the filter to the
//! ledger.

use ulid::Ulid;

use crate::store::ledger::LedgerEntry;
use crate::sync::entity::{Content, Entity};

/// A message of the batch at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its position in the batch.
    pub index: usize,
    /// Its trace id, for log lines.
    pub trace: Ulid,
}

/// A version of an entity that Jira may have to be told of.
#[derive(Clone, Debug)]
pub struct PendingEntity {
    /// The version.
    pub entity: Entity,
    /// The messages that led to it; their dispositions depend on what becomes of it.
    pub origins: Vec<Origin>,
    /// For a branch known from a push hook alone: what tells whether the hook came late.
    pub push: Option<PushedHead>,
    /// For a branch that was deleted: the head it had.
    pub deleted_head: Option<String>,
    /// Whether it is deleted only because the filter left it without keys.
    pub filtered: bool,
}

/// The push that a branch is known from.
#[derive(Clone, Debug)]
pub struct PushedHead {
    /// Whether it created the branch.
    pub creates: bool,
    /// The head that it left.
    pub head: String,
}

impl From<Entity> for PendingEntity {
    fn from(entity: Entity) -> Self {
        Self { entity, origins: Vec::new(), push: None, deleted_head: None, filtered: false }
    }
}

impl PendingEntity {
    /// Whether Jira is to delete it.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        matches!(self.entity.content, Content::Deleted)
    }

    /// The entry of the ledger once Jira has this version.
    #[must_use]
    pub fn ledger_entry(&self) -> LedgerEntry {
        let entry = self.entity.ledger_entry();
        if !self.is_deletion() {
            return entry;
        }
        // Whatever is created anew may come, however far the deleted one had got.
        LedgerEntry { rank: 0, deleted_head: Some(self.deleted_head.clone().unwrap_or_default()), ..entry }
    }
}
