//! `template.yaml` against the code: the table of functions and what each function reads from its environment. Both ways,
//! so that nothing is missing and nothing is left over. What fails prints the YAML that belongs there. Whether AWS takes
//! the template is for its own linters.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod expected;
mod yaml;

use std::collections::BTreeMap;

use saphyr::YamlOwned;
use shared::bundle::{Access, FUNCTIONS, Function, Trigger};
use shared::queue::{MAX_BYTES, MAX_RECEIVES};
use shared::telemetry::NAMESPACE;

use yaml::{at, entries, pairs, text, text_at};

/// Lambda asks for a visibility timeout of this many times the function's.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const VISIBILITY: i64 = 6;

/// The template, by what is asked of it.
struct Template(YamlOwned);

impl Template {
    fn read() -> Self {
        Self(yaml::read("template.yaml"))
    }

    /// The resources of a type, by their logical IDs.
    fn resources(&self, kind: &str) -> BTreeMap<String, &YamlOwned> {
        let mut resources = pairs(at(&self.0, &["Resources"]));
        resources.retain(|_, resource| text_at(resource, &["Type"]) == kind);
        resources
    }

    /// The properties of the resource with this logical ID.
    fn properties(&self, id: &str) -> &YamlOwned {
        at(&self.0, &["Resources", id, "Properties"]).unwrap_or_else(|| panic!("template.yaml has no {id}"))
    }

    /// The logical ID and the properties of a function.
    fn function(&self, function: &Function) -> (String, &YamlOwned) {
        let name = expected::in_stack(function.name);
        let functions = self.resources("AWS::Serverless::Function");
        let found =
            functions.into_iter().find(|(_, it)| text_at(it, &["Properties", "FunctionName"]) == name);
        let (id, resource) = found.unwrap_or_else(|| panic!("no function has\nFunctionName: {name}"));
        (id, at(resource, &["Properties"]).unwrap())
    }

    /// The logical IDs of the functions that a service may call.
    fn callable_by(&self, service: &str) -> Vec<String> {
        let permissions = self.resources("AWS::Lambda::Permission").into_values();
        let permissions = permissions.filter(|it| text_at(it, &["Properties", "Principal"]) == service);
        permissions.map(|it| referred(&text_at(it, &["Properties", "FunctionName"])).to_owned()).collect()
    }

    /// A function's property, or what all functions have.
    fn setting(&self, function: &YamlOwned, name: &str) -> i64 {
        let setting = at(function, &[name]).or_else(|| at(&self.0, &["Globals", "Function", name]));
        setting.and_then(YamlOwned::as_integer).unwrap_or_else(|| panic!("{name} is not set"))
    }
}

/// The logical ID that `!Ref ID`, `!GetAtt ID.Arn` or `!Sub ...${ID}` names.
fn referred(reference: &str) -> &str {
    let name = reference.rsplit(['$', ' ', '/']).next().unwrap_or_default();
    name.trim_matches(['{', '}']).trim_end_matches(".Arn")
}

/// Fails unless `expected`, each in YAML, is what is `there`, in whatever order.
fn same(what: &str, expected: &[String], there: Vec<String>) {
    let wanted: Vec<String> = expected.iter().map(|expected| text(&yaml::parse(expected))).collect();
    let missing = expected.iter().zip(&wanted).filter(|(_, wanted)| !there.contains(wanted));
    let missing = missing.map(|(expected, _)| format!("missing:\n{expected}"));
    let extra =
        there.iter().filter(|there| !wanted.contains(there)).map(|there| format!("left over:\n{there}"));
    let problems: Vec<String> = missing.chain(extra).collect();
    assert!(problems.is_empty(), "template.yaml, {what}\n{}", problems.join("\n"));
    assert_eq!(wanted.len(), there.len(), "template.yaml, {what}: something is listed twice");
}

#[test]
fn the_functions_are_those_of_the_table() {
    let template = Template::read();
    let there = template.resources("AWS::Serverless::Function").into_values().map(|function| {
        let of = |keys: &[&str]| text_at(function, keys);
        format!(
            "{{Binary: {}, BuildMethod: {}, CodeUri: {}, FunctionName: {}}}",
            of(&["Metadata", "BuildProperties", "Binary"]),
            of(&["Metadata", "BuildMethod"]),
            of(&["Properties", "CodeUri"]),
            of(&["Properties", "FunctionName"]),
        )
    });
    let expected: Vec<String> = FUNCTIONS
        .iter()
        .map(|Function { name, .. }| {
            let full = expected::in_stack(name);
            format!("CodeUri: functions/{name}/\nFunctionName: {full}\nBuildMethod: rust-cargolambda\nBinary: {name}")
        })
        .collect();
    same("functions", &expected, there.collect());
}

