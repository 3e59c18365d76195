//! Reading webhook bodies (<https://docs.gitlab.com/user/project/integrations/webhook_events/>) of every version since
//! 15.7: fields come and go, dates change their form, and what is missing is normal. Group, project and system hooks
//! speak the same language. Deliveries are authenticated before, by `signature`.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::model::{Deployment, FeatureFlag, MergeRequest, Person, Pipeline, Project, Push};
use crate::domain::IssueKeys;
use crate::lenient;
use crate::text::{clean, optional_url};

mod ci;
mod merge_request;
mod push;

use ci::{RawDeployment, RawFeatureFlagEvent, RawPipelineEvent};
use merge_request::RawMergeRequestEvent;
use push::RawPush;

/// More reviewers than anybody asks; keeps a message small.
const MAX_REVIEWERS: usize = 50;

/// What a delivery says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParsedHook {
    /// The project it speaks of.
    pub project: Project,
    /// What happened.
    pub event: HookEvent,
    /// What the event lacks that a read of what it names tells, in words. It is of no use where nothing can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// The events that Jira hears of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HookEvent {
    /// Commits were pushed, or a branch was made.
    Push(Push),
    /// A branch is gone.
    BranchDeleted {
        /// Its name.
        branch: String,
        /// The head it had.
        before: String,
    },
    /// A merge request changed.
    MergeRequest {
        /// As the hook describes it.
        merge_request: MergeRequest,
        /// Keys that this very change took out of title or description.
        removed_keys: IssueKeys,
        /// Whether the hook does not say what changed; then it may have lost keys without saying so.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        untold_changes: bool,
    },
    /// A pipeline changed.
    Pipeline(Pipeline),
    /// A deployment changed.
    Deployment(Deployment),
    /// A feature flag was switched.
    FeatureFlag(FeatureFlag),
}

impl HookEvent {
    /// What it is about, as people call it: `acme/api pipeline 7`.
    #[must_use]
    pub fn label(&self, project: &Project) -> String {
        let path = &project.path;
        match self {
            Self::Push(Push { branch, .. }) | Self::BranchDeleted { branch, .. } => {
                format!("{path} branch {branch}")
            }
            Self::MergeRequest { merge_request, .. } => format!("{path}!{}", merge_request.iid),
            Self::Pipeline(pipeline) => format!("{path} pipeline {}", pipeline.id),
            Self::Deployment(deployment) => format!("{path} deployment {}", deployment.id),
            Self::FeatureFlag(flag) => format!("{path} flag {}", flag.name),
        }
    }

    /// The issues that it names itself.
    #[must_use]
    pub fn named_keys(&self) -> IssueKeys {
        let of_branch = |branch: &str| IssueKeys::extract([branch]);
        match self {
            Self::Push(push) => {
                push.commits.iter().fold(of_branch(&push.branch), |keys, it| keys.union(&it.keys))
            }
            Self::BranchDeleted { branch, .. } => of_branch(branch),
            Self::MergeRequest { merge_request, removed_keys, .. } => {
                merge_request.keys.clone().union(removed_keys)
            }
            Self::FeatureFlag(flag) => flag.keys.clone(),
            Self::Pipeline(pipeline) => of_branch(&pipeline.git_ref)
                .union(pipeline.commit_keys.as_ref().unwrap_or(&IssueKeys::default())),
            Self::Deployment(_) => IssueKeys::default(),
        }
    }
}

/// A body that leads to no event.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// A kind we do not need, or a push of a tag.
    #[error("nothing to do for {0}")]
    Ignored(String),
    /// A kind we need, but it does not say what it is about.
    #[error("the {kind} event lacks {field}")]
    Incomplete {
        /// The kind.
        kind: &'static str,
        /// The first field that is missing.
        field: &'static str,
    },
    /// Not the JSON that it says it is.
    #[error("the body is not a GitLab event")]
    Malformed(#[source] serde_json::Error),
}

