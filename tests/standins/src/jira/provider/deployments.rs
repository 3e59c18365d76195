//! Deployments 0.1. Follows <https://developer.atlassian.com/cloud/jira/software/rest/api-group-deployments/>.

use super::links::LinkSyntax;
use super::listed::Listed;
use super::rules::Rule::{Count, Date, Integer, Key, List, Object, OneOf, Text, Url};
use super::rules::{Field, optional, required};
use crate::jira::api::Api;

pub(super) const DEPLOYMENTS: Listed = Listed {
    api: Api::Deployments,
    list: "deployments",
    fields: DEPLOYMENT,
    sequence: "updateSequenceNumber",
    links: LinkSyntax::Deployment,
    key: &[
        ("pipelineId", "/pipeline/id"),
        ("environmentId", "/environment/id"),
        ("deploymentSequenceNumber", "/deploymentSequenceNumber"),
    ],
    answers: Some(("acceptedDeployments", "rejectedDeployments")),
};

const DEPLOYMENT: &[Field] = &[
    required("deploymentSequenceNumber", Integer),
    required("updateSequenceNumber", Integer),
    required("displayName", Text(255)),
    required("url", Url),
    required("description", Text(255)),
    required("lastUpdated", Date),
    required("state", OneOf(STATES)),
    required("pipeline", Object(PIPELINE)),
    required("environment", Object(ENVIRONMENT)),
    optional("label", Text(255)),
    optional("duration", Count),
    optional("commands", List(0, usize::MAX, COMMAND)),
    optional("schemaVersion", OneOf(&["1.0"])),
];

const STATES: &[&str] =
    &["unknown", "pending", "in_progress", "cancelled", "failed", "rolled_back", "successful"];

const PIPELINE: &[Field] =
    &[required("id", Key(255)), required("displayName", Text(255)), required("url", Url)];

const ENVIRONMENT: &[Field] = &[
    required("id", Key(255)),
    required("displayName", Text(255)),
    required("type", OneOf(&["unmapped", "development", "testing", "staging", "production"])),
];

const COMMAND: &[Field] = &[required("command", OneOf(&["initiate_deployment_gating"]))];
