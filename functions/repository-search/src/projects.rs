//! Projects of linked groups, asked of GitLab with the links' own tokens. What is found is ordered by link, the oldest first,
//! and then by project, so that pages neither overlap nor shift. A link that GitLab does not answer for is left out.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use shared::clock::SharedClock;
use shared::domain::lies_under;
use shared::envelope::{Context, Envelope};
use shared::gitlab::client::{ActiveProject, GitlabClient, GitlabError, GitlabHttp};
use shared::outbound::HostGuard;
use shared::store::backoffs::BackoffScope;
use shared::store::{Store, StoreError};
use shared::telemetry::with_causes;
use tokio::time::{Instant, timeout_at};

use crate::links::Workspace;
use crate::search::Search;

/// How long GitLab may take for one call of Jira's: people wait at a search field, and Jira's call times out within seconds.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Links that are asked at the same time.
const CONCURRENCY: usize = 8;

/// Asks GitLab.
#[derive(Clone, Debug)]
pub struct Gitlab {
    /// Knows what backs off.
    pub store: Store,
    /// Opens tokens.
    pub envelope: Arc<Envelope>,
    /// Tells the time.
    pub clock: SharedClock,
    /// The HTTP clients.
    pub http: GitlabHttp,
    /// Which hosts may be called.
    pub guard: HostGuard,
}

/// A project, and the linked group that it was found in.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) workspace: Arc<Workspace>,
    pub(crate) found: ActiveProject,
}

/// There is nothing to show, and it is not known whether there is anything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// The table can't be read.
    #[error("the table can't be read")]
    Store(#[from] StoreError),
    /// GitLab does not answer for some link.
    #[error("GitLab does not answer for a link")]
    Unavailable,
}

/// GitLab through the token of one link, as long as Jira waits.
struct Reader {
    client: GitlabClient,
    workspace: Arc<Workspace>,
    until: Instant,
}

/// Why a link shows no projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoAnswer {
    /// GitLab lets the token see nothing.
    Refused,
    /// GitLab may answer another time.
    Unavailable,
}

/// The first page of what a link has.
struct FirstPage {
    reader: Reader,
    projects: Vec<ActiveProject>,
    total: usize,
}

impl Gitlab {
    /// The part of a search's projects that is wanted.
    pub(crate) async fn search(
        &self,
        workspaces: Vec<Arc<Workspace>>,
        search: &Search,
    ) -> Result<Vec<Found>, SearchError> {
        let (mut skipped, mut found) = (search.offset, Vec::new());
        if search.limit == 0 {
            return Ok(found);
        }
        let until = Instant::now() + SEARCH_TIMEOUT;
        let (callable, mut is_incomplete) = self.without_backoff(workspaces).await?;
        let ask = |workspace| self.clone().first_page(workspace, search.clone(), until);
        // Some are asked in advance, but none that the page can't reach.
        let mut asked = stream::iter(callable.into_iter().map(ask)).buffered(CONCURRENCY);
        while found.len() < search.limit
            && let Some(first) = asked.next().await
        {
            let first = match first {
                Ok(first) => first,
                Err(no_answer) => {
                    is_incomplete |= no_answer == NoAnswer::Unavailable;
                    continue;
                }
            };
            let wanted = search.limit - found.len();
            let range = skipped..first.total.min(skipped.saturating_add(wanted));
            skipped = skipped.saturating_sub(first.total);
            if !range.is_empty() {
                let workspace = first.reader.workspace.clone();
                let projects = first.range(range, search).await;
                found.extend(projects.into_iter().map(|found| Found { workspace: workspace.clone(), found }));
            }
        }
        if found.is_empty() && is_incomplete { Err(SearchError::Unavailable) } else { Ok(found) }
    }

