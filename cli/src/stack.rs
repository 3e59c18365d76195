//! The bundle as a CloudFormation stack: what an operator command needs to know of it, read from the stack itself, and
//! clients with the operator's own credentials. What commands do belongs to `operate`.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::Arc;

use anyhow::Context as _;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_cloudformation::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_cloudformation::operation::describe_stacks::DescribeStacksError;
use aws_sdk_cloudformation::types::Stack;
use aws_sdk_cloudwatch::types::StateValue;
use shared::bundle::{BACKFILL_QUEUE, EVENTS_QUEUE};
use shared::clock::{SharedClock, SystemClock};
use shared::config::PageFunction;
use shared::page::PageApi;
use shared::services::Services;

use crate::forge_manifest::{Remotes, Setup};
use crate::operate::{Answer, Check, Command, Finding, Operator, Refusal};
use crate::progress::shown;
use crate::settings::Settings;

/// Variables and the parameters of the template that set them.
const PARAMETERS: [(&str, &str); 13] = [
    ("GITLAB_URL", "GitLabUrl"),
    ("OAUTH_APPLICATION_ID", "OAuthApplicationId"),
    ("ALLOWED_JIRA_SITES", "AllowedJiraSites"),
    ("FORGE_APP_ID", "ForgeAppId"),
    ("FORGE_JWKS_URL", "ForgeJwksUrl"),
    ("PROXY_URL", "ProxyUrl"),
    ("ADDITIONAL_AUDIENCE_URL", "AdditionalAudienceUrl"),
    ("ATLASSIAN_API_URL", "AtlassianApiUrl"),
    ("ALLOWED_PRIVATE_HOSTS", "AllowedPrivateHosts"),
    ("EXTRA_CA_PEM", "ExtraCaPem"),
    ("HISTORY_REQUESTS_PER_MINUTE", "HistoryRequestsPerMinute"),
    ("HISTORY_REQUESTS_PER_HOUR", "HistoryRequestsPerHour"),
    ("REPLACED_COMMITS", "ReplacedCommits"),
];

/// Carries out a command on the stack called `name`.
///
/// # Errors
/// When the stack can't be read.
pub async fn command(name: &str, command: Command) -> anyhow::Result<Result<Answer, Refusal>> {
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let operator = operator(&sdk, name).await?;
    let status = async || Some(operator.run(Command::Status).await);
    let mut answer = shown(&command.clone(), operator.run(command), status).await;
    if let Ok(Answer::Diagnosis(diagnosis)) = &mut answer {
        diagnosis.checks.push(alarms(&sdk, name).await);
    }
    Ok(answer)
}

/// An operator of the stack called `name`, with the credentials of whoever runs this program.
pub async fn operator_of(name: &str) -> anyhow::Result<Operator> {
    operator(&aws_config::load_defaults(BehaviorVersion::latest()).await, name).await
}

/// An operator of the stack called `name`.
async fn operator(sdk: &SdkConfig, name: &str) -> anyhow::Result<Operator> {
    let stack = describe(sdk, name).await?;
    let outputs = Outputs::of(&stack);
    let settings = settings(&stack, &outputs)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let services = Services::aws(sdk.clone(), clock.clone());
    let dead_letters = outputs.get("EventsDeadLetterQueueUrl")?;
    let events = services.events_queue(outputs.get("EventsQueueUrl")?, Some(dead_letters));
    let resource = |variable: &str| {
        let output = RESOURCES.iter().find(|(name, _)| *name == variable);
        output.and_then(|(_, output)| outputs.get(output).ok()).map(str::to_owned)
    };
    let page = settings.function_on(&resource, PageFunction::read)?;
    let PageApi { linking, application_id, .. } = services.page_api(&page)?;
    let dead_letters = outputs.get("BackfillDeadLetterQueueUrl")?;
    let backfill = services.backfill_queue(outputs.get("BackfillQueueUrl")?, Some(dead_letters));
    Ok(Operator {
        store: services.store(&page.table_name),
        linking,
        application_id,
        page_sessions: Arc::default(),
        queues: BTreeMap::from([(EVENTS_QUEUE, events), (BACKFILL_QUEUE, backfill)]),
        clock,
        base_url: settings.lifecycle.identity.base_url.clone(),
        allowed_jira_sites: settings.allowed_jira_sites.into(),
        forge: Setup {
            app_id: settings.forge.app_id,
            bundle: bundle(stack.stack_id().unwrap_or_default(), name),
            remotes: outputs.remotes(),
        },
        key: None,
    })
}

