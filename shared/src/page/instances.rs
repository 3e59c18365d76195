//! GitLab instances that a site's administrators may sign in to, and the OAuth applications for it.

use serde::Serialize;
use url::Url;

use super::{Administrator, Cause, PageApi, PageError, without_slash, words};
use crate::gitlab::client::{GitlabClient, GitlabError};
use crate::gitlab::oauth::OauthError;
use crate::linking::GitlabPurpose;

/// How many instances a site keeps an application of: a company has a few.
const MAX_APPLICATIONS: usize = 10;

/// An id of an OAuth application is 64 hex digits.
const MAX_APPLICATION_ID: usize = 255;

/// An instance that can be signed in to.
#[derive(Debug, Serialize)]
pub(super) struct Instance {
    url: String,
    /// Whether signing in works there; a token can be pasted anyway.
    has_application: bool,
    /// Whether it is the one that whoever runs the bundle chose.
    is_default: bool,
}

impl PageApi {
    /// The instance that a person named, if it may be called.
    pub(super) fn instance(&self, url: &str) -> Result<Url, PageError> {
        let named = url.trim().trim_end_matches('/');
        // As people write it: gitlab.example.com (IM1).
        let named = if named.contains("://") { named.to_owned() } else { format!("https://{named}") };
        let refused = |error: &dyn std::fmt::Display| {
            PageError::new(Cause::Refused, format!("{named} must not be called: {error}."))
        };
        let base = self.linking.guard.check(&named).map_err(|error| refused(&error))?;
        if base.query().is_some() {
            return Err(PageError::new(
                Cause::Refused,
                "The URL has a query: give the base URL of the GitLab instance alone.",
            ));
        }
        Ok(base)
    }

    pub(super) fn instances(&self, who: &Administrator) -> Vec<Instance> {
        let default = without_slash(&self.linking.gitlab_url);
        let mut urls = vec![default.clone()];
        urls.extend(who.site.instances.iter().chain(who.site.oauth_applications.keys()).cloned());
        let mut instances: Vec<Instance> = Vec::new();
        for url in urls {
            if !instances.iter().any(|known| known.url == url) {
                let has_application = self.application_of(who, &url).is_some();
                instances.push(Instance { has_application, is_default: url == default, url });
            }
        }
        instances
    }

    /// The OAuth application that this site's people sign in to the instance with.
    pub(super) fn application_of(&self, who: &Administrator, instance: &str) -> Option<String> {
        let own = who.site.oauth_applications.get(instance).cloned();
        own.or_else(|| {
            let is_default = instance == without_slash(&self.linking.gitlab_url);
            self.application_id.clone().filter(|_| is_default)
        })
    }

    pub(super) async fn save_gitlab(
        &self,
        who: &Administrator,
        gitlab: &str,
        application_id: &str,
    ) -> Result<(), PageError> {
        let base = self.instance(gitlab)?;
        let (instance, id) = (without_slash(&base), application_id.trim().to_owned());
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if id.is_empty() || id.len() > MAX_APPLICATION_ID || !id.bytes().all(is_plain) {
            return Err(PageError::new(
                Cause::Refused,
                "Paste the application id that GitLab shows on the page of the OAuth application: letters and digits.",
            ));
        }
        self.answers_as_gitlab(base.clone(), &instance).await?;
        self.check_application(base, &id).await.map_err(|error| words::of_oauth(&error, &instance))?;
        let saved = |site: &mut crate::domain::Site| {
            if site.oauth_applications.len() < MAX_APPLICATIONS
                || site.oauth_applications.contains_key(&instance)
            {
                site.oauth_applications.insert(instance.clone(), id.clone());
            }
        };
        let site = self.store().update_site(who.site.id, saved).await?;
        if site.is_some_and(|site| site.oauth_applications.get(&instance) == Some(&id)) {
            return Ok(());
        }
        Err(PageError::new(
            Cause::Refused,
            format!("{MAX_APPLICATIONS} GitLab instances are kept already: remove one that is not used."),
        ))
    }

    pub(super) async fn forget_gitlab(&self, who: &Administrator, gitlab: &str) -> Result<(), PageError> {
        let instance = gitlab.trim().trim_end_matches('/');
        self.store().update_site(who.site.id, |site| drop(site.oauth_applications.remove(instance))).await?;
        Ok(())
    }

    /// Whether a GitLab is there: it says 401 to whoever asks for its version without a token.
    async fn answers_as_gitlab(&self, base: Url, instance: &str) -> Result<(), PageError> {
        let anonymous = GitlabClient::new(self.linking.gitlab.clone(), base, String::new().into());
        match anonymous.version().await {
            Ok(_) | Err(GitlabError::Unauthorized) => Ok(()),
            Err(error) => Err(words::of_gitlab(&error, instance, GitlabPurpose::ReadVersion)),
        }
    }
}

impl From<OauthError> for PageError {
    fn from(error: OauthError) -> Self {
        words::of_oauth(&error, "GitLab")
    }
}
