//! GitLab's REST API (<https://docs.gitlab.com/api/rest/>) through one token: how it is called and paged. The calls
//! themselves are grouped by who needs them: linking (`groups`, `hooks`), history (`listings`) and syncing (`reads`,
//! and `graphql` beside this module); which calls an event is worth belongs to whoever makes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::{HeaderMap, Method};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::error::{header_number, refusal};
use super::measure::measure;
use crate::outbound::read_body;

mod browse;
mod groups;
mod hooks;
mod listings;
mod reads;
mod search;

pub use super::error::GitlabError;
pub use browse::{GROUPS_PER_PAGE, ListedGroup, MergeRequestTexts};
pub use groups::{CreatedToken, Group, OwnToken, User};
pub use hooks::{HookHealth, HookOwner, NewHook, StoredHook};
pub use reads::MAX_FILES;
pub use search::ActiveProject;

/// GitLab's maximum, and so the fewest calls.
pub const PAGE_SIZE: u32 = 100;

/// Larger answers are refused: a page of 100 commits with long messages stays far below.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

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

/// A GitLab instance, called with one token.
#[derive(Clone, Debug)]
pub struct GitlabClient {
    http: GitlabHttp,
    base: Url,
    token: SecretString,
    /// Requests made so far, by this client and its clones.
    requests: Arc<AtomicU64>,
}

impl GitlabClient {
    /// A client for the instance at `base`, which the host guard has checked.
    #[must_use]
    pub fn new(http: GitlabHttp, base: Url, token: SecretString) -> Self {
        Self { http, base, token, requests: Arc::default() }
    }

    /// The same instance, called with another token.
    #[must_use]
    pub fn with_token(&self, token: SecretString) -> Self {
        Self { token, ..self.clone() }
    }

    /// How many requests this client and its clones have made.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
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
        self.page_of(PAGE_SIZE, path, query, page).await
    }

    async fn page_of<T: DeserializeOwned>(
        &self,
        size: u32,
        path: &[&str],
        query: &[(&str, &str)],
        page: u32,
    ) -> Result<Page<T>, GitlabError> {
        let (number, size) = (page.to_string(), size.to_string());
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
        self.send_to(&["api", "v4"], method, path, query, body).await
    }

    /// Sends to a path below `root`.
    pub(super) async fn send_to(
        &self,
        root: &[&str],
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(HeaderMap, Vec<u8>), GitlabError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let answer = self.try_send(root, method, path, query, body).await;
        measure(path, began, &answer);
        answer
    }

    async fn try_send(
        &self,
        root: &[&str],
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(HeaderMap, Vec<u8>), GitlabError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| GitlabError::Unexpected(None))?
            .pop_if_empty()
            .extend(root)
            .extend(path);
        let http = if method == Method::GET { &self.http.reads } else { &self.http.writes };
        let mut request = http.request(method, url).query(query).bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response =
            request.send().await.map_err(|error| GitlabError::Unavailable(Some(error.without_url())))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = read_body(response, MAX_ANSWER).await?;
        if status.is_success() { Ok((headers, text)) } else { Err(refusal(status, &headers, &text)) }
    }
}

#[cfg(test)]
mod tests;