#[test]
fn functions_get_exactly_the_variables_that_they_read() {
    let template = Template::read();
    let everywhere = pairs(at(&template.0, &["Globals", "Function", "Environment", "Variables"]));
    assert_eq!(everywhere.into_keys().collect::<Vec<_>>(), ["RUST_LOG"]);
    for function in FUNCTIONS {
        let (_, properties) = template.function(function);
        let variables = pairs(at(properties, &["Environment", "Variables"]));
        let what = format!("variables of {}", function.name);
        same(&what, &expected::variables(function.name), variables.into_keys().collect());
    }
}

#[test]
fn roles_allow_exactly_what_the_table_says() {
    let template = Template::read();
    let mut roles = Vec::new();
    for function in FUNCTIONS {
        let (_, properties) = template.function(function);
        let logs = text_at(properties, &["LoggingConfig", "LogGroup"]);
        let logs = referred(&logs);
        let group = text_at(template.properties(logs), &["LogGroupName"]);
        assert_eq!(group, format!("!Sub /aws/lambda/${{AWS::StackName}}-{}", function.name));

        let role = text_at(properties, &["Role"]);
        let role = referred(&role);
        roles.push(role.to_owned());
        let policies = template.properties(role);
        assert!(at(policies, &["ManagedPolicyArns"]).is_none(), "{role} has managed policies");
        let policies = entries(at(policies, &["Policies"]));
        assert_eq!(policies.len(), 1, "{role} has not one policy");
        let statements = entries(at(policies[0], &["PolicyDocument", "Statement"]));
        let what = format!("statements of {role}");
        same(&what, &expected::statements(function, logs), statements.into_iter().map(text).collect());
    }
    same("roles", &roles, template.resources("AWS::IAM::Role").into_keys().collect());
    assert!(template.resources("AWS::IAM::ManagedPolicy").is_empty());
    assert!(template.resources("AWS::IAM::Policy").is_empty());
}

#[test]
fn jira_reaches_functions_by_the_routes_of_the_table_and_gitlab_and_forge_by_function_url() {
    let template = Template::read();
    let (mut expected, mut callable) = (Vec::new(), Vec::new());
    for function in FUNCTIONS {
        let (id, properties) = template.function(function);
        let (api, own): (Vec<_>, Vec<_>) =
            expected::routes(function).into_iter().partition(expected::behind_api);
        let url = text_at(properties, &["FunctionUrlConfig"]);
        let wanted = if own.is_empty() { "" } else { "{AuthType: NONE}" };
        assert_eq!(url, wanted, "FunctionUrlConfig of {}", function.name);
        let keys =
            api.iter().map(|route| format!("RouteKey: {}\nFunction: {id}", expected::route_key(route)));
        expected.extend(keys);
        if !api.is_empty() {
            callable.push(id);
        }
    }
    let routes = template.resources("AWS::ApiGatewayV2::Route").into_values().map(|route| {
        let target = text_at(route, &["Properties", "Target"]);
        let integration = template.properties(referred(&target));
        assert_eq!(text_at(integration, &["PayloadFormatVersion"]), "2.0");
        let uri = text_at(integration, &["IntegrationUri"]);
        format!("{{Function: {}, RouteKey: {}}}", referred(&uri), text_at(route, &["Properties", "RouteKey"]))
    });
    same("routes", &expected, routes.collect());

    same("functions that the API may call", &callable, template.callable_by("apigateway.amazonaws.com"));
}

#[test]
fn schedules_start_their_functions_and_no_others() {
    let template = Template::read();
    let (mut rules, mut callable) = (Vec::new(), Vec::new());
    for function in FUNCTIONS {
        if let Trigger::Schedule(every) = function.trigger {
            let (id, _) = template.function(function);
            rules.push(expected::rule(function.name, &id, every));
            callable.push(id);
        }
    }
    let there = template.resources("AWS::Events::Rule").into_values().map(|rule| {
        let mut properties = pairs(at(rule, &["Properties"]));
        properties.remove("Description");
        let properties: Vec<_> =
            properties.iter().map(|(key, value)| format!("{key}: {}", text(value))).collect();
        format!("{{{}}}", properties.join(", "))
    });
    same("rules", &rules, there.collect());
    same("functions that rules may call", &callable, template.callable_by("events.amazonaws.com"));
    let permissions = template.resources("AWS::Lambda::Permission").into_values();
    for permission in permissions {
        assert!(
            at(permission, &["Properties", "SourceArn"]).is_some(),
            "whoever has such an API or rule may call"
        );
    }
}