/// Distinguishes a stack from others of its name, but not from those that it replaces: `REGION.ACCOUNT.NAME`.
fn bundle(arn: &str, name: &str) -> String {
    let mut parts = arn.split(':').skip(3);
    let (region, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{region}.{account}.{name}")
}

async fn describe(sdk: &SdkConfig, name: &str) -> anyhow::Result<Stack> {
    let cloudformation = aws_sdk_cloudformation::Client::new(sdk);
    let described = cloudformation.describe_stacks().stack_name(name).send().await;
    let described = described.map_err(|error| {
        let region = sdk.region().map(AsRef::as_ref);
        anyhow::anyhow!(unreadable(&error, name, region))
    })?;
    let stacks = described.stacks.unwrap_or_default();
    stacks.into_iter().next().with_context(|| format!("there is no stack {name}"))
}

/// Why the stack called `name` can't be read, and what to do about it. The most common cause is a missing sign-in.
fn unreadable(error: &SdkError<DescribeStacksError>, name: &str, region: Option<&str>) -> String {
    const SIGN_IN: &str = "Sign in (aws sso login), or set AWS_PROFILE or AWS_REGION.";
    let Some(region) = region else {
        return format!("AWS can't be asked: no region is set. {SIGN_IN}");
    };
    match error {
        SdkError::ServiceError(answer) => {
            let (error, status) = (answer.err(), answer.raw().status());
            let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
            // CloudFormation's code for a stack that it does not have, too.
            if code == "ValidationError" {
                return format!(
                    "There is no stack {name} in {region}: {message}. Is AWS_PROFILE or AWS_REGION another's?"
                );
            }
            let message = message.trim_end_matches('.');
            format!("AWS refuses: {message} ({code}, HTTP status {status}). {SIGN_IN}")
        }
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
            format!("AWS can't be reached in {region}: {}.", root_cause(error))
        }
        _ => format!("AWS can't be asked: {}. {SIGN_IN}", root_cause(error)),
    }
}

/// The root cause of an error, without the SDK's list of all places where it searched for credentials.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let root = root.to_string();
    let line = root.lines().next().unwrap_or_default();
    line.trim_end_matches("Attempted:").trim_end_matches([' ', '.']).to_owned()
}

/// What the stack says of itself.
struct Outputs(HashMap<String, String>);

impl Outputs {
    fn of(stack: &Stack) -> Self {
        let pairs = stack.outputs().iter();
        Self(
            pairs
                .filter_map(|output| Some((output.output_key.clone()?, output.output_value.clone()?)))
                .collect(),
        )
    }

    fn get(&self, key: &str) -> anyhow::Result<&str> {
        let value = self.0.get(key).map(String::as_str);
        value
            .with_context(|| format!("the stack has no output {key}: it is not this bundle, or an older one"))
    }

    /// `None`: a stack that was deployed before it had functions for Forge.
    fn remotes(&self) -> Option<Remotes> {
        let url = |key: &str| self.0.get(key).cloned();
        Some(Remotes {
            lifecycle: url("ForgeLifecycleUrl")?,
            token: url("ForgeTokenUrl")?,
            page: url("ForgePageUrl")?,
        })
    }
}

/// Variables that name the stack's resources, and its outputs that do.
const RESOURCES: [(&str, &str); 4] = [
    ("TABLE_NAME", "TableName"),
    ("KMS_KEY_ID", "KmsKeyId"),
    ("EVENTS_QUEUE_URL", "EventsQueueUrl"),
    ("BACKFILL_QUEUE_URL", "BackfillQueueUrl"),
];

/// The settings that the stack was deployed with.
fn settings(stack: &Stack, outputs: &Outputs) -> anyhow::Result<Settings> {
    let (base_url, webhook_url) = (outputs.get("BaseUrl")?, outputs.get("WebhookUrl")?);
    let parameter = |name: &str| {
        let found = stack.parameters().iter().find(|parameter| parameter.parameter_key() == Some(name));
        found.and_then(|parameter| parameter.parameter_value.clone())
    };
    let source = |variable: &str| match variable {
        "BASE_URL" => Some(base_url.to_owned()),
        "WEBHOOK_URL" => Some(webhook_url.to_owned()),
        _ => PARAMETERS.iter().find(|(name, _)| *name == variable).and_then(|(_, name)| parameter(name)),
    };
    Ok(Settings::read(&source)?)
}

/// The stack's alarms that are in alarm.
async fn alarms(sdk: &SdkConfig, name: &str) -> Check {
    let mut pages = aws_sdk_cloudwatch::Client::new(sdk)
        .describe_alarms()
        .alarm_name_prefix(name)
        .into_paginator()
        .send();
    let (mut all, mut in_alarm) = (0, Vec::new());
    while let Some(page) = pages.next().await {
        let alarms = match page {
            Ok(page) => page.metric_alarms.unwrap_or_default(),
            Err(error) => {
                let error = anyhow::Error::new(error);
                return Check::new("alarms", Finding::Fail, format!("can't be read: {error:#}"));
            }
        };
        all += alarms.len();
        let alarms = alarms.into_iter().filter(|alarm| alarm.state_value == Some(StateValue::Alarm));
        in_alarm.extend(alarms.filter_map(|alarm| alarm.alarm_name));
    }
    match (all, in_alarm.len()) {
        (0, _) => Check::new("alarms", Finding::Fail, "the stack has no alarms"),
        (all, 0) => Check::new("alarms", Finding::Ok, format!("none of {all} is in alarm")),
        (all, now) => {
            let found = format!("{now} of {all} in alarm: {}", in_alarm.join(", "));
            Check::new("alarms", Finding::Fail, found)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::bundle;

    #[test]
    fn stacks_of_one_name_are_told_apart_by_region_and_account() {
        let arn = "arn:aws:cloudformation:eu-central-1:123456789012:stack/gitlab/0b2f8c1e-3d4a-4c5b-8e6f-7a8b9c0d1e2f";
        assert_eq!(bundle(arn, "gitlab"), "eu-central-1.123456789012.gitlab");
    }
}
