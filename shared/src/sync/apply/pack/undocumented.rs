//! What Jira takes although Atlassian's schema does not list it, and how the same is said in documented words.

use crate::domain::{Capability, Site};
use crate::jira::model::{ApprovalStatus, PullRequest, PullRequestStatus};
use crate::sync::entity::{Content, Entity};

/// What Atlassian's schema does not list and sites may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undocumented {
    /// Status `DRAFT`.
    Draft,
    /// Reviewers with `NEEDSWORK`.
    NeedsWork,
}

impl Undocumented {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Draft, Self::NeedsWork];

    /// What is known of it at `site`.
    #[must_use]
    pub fn capability(self, site: &Site) -> Capability {
        match self {
            Self::Draft => site.draft,
            Self::NeedsWork => site.needs_work,
        }
    }

    /// Whether `entity` uses it.
    #[must_use]
    pub fn is_used_by(self, entity: &Entity) -> bool {
        let Content::PullRequest(pull_request) = &entity.content else {
            return false;
        };
        match self {
            Self::Draft => pull_request.status == PullRequestStatus::Draft,
            Self::NeedsWork => needs_work(pull_request).next().is_some(),
        }
    }

    /// Says the same in documented words.
    pub fn replace(self, entity: &mut Entity) {
        let Content::PullRequest(pull_request) = &mut entity.content else {
            return;
        };
        match self {
            Self::Draft if pull_request.status == PullRequestStatus::Draft => {
                pull_request.status = PullRequestStatus::Open;
            }
            Self::Draft => {}
            Self::NeedsWork => {
                for reviewer in &mut pull_request.reviewers {
                    if reviewer.approval_status == ApprovalStatus::NeedsWork {
                        reviewer.approval_status = ApprovalStatus::Unapproved;
                    }
                }
            }
        }
    }
}

fn needs_work(pull_request: &PullRequest) -> impl Iterator<Item = &crate::jira::model::Reviewer> {
    pull_request.reviewers.iter().filter(|reviewer| reviewer.approval_status == ApprovalStatus::NeedsWork)
}