/// Reads a body. Of a field that it has twice the last one counts, unless it is the kind and comes first.
///
/// # Errors
/// [`HookError`].
pub fn parse(body: &[u8]) -> Result<ParsedHook, HookError> {
    // GitLab names the kind first, so one pass is enough.
    let event = match serde_json::from_slice(body) {
        Ok(KindFirst(event)) => event,
        Err(_) => read_of_kind(body)?,
    };
    match event {
        RawEvent::Push(raw) => raw.delivery(),
        RawEvent::MergeRequest(raw) => raw.delivery(),
        RawEvent::Pipeline(raw) => raw.delivery(),
        RawEvent::Deployment(raw) => raw.delivery(),
        RawEvent::FeatureFlag(raw) => raw.delivery(),
        RawEvent::Other(kind) => Err(HookError::Ignored(kind)),
    }
}

/// What is needed of a body, by its kind.
enum RawEvent {
    Push(Box<RawPush>),
    MergeRequest(Box<RawMergeRequestEvent>),
    Pipeline(Box<RawPipelineEvent>),
    Deployment(Box<RawDeployment>),
    FeatureFlag(Box<RawFeatureFlagEvent>),
    /// A kind that leads to no event.
    Other(String),
}

impl RawEvent {
    /// Reads the fields of `kind`.
    fn of<'de, D: Deserializer<'de>>(kind: &str, fields: D) -> Result<Self, D::Error> {
        match kind {
            "push" => Deserialize::deserialize(fields).map(Self::Push),
            "merge_request" => Deserialize::deserialize(fields).map(Self::MergeRequest),
            "pipeline" => Deserialize::deserialize(fields).map(Self::Pipeline),
            "deployment" => Deserialize::deserialize(fields).map(Self::Deployment),
            "feature_flag" => Deserialize::deserialize(fields).map(Self::FeatureFlag),
            other => IgnoredAny::deserialize(fields).map(|_| Self::Other(clean(other, 40))),
        }
    }
}

/// An event whose kind comes before everything else.
struct KindFirst(RawEvent);

impl<'de> Deserialize<'de> for KindFirst {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KindFirstVisitor)
    }
}

struct KindFirstVisitor;

impl<'de> Visitor<'de> for KindFirstVisitor {
    type Value = KindFirst;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object that begins with object_kind")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<KindFirst, A::Error> {
        let first: Option<Cow<'de, str>> = fields.next_key()?;
        if first.as_deref() != Some("object_kind") {
            return Err(A::Error::invalid_type(Unexpected::Map, &self));
        }
        let kind: String = fields.next_value()?;
        RawEvent::of(&kind, MapAccessDeserializer::new(fields)).map(KindFirst)
    }
}

/// Reads the kind, wherever it stands, and then the fields of that kind.
fn read_of_kind(body: &[u8]) -> Result<RawEvent, HookError> {
    let Kind { object_kind, event_name } = read(body)?;
    let kind = object_kind.or(event_name).unwrap_or_default();
    let in_order = || RawEvent::of(&kind, &mut serde_json::Deserializer::from_slice(body));
    let whole = || serde_json::from_slice::<Value>(body).and_then(|body| RawEvent::of(&kind, body));
    in_order().or_else(|_| whole()).map_err(HookError::Malformed)
}

/// Reads what is needed and keeps nothing else in memory: a body of megabytes is mostly lists that nobody reads. Only one
/// that can't be read so, because it repeats a field or is no object, is read as a whole, as in [`read_of_kind`].
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, HookError> {
    let whole = || serde_json::from_slice::<Value>(body).and_then(serde_json::from_value);
    serde_json::from_slice(body).or_else(|_| whole()).map_err(HookError::Malformed)
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
)]
#[derive(Deserialize)]
struct Kind {
    object_kind: Option<String>,
    event_name: Option<String>,
}

fn required<T>(value: Option<T>, kind: &'static str, field: &'static str) -> Result<T, HookError> {
    value.ok_or(HookError::Incomplete { kind, field })
}

/// Fields that an event lacks and can do without where it is only asked what it is about.
struct Gaps {
    kind: &'static str,
    first: Option<String>,
}

impl Gaps {
    fn of(kind: &'static str) -> Self {
        Self { kind, first: None }
    }

    /// A field, or nothing in its place.
    fn fill<T: Default>(&mut self, value: Option<T>, field: &'static str) -> T {
        let kind = self.kind;
        required(value, kind, field).unwrap_or_else(|error| {
            self.first.get_or_insert_with(|| error.to_string());
            T::default()
        })
    }
}

