//! Builds 0.1. Follows <https://developer.atlassian.com/cloud/jira/software/rest/api-group-builds/>.

use super::links::LinkSyntax;
use super::listed::Listed;
use super::rules::Rule::{Date, Integer, Key, List, Object, OneOf, Text, Url};
use super::rules::{Field, optional, required};
use crate::jira::api::Api;

pub(super) const BUILDS: Listed = Listed {
    api: Api::Builds,
    list: "builds",
    fields: BUILD,
    sequence: "updateSequenceNumber",
    links: LinkSyntax::Plain,
    key: &[("pipelineId", "/pipelineId"), ("buildNumber", "/buildNumber")],
    answers: Some(("acceptedBuilds", "rejectedBuilds")),
};

const BUILD: &[Field] = &[
    required("pipelineId", Key(255)),
    required("buildNumber", Integer),
    required("updateSequenceNumber", Integer),
    required("displayName", Text(255)),
    required("url", Url),
    required("state", OneOf(&["pending", "in_progress", "successful", "failed", "cancelled", "unknown"])),
    required("lastUpdated", Date),
    optional("schemaVersion", OneOf(&["1.0"])),
    optional("description", Text(255)),
    optional("label", Text(255)),
    optional("testInfo", Object(TEST_INFO)),
    optional("references", List(1, 5, REFERENCE)),
];

const TEST_INFO: &[Field] = &[
    required("totalNumber", Integer),
    required("numberPassed", Integer),
    required("numberFailed", Integer),
    optional("numberSkipped", Integer),
];

const REFERENCE: &[Field] = &[optional("commit", Object(COMMIT)), optional("ref", Object(REF))];

const COMMIT: &[Field] = &[required("id", Key(255)), required("repositoryUri", Text(2000))];

const REF: &[Field] = &[required("name", Key(255)), required("uri", Text(2000))];
