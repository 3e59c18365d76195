//! Deployments.

use super::commit::short;
use super::{Source, date};
use crate::clock::Timestamp;
use crate::domain::EntityKind;
use crate::gitlab::model::{Deployment, Environment};
use crate::jira::model::{
    Association, Deployment as JiraDeployment, DeploymentPipeline, DeploymentState,
    Environment as JiraEnvironment, EnvironmentType,
};
use crate::sync::entity::{Content, Entity, EntityVersion};
use crate::text::{clean, optional_url};

impl Source {
    /// A deployment; `None` for one whose number within the project is not known.
    #[must_use]
    pub fn deployment(
        &self,
        deployment: &Deployment,
        known_at: Timestamp,
        from_hook: bool,
    ) -> Option<Entity> {
        let number = deployment.iid?;
        let pipeline = self.deployment_pipeline(deployment);
        let environment = self.environment(&deployment.environment);
        let id = format!("{}/{}/{number}", pipeline.id, environment.id);
        let (state, rank) = state(&deployment.status);
        let name = &deployment.environment.name;
        let sha = short(&deployment.sha);
        let content = JiraDeployment {
            schema_version: "1.0".to_owned(),
            deployment_sequence_number: number,
            update_sequence_number: known_at.0,
            display_name: clean(
                &format!("Deployment {number} ({}@{sha}) to {name}", deployment.git_ref),
                255,
            ),
            url: self.deployment_url(deployment),
            description: clean(&self.description(deployment, number), 255),
            label: clean(&format!("{}-{name}-{number}-{sha}", self.project.path), 255),
            last_updated: date(deployment.updated_at, known_at),
            state,
            associations: vec![Association {
                association_type: "issueKeys".to_owned(),
                values: deployment.keys.as_slice().to_vec(),
            }],
            pipeline,
            environment,
        };
        let version = EntityVersion { known_at, changed_at: deployment.updated_at, rank, from_hook };
        let label = format!("{} deployment {number} to {name}", self.project.path);
        let key = self.key(EntityKind::Deployment, id);
        Some(self.entity(
            key,
            label,
            deployment.keys.clone(),
            version,
            Content::Deployment(Box::new(content)),
        ))
    }

    /// Jira's change management reads the ids in it.
    fn description(&self, deployment: &Deployment, number: u64) -> String {
        let job = deployment.job.as_ref().map_or("no job", |job| job.name.as_str());
        format!(
            "Deployment {number} (deployment-{}) of {} (project-{})\n          at {} ({job}) to {}",
            deployment.id,
            self.project.name,
            self.project.id,
            short(&deployment.sha),
            deployment.environment.name
        )
    }

    /// The job's page; a deployment made through the API has none, so its environment's stands in.
    fn deployment_url(&self, deployment: &Deployment) -> String {
        let job = deployment.job.as_ref().and_then(|job| job.web_url.as_deref());
        optional_url(job).unwrap_or_else(|| self.environment_page(&deployment.environment))
    }

    fn environment_page(&self, environment: &Environment) -> String {
        environment
            .id
            .map_or_else(|| self.page("/-/environments"), |id| self.page(&format!("/-/environments/{id}")))
    }

    fn deployment_pipeline(&self, deployment: &Deployment) -> DeploymentPipeline {
        let job = deployment.job.as_ref();
        match job.and_then(|job| job.pipeline_id) {
            Some(id) => {
                let number = job.and_then(|job| job.pipeline_iid).unwrap_or(id);
                DeploymentPipeline {
                    id: self.id(id),
                    display_name: clean(&format!("{} pipeline {number}", self.project.name), 255),
                    url: optional_url(job.and_then(|job| job.pipeline_url.as_deref()))
                        .unwrap_or_else(|| self.page(&format!("/-/pipelines/{id}"))),
                }
            }
            None => DeploymentPipeline {
                id: format!("external-{}", self.repository.id),
                display_name: clean(&format!("{} deployments", self.project.name), 255),
                url: self.environment_page(&deployment.environment),
            },
        }
    }

    fn environment(&self, environment: &Environment) -> JiraEnvironment {
        JiraEnvironment {
            id: environment
                .id
                .map_or_else(|| self.id(super::sha256_hex(&environment.name)), |id| self.id(id)),
            display_name: clean(&format!("{}/{}", self.project.name, environment.name), 255),
            environment_type: match environment.tier.as_deref() {
                Some("production") => EnvironmentType::Production,
                Some("staging") => EnvironmentType::Staging,
                Some("testing") => EnvironmentType::Testing,
                Some("development") => EnvironmentType::Development,
                _ => EnvironmentType::Unmapped,
            },
        }
    }
}

fn state(status: &str) -> (DeploymentState, u8) {
    match status {
        "created" | "blocked" => (DeploymentState::Pending, 0),
        "running" => (DeploymentState::InProgress, 1),
        "success" => (DeploymentState::Successful, 2),
        "failed" => (DeploymentState::Failed, 2),
        "canceled" | "skipped" => (DeploymentState::Cancelled, 2),
        _ => (DeploymentState::Unknown, 0),
    }
}
