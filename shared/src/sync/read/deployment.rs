//! Deployments: what their hook leaves out, and the issues of everything they bring.

use super::{Deployment, GitlabError, IssueKeys, PendingEntity, ProjectReader, Read};
use crate::store::deployed::Deployed;

/// GitLab's own app scans this many commits (<https://docs.gitlab.com/integration/jira/development_panel/>).
const MAX_COMMITS: usize = 2_000;

impl ProjectReader<'_> {
    pub(super) async fn deployment(&self, known: &Deployment) -> Read<Vec<PendingEntity>> {
        let known_at = self.reader.now();
        let mut deployment = self.reader.client.deployment(&self.source.project, known.id).await?;
        let environment = &mut deployment.environment;
        if environment.tier.is_none() {
            environment.tier = match environment.id {
                Some(id) => self.tier(id, known.environment.tier.as_deref()).await?,
                None => known.environment.tier.clone(),
            };
        }
        deployment.keys = self.deployment_keys(&deployment).await?;
        if deployment.status == "success" {
            self.remember_success(&deployment).await;
        }
        Ok(self
            .source
            .deployment(&deployment, known_at, false)
            .into_iter()
            .map(PendingEntity::from)
            .collect())
    }

    async fn tier(&self, environment: u64, hook: Option<&str>) -> Read<Option<String>> {
        let key = self.reader.cache_key(self.source.project.id, environment.to_string());
        if let Some(known) = self.reader.access.cache.tiers.get(&key).await {
            return Ok(known);
        }
        let tier = match self.reader.client.environment_tier(&self.source.project, environment).await {
            Err(GitlabError::NotFound | GitlabError::Forbidden) => hook.map(str::to_owned),
            tier => tier?,
        };
        self.reader.access.cache.tiers.insert(key, tier.clone()).await;
        Ok(tier)
    }

    /// The keys of its pipeline, and of the commits since the last success of the same ref in the same environment.
    async fn deployment_keys(&self, deployment: &Deployment) -> Read<IssueKeys> {
        let about = format!("{} {}", deployment.id, deployment.sha);
        let key = self.reader.cache_key(self.source.project.id, about);
        if let Some(known) = self.reader.access.cache.deployment_keys.get(&key).await {
            return Ok(known);
        }
        let mut keys = IssueKeys::default();
        for merge_request in self.merge_requests_on(&deployment.sha, &deployment.git_ref).await? {
            keys.merge(&merge_request.keys);
        }
        let previous = match self.previous_success(deployment).await? {
            // GitLab lists nothing for a range whose start is gone; then there is no lower bound.
            Some(sha) if !self.has_commit(&sha).await? => None,
            previous => previous,
        };
        keys.merge(&self.scan(previous.as_deref(), deployment).await?);
        if !keys.is_empty() {
            self.reader.access.cache.deployment_keys.insert(key, keys.clone()).await;
        }
        Ok(keys)
    }

    /// Keys of the commits after `previous` up to the deployed one; merges count only when they are what is deployed.
    async fn scan(&self, previous: Option<&str>, deployment: &Deployment) -> Read<IssueKeys> {
        let project = &self.source.project;
        let mut keys = self.reader.client.commit(project, &deployment.sha).await?.keys;
        let range = previous
            .map_or_else(|| deployment.sha.clone(), |previous| format!("{previous}..{}", deployment.sha));
        let (mut next, mut scanned) = (Some(1), 0);
        while let Some(page) = next.filter(|_| scanned < MAX_COMMITS) {
            let commits = self.reader.client.commits(project, &range, page).await?;
            scanned += commits.items.len();
            for commit in commits.items.iter().filter(|commit| !commit.merge) {
                keys.merge(&commit.keys);
            }
            next = commits.next;
        }
        Ok(keys)
    }

    async fn has_commit(&self, sha: &str) -> Read<bool> {
        match self.reader.client.commit(&self.source.project, sha).await {
            Ok(_) => Ok(true),
            Err(GitlabError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn previous_success(&self, deployment: &Deployment) -> Read<Option<String>> {
        let environment = &deployment.environment.name;
        let before = |iid: u64| deployment.iid.is_none_or(|own| iid < own);
        let remembered = self
            .reader
            .access
            .store
            .last_deployed(self.site, &self.source.repository.id, environment, &deployment.git_ref)
            .await
            .ok()
            .flatten()
            .filter(|deployed| before(deployed.iid));
        if let Some(deployed) = remembered {
            return Ok(Some(deployed.sha));
        }
        let page = self.reader.client.successful_deployments(&self.source.project, environment, 1).await?;
        let previous = page.items.into_iter().find(|other| {
            other.id != deployment.id && other.git_ref == deployment.git_ref && other.iid.is_some_and(before)
        });
        Ok(previous.map(|previous| previous.sha))
    }

    /// Saves the next deployment a call; without it, the next one asks.
    async fn remember_success(&self, deployment: &Deployment) {
        let Some(iid) = deployment.iid else { return };
        let deployed = Deployed { iid, sha: deployment.sha.clone() };
        let (project, environment) = (&self.source.repository.id, &deployment.environment.name);
        let recorded = self
            .reader
            .access
            .store
            .record_deployed(self.site, project, environment, &deployment.git_ref, &deployed)
            .await;
        if let Err(error) = recorded {
            tracing::warn!(%error, "could not remember a successful deployment");
        }
    }
}
