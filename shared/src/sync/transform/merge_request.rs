//! Merge requests.

use super::{Source, date, encode_path};
use crate::clock::Timestamp;
use crate::domain::EntityKind;
use crate::gitlab::model::{MergeRequest, Person, ReviewState, Reviewer};
use crate::jira::model::{ApprovalStatus, PullRequest, PullRequestStatus, Reviewer as JiraReviewer};
use crate::sync::entity::{Content, Entity, EntityVersion};
use crate::text::{clean, clean_or, url_or};

impl Source {
    /// The identity of a merge request.
    #[must_use]
    pub fn merge_request_id(&self, id: u64) -> String {
        self.id(id)
    }

    /// A merge request.
    #[must_use]
    pub fn merge_request(
        &self,
        merge_request: &MergeRequest,
        known_at: Timestamp,
        from_hook: bool,
    ) -> Entity {
        let id = self.merge_request_id(merge_request.id);
        let source = merge_request.source_project_url.as_deref().unwrap_or(&self.project.web_url);
        let source_branch_url = format!("{source}/-/commits/{}", encode_path(&merge_request.source_branch));
        let unknown = Person::default();
        let pull_request = PullRequest {
            id: id.clone(),
            display_id: clean(&merge_request.reference, 255),
            issue_keys: merge_request.keys.as_slice().to_vec(),
            title: clean_or(&merge_request.title, 1024, &merge_request.reference),
            author: self.author(merge_request.author.as_ref().unwrap_or(&unknown)),
            reviewers: merge_request.reviewers.iter().map(|reviewer| self.reviewer(reviewer)).collect(),
            comment_count: merge_request.notes,
            source_branch: clean(&merge_request.source_branch, 255),
            source_branch_url: url_or(&source_branch_url, &self.repository.url),
            destination_branch: clean(&merge_request.target_branch, 255),
            last_update: date(merge_request.updated_at, known_at),
            status: status(merge_request),
            url: url_or(
                &merge_request.web_url,
                &self.page(&format!("/-/merge_requests/{}", merge_request.iid)),
            ),
            update_sequence_id: known_at.0,
        };
        // One below each is for a hook that does not say what changed.
        let rank = match merge_request.state.as_str() {
            "merged" => 5,
            "closed" => 3,
            _ => 1,
        };
        let version = EntityVersion { known_at, changed_at: merge_request.updated_at, rank, from_hook };
        let label = merge_request.reference.clone();
        self.entity(
            self.key(EntityKind::PullRequest, id),
            label,
            merge_request.keys.clone(),
            version,
            Content::PullRequest(Box::new(pull_request)),
        )
    }

    fn reviewer(&self, reviewer: &Reviewer) -> JiraReviewer {
        let author = self.author(&reviewer.person);
        JiraReviewer {
            name: author.name,
            email: author.email,
            url: author.url,
            avatar: author.avatar,
            approval_status: match reviewer.review_state {
                ReviewState::Approved => ApprovalStatus::Approved,
                ReviewState::Reviewed => ApprovalStatus::NeedsWork,
                ReviewState::Unreviewed => ApprovalStatus::Unapproved,
            },
        }
    }
}

fn status(merge_request: &MergeRequest) -> PullRequestStatus {
    match merge_request.state.as_str() {
        "opened" | "locked" if merge_request.draft => PullRequestStatus::Draft,
        "opened" | "locked" => PullRequestStatus::Open,
        "merged" => PullRequestStatus::Merged,
        "closed" => PullRequestStatus::Declined,
        _ => PullRequestStatus::Unknown,
    }
}
