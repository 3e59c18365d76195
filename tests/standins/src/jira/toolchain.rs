//! What Jira's toolchain asks a Connect app, where people associate repositories with a project.
//!
//! Follows <https://developer.atlassian.com/cloud/jira/platform/modules/development-actions/>. How Jira treats an answer that
//! is not as documented is not documented; here it is an error.

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;
use url::form_urlencoded::Serializer;

use super::site::SiteHandle;

/// The longest id of a repository in development information.
const MAX_ID: usize = 1024;

impl SiteHandle {
    /// The workspaces that the app finds.
    ///
    /// # Errors
    /// When the app has no such action, or does not answer as documented.
    pub async fn search_workspaces(&self, words: &str, page: u32, limit: u32) -> anyhow::Result<Vec<Value>> {
        let query = paged(words, page, limit).finish();
        let answer = self.found("searchConnectedWorkspaces", &query).await?;
        let workspaces = listed(&answer, "workspaces", limit)?;
        for workspace in &workspaces {
            named(workspace)?;
            ensure!(
                workspace["canCreateContainer"].is_boolean(),
                "canCreateContainer is missing: {workspace}"
            );
        }
        Ok(workspaces)
    }

    /// The repositories that the app finds, in one workspace or in all.
    ///
    /// # Errors
    /// When the app has no such action, or does not answer as documented.
    pub async fn search_repositories(
        &self,
        words: &str,
        page: u32,
        limit: u32,
        workspace: Option<&str>,
    ) -> anyhow::Result<Vec<Value>> {
        let mut query = paged(words, page, limit);
        if let Some(workspace) = workspace {
            query.append_pair("workspaceId", workspace);
        }
        let answer = self.found("searchRepositories", &query.finish()).await?;
        let repositories = listed(&answer, "repositories", limit)?;
        for repository in &repositories {
            named(repository)?;
            named(&repository["workspace"])?;
        }
        Ok(repositories)
    }

    /// The repository that somebody associates, as the app describes it; `None`: the app has none with this id.
    ///
    /// # Errors
    /// When the app has no such action, or does not answer as documented.
    pub async fn associate_repository(&self, id: &str) -> anyhow::Result<Option<Value>> {
        let body = json!({ "id": id });
        let (status, repository) = self.ask("associateRepository", Method::POST, "", Some(&body)).await?;
        if status == 404 {
            return Ok(None);
        }
        ensure!(status == 200, "the app answered {status}: {repository}");
        named(&repository)?;
        ensure!(repository["id"] == id, "another repository: {repository}");
        let urls = ["url", "avatarUrl"].map(|name| repository[name].as_str());
        ensure!(urls[0].is_some(), "url is missing: {repository}");
        for url in urls.into_iter().flatten() {
            Url::parse(url).with_context(|| format!("{url} is no URL"))?;
        }
        let updated = repository["lastUpdatedDate"].as_str().context("lastUpdatedDate is missing")?;
        OffsetDateTime::parse(updated, &Rfc3339).with_context(|| format!("{updated} is no date"))?;
        Ok(Some(repository))
    }

    async fn found(&self, action: &str, query: &str) -> anyhow::Result<Value> {
        let (status, answer) = self.ask(action, Method::GET, query, None).await?;
        ensure!(status == 200, "the app answered {status}: {answer}");
        Ok(answer)
    }

    /// Calls an action of the development tool: status and JSON.
    async fn ask(
        &self,
        action: &str,
        method: Method,
        query: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let app = self.site.state().current_app()?.clone();
        let template = &app.descriptor["modules"]["jiraDevelopmentTool"]["actions"][action]["templateUrl"];
        let template = template.as_str().with_context(|| format!("the app has no action {action}"))?;
        let path =
            template.strip_prefix(&app.base_url).context("the template is outside the app's base URL")?;
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let token = self.token_for(method.as_str(), &target)?.compact();
        let request = self.world.http.request(method, format!("{}{target}", app.reached_at));
        let request = request.header("authorization", format!("JWT {token}"));
        let request = if let Some(body) = body { request.json(body) } else { request };
        let response = request.send().await.with_context(|| format!("calling {template}"))?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        let answer = serde_json::from_str(&text).with_context(|| format!("{status} and no JSON: {text}"))?;
        Ok((status, answer))
    }
}

fn paged(words: &str, page: u32, limit: u32) -> Serializer<'static, String> {
    let mut query = Serializer::new(String::new());
    query.append_pair("searchQuery", words);
    query.append_pair("page", &page.to_string()).append_pair("limit", &limit.to_string());
    query
}

/// The list of this name in an answer.
fn listed(answer: &Value, name: &str, limit: u32) -> anyhow::Result<Vec<Value>> {
    ensure!(answer["success"] == true, "success is not true: {answer}");
    let list = answer[name].as_array().with_context(|| format!("{name} is no list: {answer}"))?;
    ensure!(list.len() <= limit as usize, "more than {limit}: {answer}");
    Ok(list.clone())
}

/// Something with an id that development information may have, and a name.
fn named(object: &Value) -> anyhow::Result<()> {
    let id = object["id"].as_str().with_context(|| format!("id is no text: {object}"))?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"~.-_".contains(&byte);
    ensure!((1..=MAX_ID).contains(&id.len()) && id.bytes().all(is_allowed), "{id} is no id");
    let name = object["name"].as_str().with_context(|| format!("name is no text: {object}"))?;
    ensure!(!name.is_empty(), "name is empty: {object}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_not_as_documented_are_refused() {
        assert!(listed(&json!({"success": true, "workspaces": [1, 2]}), "workspaces", 2).is_ok());
        for answer in [
            json!({"workspaces": []}),
            json!({"success": true, "containers": []}),
            json!({"success": true, "workspaces": [1, 2, 3]}),
        ] {
            assert!(listed(&answer, "workspaces", 2).is_err(), "{answer}");
        }
        assert!(named(&json!({"id": "7f3a0b12-42", "name": "api"})).is_ok());
        for object in [
            json!({"id": 42, "name": "api"}),
            json!({"id": "", "name": "api"}),
            json!({"id": "a/b", "name": "api"}),
            json!({"id": "42", "name": ""}),
            json!({"id": "42"}),
        ] {
            assert!(named(&object).is_err(), "{object}");
        }
    }
}
