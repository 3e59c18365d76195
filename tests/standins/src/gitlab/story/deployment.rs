//! A deployment.

use super::ProjectHandle;
use super::pipeline::{add_job, add_pipeline};
use super::project::ensure_environment;
use crate::gitlab::hooks::{Place, Trigger, payload};
use crate::gitlab::state::{Deployment, World};

/// Every status a deployment can have.
const STATUSES: [&str; 7] = ["created", "blocked", "running", "success", "failed", "canceled", "skipped"];
/// Only these trigger hooks.
const TRIGGERING: [&str; 4] = ["running", "success", "failed", "canceled"];

/// A deployment.
#[derive(Clone)]
pub struct DeploymentHandle {
    project: ProjectHandle,
    id: u64,
    iid: u64,
}

impl DeploymentHandle {
    /// A deployment in the status `created`, by a job of the newest pipeline of that commit, or by none.
    pub(crate) fn create(project: &ProjectHandle, environment: &str, git_ref: &str, by_job: bool) -> Self {
        let mut world = project.shared.world();
        let name = environment;
        let environment = ensure_environment(&mut world, project.id, name);
        let repository = &world.project(project.id).repository;
        let sha = repository.resolve(git_ref).expect("a deployment is of a ref that exists").sha.clone();
        let deployable =
            by_job.then(|| add_deploy_job(&mut world, project, git_ref, &sha, (environment, name)));
        let (id, now) = (world.fresh_id(), world.now());
        let iid = world.project(project.id).deployments.len() as u64 + 1;
        let deployment = Deployment {
            id,
            iid,
            git_ref: git_ref.to_owned(),
            sha,
            environment,
            status: "created".to_owned(),
            user: project.actor,
            deployable,
            created_at: now,
            updated_at: now,
            finished_at: None,
        };
        world.project_mut(project.id).deployments.insert(id, deployment);
        DeploymentHandle { project: project.clone(), id, iid }
    }

    /// Says that it was of another ref of the same commit, such as `refs/merge-requests/41/merge`.
    #[must_use]
    pub fn of_ref(self, git_ref: &str) -> Self {
        let mut world = self.project.shared.world();
        if let Some(deployment) = world.project_mut(self.project.id).deployments.get_mut(&self.id) {
            git_ref.clone_into(&mut deployment.git_ref);
        }
        drop(world);
        self
    }

    /// The global id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The number within the project.
    pub fn iid(&self) -> u64 {
        self.iid
    }

    /// Moves the deployment, and its job, to a status. Running, success, failed and canceled trigger hooks.
    ///
    /// # Panics
    /// If GitLab has no such status, or not in this version.
    pub async fn status(&self, status: &str) {
        assert!(STATUSES.contains(&status), "GitLab has no deployment status {status}");
        let project = &self.project;
        let change = project.shared.change(|world, events| {
            let known = status != "blocked" || world.version.blocks_deployments();
            assert!(known, "this version of GitLab has no blocked deployments");
            self.enter(world, status);
            if TRIGGERING.contains(&status) {
                world.announce(events, Trigger::Deployment, Place::Project(project.id), None, |world| {
                    let within = world.project(project.id);
                    payload::ci::deployment(world, within, &within.deployments[&self.id])
                });
            }
        });
        change.await;
    }

    fn enter(&self, world: &mut World, status: &str) {
        let now = world.now();
        let within = world.project_mut(self.project.id);
        let deployment = within.deployments.get_mut(&self.id).expect("deployments are never removed");
        status.clone_into(&mut deployment.status);
        deployment.updated_at = now;
        deployment.finished_at = matches!(status, "success" | "failed" | "canceled").then_some(now);
        let deployable = deployment.deployable;
        let Some((pipeline, job)) = deployable else { return };
        let jobs = within.pipelines.get_mut(&pipeline).map(|pipeline| &mut pipeline.jobs);
        if let Some(job) = jobs.and_then(|jobs| jobs.iter_mut().find(|known| known.id == job)) {
            let job_status = if status == "blocked" { "manual" } else { status };
            job_status.clone_into(&mut job.status);
            if status == "running" {
                job.started_at = Some(now);
            }
        }
    }
}

/// The job that deploys, in the newest pipeline of the commit, which is made if there is none.
fn add_deploy_job(
    world: &mut World,
    project: &ProjectHandle,
    git_ref: &str,
    sha: &str,
    environment: (u64, &str),
) -> (u64, u64) {
    let (environment, name) = environment;
    let known = world.project(project.id).pipelines.values().rev().find(|pipeline| pipeline.sha == sha);
    let pipeline = match known.map(|pipeline| pipeline.id) {
        Some(id) => id,
        None => add_pipeline(world, project, git_ref, None),
    };
    let job = add_job(
        world,
        project.id,
        pipeline,
        "deploy",
        &format!("deploy-{name}"),
        "created",
        Some(environment),
    );
    (pipeline, job)
}
