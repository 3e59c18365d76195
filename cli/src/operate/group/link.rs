//! Linking a group: everything that can be found out before anything is made. A request that ends here has changed
//! nothing.

use serde_json::Value;
use shared::domain::{Site, SubscriptionState};
use shared::gitlab::client::{GitlabClient, GitlabError, Group, User};
use shared::gitlab::version::Version;

use super::making::Making;
use crate::operate::{CredentialChoice, GroupLink, Operator, Refusal, trouble};

/// GitLab's access levels (<https://docs.gitlab.com/api/access_requests/#valid-access-levels>).
const MAINTAINER: u32 = 40;
const OWNER: u32 = 50;

/// Jira's own bound on a project key.
const MAX_PROJECT_KEY: usize = 255;

/// A request that was checked, with what GitLab said about it.
pub(super) struct Plan {
    pub(super) site: Site,
    pub(super) gitlab: GitlabClient,
    /// Base URL of the GitLab, without a trailing slash.
    pub(super) instance: String,
    pub(super) version: Version,
    /// The version as text, without its edition.
    pub(super) version_text: String,
    pub(super) group: Group,
    pub(super) user: User,
    pub(super) is_owner: bool,
    pub(super) request: GroupLink,
}

impl Operator {
    pub(in crate::operate) async fn group_link(&self, mut request: GroupLink) -> Result<Value, Refusal> {
        request.project_keys = project_keys(&request.project_keys)?;
        let site = self.find_site(&request.site).await?;
        let plan = self.plan(site, request).await?;
        self.refuse_second_link(&plan).await?;
        let mut notes = Vec::new();
        self.prove_site(&plan.site, &mut notes).await?;
        Making::carry_out(self, &plan, notes).await
    }

    async fn plan(&self, site: Site, request: GroupLink) -> Result<Plan, Refusal> {
        if site.writer.is_none() {
            return Err(Refusal::new(format!(
                "No connection to {} is open: install the app in Jira or run `gitlab-jira site add`.",
                site.host()
            )));
        }
        let url = request.gitlab_url.as_deref().unwrap_or(self.gitlab_url.as_str()).trim_end_matches('/');
        let base = self
            .guard
            .check(url)
            .map_err(|error| Refusal::new(format!("The GitLab URL must not be called: {error}.")))?;
        if base.query().is_some() {
            return Err(Refusal::new("The GitLab URL has a query: give the base URL of the instance alone."));
        }
        let instance = base.as_str().trim_end_matches('/').to_owned();
        let gitlab = GitlabClient::new(self.gitlab.clone(), base, request.gitlab_token.0.clone());
        let failed = |purpose: &'static str| {
            let instance = instance.clone();
            move |error: GitlabError| trouble::of_gitlab(&error, &instance, purpose)
        };
        let text = gitlab.version().await.map_err(failed("read the version"))?;
        let version = Version::parse(&text);
        if !version.is_supported() {
            return Err(Refusal::new(format!(
                "{instance} is GitLab {version}: links need {} or newer, so upgrade it first.",
                Version::OLDEST
            )));
        }
        let user = gitlab.user().await.map_err(failed("read its user"))?;
        let name = request.group.trim().trim_matches('/');
        if name.is_empty() {
            return Err(Refusal::new(
                "The group's path is missing: give it as acme/payments, or give its id.",
            ));
        }
        let group = gitlab.group(name).await.map_err(|error| match error {
            GitlabError::NotFound => Refusal::new(format!(
                "{instance} has no group {name} that @{} may see: check its path, and who the token belongs to.",
                user.username
            )),
            error => failed("read the group")(error),
        })?;
        let is_owner = is_owner(&gitlab, &group, &user, &instance).await?;
        let version_text = text.split('-').next().unwrap_or_default().to_owned();
        Ok(Plan { site, gitlab, instance, version, version_text, group, user, is_owner, request })
            .and_then(Plan::checked)
    }

    async fn refuse_second_link(&self, plan: &Plan) -> Result<(), Refusal> {
        let links = self.store.subscriptions(plan.site.id).await?;
        let known =
            links.iter().find(|link| link.instance == plan.instance && link.group_id == plan.group.id);
        let Some(link) = known else { return Ok(()) };
        let (group, host, id) = (&plan.group.full_path, plan.site.host(), link.id);
        Err(Refusal::new(match link.state {
            SubscriptionState::Active => format!(
                "{group} is linked to {host} already, as {id}: run `gitlab-jira group unlink {id}` first to link it anew."
            ),
            SubscriptionState::Pending => format!(
                "Linking {group} to {host} was begun as {id} and did not end: run `gitlab-jira group unlink {id}` first."
            ),
        }))
    }

    /// Makes an authenticated call to Jira, and then, and only then, remembers which site it is.
    async fn prove_site(&self, site: &Site, notes: &mut Vec<String>) -> Result<(), Refusal> {
        let host = site.host();
        let Some(jira) = self.jira(site).await? else {
            return Err(Refusal::new(format!(
                "The connection to {host} is gone: reinstall the app in Jira or run `gitlab-jira site add`."
            )));
        };
        jira.check().await.map_err(|error| trouble::of_jira(&error, site))?;
        if site.cloud_id.is_some() {
            return Ok(());
        }
        match jira.cloud_id().await {
            Ok(cloud_id) => {
                if !self.store.claim_cloud_id(site.id, &cloud_id).await? {
                    notes.push(format!(
                        "{host} is the same Jira site as one that was added before: see `gitlab-jira site list`, and keep the links of only one of them."
                    ));
                }
            }
            Err(error) => {
                tracing::warn!(site.id = %site.id, %error, "the site does not say its cloud id");
                notes.push(format!(
                    "{host} did not say its id: OAuth credentials can't join it until it is linked again."
                ));
            }
        }
        Ok(())
    }
}

impl Plan {
    /// Refuses what this role can't have.
    fn checked(self) -> Result<Self, Refusal> {
        let makes_token =
            matches!(self.request.credential, CredentialChoice::Managed | CredentialChoice::Read);
        if makes_token && !self.is_owner {
            return Err(Refusal::new(format!(
                "@{} is not an Owner of {} and can't make a group access token: use an Owner's token, or `--credential given`.",
                self.user.username, self.group.full_path
            )));
        }
        Ok(self)
    }
}

async fn is_owner(
    gitlab: &GitlabClient,
    group: &Group,
    user: &User,
    instance: &str,
) -> Result<bool, Refusal> {
    if user.is_admin {
        return Ok(true);
    }
    let level = match gitlab.access_level(group.id, user.id).await {
        Ok(level) => level,
        Err(GitlabError::NotFound) => 0,
        Err(error) => return Err(trouble::of_gitlab(&error, instance, "read the group's members")),
    };
    if level < MAINTAINER {
        return Err(Refusal::new(format!(
            "@{} must be Maintainer or Owner of {}: ask an Owner for the role, or use the token of one.",
            user.username, group.full_path
        )));
    }
    Ok(level >= OWNER)
}

/// Jira's keys begin with a letter and go on with letters, digits and underscores, all upper case.
fn project_keys(given: &[String]) -> Result<Vec<String>, Refusal> {
    let mut keys = Vec::with_capacity(given.len());
    for key in given.iter().map(|key| key.trim()) {
        let well_formed = (2..=MAX_PROJECT_KEY).contains(&key.len())
            && key.starts_with(|first: char| first.is_ascii_uppercase())
            && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if !well_formed {
            return Err(Refusal::new(format!(
                "{key:?} is not the key of a Jira project: keys look like PAY, in capitals."
            )));
        }
        if !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
    }
    Ok(keys)
}
