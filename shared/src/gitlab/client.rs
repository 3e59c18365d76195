//! GitLab's REST API (<https://docs.gitlab.com/api/rest/>), as far as links and syncing need it. One method per call;
//! which calls an event is worth belongs to whoever makes them.

use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::measure::measure;
use super::model::{
    Branch, Commit, Deployment, FeatureFlag, MergeRequest, Pipeline, Project, Reviewer, TestCounts,
};
use super::rest::{
    RawApprovals, RawBranch, RawCommit, RawDeployment, RawDiff, RawEnvironment, RawFlag, RawMergeRequest,
    RawPipeline, RawProject, RawReviewer, RawTestSummary, RawUser, TestTotals,
};

/// GitLab's maximum, and so the fewest calls.
pub const PAGE_SIZE: u32 = 100;

/// Jira shows at most this many files of a commit.
const MAX_FILES: &str = "10";

/// Larger answers are refused: a page of 100 commits with long messages stays far below.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// How long to rest when a 429 does not say: GitLab's limits are per minute.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// A rest longer than this is not believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// GitLab did not answer as hoped.
#[derive(Debug, thiserror::Error)]
pub enum GitlabError {
    /// 404: it is gone, or the token must not see it.
    #[error("GitLab does not know it, or hides it from this token")]
    NotFound,
    /// 401: the token is wrong, expired or revoked.
    #[error("GitLab refuses the token")]
    Unauthorized,
    /// 403: the token's scopes or its user's role do not suffice.
    #[error("the token is not allowed to do this")]
    Forbidden,
    /// 429.
    #[error("GitLab's rate limit is reached")]
    RateLimited {
        /// How long to leave it alone.
        retry_after: Duration,
    },
    /// 400 or 422: GitLab says what is wrong.
    #[error("GitLab refuses: {0}")]
    Rejected(String),
    /// It can't be reached, is too slow, or fails.
    #[error("GitLab is unavailable")]
    Unavailable(#[source] Option<reqwest::Error>),
    /// It answers something else than its documentation says.
    #[error("GitLab's answer is not understood")]
    Unexpected(#[source] Option<serde_json::Error>),
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What it holds.
    pub items: Vec<T>,
    /// The number of the next page, if there is one.
    pub next: Option<u32>,
    /// How many items there are in all, when GitLab says.
    pub total: Option<u64>,
}

impl<T> Page<T> {
    fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(convert).collect(), next: self.next, total: self.total }
    }
}

/// How GitLab is reached: reads follow redirects within the instance, as for projects that moved; writes follow none.
#[derive(Clone, Debug)]
pub struct GitlabHttp {
    /// For `GET`.
    pub reads: reqwest::Client,
    /// For everything else.
    pub writes: reqwest::Client,
}

/// A GitLab instance as one token sees it.
#[derive(Clone, Debug)]
pub struct GitlabClient {
    http: GitlabHttp,
    base: Url,
    token: SecretString,
}

/// A group, as far as linking needs it.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Group {
    /// GitLab's id.
    pub id: u64,
    /// Its path with those of its ancestors.
    pub full_path: String,
}

/// The user a token speaks for.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct User {
    /// GitLab's id.
    pub id: u64,
    /// User name.
    pub username: String,
    /// Whether it is the user of a group, project or service-account token.
    #[serde(default)]
    pub bot: bool,
    /// Whether it administrates the instance; only administrators are told.
    #[serde(default)]
    pub is_admin: bool,
}

/// A hook, as GitLab stored it.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct StoredHook {
    /// GitLab's id of it.
    pub id: u64,
    /// Where it delivers to.
    #[serde(default)]
    pub url: String,
    /// Whether it kept the signing token; versions before 19.0 do not say.
    #[serde(default)]
    pub signing_token_present: bool,
}

/// A token we made.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct CreatedToken {
    /// GitLab's id of it.
    pub id: u64,
    /// The token itself, shown only once.
    pub token: SecretString,
}

/// Where a hook sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookOwner {
    /// A group, by id.
    Group(u64),
    /// A project, by id.
    Project(u64),
}

impl HookOwner {
    fn path(self) -> [String; 3] {
        match self {
            Self::Group(id) => ["groups".to_owned(), id.to_string(), "hooks".to_owned()],
            Self::Project(id) => ["projects".to_owned(), id.to_string(), "hooks".to_owned()],
        }
    }
}

/// What a new hook is given.
#[derive(Debug)]
pub struct NewHook<'a> {
    /// Where it delivers to.
    pub url: &'a str,
    /// Sent in clear as `X-Gitlab-Token`.
    pub token: &'a SecretString,
    /// Key of the signature; GitLab before 19.0 ignores it.
    pub signing_token: &'a SecretString,
}

