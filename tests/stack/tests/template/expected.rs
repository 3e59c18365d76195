//! What belongs into `template.yaml`, in YAML to paste: from the table of functions, and from what each function asks of
//! its environment when it starts.

use std::cell::RefCell;
use std::time::Duration;

use shared::bundle::{Access, CONNECT_BASE, EVENTS_QUEUE, Function, Route, Trigger, WEBHOOK};
use shared::config::{ForgeFunction, Identity, Variables};
use shared::envelope::{Context, EncryptionContext, Purpose};

/// The name in a stack of what the code calls `name`.
pub fn in_stack(name: &str) -> String {
    format!("!Sub ${{AWS::StackName}}-{name}")
}

/// The logical ID of a queue.
pub fn queue(name: &str) -> String {
    format!("{}Queue", capitalised(name))
}

/// The logical ID of its dead-letter queue.
pub fn dead_letter_queue(name: &str) -> String {
    format!("{}DeadLetterQueue", capitalised(name))
}

fn capitalised(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

/// A route as the API writes it: `{name+}` for what may hold slashes, where axum has `{*name}`.
pub fn route_key(route: &Route) -> String {
    let segments = route.path.split('/').map(|segment| match segment.strip_prefix("{*") {
        Some(rest) => format!("{{{}+}}", rest.trim_end_matches('}')),
        None => segment.to_owned(),
    });
    format!("{} {}", route.method, segments.collect::<Vec<_>>().join("/"))
}

/// The routes of a function.
pub fn routes(function: &Function) -> Vec<Route> {
    match function.trigger {
        Trigger::Http(routes) => routes.to_vec(),
        Trigger::Queue(_) | Trigger::Schedule(_) => Vec::new(),
    }
}

/// Jira wants all that it calls at one origin, which is the API. Anything else is called at its function's own URL.
pub fn behind_api(route: &Route) -> bool {
    route.path.starts_with(CONNECT_BASE)
}

/// The names that a function asks for when nothing is set.
pub fn variables(function: &str) -> Vec<String> {
    let asked = RefCell::new(Vec::new());
    let source = |name: &str| {
        asked.borrow_mut().push(name.to_owned());
        None
    };
    let mut variables = Variables::new(&source);
    // What is read of an empty environment is no configuration; which names it took is all that matters.
    match function {
        "backfill" => drop(backfill::Config::read(&mut variables)),
        "create-branch" => drop(create_branch::Config::read(&mut variables)),
        "descriptor" => drop(Identity::read(&mut variables)),
        "forge-lifecycle" | "forge-token" => drop(ForgeFunction::read(&mut variables)),
        "forge-page" => drop(forge_page::Config::read(&mut variables)),
        "housekeeping" => drop(housekeeping::Config::read(&mut variables)),
        "installed" => drop(installed::Config::read(&mut variables)),
        "oauth-application-id" => drop(oauth_application_id::OauthApplicationId::read(&mut variables)),
        "subscriptions" => drop(subscriptions::Config::read(&mut variables)),
        "repository-search" => drop(repository_search::Config::read(&mut variables)),
        "sync" => drop(sync::Config::read(&mut variables)),
        "uninstalled" => drop(uninstalled::Config::read(&mut variables)),
        "webhook" => drop(webhook::Config::read(&mut variables)),
        other => panic!("how {other} reads its configuration is not known here"),
    }
    let mut names = asked.into_inner();
    names.sort_unstable();
    names.dedup();
    names
}

/// The statements of a function's role, whose log group is `logs`.
pub fn statements(function: &Function, logs: &str) -> Vec<String> {
    let mut statements = vec![
        statement("Logs", &["logs:CreateLogStream", "logs:PutLogEvents"], &format!("!GetAtt {logs}.Arn")),
        statement("Tracing", &["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "\"*\""),
    ];
    if let Trigger::Queue(name) = function.trigger {
        let actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];
        statements.push(statement("Consume", &actions, &format!("!GetAtt {}.Arn", queue(name))));
    }
    statements.extend(function.access.iter().map(|access| match access {
        Access::Table(actions) => of_table(actions),
        Access::Items(actions, partitions) => format!(
            "{}\nCondition:\n  ForAllValues:StringLike: {{\"dynamodb:LeadingKeys\": {partitions:?}}}",
            of_table(actions)
        ),
        Access::Seal(purposes) => {
            of_key("Seal", "kms:GenerateDataKey", purposes, &a_context().encryption_context())
        }
        // What was sealed in the first version, too.
        Access::Open(purposes) => {
            of_key("Open", "kms:Decrypt", purposes, &a_context().encryption_context_of_record())
        }
        Access::Send(name) => {
            statement("Send", &["sqs:SendMessage"], &format!("!GetAtt {}.Arn", queue(name)))
        }
        Access::DeadLetter(name) => {
            statement("DeadLetter", &["sqs:SendMessage"], &format!("!GetAtt {}.Arn", dead_letter_queue(name)))
        }
        Access::Count(names) => {
            let arns: Vec<_> = names.iter().map(|name| format!("!GetAtt {}.Arn", queue(name))).collect();
            statement("Count", &["sqs:GetQueueAttributes"], &format!("[{}]", arns.join(", ")))
        }
        Access::Outbound => network(),
    }));
    statements
}

fn statement(sid: &str, actions: &[&str], resource: &str) -> String {
    let actions: Vec<String> = actions.iter().map(|action| format!("\"{action}\"")).collect();
    format!("Sid: {sid}\nEffect: Allow\nAction: [{}]\nResource: {resource}", actions.join(", "))
}

fn of_table(actions: &[&str]) -> String {
    let actions: Vec<String> = actions.iter().map(|action| format!("dynamodb:{action}")).collect();
    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
    statement("Table", &actions, "!GetAtt Table.Arn")
}

fn a_context() -> Context {
    Context::installation("", "", Purpose::SharedSecret)
}

fn of_key(sid: &str, action: &str, purposes: &[Purpose], context: &EncryptionContext) -> String {
    let purposes: Vec<&str> = purposes.iter().map(|purpose| purpose.as_str()).collect();
    let keys: Vec<&str> = context.pairs().map(|(key, _)| key).collect();
    format!(
        "{}\nCondition:\n  StringEquals: {{\"kms:EncryptionContext:purpose\": [{}]}}\n  \
         ForAllValues:StringEquals: {{\"kms:EncryptionContextKeys\": [{}]}}",
        statement(sid, &[action], "!GetAtt Key.Arn"),
        purposes.join(", "),
        keys.join(", ")
    )
}

/// What Lambda needs to put a function into a private network, as the AWS managed policy for it says.
/// <https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSLambdaVPCAccessExecutionRole.html>
fn network() -> String {
    let actions = [
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    ];
    let statement = statement("Network", &actions, "\"*\"").replace('\n', "\n  ");
    format!("!If\n- InNetwork\n- {statement}\n- !Ref AWS::NoValue")
}

/// What starts the function that reads a queue.
pub fn event_source(name: &str) -> String {
    // Many small events are worth gathering; a step is as long as an invocation may be.
    let size = if name == EVENTS_QUEUE {
        "BatchSize: 200\n  MaximumBatchingWindowInSeconds: 2"
    } else {
        "BatchSize: 10"
    };
    let concurrency = if name == EVENTS_QUEUE { "!Ref SyncConcurrency" } else { "2" };
    format!(
        "Type: SQS\nProperties:\n  Queue: !GetAtt {}.Arn\n  {size}\n  \
         FunctionResponseTypes: [ReportBatchItemFailures]\n  ScalingConfig: {{MaximumConcurrency: {concurrency}}}",
        queue(name)
    )
}

/// What starts the function of a schedule: a rule with that function, whose logical ID is `function`, as its target.
pub fn rule(name: &str, function: &str, every: Duration) -> String {
    let minutes = every.as_secs() / 60;
    format!(
        "Name: {}\nScheduleExpression: rate({minutes} minutes)\nState: ENABLED\n\
         Targets: [{{Id: {name}, Arn: !GetAtt {function}.Arn}}]",
        in_stack(name)
    )
}

/// How a function gets into a private network, if there is one.
pub fn vpc_config() -> String {
    "!If\n- InNetwork\n- SubnetIds: !Split [\",\", !Ref SubnetIds]\n  \
     SecurityGroupIds: !Split [\",\", !Ref SecurityGroupIds]\n- !Ref AWS::NoValue"
        .to_owned()
}

/// The limit of a function that strangers can call.
pub fn concurrency(function: &Function) -> Option<String> {
    let which = if *routes(function).first()? == WEBHOOK { "Webhook" } else { "Public" };
    Some(format!("!If [Reserve{which}, !Ref {which}Concurrency, !Ref AWS::NoValue]"))
}
