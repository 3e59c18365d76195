//! Groups, their members and projects, and access tokens: what linking reads and creates.

use http::Method;
use secrecy::SecretString;
use serde_json::json;

use super::{GitlabClient, GitlabError, Page};
use crate::clock::Timestamp;
use crate::gitlab::date;
use crate::gitlab::model::Project;
use crate::gitlab::rest::RawProject;

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
    /// Whether it is an administrator of the instance; GitLab tells administrators only.
    #[serde(default)]
    pub is_admin: bool,
}

/// A token we made.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct CreatedToken {
    /// GitLab's id of it.
    pub id: u64,
    /// The token itself, shown only once.
    pub token: SecretString,
    /// The first day on which it does not work any more.
    #[serde(default, deserialize_with = "date::lenient")]
    pub expires_at: Option<Timestamp>,
}

/// The token of a client, as GitLab describes it.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct OwnToken {
    /// Its scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The first day on which it does not work any more; none if it has no end.
    #[serde(default, deserialize_with = "date::lenient")]
    pub expires_at: Option<Timestamp>,
}

impl GitlabClient {
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

    /// The highest id of a group's projects, those of its subgroups included.
    pub async fn newest_project(&self, group: u64) -> Result<Option<u64>, GitlabError> {
        let query = [
            ("include_subgroups", "true"),
            ("with_shared", "false"),
            ("archived", "false"),
            ("order_by", "id"),
            ("sort", "desc"),
            ("per_page", "1"),
        ];
        let newest: Vec<RawProject> = self.get(&["groups", &group.to_string(), "projects"], &query).await?;
        Ok(newest.into_iter().next().map(|project| project.project().id))
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

    /// What GitLab says of this client's token. [`GitlabError::Rejected`] for one from a sign-in
    /// (<https://docs.gitlab.com/api/personal_access_tokens/#get-details-of-a-personal-access-token>).
    pub async fn own_token(&self) -> Result<OwnToken, GitlabError> {
        self.get(&["personal_access_tokens", "self"], &[]).await
    }

    /// Replaces this client's token, which is a group's: it does not work any more, and its successor expires on `expires_at`
    /// (`YYYY-MM-DD`). To call this again with the replaced token makes GitLab revoke its successor, too
    /// (<https://docs.gitlab.com/api/personal_access_tokens/#automatic-reuse-detection>).
    pub async fn rotate_own_group_token(
        &self,
        group: u64,
        expires_at: &str,
    ) -> Result<CreatedToken, GitlabError> {
        let path = ["groups", &group.to_string(), "access_tokens", "self", "rotate"];
        self.write(Method::POST, &path, Some(&json!({ "expires_at": expires_at }))).await
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
}
