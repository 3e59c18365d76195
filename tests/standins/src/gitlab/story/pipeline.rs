//! A pipeline and its jobs.

use super::ProjectHandle;
use crate::gitlab::hooks::{Place, Trigger, payload};
use crate::gitlab::state::{Job, Pipeline, TestSummary, World};

/// Every status a pipeline or job can have
/// (<https://docs.gitlab.com/api/pipelines/#list-project-pipelines>).
const STATUSES: [&str; 12] = [
    "created",
    "waiting_for_resource",
    "preparing",
    "pending",
    "running",
    "success",
    "failed",
    "canceled",
    "canceling",
    "skipped",
    "manual",
    "scheduled",
];

/// A pipeline.
#[derive(Clone)]
pub struct PipelineHandle {
    project: ProjectHandle,
    id: u64,
    iid: u64,
}

impl PipelineHandle {
    pub(crate) async fn start(project: &ProjectHandle, git_ref: &str, merge_request: Option<u64>) -> Self {
        let change = project.shared.change(|world, events| {
            let id = add_pipeline(world, project, git_ref, merge_request);
            let iid = world.project(project.id).pipelines[&id].iid;
            let handle = PipelineHandle { project: project.clone(), id, iid };
            handle.announce(world, events);
            handle
        });
        change.await
    }

    /// The global id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The number within the project.
    pub fn iid(&self) -> u64 {
        self.iid
    }

    /// Adds a job.
    #[must_use]
    pub fn with_job(self, stage: &str, name: &str, status: &str) -> Self {
        {
            let mut world = self.project.shared.world();
            add_job(&mut world, self.project.id, self.id, stage, name, status, None);
        }
        self
    }

    /// Sets the counts of the test report.
    #[must_use]
    pub fn with_tests(self, success: u64, failed: u64, skipped: u64) -> Self {
        {
            let mut world = self.project.shared.world();
            self.pipeline(&mut world).tests = Some(TestSummary { success, failed, skipped });
        }
        self
    }

    /// Moves the pipeline to a status. Pipelines of blocked users trigger no hook.
    ///
    /// # Panics
    /// If GitLab has no such status.
    pub async fn status(&self, status: &str) {
        assert!(STATUSES.contains(&status), "GitLab has no pipeline status {status}");
        let change = self.project.shared.change(|world, events| {
            let now = world.now();
            self.pipeline(world).enter(status, now);
            self.announce(world, events);
        });
        change.await;
    }

    /// Moves a job to a status, and triggers the hooks for job events.
    ///
    /// # Panics
    /// If GitLab has no such status, or the pipeline no such job.
    pub async fn job_status(&self, name: &str, status: &str) {
        assert!(STATUSES.contains(&status), "GitLab has no job status {status}");
        let change = self.project.shared.change(|world, events| {
            let now = world.now();
            let jobs = &mut self.pipeline(world).jobs;
            let index =
                jobs.iter().position(|job| job.name == name).expect("the test names a job that exists");
            status.clone_into(&mut jobs[index].status);
            jobs[index].started_at.get_or_insert(now);
            if world.user(self.project.actor).blocked {
                return;
            }
            world.announce(events, Trigger::Job, Place::Project(self.project.id), None, |world| {
                let within = world.project(self.project.id);
                let pipeline = &within.pipelines[&self.id];
                payload::ci::job(world, within, pipeline, &pipeline.jobs[index])
            });
        });
        change.await;
    }

    fn announce(&self, world: &World, events: &mut Vec<crate::gitlab::hooks::Event>) {
        let pipeline = &world.project(self.project.id).pipelines[&self.id];
        if world.user(pipeline.user).blocked {
            return;
        }
        world.announce(events, Trigger::Pipeline, Place::Project(self.project.id), None, |world| {
            let within = world.project(self.project.id);
            payload::ci::pipeline(world, within, &within.pipelines[&self.id])
        });
    }

    fn pipeline<'a>(&self, world: &'a mut World) -> &'a mut Pipeline {
        let pipelines = &mut world.project_mut(self.project.id).pipelines;
        pipelines.get_mut(&self.id).expect("pipelines are never removed")
    }
}

/// Adds a pending pipeline without triggering hooks.
pub(crate) fn add_pipeline(
    world: &mut World,
    project: &ProjectHandle,
    git_ref: &str,
    merge_request: Option<u64>,
) -> u64 {
    let (id, now) = (world.fresh_id(), world.now());
    let within = world.project(project.id);
    let sha = match merge_request.and_then(|iid| within.merge_requests.get(&iid)) {
        Some(request) => request.sha.clone(),
        None => {
            within.repository.resolve(git_ref).expect("a pipeline runs for a ref that exists").sha.clone()
        }
    };
    let parent = within.repository.commit(&sha).and_then(|commit| commit.parents.first());
    let pipeline = Pipeline {
        id,
        iid: within.pipelines.len() as u64 + 1,
        git_ref: git_ref.to_owned(),
        tag: within.repository.tags.contains_key(git_ref),
        before_sha: parent.cloned().unwrap_or_else(|| crate::gitlab::state::NO_COMMIT.to_owned()),
        sha,
        status: "pending".to_owned(),
        source: if merge_request.is_some() { "merge_request_event" } else { "push" },
        user: project.actor,
        merge_request,
        jobs: Vec::new(),
        tests: None,
        created_at: now,
        updated_at: now,
        started_at: None,
        finished_at: None,
    };
    world.project_mut(project.id).pipelines.insert(id, pipeline);
    id
}

/// Adds a job without triggering hooks; gives its id.
pub(crate) fn add_job(
    world: &mut World,
    project: u64,
    pipeline: u64,
    stage: &str,
    name: &str,
    status: &str,
    environment: Option<u64>,
) -> u64 {
    let (id, created_at) = (world.fresh_id(), world.now());
    let job = Job {
        id,
        name: name.to_owned(),
        stage: stage.to_owned(),
        status: status.to_owned(),
        environment,
        created_at,
        started_at: None,
        finished_at: None,
    };
    if let Some(pipeline) = world.project_mut(project).pipelines.get_mut(&pipeline) {
        pipeline.jobs.push(job);
    }
    id
}
