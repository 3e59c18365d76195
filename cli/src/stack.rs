//! The bundle as a CloudFormation stack: what an operator command needs to know of it, read from the stack itself, and
//! clients that work with the credentials of whoever gives the command. What commands do belongs to `operate`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context as _;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_cloudformation::types::Stack;
use aws_sdk_cloudwatch::types::StateValue;
use serde_json::{Value, json};
use shared::bundle::EVENTS_QUEUE;
use shared::clock::{SharedClock, SystemClock};
use shared::envelope::{Envelope, Kms};
use shared::gitlab::client::GitlabHttp;
use shared::jira::connections::{AccessTokens, Connections};
use shared::outbound::RedirectRule;
use shared::queue::SharedQueue;
use shared::queue::sqs::SqsQueue;
use shared::store::Store;

use crate::forge::{Remotes, Setup};
use crate::operate::{Command, Operator, Refusal};
use crate::settings::Settings;

/// Variables and the parameters of the template that set them.
const PARAMETERS: [(&str, &str); 10] = [
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
];

/// Carries out a command on the stack called `name`.
pub async fn command(name: &str, command: Command) -> anyhow::Result<Result<Value, Refusal>> {
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let operator = operator(&sdk, name).await?;
    let is_doctor = matches!(command, Command::Doctor);
    let mut answer = operator.run(command).await;
    if let (true, Ok(diagnosis)) = (is_doctor, &mut answer)
        && let Some(checks) = diagnosis["checks"].as_array_mut()
    {
        checks.push(alarms(&sdk, name).await);
    }
    Ok(answer)
}

/// An operator of the stack called `name`.
async fn operator(sdk: &SdkConfig, name: &str) -> anyhow::Result<Operator> {
    let stack = describe(sdk, name).await?;
    let outputs = Outputs::of(&stack);
    let settings = settings(&stack, &outputs)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let store = Store::new(aws_sdk_dynamodb::Client::new(sdk), outputs.get("TableName")?, clock.clone());
    let kms = Kms::new(aws_sdk_kms::Client::new(sdk), outputs.get("KmsKeyId")?);
    let envelope = Arc::new(Envelope::new(Arc::new(kms)));
    let events = SqsQueue::new(
        aws_sdk_sqs::Client::new(sdk),
        outputs.get("EventsQueueUrl")?,
        Some(outputs.get("EventsDeadLetterQueueUrl")?),
    );
    let outbound = &settings.lifecycle.outbound;
    let strict = outbound.client(RedirectRule::None)?;
    let connections = Connections {
        http: strict.clone(),
        guard: outbound.guard.clone(),
        envelope: envelope.clone(),
        clock: clock.clone(),
        app_key: settings.lifecycle.identity.app_key.clone(),
        api_url: settings.atlassian_api_url.clone(),
        tokens: AccessTokens::default(),
    };
    Ok(Operator {
        store,
        envelope,
        connections,
        gitlab: GitlabHttp { reads: outbound.client(RedirectRule::SameOriginGet)?, writes: strict },
        guard: outbound.guard.clone(),
        queues: BTreeMap::from([(EVENTS_QUEUE, Arc::new(events) as SharedQueue)]),
        clock,
        base_url: settings.lifecycle.identity.base_url.clone(),
        webhook_base_url: outputs.get("WebhookUrl")?.trim_end_matches('/').to_owned(),
        gitlab_url: settings.gitlab_url,
        allowed_jira_sites: settings.allowed_jira_sites.into(),
        forge: Setup {
            app_id: settings.forge.app_id,
            bundle: bundle(stack.stack_id().unwrap_or_default(), name),
            remotes: outputs.remotes(),
        },
    })
}

/// What tells a stack from others of its name, but not from those that it replaces: `REGION.ACCOUNT.NAME`.
fn bundle(arn: &str, name: &str) -> String {
    let mut parts = arn.split(':').skip(3);
    let (region, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{region}.{account}.{name}")
}

async fn describe(sdk: &SdkConfig, name: &str) -> anyhow::Result<Stack> {
    let cloudformation = aws_sdk_cloudformation::Client::new(sdk);
    let described = cloudformation.describe_stacks().stack_name(name).send().await;
    let stacks = described
        .map_err(aws_sdk_cloudformation::Error::from)
        .with_context(|| {
            format!(
                "the stack {name} can't be read: is it in this region ({}), and are you signed in to its account?",
                sdk.region().map_or("none is set", AsRef::as_ref)
            )
        })?
        .stacks
        .unwrap_or_default();
    stacks.into_iter().next().with_context(|| format!("there is no stack {name}"))
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

/// The settings that the stack was deployed with.
fn settings(stack: &Stack, outputs: &Outputs) -> anyhow::Result<Settings> {
    let base_url = outputs.get("BaseUrl")?;
    let parameter = |name: &str| {
        let found = stack.parameters().iter().find(|parameter| parameter.parameter_key() == Some(name));
        found.and_then(|parameter| parameter.parameter_value.clone())
    };
    let source = |variable: &str| match variable {
        "BASE_URL" => Some(base_url.to_owned()),
        _ => PARAMETERS.iter().find(|(name, _)| *name == variable).and_then(|(_, name)| parameter(name)),
    };
    Ok(Settings::read(&source)?)
}

/// The stack's alarms that ring.
async fn alarms(sdk: &SdkConfig, name: &str) -> Value {
    let mut pages = aws_sdk_cloudwatch::Client::new(sdk)
        .describe_alarms()
        .alarm_name_prefix(name)
        .into_paginator()
        .send();
    let (mut all, mut ringing) = (0, Vec::new());
    while let Some(page) = pages.next().await {
        let alarms = match page {
            Ok(page) => page.metric_alarms.unwrap_or_default(),
            Err(error) => {
                let error = anyhow::Error::new(error);
                return json!({ "check": "alarms", "ok": false, "found": format!("can't be read: {error:#}") });
            }
        };
        all += alarms.len();
        let rings = alarms.into_iter().filter(|alarm| alarm.state_value == Some(StateValue::Alarm));
        ringing.extend(rings.filter_map(|alarm| alarm.alarm_name));
    }
    let found = match (all, ringing.len()) {
        (0, _) => "the stack has no alarms".to_owned(),
        (all, 0) => format!("none of {all} rings"),
        (all, ringing_now) => format!("{ringing_now} of {all} ring: {}", ringing.join(", ")),
    };
    json!({ "check": "alarms", "ok": all > 0 && ringing.is_empty(), "found": found })
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