/// A SHA of zeros stands for "no commit".
fn is_zero(sha: &str) -> bool {
    sha.bytes().all(|byte| byte == b'0')
}

fn is_sha(sha: &str) -> bool {
    (40..=64).contains(&sha.len()) && sha.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize, Default)]
struct RawProject {
    id: Option<u64>,
    name: Option<String>,
    description: Option<String>,
    web_url: Option<String>,
    homepage: Option<String>,
    avatar_url: Option<String>,
    path_with_namespace: Option<String>,
    default_branch: Option<String>,
}

impl RawProject {
    fn project(self, id: Option<u64>, kind: &'static str) -> Result<Project, HookError> {
        let id = required(self.id.or(id), kind, "project.id")?;
        let web_url = required(self.web_url.or(self.homepage), kind, "project.web_url")?;
        let path = required(self.path_with_namespace, kind, "project.path_with_namespace")?;
        Ok(Project {
            id,
            name: self.name.unwrap_or_else(|| path.clone()),
            description: self.description.filter(|text| !text.is_empty()).map(|text| clean(&text, 1024)),
            web_url: web_url.trim_end_matches('/').to_owned(),
            avatar_url: self.avatar_url,
            path,
            default_branch: self.default_branch,
        })
    }
}

#[serde_with::apply(
    Option => #[serde(default, deserialize_with = "lenient::field")],
    Vec => #[serde(default, deserialize_with = "lenient::list")],
)]
#[derive(Deserialize, Default)]
struct RawPerson {
    name: Option<String>,
    email: Option<String>,
    username: Option<String>,
    avatar_url: Option<String>,
}

