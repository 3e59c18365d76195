//! Deployments: what their hook leaves out, and the issues of everything they bring.

use super::cache::Listed;
use super::{Deployment, GitlabError, IssueKeys, Object, PendingEntity, ProjectReader, Read};
use crate::store::deployed::Deployed;
use crate::store::ignored_deliveries::IgnoreReason;

/// GitLab's own app scans this many commits (<https://docs.gitlab.com/integration/jira/development_panel/>).
const MAX_COMMITS: usize = 2_000;

/// Pages of an environment's successes that are looked through for the one before a deployment. It is on the first, unless
/// the deployment is an old one.
const SUCCESS_PAGES: u32 = 20;

/// What was deployed to an environment before.
enum Previous {
    /// Nothing.
    Nothing,
    /// This commit.
    Commit(String),
    /// So much was deployed since that it was not found.
    NotFound,
}

impl ProjectReader<'_> {
    pub(super) async fn deployment(&self, known: &Deployment) -> Read<Vec<PendingEntity>> {
        let listed = self.batch.deployments.get(&known.environment.name).and_then(|(known_at, listed, _)| {
            Some((*known_at, listed.iter().find(|listed| listed.id == known.id)?.clone()))
        });
        let (known_at, mut deployment) = match listed {
            Some(listed) => listed,
            None => {
                let known_at = self.reader.now();
                (known_at, self.reader.client.deployment(&self.source.project, known.id).await?)
            }
        };
        let environment = &mut deployment.environment;
        // Only the hook and the environment itself have it.
        environment.tier = environment.tier.take().or_else(|| known.environment.tier.clone());
        if let (None, Some(id)) = (&environment.tier, environment.id) {
            environment.tier = self.tier(id).await?;
        }
        let keys = self.deployment_keys(&deployment).await?;
        deployment.keys = keys.items;
        if deployment.status == "success" {
            self.remember_success(&deployment).await;
        }
        // It may bring issues that could not be found.
        if deployment.keys.is_empty() && !keys.is_all {
            return Ok(Vec::new());
        }
        Ok(self
            .source
            .deployment(&deployment, known_at, false)
            .into_iter()
            .map(PendingEntity::from)
            .collect())
    }

    async fn tier(&self, environment: u64) -> Read<Option<String>> {
        let key = self.reader.cache_key(self.source.project.id, environment.to_string());
        if let Some(known) = self.reader.access.cache.tiers.get(&key).await {
            return Ok(known);
        }
        let tier = match self.reader.client.environment_tier(&self.source.project, environment).await {
            Err(GitlabError::NotFound | GitlabError::Forbidden) => None,
            tier => tier?,
        };
        self.reader.access.cache.tiers.insert(key, tier.clone()).await;
        Ok(tier)
    }

    /// The keys of its merge requests, and of the commits that are new in its environment.
    async fn deployment_keys(&self, deployment: &Deployment) -> Read<Listed<IssueKeys>> {
        let about = format!("{} {}", deployment.id, deployment.sha);
        let key = self.reader.cache_key(self.source.project.id, about);
        if let Some(known) = self.reader.access.cache.deployment_keys.get(&key).await {
            return Ok(Listed { items: known, is_all: true });
        }
        let mut keys = IssueKeys::default();
        let on = self.merge_requests_on(&deployment.sha, &deployment.git_ref).await?;
        for merge_request in on.items {
            keys.merge(&merge_request.keys);
        }
        keys.merge(&self.commit(&deployment.sha).await?.keys);
        let mut is_all = on.is_all;
        match self.previous_success(deployment).await? {
            Previous::NotFound => {
                is_all = false;
                self.note_bound(deployment, &keys, IgnoreReason::DeploymentsLeftOut).await;
            }
            previous => {
                if let Some(range) = self.shipped(deployment, previous).await? {
                    let shipped = self.scan(&range).await?;
                    keys.merge(&shipped.items);
                    is_all &= shipped.is_all;
                    if !shipped.is_all {
                        self.note_bound(deployment, &keys, IgnoreReason::CommitsLeftOut).await;
                    }
                }
            }
        }
        if !keys.is_empty() {
            self.reader.access.cache.deployment_keys.insert(key, keys.clone()).await;
        }
        Ok(Listed { items: keys, is_all })
    }

    async fn note_bound(&self, deployment: &Deployment, keys: &IssueKeys, answer: IgnoreReason) {
        let label = Object::Deployment(deployment).label(&self.source.project);
        self.reader.note_ignored(label, keys, answer).await;
    }

    /// The commits that are new in the environment: those since the last success there, whatever its ref was. None of a
    /// rollback, which brings nothing that was not there before.
    async fn shipped(&self, deployment: &Deployment, previous: Previous) -> Read<Option<String>> {
        let sha = &deployment.sha;
        let Previous::Commit(previous) = previous else {
            return Ok(Some(sha.clone()));
        };
        Ok(match self.reader.client.merge_base(&self.source.project, &previous, sha).await? {
            Some(base) if base == *sha => None,
            Some(base) => Some(format!("{base}..{sha}")),
            // The one before is gone, or has nothing in common with it.
            None => Some(sha.clone()),
        })
    }

    /// Keys of the commits in a range; merges count only when they are what is deployed.
    async fn scan(&self, range: &str) -> Read<Listed<IssueKeys>> {
        let (mut keys, mut next, mut scanned) = (IssueKeys::default(), Some(1), 0);
        while let Some(page) = next.filter(|_| scanned < MAX_COMMITS) {
            let commits = self.reader.client.commits(&self.source.project, range, page).await?;
            scanned += commits.items.len();
            for commit in commits.items.iter().filter(|commit| !commit.merge) {
                keys.merge(&commit.keys);
            }
            next = commits.next;
        }
        Ok(Listed { items: keys, is_all: next.is_none() })
    }

    /// What was last deployed to the environment before.
    async fn previous_success(&self, deployment: &Deployment) -> Read<Previous> {
        let environment = &deployment.environment.name;
        let before = |iid: u64| deployment.iid.is_none_or(|own| iid < own);
        let is_previous = |other: &&Deployment| {
            other.status == "success" && other.id != deployment.id && other.iid.is_some_and(before)
        };
        if let Some((_, listed, is_all)) = self.batch.deployments.get(environment) {
            let previous = listed.iter().find(is_previous);
            match previous {
                Some(previous) => return Ok(Previous::Commit(previous.sha.clone())),
                None if *is_all => return Ok(Previous::Nothing),
                None => {}
            }
        }
        let remembered =
            self.reader.access.store.last_deployed(self.site, &self.source.repository.id, environment).await;
        if let Some(deployed) = remembered.ok().flatten().filter(|deployed| before(deployed.iid)) {
            return Ok(Previous::Commit(deployed.sha));
        }
        let (client, mut next) = (&self.reader.client, Some(1));
        while let Some(page) = next.filter(|page| *page <= SUCCESS_PAGES) {
            let page = client.successful_deployments(&self.source.project, environment, page).await?;
            if let Some(previous) = page.items.iter().find(is_previous) {
                return Ok(Previous::Commit(previous.sha.clone()));
            }
            next = page.next;
        }
        Ok(if next.is_some() { Previous::NotFound } else { Previous::Nothing })
    }

    /// Saves the next deployment a call; without it, the next one asks.
    async fn remember_success(&self, deployment: &Deployment) {
        let Some(iid) = deployment.iid else { return };
        let deployed = Deployed { iid, sha: deployment.sha.clone() };
        let (project, environment) = (&self.source.repository.id, &deployment.environment.name);
        let recorded =
            self.reader.access.store.record_deployed(self.site, project, environment, &deployed).await;
        if let Err(error) = recorded {
            tracing::warn!(%error, "could not remember a successful deployment");
        }
    }
}
