//! Every call to GitLab in numbers: of which kind, how it ended and how long it took.

use std::time::Instant;

use super::error::GitlabError;
use crate::telemetry::Measure;

/// Notes a call of `path` that ended with `answer`. A line for each call, although a batch makes many: so each is timed
/// and can be searched for, and what a million events cost more is below a dollar.
pub(super) fn measure<T>(path: &[&str], began: Instant, answer: &Result<T, GitlabError>) {
    let outcome = answer.as_ref().err().map_or("ok", GitlabError::outcome);
    Measure::new("called GitLab")
        .by([("Kind", kind(path))])
        .by([("Outcome", outcome)])
        .time("GitlabLatency", began)
        .log();
}

/// What a call is about: the last word of its path that names a collection, and so none that came from outside.
fn kind<'a>(path: &[&'a str]) -> &'a str {
    match path {
        ["projects", _, "repository", collection, rest @ ..] => rest.get(1).unwrap_or(collection),
        [.., "members", "all", _] => "members",
        path => path.iter().step_by(2).next_back().copied().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn kinds_are_words_of_paths_and_never_names() {
        for (path, expected) in [
            (&["metadata"] as &[_], "metadata"),
            (&["groups", "acme/hooks"], "groups"),
            (&["groups", "7", "members", "all", "9"], "members"),
            (&["groups", "7", "hooks", "1"], "hooks"),
            (&["projects", "5"], "projects"),
            (&["projects", "5", "repository", "branches", "PAY-7"], "branches"),
            (&["projects", "5", "repository", "branches", "repository"], "branches"),
            (&["projects", "5", "repository", "commits"], "commits"),
            (&["projects", "5", "repository", "commits", "abc"], "commits"),
            (&["projects", "5", "repository", "commits", "abc", "diff"], "diff"),
            (&["projects", "5", "merge_requests", "3", "reviewers"], "reviewers"),
            (&["projects", "5", "feature_flags", "a flag"], "feature_flags"),
        ] {
            assert_eq!(kind(path), expected, "{path:?}");
        }
    }
}
