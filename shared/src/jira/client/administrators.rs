//! Who administers a Jira site.

use http::Method;
use percent_encoding::utf8_percent_encode;
use serde_json::json;

use super::{ApiRequest, JiraClient, JiraError, SEGMENT};
use crate::domain::Api;

/// The groups whose members count as administrators where Jira does not answer for permissions: Atlassian's default ones.
const ADMINISTRATORS: [&str; 2] = ["site-admins", "org-admins"];

impl JiraClient {
    /// Whether the account has the global permission *Administer Jira*; `None` through a connection that can't ask.
    ///
    /// Asks for the permission itself, which custom groups and product roles give, too
    /// (<https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-permissions/#api-rest-api-3-permissions-check-post>),
    /// and falls back on the names of groups where that is not allowed.
    ///
    /// # Errors
    /// [`JiraError`].
    pub async fn is_administrator(&self, account_id: &str) -> Result<Option<bool>, JiraError> {
        match self.has_permission(account_id).await {
            None => Ok(None),
            Some(Ok(granted)) => Ok(Some(granted)),
            Some(Err(JiraError::Forbidden(_) | JiraError::NotFound)) => self.is_in_group(account_id).await,
            // Of an account that is none.
            Some(Err(JiraError::BadRequest(_))) => Ok(Some(false)),
            Some(Err(error)) => Err(error),
        }
    }

    async fn has_permission(&self, account_id: &str) -> Option<Result<bool, JiraError>> {
        let body = json!({ "globalPermissions": ["ADMINISTER"], "accountId": account_id }).to_string();
        let call = ApiRequest {
            what: "permissions",
            body: Some(body.into()),
            without_xsrf_check: true,
            ..self.request(Api::DevInfo, Method::POST, "/rest/api/3/permissions/check")
        };
        let answer = self.platform_call(call).await?;
        Some(answer.map(|text| {
            let answer: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            let mut granted = answer["globalPermissions"].as_array().into_iter().flatten();
            granted.any(|granted| granted == "ADMINISTER")
        }))
    }

    async fn is_in_group(&self, account_id: &str) -> Result<Option<bool>, JiraError> {
        let query = format!("accountId={}&expand=groups", utf8_percent_encode(account_id, SEGMENT));
        let call = ApiRequest {
            what: "user",
            query: Some(&query),
            ..self.request(Api::DevInfo, Method::GET, "/rest/api/3/user")
        };
        let Some(answer) = self.platform_call(call).await else { return Ok(None) };
        match answer {
            Ok(text) => {
                let user: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
                let mut groups = user["groups"]["items"].as_array().into_iter().flatten();
                let administers = |group: &serde_json::Value| {
                    group["name"].as_str().is_some_and(|name| ADMINISTRATORS.contains(&name))
                };
                Ok(Some(groups.any(administers)))
            }
            Err(JiraError::NotFound) => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }
}
