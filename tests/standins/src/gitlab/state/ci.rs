//! Pipelines, jobs, environments and deployments.

use time::OffsetDateTime;

/// Counts of a pipeline's test report.
#[derive(Clone, Copy, Default)]
pub(crate) struct TestSummary {
    pub(crate) success: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl TestSummary {
    pub(crate) fn total(&self) -> u64 {
        self.success + self.failed + self.skipped
    }
}

pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) stage: String,
    pub(crate) status: String,
    pub(crate) environment: Option<u64>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) started_at: Option<OffsetDateTime>,
    pub(crate) finished_at: Option<OffsetDateTime>,
}

pub(crate) struct Pipeline {
    pub(crate) id: u64,
    pub(crate) iid: u64,
    /// A branch, a tag, or `refs/merge-requests/<iid>/head`.
    pub(crate) git_ref: String,
    pub(crate) tag: bool,
    pub(crate) sha: String,
    pub(crate) before_sha: String,
    pub(crate) status: String,
    pub(crate) source: &'static str,
    pub(crate) user: u64,
    /// The iid of the merge request this pipeline runs for.
    pub(crate) merge_request: Option<u64>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) tests: Option<TestSummary>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
    pub(crate) started_at: Option<OffsetDateTime>,
    pub(crate) finished_at: Option<OffsetDateTime>,
}

impl Pipeline {
    /// Whole seconds from start to end, once both are known.
    pub(crate) fn duration(&self) -> Option<i64> {
        Some((self.finished_at? - self.started_at?).whole_seconds())
    }

    /// Moves to a status and keeps the times in step.
    pub(crate) fn enter(&mut self, status: &str, now: OffsetDateTime) {
        status.clone_into(&mut self.status);
        self.updated_at = now;
        if status == "running" && self.started_at.is_none() {
            self.started_at = Some(now);
        }
        self.finished_at = is_finished(status).then_some(now);
    }
}

/// Is this the end of a pipeline, job or deployment?
pub(crate) fn is_finished(status: &str) -> bool {
    matches!(status, "success" | "failed" | "canceled" | "skipped")
}

pub(crate) struct Environment {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) tier: &'static str,
    pub(crate) external_url: Option<String>,
    pub(crate) created_at: OffsetDateTime,
}

impl Environment {
    /// GitLab guesses the tier from the name unless it is told.
    pub(crate) fn guessed_tier(name: &str) -> &'static str {
        let name = name.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&["dev", "review", "trunk"]) {
            "development"
        } else if has(&["test", "qa", "acceptance"]) {
            "testing"
        } else if has(&["stag", "stg", "model", "pre", "demo"]) {
            "staging"
        } else if has(&["prod", "live"]) {
            "production"
        } else {
            "other"
        }
    }

    /// The name as it fits in a DNS label.
    pub(crate) fn slug(&self) -> String {
        let lower = self.name.to_ascii_lowercase();
        lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(24).collect()
    }
}

pub(crate) struct Deployment {
    pub(crate) id: u64,
    pub(crate) iid: u64,
    pub(crate) git_ref: String,
    pub(crate) sha: String,
    pub(crate) environment: u64,
    pub(crate) status: String,
    pub(crate) user: u64,
    /// Pipeline id and job id; a deployment made through the API has neither.
    pub(crate) deployable: Option<(u64, u64)>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
    pub(crate) finished_at: Option<OffsetDateTime>,
}
