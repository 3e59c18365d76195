//! Feature flags 0.1. Follows <https://developer.atlassian.com/cloud/jira/software/rest/api-group-feature-flags/>.

use super::links::LinkSyntax;
use super::listed::Listed;
use super::rules::Rule::{Bool, Count, Date, Integer, Key, List, Number, Object, OneOf, Text, Url};
use super::rules::{Field, optional, required};
use crate::jira::api::Api;

pub(super) const FLAGS: Listed = Listed {
    api: Api::FeatureFlags,
    list: "flags",
    fields: FLAG,
    sequence: "updateSequenceId",
    links: LinkSyntax::Plain,
    key: &[("id", "/id")],
    answers: None,
};

const FLAG: &[Field] = &[
    required("id", Key(255)),
    required("key", Key(255)),
    required("updateSequenceId", Integer),
    required("summary", Object(SUMMARY)),
    required("details", List(1, usize::MAX, DETAILS)),
    optional("displayName", Text(255)),
    optional("schemaVersion", OneOf(&["1.0"])),
];

const SUMMARY: &[Field] =
    &[required("status", Object(STATUS)), required("lastUpdated", Date), optional("url", Url)];

const DETAILS: &[Field] = &[
    required("url", Url),
    required("lastUpdated", Date),
    required("environment", Object(ENVIRONMENT)),
    required("status", Object(STATUS)),
];

const ENVIRONMENT: &[Field] = &[
    required("name", Text(255)),
    optional("type", OneOf(&["development", "testing", "staging", "production"])),
];

const STATUS: &[Field] =
    &[required("enabled", Bool), optional("defaultValue", Text(255)), optional("rollout", Object(ROLLOUT))];

const ROLLOUT: &[Field] =
    &[optional("percentage", Number(0.0, 100.0)), optional("text", Text(255)), optional("rules", Count)];
