//! Merge requests, and the source branch of those that are open.

use super::{Candidate, GitlabError, GitlabReader, MergeRequest, Read, Task, Timestamp};
use shared::domain::EntityKind;
use shared::sync::entity::Entity;

impl Task<'_> {
    pub(super) async fn read_merge_request(
        &self,
        reader: &GitlabReader<'_>,
        hook: &MergeRequest,
    ) -> Read<Vec<Candidate>> {
        let project = &self.source.project;
        let known_at = reader.now();
        let mut merge_request = reader.client.merge_request(project, hook.iid).await?;
        if !merge_request.reviewers.is_empty() {
            match reader.client.reviewers(project, hook.iid).await {
                Ok(reviewers) => merge_request.reviewers = with_verdicts(&merge_request, reviewers),
                // Who reviews is known; what they said is not worth the rest.
                Err(GitlabError::NotFound | GitlabError::Forbidden) => {}
                Err(error) => return Err(error),
            }
        }
        self.add_emails(reader, &mut merge_request).await?;
        merge_request.source_project_url = match &hook.source_project_url {
            Some(known) => Some(known.clone()),
            None => self.source_project(reader, &merge_request).await?,
        };
        let mut candidates = vec![Candidate::from(self.filed(&merge_request, known_at, false))];
        candidates.extend(self.source_branch(reader, &merge_request).await?);
        Ok(candidates)
    }

    /// Jira shows who somebody is only by an address it knows.
    async fn add_emails(&self, reader: &GitlabReader<'_>, merge_request: &mut MergeRequest) -> Read<()> {
        let reviewers = merge_request.reviewers.iter_mut().map(|reviewer| &mut reviewer.person);
        for person in merge_request.author.iter_mut().chain(reviewers) {
            if let (None, Some(id)) = (&person.email, person.id) {
                person.email = self.public_email(reader, id).await?;
            }
        }
        Ok(())
    }

    async fn public_email(&self, reader: &GitlabReader<'_>, user: u64) -> Read<Option<String>> {
        let question = reader.question(0, user.to_string());
        if let Some(known) = reader.sync.lookups.emails.get(&question).await {
            return Ok(known);
        }
        let email = match reader.client.public_email(user).await {
            Err(GitlabError::NotFound | GitlabError::Forbidden) => None,
            email => email?,
        };
        reader.sync.lookups.emails.insert(question, email.clone()).await;
        Ok(email)
    }

    /// The page of the project that a fork's merge request comes from.
    async fn source_project(
        &self,
        reader: &GitlabReader<'_>,
        merge_request: &MergeRequest,
    ) -> Read<Option<String>> {
        let Some(id) = merge_request.source_project_id.filter(|id| *id != self.source.project.id) else {
            return Ok(None);
        };
        let question = reader.question(id, String::new());
        if let Some(known) = reader.sync.lookups.pages.get(&question).await {
            return Ok(known);
        }
        let page = match reader.client.project(id).await {
            Ok(project) => Some(project.web_url),
            Err(GitlabError::NotFound | GitlabError::Forbidden) => None,
            Err(error) => return Err(error),
        };
        reader.sync.lookups.pages.insert(question, page.clone()).await;
        Ok(page)
    }

    async fn source_branch(
        &self,
        reader: &GitlabReader<'_>,
        merge_request: &MergeRequest,
    ) -> Read<Option<Candidate>> {
        let here = merge_request.source_project_id == Some(self.source.project.id);
        if !merge_request.is_open() || !here {
            return Ok(None);
        }
        let known_at = reader.now();
        let name = &merge_request.source_branch;
        match reader.client.branch(&self.source.project, name).await {
            Ok(branch) => {
                // This very event says that what is remembered of the branch is old.
                let question = reader.question(self.source.project.id, format!("{} {name}", branch.head.sha));
                reader.sync.lookups.of_branch.invalidate(&question).await;
                let keys = self.branch_keys(reader, name, &branch.head.sha).await?.union(&merge_request.keys);
                if keys.is_empty() {
                    return Ok(None);
                }
                let head = self.with_files(reader, branch.head).await?;
                Ok(Some(self.source.branch(name, &head, keys, known_at).into()))
            }
            Err(GitlabError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a merge request's hook says by itself; its branch comes with its own pushes.
    pub(super) fn merge_request(&self, merge_request: &MergeRequest, known_at: Timestamp) -> Vec<Candidate> {
        vec![self.filed(merge_request, known_at, true).into()]
    }

    /// The merge request, or its removal when no key is left in it.
    fn filed(&self, merge_request: &MergeRequest, known_at: Timestamp, from_hook: bool) -> Entity {
        let filed = self.source.merge_request(merge_request, known_at, from_hook);
        if !merge_request.keys.is_empty() {
            return filed;
        }
        let key = self.source.key(EntityKind::PullRequest, self.source.merge_request_id(merge_request.id));
        let label = merge_request.reference.clone();
        let removed = self.source.deleted(key, label, merge_request.keys.clone(), known_at);
        // A late hook removes it no more than it changes it.
        Entity { version: filed.version, ..removed }
    }
}

/// The reviewers in the merge request's order, with what they said; approvals of others are not reviews.
fn with_verdicts(
    merge_request: &MergeRequest,
    review_states: Vec<shared::gitlab::model::Reviewer>,
) -> Vec<shared::gitlab::model::Reviewer> {
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