    /// The project with this id, if it lies in one of some linked groups of its instance.
    pub(crate) async fn find(
        &self,
        project: u64,
        workspaces: Vec<Arc<Workspace>>,
    ) -> Result<Option<Found>, SearchError> {
        let until = Instant::now() + SEARCH_TIMEOUT;
        let (callable, mut is_incomplete) = self.without_backoff(workspaces).await?;
        let ask = |workspace| self.clone().inside(workspace, project, until);
        let mut asked = stream::iter(callable.into_iter().map(ask)).buffered(CONCURRENCY);
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(no_answer) => is_incomplete |= no_answer == NoAnswer::Unavailable,
            }
        }
        if is_incomplete { Err(SearchError::Unavailable) } else { Ok(None) }
    }

    /// Those of whose tokens none backs off, and whether any other does.
    async fn without_backoff(
        &self,
        mut workspaces: Vec<Arc<Workspace>>,
    ) -> Result<(Vec<Arc<Workspace>>, bool), SearchError> {
        let scope = |workspace: &Arc<Workspace>| {
            BackoffScope::Gitlab(workspace.link.instance.clone(), workspace.link.id.to_string())
        };
        let scopes: Vec<_> = workspaces.iter().map(scope).collect();
        let backoffs = self.store.backoffs(&scopes).await?;
        let (now, all) = (self.clock.now(), workspaces.len());
        workspaces
            .retain(|workspace| backoffs.get(&scope(workspace)).is_none_or(|backoff| backoff.until <= now));
        let does_any_back_off = workspaces.len() < all;
        Ok((workspaces, does_any_back_off))
    }

    async fn first_page(
        self,
        workspace: Arc<Workspace>,
        search: Search,
        until: Instant,
    ) -> Result<FirstPage, NoAnswer> {
        let reader = self.reader(workspace, until).await?;
        let (projects, total) = reader.page(&search, 1).await?;
        Ok(FirstPage { reader, projects, total })
    }

    /// The project, if it lies in the linked group now, wherever both have moved since it was linked.
    async fn inside(
        self,
        workspace: Arc<Workspace>,
        project: u64,
        until: Instant,
    ) -> Result<Option<Found>, NoAnswer> {
        let reader = self.reader(workspace, until).await?;
        let group = reader.workspace.link.group_id.to_string();
        let (found, group) = tokio::join!(
            reader.asked(reader.client.active_project(project)),
            reader.asked(reader.client.group(&group)),
        );
        let (found, group) = (found?, group?);
        let is_inside = lies_under(&found.project.path, &group.full_path);
        Ok(is_inside.then_some(Found { workspace: reader.workspace, found }))
    }

    async fn reader(&self, workspace: Arc<Workspace>, until: Instant) -> Result<Reader, NoAnswer> {
        let link = &workspace.link;
        let credential = link.credential.as_ref().ok_or(NoAnswer::Refused)?;
        let context = Context::gitlab_token(link.site, link.id);
        let token = self.envelope.open(&credential.token, &context).await.map_err(|error| {
            tracing::warn!(subscription.id = %link.id, cause = with_causes(&error), "a stored token can't be opened");
            NoAnswer::Unavailable
        })?;
        let base = self.guard.check(&link.instance).map_err(|error| {
            tracing::warn!(subscription.id = %link.id, cause = with_causes(&error), "a GitLab must not be called");
            NoAnswer::Refused
        })?;
        Ok(Reader { client: GitlabClient::new(self.http.clone(), base, token), workspace, until })
    }
}

impl Reader {
    /// What GitLab answers in time.
    async fn asked<T>(&self, answer: impl Future<Output = Result<T, GitlabError>>) -> Result<T, NoAnswer> {
        let error = match timeout_at(self.until, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => GitlabError::Unavailable(None),
        };
        let link = self.workspace.link.id;
        tracing::info!(subscription.id = %link, cause = with_causes(&error), "could not look for projects");
        Err(match error {
            GitlabError::RateLimited { .. } | GitlabError::Unavailable(_) | GitlabError::Failed(_) => {
                NoAnswer::Unavailable
            }
            _ => NoAnswer::Refused,
        })
    }

    /// One of a search's pages, and how many projects there are on all of them.
    async fn page(&self, search: &Search, number: usize) -> Result<(Vec<ActiveProject>, usize), NoAnswer> {
        let (group, words) = (self.workspace.link.group_id, &search.words);
        let [number, size] = [number, search.limit].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        let page = self.asked(self.client.search_projects(group, words, number, size)).await?;
        // GitLab counts to ten thousand, and nobody looks further.
        let total = page.total.map_or(usize::MAX, |total| usize::try_from(total).unwrap_or(usize::MAX));
        Ok((page.items, total))
    }
}

impl FirstPage {
    /// The projects at these places. They are a page's worth and so lie on two pages at most.
    async fn range(self, range: Range<usize>, search: &Search) -> Vec<ActiveProject> {
        let size = search.limit;
        let (first, last) = (range.start / size, (range.end - 1) / size);
        let (mut first_page, mut projects) = (Some(self.projects), Vec::new());
        for page in first..=last {
            let read = match first_page.take().filter(|_| page == 0) {
                Some(read) => read,
                None => match self.reader.page(search, page + 1).await {
                    Ok((read, _)) => read,
                    Err(_) => break,
                },
            };
            projects.extend(read);
        }
        projects.into_iter().skip(range.start % size).take(range.len()).collect()
    }
}