impl GitlabClient {
    /// A client for the instance at `base`, which the host guard has let through.
    #[must_use]
    pub fn new(http: GitlabHttp, base: Url, token: SecretString) -> Self {
        Self { http, base, token }
    }

    /// The instance's version, such as `19.1.0-ee`.
    ///
    /// # Errors
    /// [`GitlabError`], as for every other call here.
    pub async fn version(&self) -> Result<String, GitlabError> {
        #[derive(serde::Deserialize)]
        struct Metadata {
            version: String,
        }
        match self.get::<Metadata>(&["metadata"], &[]).await {
            Err(GitlabError::NotFound) => self.get::<Metadata>(&["version"], &[]).await,
            answer => answer,
        }
        .map(|metadata| metadata.version)
    }

    /// The user this token speaks for.
    pub async fn user(&self) -> Result<User, GitlabError> {
        self.get(&["user"], &[]).await
    }

    /// A group by id or full path.
    pub async fn group(&self, id: &str) -> Result<Group, GitlabError> {
        self.get(&["groups", id], &[("with_projects", "false")]).await
    }

    /// A user's access level in a group, inherited ones included: 40 is Maintainer, 50 is Owner.
    pub async fn access_level(&self, group: u64, user: u64) -> Result<u32, GitlabError> {
        #[derive(serde::Deserialize)]
        struct Member {
            access_level: u32,
        }
        let member: Member =
            self.get(&["groups", &group.to_string(), "members", "all", &user.to_string()], &[]).await?;
        Ok(member.access_level)
    }

    /// A page of a group's projects, those of its subgroups included, in the order of their ids.
    pub async fn group_projects(&self, group: u64, page: u32) -> Result<Page<Project>, GitlabError> {
        let query = [
            ("include_subgroups", "true"),
            ("with_shared", "false"),
            ("archived", "false"),
            ("order_by", "id"),
            ("sort", "asc"),
        ];
        let page = self.page::<RawProject>(&["groups", &group.to_string(), "projects"], &query, page).await?;
        Ok(page.map(RawProject::project))
    }

    /// Makes a hook for the events that Jira hears of, and no others.
    pub async fn create_hook(&self, owner: HookOwner, hook: &NewHook<'_>) -> Result<StoredHook, GitlabError> {
        let body = json!({
            "url": hook.url, "name": "GitLab for Jira", "enable_ssl_verification": true,
            "token": hook.token.expose_secret(), "signing_token": hook.signing_token.expose_secret(),
            "push_events": true, "tag_push_events": false, "merge_requests_events": true, "pipeline_events": true,
            "deployment_events": true, "feature_flag_events": true,
            "issues_events": false, "note_events": false, "job_events": false, "wiki_page_events": false, "releases_events": false,
        });
        let path = owner.path();
        self.write(Method::POST, &path.each_ref().map(String::as_str), Some(&body)).await
    }

    /// Reads a hook back.
    pub async fn hook(&self, owner: HookOwner, id: u64) -> Result<StoredHook, GitlabError> {
        let [owners, owner, hooks] = owner.path();
        self.get(&[&owners, &owner, &hooks, &id.to_string()], &[]).await
    }

    /// Removes a hook; one that is gone already counts as removed.
    pub async fn delete_hook(&self, owner: HookOwner, id: u64) -> Result<(), GitlabError> {
        let [owners, owner, hooks] = owner.path();
        self.remove(&[&owners, &owner, &hooks, &id.to_string()]).await
    }

    /// Makes a group access token that expires on `expires_at` (`YYYY-MM-DD`).
    pub async fn create_group_token(
        &self,
        group: u64,
        scopes: &[&str],
        access_level: u32,
        expires_at: &str,
    ) -> Result<CreatedToken, GitlabError> {
        let body = json!({
            "name": "GitLab for Jira", "scopes": scopes, "access_level": access_level, "expires_at": expires_at,
        });
        self.write(Method::POST, &["groups", &group.to_string(), "access_tokens"], Some(&body)).await
    }

    /// Revokes a group access token; one that is gone already counts as revoked.
    pub async fn delete_group_token(&self, group: u64, id: u64) -> Result<(), GitlabError> {
        self.remove(&["groups", &group.to_string(), "access_tokens", &id.to_string()]).await
    }

    /// Has this client's token revoke itself, which every token may; one that does not work counts as revoked
    /// (<https://docs.gitlab.com/api/personal_access_tokens/#self-revoke>).
    pub async fn revoke_self(&self) -> Result<(), GitlabError> {
        match self.send(Method::DELETE, &["personal_access_tokens", "self"], &[], None).await {
            Ok(_) | Err(GitlabError::Unauthorized) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A project.
    pub async fn project(&self, project: u64) -> Result<Project, GitlabError> {
        self.get::<RawProject>(&["projects", &project.to_string()], &[]).await.map(RawProject::project)
    }

    /// A branch with its head.
    pub async fn branch(&self, project: &Project, name: &str) -> Result<Branch, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "branches", name];
        Ok(self.get::<RawBranch>(&path, &[]).await?.branch(project))
    }

