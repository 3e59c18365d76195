//! Merge requests, and the source branch of those that are open.

use super::hook::{keyless_branch, merge_request_entity};
use super::{GitlabError, MergeRequest, PendingEntity, ProjectReader, Read};
use crate::gitlab::model::Reviewer;

impl ProjectReader<'_> {
    pub(super) async fn merge_request(&self, known: &MergeRequest) -> Read<Vec<PendingEntity>> {
        let (known_at, mut merge_request) = match self.batch.merge_requests.get(&known.iid) {
            Some(read) => read.clone(),
            None => (self.reader.now(), self.whole_merge_request(known.iid).await?),
        };
        if let Some(known) = &known.source_project_url {
            merge_request.source_project_url = Some(known.clone());
        } else if merge_request.source_project_url.is_none() {
            merge_request.source_project_url = self.source_project(&merge_request).await?;
        }
        let entity = merge_request_entity(self.source, &merge_request, known_at, false);
        let mut entities = vec![PendingEntity::from(entity)];
        entities.extend(self.source_branch(&merge_request).await?);
        Ok(entities)
    }

    /// A merge request with its reviewers' verdicts and people's addresses.
    async fn whole_merge_request(&self, iid: u64) -> Read<MergeRequest> {
        let project = &self.source.project;
        let mut merge_request = self.reader.client.merge_request(project, iid).await?;
        if !merge_request.reviewers.is_empty() {
            match self.reader.client.reviewers(project, iid).await {
                Ok(reviewers) => merge_request.reviewers = with_verdicts(&merge_request, reviewers),
                // Who reviews is known; what they decided is not worth failing for.
                Err(GitlabError::NotFound | GitlabError::Forbidden) => {}
                Err(error) => return Err(error),
            }
        }
        self.add_emails(&mut merge_request).await?;
        Ok(merge_request)
    }

    /// Jira matches people to its users by e-mail address.
    async fn add_emails(&self, merge_request: &mut MergeRequest) -> Read<()> {
        let reviewers = merge_request.reviewers.iter_mut().map(|reviewer| &mut reviewer.person);
        for person in merge_request.author.iter_mut().chain(reviewers) {
            if let (None, Some(id)) = (&person.email, person.id) {
                person.email = self.public_email(id).await?;
            }
        }
        Ok(())
    }

    async fn public_email(&self, user: u64) -> Read<Option<String>> {
        let key = self.reader.cache_key(0, user.to_string());
        if let Some(known) = self.reader.access.cache.emails.get(&key).await {
            return Ok(known);
        }
        let email = match self.reader.client.public_email(user).await {
            Err(GitlabError::NotFound | GitlabError::Forbidden) => None,
            email => email?,
        };
        self.reader.access.cache.emails.insert(key, email.clone()).await;
        Ok(email)
    }

    /// The page of the project that a fork's merge request comes from.
    async fn source_project(&self, merge_request: &MergeRequest) -> Read<Option<String>> {
        let Some(id) = merge_request.source_project_id.filter(|id| *id != self.source.project.id) else {
            return Ok(None);
        };
        let key = self.reader.cache_key(id, String::new());
        if let Some(known) = self.reader.access.cache.pages.get(&key).await {
            return Ok(known);
        }
        let page = match self.reader.client.project(id).await {
            Ok(project) => Some(project.web_url),
            Err(GitlabError::NotFound | GitlabError::Forbidden) => None,
            Err(error) => return Err(error),
        };
        self.reader.access.cache.pages.insert(key, page.clone()).await;
        Ok(page)
    }

    async fn source_branch(&self, merge_request: &MergeRequest) -> Read<Option<PendingEntity>> {
        let here = merge_request.source_project_id == Some(self.source.project.id);
        if !merge_request.is_open() || !here {
            return Ok(None);
        }
        let name = &merge_request.source_branch;
        let (known_at, Some(branch)) = self.branch_head(name).await? else { return Ok(None) };
        // The merge request has just changed: what is kept about its branch is old.
        let key = self.reader.cache_key(self.source.project.id, format!("{} {name}", branch.head.sha));
        self.reader.access.cache.of_branch.invalidate(&key).await;
        let of_branch = self.branch_keys(name, &branch.head.sha).await?;
        let keys = of_branch.items.union(&merge_request.keys);
        if keys.is_empty() {
            return Ok(of_branch.is_all.then(|| keyless_branch(self.source, name, known_at)));
        }
        let head = self.with_files(branch.head).await?;
        Ok(Some(self.source.branch(name, &head, keys, known_at).into()))
    }
}

/// The reviewers in the merge request's order, with what they said; approvals of others are not reviews.
fn with_verdicts(merge_request: &MergeRequest, review_states: Vec<Reviewer>) -> Vec<Reviewer> {
    let mut reviewers = merge_request.reviewers.clone();
    for reviewer in &mut reviewers {
        let said = review_states
            .iter()
            .find(|review_state| review_state.person.username == reviewer.person.username);
        if let Some(said) = said {
            reviewer.review_state = said.review_state;
        }
    }
    reviewers
}