#[test]
fn queues_start_their_functions_and_count_as_the_code_does() {
    let template = Template::read();
    for function in FUNCTIONS {
        let (_, properties) = template.function(function);
        let events = pairs(at(properties, &["Events"])).into_values().map(text).collect();
        let what = format!("events of {}", function.name);
        let Trigger::Queue(queue) = function.trigger else {
            same(&what, &[], events);
            continue;
        };
        same(&what, &[expected::event_source(queue)], events);

        for name in [expected::queue(queue), expected::dead_letter_queue(queue)] {
            let size =
                at(template.properties(&name), &["MaximumMessageSize"]).and_then(YamlOwned::as_integer);
            assert_eq!(size, i64::try_from(MAX_BYTES).ok(), "MaximumMessageSize of {name}");
        }
        let queue = template.properties(&expected::queue(queue)).clone();
        let receives = at(&queue, &["RedrivePolicy", "maxReceiveCount"]).and_then(YamlOwned::as_integer);
        assert_eq!(
            receives,
            Some(i64::from(MAX_RECEIVES)),
            "maxReceiveCount of what {} reads",
            function.name
        );
        let timeout = template.setting(properties, "Timeout");
        let visibility =
            at(&queue, &["VisibilityTimeout"]).and_then(YamlOwned::as_integer).unwrap_or_default();
        assert!(
            visibility >= VISIBILITY * timeout,
            "of the queue of {}: VisibilityTimeout: {}",
            function.name,
            VISIBILITY * timeout
        );
    }
}

#[test]
fn functions_that_call_out_can_be_in_a_private_network_and_others_are_not() {
    let template = Template::read();
    for function in FUNCTIONS {
        let (_, properties) = template.function(function);
        let there = at(properties, &["VpcConfig"]).map(text).into_iter().collect();
        let outbound = function.access.contains(&Access::Outbound);
        let expected = outbound.then(expected::vpc_config);
        same(&format!("VpcConfig of {}", function.name), expected.as_slice(), there);
    }
}

#[test]
fn functions_open_to_strangers_have_a_concurrency_limit() {
    let template = Template::read();
    for function in FUNCTIONS {
        let (_, properties) = template.function(function);
        let there = at(properties, &["ReservedConcurrentExecutions"]).map(text).into_iter().collect();
        let expected = expected::concurrency(function);
        same(&format!("ReservedConcurrentExecutions of {}", function.name), expected.as_slice(), there);
    }
}

#[test]
fn sites_and_links_that_need_attention_have_alarms() {
    let alarms = yaml::read("infra/alarms.yaml");
    let there = pairs(at(&alarms, &["Resources"])).into_values();
    let there = there.filter(|it| text_at(it, &["Properties", "Namespace"]) == NAMESPACE).map(|alarm| {
        let of = |name: &str| text_at(alarm, &["Properties", name]);
        format!("{{Dimensions: {}, MetricName: {}}}", of("Dimensions"), of("MetricName"))
    });
    let expected = [housekeeping::SITES, housekeeping::LINKS].map(|metric| {
        format!(
            "MetricName: {metric}\nDimensions: [{{Name: Stack, Value: !Ref Bundle}}, \
             {{Name: Function, Value: housekeeping}}]"
        )
    });
    same("alarms, in infra/alarms.yaml", &expected, there.collect());
}

#[test]
fn every_function_has_its_alarms() {
    let alarms = yaml::read("infra/alarms.yaml");
    let there = pairs(at(&alarms, &["Resources"])).into_values();
    let there = there.filter(|it| text_at(it, &["Properties", "Namespace"]) == "AWS/Lambda").map(|alarm| {
        let of = |name: &str| text_at(alarm, &["Properties", name]);
        format!("{{Dimensions: {}, MetricName: {}}}", of("Dimensions"), of("MetricName"))
    });
    let expected: Vec<String> = FUNCTIONS
        .iter()
        .flat_map(|function| ["Errors", "Throttles"].map(|metric| (function.name, metric)))
        .map(|(name, metric)| {
            format!("MetricName: {metric}\nDimensions: [{{Name: FunctionName, Value: !Sub \"${{Bundle}}-{name}\"}}]")
        })
        .collect();
    same("alarms, in infra/alarms.yaml", &expected, there.collect());
}

#[test]
fn the_table_in_the_documentation_names_each_parameter_with_its_default() {
    let document = include_str!("../../../../docs/DEPLOYMENT.md");
    let section = document.split("\n## ").find(|section| section.starts_with("Parameters\n")).unwrap();
    let documented = section.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
        let default = cells.last()?.trim_end_matches(" |").trim_matches('`').replace("empty", "");
        Some((cells.first()?.trim_end_matches('`').to_owned(), default))
    });
    let mut documented: Vec<(String, String)> = documented.collect();
    documented.sort();
    let template = Template::read();
    let parameters = pairs(at(&template.0, &["Parameters"])).into_iter();
    let parameters = parameters.map(|(name, parameter)| (name, text_at(parameter, &["Default"])));
    assert_eq!(documented, parameters.collect::<Vec<_>>(), "docs/DEPLOYMENT.md, Parameters");
}