    /// A page of the commits of a branch, a SHA or a range `a..b`, newest first.
    pub async fn commits(
        &self,
        project: &Project,
        range: &str,
        page: u32,
    ) -> Result<Page<Commit>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "commits"];
        let page = self.page::<RawCommit>(&path, &[("ref_name", range)], page).await?;
        Ok(page.map(|commit| commit.commit(project)))
    }

    /// A commit.
    pub async fn commit(&self, project: &Project, sha: &str) -> Result<Commit, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "commits", sha];
        Ok(self.get::<RawCommit>(&path, &[("stats", "false")]).await?.commit(project))
    }

    /// Fills in what a commit changes: some of its files with their lines, and how many there are.
    pub async fn add_files(&self, project: &Project, commit: &mut Commit) -> Result<(), GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "commits", &commit.sha, "diff"];
        let (headers, files) =
            self.call::<Vec<RawDiff>>(Method::GET, &path, &[("per_page", MAX_FILES)], None).await?;
        let total = header_number(&headers, "x-total").and_then(|total| u32::try_from(total).ok());
        let seen = u32::try_from(files.len()).unwrap_or(u32::MAX);
        commit.file_count = Some(total.or(commit.file_count).unwrap_or(seen).max(seen));
        commit.files = files.into_iter().map(RawDiff::changed_file).collect();
        Ok(())
    }

    /// A merge request without its reviewers' verdicts.
    pub async fn merge_request(&self, project: &Project, iid: u64) -> Result<MergeRequest, GitlabError> {
        let path = ["projects", &project.id.to_string(), "merge_requests", &iid.to_string()];
        Ok(self.get::<RawMergeRequest>(&path, &[]).await?.merge_request(project))
    }

    /// The reviewers of a merge request with their verdicts. Instances without the reviewers' endpoint say at least who
    /// approved.
    pub async fn reviewers(&self, project: &Project, iid: u64) -> Result<Vec<Reviewer>, GitlabError> {
        let (project, iid) = (project.id.to_string(), iid.to_string());
        let path = ["projects", &project, "merge_requests", &iid, "reviewers"];
        match self.get::<Vec<RawReviewer>>(&path, &[]).await {
            Ok(reviewers) => Ok(reviewers.into_iter().map(RawReviewer::reviewer).collect()),
            Err(GitlabError::NotFound) => {
                let path = ["projects", &project, "merge_requests", &iid, "approvals"];
                Ok(self.get::<RawApprovals>(&path, &[]).await?.reviewers())
            }
            Err(error) => Err(error),
        }
    }

    /// The address that a user shows to everybody, if they do: the only one GitLab tells, and what Jira finds people by.
    pub async fn public_email(&self, user: u64) -> Result<Option<String>, GitlabError> {
        Ok(self.get::<RawUser>(&["users", &user.to_string()], &[]).await?.person().email)
    }

    /// The open merge requests from a branch, newest first; one page is more than any branch has.
    pub async fn open_merge_requests(
        &self,
        project: &Project,
        source_branch: &str,
    ) -> Result<Vec<MergeRequest>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "merge_requests"];
        let query = [("state", "opened"), ("source_branch", source_branch)];
        let page = self.page::<RawMergeRequest>(&path, &query, 1).await?;
        Ok(page.map(|merge_request| merge_request.merge_request(project)).items)
    }

    /// The merge requests that contain a commit.
    pub async fn merge_requests_of_commit(
        &self,
        project: &Project,
        sha: &str,
    ) -> Result<Vec<MergeRequest>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "commits", sha, "merge_requests"];
        let page = self.page::<RawMergeRequest>(&path, &[], 1).await?;
        Ok(page.map(|merge_request| merge_request.merge_request(project)).items)
    }

    /// A pipeline, without the keys of its commit and merge requests.
    pub async fn pipeline(&self, project: &Project, id: u64) -> Result<Pipeline, GitlabError> {
        let path = ["projects", &project.id.to_string(), "pipelines", &id.to_string()];
        Ok(self.get::<RawPipeline>(&path, &[]).await?.pipeline(project))
    }

    /// What a pipeline's tests said; `None` when it has no tests.
    pub async fn test_counts(
        &self,
        project: &Project,
        pipeline: u64,
    ) -> Result<Option<TestCounts>, GitlabError> {
        let path =
            ["projects", &project.id.to_string(), "pipelines", &pipeline.to_string(), "test_report_summary"];
        let summary: RawTestSummary = self.get(&path, &[]).await?;
        Ok(TestTotals::counts(&summary.total))
    }

    /// A deployment, without its environment's tier and its keys.
    pub async fn deployment(&self, project: &Project, id: u64) -> Result<Deployment, GitlabError> {
        let path = ["projects", &project.id.to_string(), "deployments", &id.to_string()];
        Ok(self.get::<RawDeployment>(&path, &[]).await?.deployment())
    }

    /// A page of an environment's successful deployments, newest first.
    pub async fn successful_deployments(
        &self,
        project: &Project,
        environment: &str,
        page: u32,
    ) -> Result<Page<Deployment>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "deployments"];
        let query =
            [("environment", environment), ("status", "success"), ("order_by", "id"), ("sort", "desc")];
        Ok(self.page::<RawDeployment>(&path, &query, page).await?.map(RawDeployment::deployment))
    }

    /// An environment's tier.
    pub async fn environment_tier(
        &self,
        project: &Project,
        environment: u64,
    ) -> Result<Option<String>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "environments", &environment.to_string()];
        Ok(self.get::<RawEnvironment>(&path, &[]).await?.tier)
    }

    /// A feature flag by name. The API has no ids, so the caller brings it.
    pub async fn feature_flag(
        &self,
        project: &Project,
        name: &str,
        id: u64,
    ) -> Result<FeatureFlag, GitlabError> {
        let path = ["projects", &project.id.to_string(), "feature_flags", name];
        Ok(self.get::<RawFlag>(&path, &[]).await?.feature_flag(id))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, GitlabError> {
        Ok(self.call(Method::GET, path, query, None).await?.1)
    }

    async fn page<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        page: u32,
    ) -> Result<Page<T>, GitlabError> {
        let (number, size) = (page.to_string(), PAGE_SIZE.to_string());
        let query = [query, &[("page", number.as_str()), ("per_page", size.as_str())]].concat();
        let (headers, items) = self.call(Method::GET, path, &query, None).await?;
        let next = header_number(&headers, "x-next-page").and_then(|next| u32::try_from(next).ok());
        Ok(Page { items, next, total: header_number(&headers, "x-total") })
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<T, GitlabError> {
        Ok(self.call(method, path, &[], body).await?.1)
    }

    async fn remove(&self, path: &[&str]) -> Result<(), GitlabError> {
        match self.send(Method::DELETE, path, &[], None).await {
            Ok(_) | Err(GitlabError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(HeaderMap, T), GitlabError> {
        let (headers, text) = self.send(method, path, query, body).await?;
        let answer = serde_json::from_slice(&text).map_err(|error| GitlabError::Unexpected(Some(error)))?;
        Ok((headers, answer))
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(HeaderMap, Vec<u8>), GitlabError> {
        let began = Instant::now();
        let answer = self.try_send(method, path, query, body).await;
        measure(path, began, &answer);
        answer
    }

    async fn try_send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(HeaderMap, Vec<u8>), GitlabError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| GitlabError::Unexpected(None))?
            .pop_if_empty()
            .extend(["api", "v4"])
            .extend(path);
        let http = if method == Method::GET { &self.http.reads } else { &self.http.writes };
        let mut request = http.request(method, url).query(query).bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response =
            request.send().await.map_err(|error| GitlabError::Unavailable(Some(error.without_url())))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = read_bounded(response).await?;
        if status.is_success() { Ok((headers, text)) } else { Err(refusal(status, &headers, &text)) }
    }
}

async fn read_bounded(mut response: reqwest::Response) -> Result<Vec<u8>, GitlabError> {
    let mut text = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| GitlabError::Unavailable(Some(error.without_url())))?
    {
        if text.len() + chunk.len() > MAX_ANSWER {
            return Err(GitlabError::Unexpected(None));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

fn refusal(status: StatusCode, headers: &HeaderMap, text: &[u8]) -> GitlabError {
    match status {
        StatusCode::UNAUTHORIZED => GitlabError::Unauthorized,
        StatusCode::FORBIDDEN => GitlabError::Forbidden,
        StatusCode::NOT_FOUND => GitlabError::NotFound,
        StatusCode::TOO_MANY_REQUESTS => {
            let retry_after =
                header_number(headers, "retry-after").map_or(DEFAULT_RETRY_AFTER, Duration::from_secs);
            GitlabError::RateLimited {
                retry_after: retry_after.clamp(Duration::from_secs(1), MAX_RETRY_AFTER),
            }
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT => {
            GitlabError::Rejected(rejection_text(text))
        }
        status if status.is_server_error() => GitlabError::Unavailable(None),
        _ => GitlabError::Unexpected(None),
    }
}

/// GitLab's reason, wherever this endpoint puts it.
fn rejection_text(text: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(text).unwrap_or_default();
    let reason = ["message", "error"].into_iter().find_map(|field| answer.get(field)).unwrap_or(&Value::Null);
    let reason = reason.as_str().map_or_else(|| reason.to_string(), str::to_owned);
    crate::text::clean(&reason, 300)
}

fn header_number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
