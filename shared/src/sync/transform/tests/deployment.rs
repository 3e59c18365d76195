//! Deployments: those without a job, their environments, and their states.

use super::*;
use crate::jira::model::{Deployment as JiraDeployment, DeploymentState, EnvironmentType};

fn sent(deployment: &Deployment) -> JiraDeployment {
    content!(source().deployment(deployment, KNOWN_AT, false).expect("it has a number"), Deployment)
}

/// M21: one association, of issue keys, and no `issueKeys` beside it.
#[test]
fn keys_are_sent_as_an_association_only() {
    let json = serde_json::to_value(sent(&deployment())).expect("JSON");
    assert_eq!(
        json["associations"],
        serde_json::json!([{"associationType": "issueKeys", "values": ["PAY-7"]}])
    );
    assert!(json.get("issueKeys").is_none());
}

/// M29: made through the API, without a job. Jira demands an address and a pipeline all the same.
#[test]
fn a_deployment_without_a_job_points_to_its_environment() {
    let sent = sent(&Deployment { job: None, ..deployment() });
    let environment = format!("{PROJECT_URL}/-/environments/3");
    assert_eq!((&sent.url, &sent.pipeline.url), (&environment, &environment));
    assert_eq!(sent.pipeline.id, "external-42");
    assert_eq!(sent.pipeline.display_name, "api deployments");
    assert!(sent.description.contains("(no job)"), "{}", sent.description);
}

#[test]
fn external_deployments_of_two_instances_stay_apart() {
    let second = source_of(project(), "https://gitlab.second.example", 1);
    let external = Deployment { job: None, ..deployment() };
    let entity = second.deployment(&external, KNOWN_AT, false).expect("it has a number");
    assert_eq!(content!(entity, Deployment).pipeline.id, "external-b4f1ca6c-42");
}

#[test]
fn an_environment_known_by_name_only_has_an_id_of_its_own() {
    let environment = Environment { id: None, name: "production".to_owned(), ..Environment::default() };
    let sent = sent(&Deployment { job: None, environment, ..deployment() });
    assert_eq!(&sent.environment.id[..32], "ab8e18ef4ebebeddc0b3152ce9c9006e");
    assert_eq!(sent.url, format!("{PROJECT_URL}/-/environments"));
}

#[test]
fn a_jobs_address_that_is_none_gives_way_to_the_environments() {
    let job = |web_url: Option<&str>| DeploymentJob {
        web_url: web_url.map(str::to_owned),
        ..DeploymentJob::default()
    };
    for web_url in [None, Some(""), Some("javascript:alert(1)")] {
        let sent = sent(&Deployment { job: Some(job(web_url)), ..deployment() });
        assert_eq!(sent.url, format!("{PROJECT_URL}/-/environments/3"), "{web_url:?}");
    }
}

/// M30.
#[test]
fn tiers() {
    for (tier, environment_type) in [
        (Some("production"), EnvironmentType::Production),
        (Some("staging"), EnvironmentType::Staging),
        (Some("testing"), EnvironmentType::Testing),
        (Some("development"), EnvironmentType::Development),
        (Some("other"), EnvironmentType::Unmapped),
        (None, EnvironmentType::Unmapped),
    ] {
        let environment = Environment { tier: tier.map(str::to_owned), ..deployment().environment };
        let sent = sent(&Deployment { environment, ..deployment() });
        assert_eq!(sent.environment.environment_type, environment_type, "{tier:?}");
    }
}

#[test]
fn states() {
    for (status, state) in [
        ("created", DeploymentState::Pending),
        ("blocked", DeploymentState::Pending),
        ("running", DeploymentState::InProgress),
        ("success", DeploymentState::Successful),
        ("failed", DeploymentState::Failed),
        ("canceled", DeploymentState::Cancelled),
        ("skipped", DeploymentState::Cancelled),
        ("made up", DeploymentState::Unknown),
    ] {
        assert_eq!(sent(&Deployment { status: status.to_owned(), ..deployment() }).state, state, "{status}");
    }
}

#[test]
fn a_deployment_whose_number_is_unknown_is_not_sent() {
    assert!(source().deployment(&Deployment { iid: None, ..deployment() }, KNOWN_AT, true).is_none());
}

/// Jira's change management reads the ids in it.
#[test]
fn the_description_names_deployment_and_project() {
    assert_eq!(
        sent(&deployment()).description,
        "Deployment 5 (deployment-6001) of api (project-42)\n          at 9f1c2d3e (deploy) to live"
    );
}
