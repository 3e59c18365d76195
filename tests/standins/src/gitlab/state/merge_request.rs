//! A merge request and its reviewers.

use std::collections::BTreeSet;

use time::OffsetDateTime;

/// How GitLab marks work that is not ready, in the title itself.
const DRAFT_PREFIX: &str = "Draft: ";

pub(crate) struct Reviewer {
    pub(crate) user: u64,
    /// unreviewed, reviewed, requested_changes, approved, unapproved or review_started.
    pub(crate) state: &'static str,
    pub(crate) since: OffsetDateTime,
}

pub(crate) struct MergeRequest {
    pub(crate) id: u64,
    pub(crate) iid: u64,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    /// opened, closed, merged or locked.
    pub(crate) state: &'static str,
    pub(crate) author: u64,
    pub(crate) assignees: Vec<u64>,
    pub(crate) reviewers: Vec<Reviewer>,
    pub(crate) approvals: BTreeSet<u64>,
    pub(crate) approvals_required: usize,
    pub(crate) source_branch: String,
    pub(crate) target_branch: String,
    /// Head of the source branch when it was last pushed.
    pub(crate) sha: String,
    /// Where the source left the target.
    pub(crate) base_sha: String,
    pub(crate) merge_commit_sha: Option<String>,
    pub(crate) merged_by: Option<u64>,
    pub(crate) user_notes_count: u64,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
    pub(crate) merged_at: Option<OffsetDateTime>,
    pub(crate) closed_at: Option<OffsetDateTime>,
    pub(crate) last_edited_at: Option<OffsetDateTime>,
    pub(crate) last_edited_by: Option<u64>,
}

impl MergeRequest {
    pub(crate) fn draft(&self) -> bool {
        self.title.starts_with(DRAFT_PREFIX)
    }

    /// The title with or without the draft mark.
    pub(crate) fn title_as_draft(&self, draft: bool) -> String {
        let bare = self.title.strip_prefix(DRAFT_PREFIX).unwrap_or(&self.title);
        if draft { format!("{DRAFT_PREFIX}{bare}") } else { bare.to_owned() }
    }

    /// All required approvals are there; with none required, one is enough.
    pub(crate) fn approved(&self) -> bool {
        self.approvals.len() >= self.approvals_required.max(1)
    }

    pub(crate) fn set_reviewer_state(&mut self, user: u64, state: &'static str, now: OffsetDateTime) {
        if let Some(reviewer) = self.reviewers.iter_mut().find(|reviewer| reviewer.user == user) {
            reviewer.state = state;
            reviewer.since = now;
        }
    }

    /// GitLab's number of the state.
    pub(crate) fn state_id(&self) -> u64 {
        match self.state {
            "opened" => 1,
            "closed" => 2,
            "merged" => 3,
            _ => 4,
        }
    }

    /// The short answer to "can it be merged?".
    pub(crate) fn detailed_merge_status(&self) -> &'static str {
        match (self.state, self.draft()) {
            ("opened", true) => "draft_status",
            ("opened", false) => "mergeable",
            _ => "not_open",
        }
    }
}
