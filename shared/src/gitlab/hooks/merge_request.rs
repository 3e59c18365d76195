//! Merge request hooks.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::push::RawCommit;
use super::{Gaps, HookError, HookEvent, MAX_REVIEWERS, ParsedHook, RawPerson, RawProject, required};
use crate::clock::Timestamp;
use crate::domain::IssueKeys;
use crate::gitlab::date;
use crate::gitlab::model::{MergeRequest, Project, ReviewState, Reviewer};
use crate::lenient;
use crate::text::clean;

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
pub(super) struct RawMergeRequestEvent {
    #[serde(default, deserialize_with = "lenient::nested")]
    project: RawProject,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "lenient::nested")]
    object_attributes: Option<RawMergeRequest>,
    reviewers: Vec<RawReviewer>,
    #[serde(default, deserialize_with = "lenient::field")]
    changes: RawChanges,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize, Default)]
struct RawChanges {
    title: Option<RawChange>,
    description: Option<RawChange>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

impl RawChanges {
    /// Whether the hook does not say what changed.
    fn are_missing(&self) -> bool {
        self.title.is_none() && self.description.is_none() && self.others.is_empty()
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
struct RawChange {
    previous: Option<String>,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
struct RawReviewer {
    #[serde(flatten)]
    person: RawPerson,
    state: Option<String>,
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize)]
struct RawMergeRequest {
    id: Option<u64>,
    iid: Option<u64>,
    title: Option<String>,
    description: Option<String>,
    state: Option<String>,
    draft: Option<bool>,
    work_in_progress: Option<bool>,
    source_branch: Option<String>,
    target_branch: Option<String>,
    source_project_id: Option<u64>,
    target_project_id: Option<u64>,
    source: Option<RawProject>,
    #[serde_with(skip_apply)]
    #[serde(default, deserialize_with = "date::lenient")]
    updated_at: Option<Timestamp>,
    url: Option<String>,
    last_commit: Option<RawCommit>,
}

impl RawMergeRequestEvent {
    pub(super) fn delivery(self) -> Result<ParsedHook, HookError> {
        const KIND: &str = "merge_request";
        let raw = required(self.object_attributes, KIND, "object_attributes")?;
        let project = self.project.project(raw.target_project_id, KIND)?;
        let removed_keys = removed_keys(&self.changes);
        let reviewers = self.reviewers.into_iter().take(MAX_REVIEWERS).map(RawReviewer::reviewer).collect();
        let mut gaps = Gaps::of(KIND);
        let merge_request = raw.merge_request(&project, reviewers, &mut gaps)?;
        let untold_changes = self.changes.are_missing();
        let event = HookEvent::MergeRequest { merge_request, removed_keys, untold_changes };
        Ok(ParsedHook { project, event, missing: gaps.first })
    }
}

fn removed_keys(changes: &RawChanges) -> IssueKeys {
    let previous = [&changes.title, &changes.description].into_iter().flatten();
    IssueKeys::extract(previous.filter_map(|change| change.previous.as_deref()))
}

impl RawReviewer {
    fn reviewer(self) -> Reviewer {
        Reviewer { person: self.person.person(), review_state: ReviewState::parse(self.state.as_deref()) }
    }
}

impl RawMergeRequest {
    /// `gaps` learns what is missing beside its number.
    fn merge_request(
        self,
        project: &Project,
        reviewers: Vec<Reviewer>,
        gaps: &mut Gaps,
    ) -> Result<MergeRequest, HookError> {
        let iid = required(self.iid, gaps.kind, "object_attributes.iid")?;
        let title = gaps.fill(self.title, "object_attributes.title");
        let description = self.description.unwrap_or_default();
        let source_branch = gaps.fill(self.source_branch, "object_attributes.source_branch");
        Ok(MergeRequest {
            id: gaps.fill(self.id, "object_attributes.id"),
            iid,
            keys: IssueKeys::extract([title.as_str(), description.as_str()]),
            title: clean(&title, 1024),
            state: gaps.fill(self.state, "object_attributes.state"),
            draft: self.draft.or(self.work_in_progress).unwrap_or(false),
            author: None,
            reviewers,
            notes: 0,
            source_branch,
            target_branch: gaps.fill(self.target_branch, "object_attributes.target_branch"),
            source_project_id: self.source_project_id,
            source_project_url: self.source.and_then(|source| source.web_url.or(source.homepage)),
            updated_at: self.updated_at,
            web_url: self.url.unwrap_or_else(|| format!("{}/-/merge_requests/{iid}", project.web_url)),
            reference: format!("{}!{iid}", project.path),
            last_commit: self.last_commit.and_then(|commit| commit.commit(project)).map(Box::new),
        })
    }
}