impl RawPerson {
    fn person(self) -> Person {
        Person {
            id: None,
            name: clean(&self.name.unwrap_or_default(), 255),
            // What GitLab hides is `[REDACTED]`.
            email: self.email.filter(|email| email.contains('@') && email.len() <= 254),
            username: self.username.map(|username| clean(&username, 255)),
            web_url: None,
            avatar_url: optional_url(self.avatar_url.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn project() -> Value {
        json!({"id": 42, "name": "api", "description": "", "web_url": "https://gitlab.example.com/acme/api", "avatar_url": null,
               "path_with_namespace": "acme/api", "default_branch": "main"})
    }

    fn push(before: &str, after: &str) -> Value {
        json!({"object_kind": "push", "before": before, "after": after, "ref": "refs/heads/PAY-7-retry", "project_id": 42,
               "project": project(), "total_commits_count": 1, "commits": [{
                   "id": "9f1c2d3e4b5a69788796a5b4c3d2e1f009182736", "message": "PAY-7 retry\n\nand OPS-1", "timestamp": "2026-01-05T10:00:00+01:00",
                   "url": "https://gitlab.example.com/acme/api/-/commit/9f1c", "author": {"name": "Ada", "email": "[REDACTED]"},
                   "added": ["a"], "modified": ["b", "c"], "removed": []}]})
    }

    const ZERO: &str = "0000000000000000000000000000000000000000";
    const SHA: &str = "9f1c2d3e4b5a69788796a5b4c3d2e1f009182736";

    fn parse_value(value: &Value) -> Result<ParsedHook, HookError> {
        parse(value.to_string().as_bytes())
    }

    #[test]
    fn a_push_carries_keys_counts_and_no_hidden_address() {
        let delivery = parse_value(&push(SHA, SHA)).expect("a push");
        let HookEvent::Push(push) = delivery.event else { panic!("{:?}", delivery.event) };
        assert_eq!((push.branch.as_str(), push.before.as_deref()), ("PAY-7-retry", Some(SHA)));
        let commit = &push.commits[0];
        assert_eq!(commit.keys.as_slice(), ["PAY-7", "OPS-1"]);
        assert_eq!((commit.file_count, commit.author.email.as_deref()), (Some(3), None));
        assert_eq!(delivery.project.description, None);
    }

    #[test]
    fn zeros_make_and_delete_branches() {
        let made = parse_value(&push(ZERO, SHA)).expect("a push");
        assert!(matches!(made.event, HookEvent::Push(Push { before: None, .. })));
        let deleted = parse_value(&push(SHA, ZERO)).expect("a push");
        assert_eq!(
            deleted.event,
            HookEvent::BranchDeleted { branch: "PAY-7-retry".to_owned(), before: SHA.to_owned() }
        );
    }

    #[test]
    fn tags_and_unknown_kinds_are_ignored_by_name() {
        for (kind, name) in [("tag_push", "tag_push"), ("note", "note"), ("made_up", "made_up")] {
            let error = parse_value(&json!({"object_kind": kind})).expect_err("ignored");
            assert!(matches!(&error, HookError::Ignored(kind) if kind == name), "{error}");
        }
        assert!(matches!(parse(b"null"), Err(HookError::Malformed(_))));
        assert!(matches!(parse(b"\xff\xfe"), Err(HookError::Malformed(_))));
    }

    #[test]
    fn system_hooks_name_their_event_elsewhere() {
        let mut body = push(SHA, SHA);
        body.as_object_mut().expect("an object").remove("object_kind");
        body["event_name"] = json!("push");
        assert!(matches!(parse_value(&body).expect("a push").event, HookEvent::Push(_)));
    }

    #[test]
    fn an_edit_that_takes_a_key_away_is_noticed() {
        let body = json!({"object_kind": "merge_request", "project": project(), "changes": {"title": {"previous": "PAY-7 x", "current": "x"}},
            "object_attributes": {"id": 900, "iid": 7, "title": "x", "description": null, "state": "opened", "source_branch": "s",
                "target_branch": "main", "source_project_id": 42, "target_project_id": 42, "updated_at": "2026-01-05 10:00:00 UTC"}});
        let HookEvent::MergeRequest { merge_request, removed_keys, untold_changes } =
            parse_value(&body).expect("a merge request").event
        else {
            panic!("not a merge request")
        };
        assert!(merge_request.keys.is_empty());
        assert_eq!((removed_keys.as_slice(), untold_changes), (["PAY-7".to_owned()].as_slice(), false));
        assert_eq!(merge_request.reference, "acme/api!7");
    }

    /// R06.
    #[test]
    fn changes_that_are_not_told_are_noticed() {
        for (changes, untold) in [
            (json!({}), true),
            (Value::Null, true),
            (json!({"labels": {"previous": [], "current": [1]}}), false),
        ] {
            let mut body = whole_events().remove(1);
            body["changes"] = changes.clone();
            let event = parse_value(&body).expect("a merge request").event;
            assert!(
                matches!(event, HookEvent::MergeRequest { untold_changes, .. } if untold_changes == untold),
                "{changes}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let error =
            parse_value(&json!({"object_kind": "deployment", "project": project(), "status": "success"}))
                .expect_err("incomplete");
        assert_eq!(error.to_string(), "the deployment event lacks deployment_id");
    }

    #[test]
    fn the_kind_may_stand_anywhere() {
        for event in whole_events() {
            let mut fields = event.as_object().expect("an object").clone();
            let kind = fields.remove("object_kind").expect("a kind");
            let fields = Value::from(fields).to_string();
            let (begin, end) = (&fields[..fields.len() - 1], &fields[1..]);
            let first = parse(format!("{{\"object_kind\":{kind},{end}").as_bytes()).expect("an event");
            let last = parse(format!("{begin},\"object_kind\":{kind}}}").as_bytes()).expect("an event");
            assert_eq!(first, last, "{kind}");
            let named = parse(format!("{begin},\"event_name\":{kind}}}").as_bytes()).expect("an event");
            assert_eq!(first, named, "{kind}");
        }
    }

    /// An event of each kind with every field that is read.
    fn whole_events() -> Vec<Value> {
        let person = json!({"name": "Ada", "email": "ada@example.com", "username": "ada", "avatar_url": "https://gitlab.example.com/a"});
        let commit = json!({"id": SHA, "message": "PAY-7", "timestamp": "2026-01-05T10:00:00+01:00", "url": "https://gitlab.example.com/c", "author": person});
        let mut push = push(SHA, SHA);
        push["project"]["homepage"] = json!("https://gitlab.example.com/acme/api");
        vec![
            push,
            json!({"object_kind": "merge_request", "project": project(), "reviewers": [person],
                "changes": {"title": {"previous": "PAY-7 x"}, "description": {"previous": "x"}},
                "object_attributes": {"id": 900, "iid": 7, "title": "PAY-7", "description": "x", "state": "opened", "draft": false,
                    "work_in_progress": false, "source_branch": "s", "target_branch": "main", "source_project_id": 42, "target_project_id": 42,
                    "source": project(), "updated_at": "2026-01-05 10:00:00 UTC", "url": "https://gitlab.example.com/m", "last_commit": commit}}),
            json!({"object_kind": "pipeline", "project": project(), "commit": commit,
                "merge_request": {"iid": 7, "title": "PAY-7", "source_branch": "s"},
                "object_attributes": {"id": 31, "iid": 3, "ref": "main", "tag": false, "sha": SHA, "status": "success",
                    "finished_at": "2026-01-05 10:00:00 UTC", "url": "https://gitlab.example.com/p"}}),
            json!({"object_kind": "deployment", "project": project(), "deployment_id": 5, "status": "success", "ref": "main",
                "status_changed_at": "2026-01-05 10:00:00 +0200", "deployable_url": "https://gitlab.example.com/j",
                "environment": "live", "environment_tier": "production", "environment_external_url": "https://example.com",
                "commit_url": format!("https://gitlab.example.com/acme/api/-/commit/{SHA}")}),
            json!({"object_kind": "feature_flag", "project": project(),
                "object_attributes": {"id": 800, "name": "f", "description": "PAY-7", "active": true}}),
        ]
    }

    /// R02, R03: a field that is null or of another type costs what it says, and the event only where nothing can be told
    /// without it.
    #[test]
    fn an_odd_field_costs_nothing_else() {
        for event in whole_events() {
            let kind = event["object_kind"].clone();
            parse_value(&event).expect("as documented");
            for (path, odd) in lenient::odd::variants(&event) {
                match parse_value(&odd) {
                    Ok(_) => {}
                    Err(HookError::Incomplete { field, .. }) => {
                        let field = format!("/{}", field.replace('.', "/"));
                        assert!(field.starts_with(&path), "{kind}: {path} costs {field}: {odd}");
                    }
                    Err(HookError::Ignored(_)) => assert!(["/object_kind", "/ref"].contains(&path.as_str())),
                    Err(error) => panic!("{kind}: {path}: {error}: {odd}"),
                }
            }
        }
    }

    /// What a read tells may be missing, and is named.
    #[test]
    fn what_identifies_an_object_is_enough() {
        let lacking = [
            (1, "/object_attributes/title", "the merge_request event lacks object_attributes.title"),
            (1, "/object_attributes/id", "the merge_request event lacks object_attributes.id"),
            (2, "/object_attributes/ref", "the pipeline event lacks object_attributes.ref"),
            (2, "/object_attributes/status", "the pipeline event lacks object_attributes.status"),
            (3, "/environment", "the deployment event lacks environment"),
            (4, "/object_attributes/active", "the feature_flag event lacks object_attributes.active"),
        ];
        for (kind, field, words) in lacking {
            let mut event = whole_events().remove(kind);
            assert_eq!(parse_value(&event).expect("as documented").missing, None);
            *event.pointer_mut(field).expect("it is there") = Value::Null;
            assert_eq!(parse_value(&event).expect("an event").missing.as_deref(), Some(words));
        }
    }

    /// R04: a hook's list of commits is not the whole truth.
    #[test]
    fn a_push_that_lists_nothing_is_looked_into() {
        let mut body = push("1f1c2d3e4b5a69788796a5b4c3d2e1f009182736", SHA);
        (body["commits"], body["total_commits_count"]) = (json!([]), json!(0));
        let HookEvent::Push(push) = parse_value(&body).expect("a push").event else { panic!("not a push") };
        assert_eq!((push.commits.len(), push.total), (0, 1));
    }

    #[test]
    fn of_a_repeated_field_the_last_counts() {
        let text = push(SHA, SHA).to_string().replacen('{', r#"{"ref": 7, "#, 1);
        assert!(parse(text.as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse(&body);
        }

        #[test]
        fn never_panics_on_odd_fields(kind in "push|merge_request|pipeline|deployment|feature_flag", field in "[a-z_]{1,12}", text in ".*") {
            let _ = parse_value(&json!({"object_kind": kind, "project": project(), field: text, "object_attributes": {"id": 1, "ref": text}}));
        }
    }
}
