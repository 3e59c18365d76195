//! An entity from the moment it is read until what became of it is recorded: one value, carried from the filter to the
//! ledger.

use std::time::Duration;

use ulid::Ulid;

use crate::clock::Timestamp;
use crate::domain::{BranchHistory, EntityKind, RefUpdate};
use crate::store::ledger::LedgerEntry;
use crate::sync::entity::{Content, Entity};
use crate::sync::transform::branch_id;

/// A message of the current batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its position in the batch.
    pub index: usize,
    /// Its trace id, for log lines.
    pub trace: Ulid,
    /// For how long it has waited and been tried.
    pub held_for: Duration,
}

/// A version of an entity that Jira may have to be told of.
#[derive(Clone, Debug)]
pub struct PendingEntity {
    /// The version.
    pub entity: Entity,
    /// The messages that led to it; their dispositions depend on what becomes of it.
    pub origins: Vec<Origin>,
    /// For a branch known from a push hook alone: what the hook says of its head.
    pub update: Option<RefUpdate>,
    /// For a branch that was deleted: the head it had.
    pub deleted_head: Option<String>,
    /// What the ledger holds of the branch once Jira has this version.
    pub branch: Option<BranchHistory>,
    /// When its content was known to be true; the version's own time becomes its number.
    pub known_at: Timestamp,
    /// Whether it is deleted only because the filter left it without keys.
    pub filtered: bool,
}

impl From<Entity> for PendingEntity {
    fn from(entity: Entity) -> Self {
        let known_at = entity.version.known_at;
        Self {
            known_at,
            entity,
            origins: Vec::new(),
            update: None,
            deleted_head: None,
            branch: None,
            filtered: false,
        }
    }
}

impl PendingEntity {
    /// Whether Jira may be told later to delete it, which depends on whether Jira may have it.
    pub(super) fn can_be_deleted(&self) -> bool {
        self.entity.key.kind != EntityKind::Commit && !self.is_deletion()
    }

    /// For how long the oldest of its messages has waited and been tried.
    pub(super) fn held_for(&self) -> Duration {
        self.origins.iter().map(|origin| origin.held_for).max().unwrap_or_default()
    }

    /// Whether Jira is to delete it.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        matches!(self.entity.content, Content::Deleted)
    }

    /// The entry of the ledger once Jira has this version.
    #[must_use]
    pub fn ledger_entry(&self) -> LedgerEntry {
        let entry = LedgerEntry {
            branch: self.branch.clone(),
            branch_name: self.branch_name(),
            known_at: Some(self.known_at),
            ..LedgerEntry::from(self.entity.version)
        };
        if !self.is_deletion() {
            return entry;
        }
        // Whatever is created anew may come, however far the deleted one had got.
        LedgerEntry { rank: 0, deleted_head: Some(self.deleted_head.clone().unwrap_or_default()), ..entry }
    }

    /// The name of a branch that Jira shows; none for one that is so long that it is cut.
    pub(super) fn branch_name(&self) -> Option<String> {
        match &self.entity.content {
            Content::Branch(branch) => {
                Some(branch.name.clone()).filter(|name| branch_id(name) == self.entity.key.id)
            }
            _ => None,
        }
    }

    /// The head of a branch as it was read.
    fn head(&self) -> Option<&str> {
        match &self.entity.content {
            Content::Branch(branch) => Some(&branch.last_commit.id),
            _ => None,
        }
    }

    /// Gives it `number`, and to a branch that was read a history that begins here.
    pub(super) fn number(&mut self, number: i64) {
        if self.entity.key.kind == EntityKind::Branch && self.update.is_none() {
            self.branch = Some(BranchHistory::settled(self.head(), Timestamp(number)));
        }
        self.entity.set_number(number);
    }
}
