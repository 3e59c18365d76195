//! Everything that can be found out before anything is made. A request that ends here has changed nothing.

use secrecy::SecretString;

use super::{CredentialChoice, GitlabPurpose, LinkError, Linking};
use crate::domain::{CredentialMode, Site, Subscription, SubscriptionId, SubscriptionState, lies_under};
use crate::gitlab::client::{GitlabClient, GitlabError, Group, User};
use crate::gitlab::version::Version;

/// GitLab's access levels (<https://docs.gitlab.com/api/access_requests/#valid-access-levels>).
const MAINTAINER: u32 = 40;
const OWNER: u32 = 50;

/// Jira's own bound on a project key.
const MAX_PROJECT_KEY: usize = 255;

/// A link that is wanted.
#[derive(Clone, Debug)]
pub struct LinkRequest {
    /// Full path or id of the GitLab group.
    pub group: String,
    /// Base URL of the GitLab instance; the configured one if missing.
    pub gitlab_url: Option<String>,
    /// A token of a Maintainer or Owner of the group.
    pub gitlab_token: SecretString,
    /// The token to keep where a given one is kept; that of [`LinkRequest::gitlab_token`] if missing.
    pub kept_token: Option<SecretString>,
    /// Whether somebody makes the hook by hand.
    pub manual_hook: bool,
    /// Only these Jira projects; any if empty.
    pub project_keys: Vec<String>,
    /// What is stored to read GitLab with.
    pub credential: CredentialChoice,
}

/// A request that was checked, with what GitLab said about it.
#[derive(Debug)]
pub struct Plan {
    /// The site.
    pub site: Site,
    /// GitLab through the given token.
    pub(super) gitlab: GitlabClient,
    /// Base URL of the instance, without a trailing slash.
    pub instance: String,
    /// Its version.
    pub version: Version,
    /// The version as GitLab writes it, without its edition.
    pub(super) version_text: String,
    /// The group.
    pub group: Group,
    /// Whose token it is.
    pub user: User,
    /// Whether that user is an Owner of the group.
    pub is_owner: bool,
    pub(super) request: LinkRequest,
    /// The link that the group has with the site already, which can be renewed.
    pub linked: Option<Subscription>,
    /// Other links of the site that cover projects of this group, too.
    pub overlapping: Vec<OverlappingLink>,
    /// What a person should know although the link can be made.
    pub notes: Vec<PlanNote>,
}

/// A link of the same site whose group lies in this one, or around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlappingLink {
    /// The link.
    pub link: SubscriptionId,
    /// Its group's full path.
    pub group: String,
    /// Whether its group lies in this one; otherwise this one lies in it.
    pub is_inside: bool,
}

/// What was found about the site while its connection was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanNote {
    /// Another stored site has the same cloud id.
    DuplicateSite,
    /// The site did not say its cloud id: OAuth credentials can't join it yet.
    CloudIdUnknown,
}

impl Plan {
    /// What is stored to read GitLab with: of a link that is renewed the same kind as before, unless another was asked for.
    pub(super) fn credential_choice(&self) -> CredentialChoice {
        match (self.request.credential, &self.linked) {
            (CredentialChoice::Auto, Some(link)) => match link.credential.as_ref().map(|old| old.mode) {
                // A link that was never completed has no say in it.
                None if link.state == SubscriptionState::Pending => CredentialChoice::Auto,
                None => CredentialChoice::None,
                Some(CredentialMode::Managed) => CredentialChoice::Managed,
                Some(CredentialMode::Read) => CredentialChoice::Read,
                Some(CredentialMode::Pasted) => CredentialChoice::Given,
            },
            (choice, _) => choice,
        }
    }
}

impl Linking {
    /// Checks a request: reads from GitLab what it is about, and makes an authenticated call to Jira. Whether the group is
    /// linked then ([`Linking::link`]) or its link is renewed ([`Linking::renew`]) depends on [`Plan::linked`].
    ///
    /// # Errors
    /// [`LinkError`]; nothing was made.
    pub async fn plan(&self, site: Site, mut request: LinkRequest) -> Result<Plan, LinkError> {
        request.project_keys = project_keys(&request.project_keys)?;
        if site.writer.is_none() {
            return Err(LinkError::NoConnection);
        }
        let mut plan = self.look_up(site, request).await?;
        self.look_at_links(&mut plan).await?;
        self.prove_site(&mut plan).await?;
        Ok(plan)
    }

    async fn look_up(&self, site: Site, request: LinkRequest) -> Result<Plan, LinkError> {
        let url = request.gitlab_url.as_deref().unwrap_or(self.gitlab_url.as_str()).trim_end_matches('/');
        let base = self
            .guard
            .check(url)
            .map_err(|source| LinkError::GitlabAddress { url: url.to_owned(), source })?;
        if base.query().is_some() {
            return Err(LinkError::GitlabUrlHasQuery);
        }
        let instance = base.as_str().trim_end_matches('/').to_owned();
        let failed = |purpose| LinkError::gitlab(&instance, purpose);
        let gitlab = GitlabClient::new(self.gitlab.clone(), base, request.gitlab_token.clone());
        let text = gitlab.version().await.map_err(failed(GitlabPurpose::ReadVersion))?;
        let version = Version::parse(&text);
        if !version.is_supported() {
            return Err(LinkError::UnsupportedVersion { instance, version });
        }
        let user = gitlab.user().await.map_err(failed(GitlabPurpose::ReadUser))?;
        let name = request.group.trim().trim_matches('/');
        if name.is_empty() {
            return Err(LinkError::GroupMissing);
        }
        let group = gitlab.group(name).await.map_err(|error| match error {
            GitlabError::NotFound => LinkError::GroupNotFound {
                instance: instance.clone(),
                group: name.to_owned(),
                username: user.username.clone(),
            },
            error => failed(GitlabPurpose::ReadGroup)(error),
        })?;
        let is_owner = is_owner(&gitlab, &group, &user, &instance).await?;
        let version_text = text.split('-').next().unwrap_or_default().to_owned();
        let (linked, overlapping, notes) = (None, Vec::new(), Vec::new());
        Ok(Plan {
            site,
            gitlab,
            instance,
            version,
            version_text,
            group,
            user,
            is_owner,
            request,
            linked,
            overlapping,
            notes,
        })
    }

    /// Looks for links of the site whose groups overlap with this one.
    async fn look_at_links(&self, plan: &mut Plan) -> Result<(), LinkError> {
        for link in self.store.subscriptions(plan.site.id).await? {
            if link.instance != plan.instance {
                continue;
            }
            let (ours, theirs) = (plan.group.full_path.as_str(), link.group_path.as_str());
            if link.group_id == plan.group.id {
                plan.linked = Some(link);
            } else if lies_under(theirs, ours) || lies_under(ours, theirs) {
                let (is_inside, group) = (lies_under(theirs, ours), link.group_path);
                plan.overlapping.push(OverlappingLink { link: link.id, group, is_inside });
            }
        }
        let choice = plan.credential_choice();
        if matches!(choice, CredentialChoice::Managed | CredentialChoice::Read) && !plan.is_owner {
            let (username, group) = (plan.user.username.clone(), plan.group.full_path.clone());
            return Err(LinkError::NotOwner { username, group });
        }
        Ok(())
    }

    /// Makes an authenticated call to Jira, and only then remembers which site it is.
    async fn prove_site(&self, plan: &mut Plan) -> Result<(), LinkError> {
        let site = &plan.site;
        let jira = self.jira(site).await?.ok_or(LinkError::ConnectionRemoved)?;
        jira.check().await?;
        if site.cloud_id.is_some() {
            return Ok(());
        }
        match jira.cloud_id().await {
            Ok(cloud_id) => {
                if !self.store.claim_cloud_id(site.id, &cloud_id).await? {
                    plan.notes.push(PlanNote::DuplicateSite);
                }
            }
            Err(error) => {
                tracing::warn!(site.id = %site.id, %error, "the site's cloud id can't be read");
                plan.notes.push(PlanNote::CloudIdUnknown);
            }
        }
        Ok(())
    }
}

async fn is_owner(
    gitlab: &GitlabClient,
    group: &Group,
    user: &User,
    instance: &str,
) -> Result<bool, LinkError> {
    if user.is_admin {
        return Ok(true);
    }
    let level = match gitlab.access_level(group.id, user.id).await {
        Ok(level) => level,
        Err(GitlabError::NotFound) => 0,
        Err(error) => return Err(LinkError::gitlab(instance, GitlabPurpose::ReadMembers)(error)),
    };
    if level < MAINTAINER {
        return Err(LinkError::RoleTooLow {
            username: user.username.clone(),
            group: group.full_path.clone(),
        });
    }
    Ok(level >= OWNER)
}

/// The keys of Jira projects in `given`, each once: a letter, then letters, digits and underscores, all upper case.
///
/// # Errors
/// [`LinkError::InvalidProjectKey`].
pub fn project_keys(given: &[String]) -> Result<Vec<String>, LinkError> {
    let mut keys: Vec<String> = Vec::with_capacity(given.len());
    for key in given.iter().map(|key| key.trim()) {
        let well_formed = (2..=MAX_PROJECT_KEY).contains(&key.len())
            && key.starts_with(|first: char| first.is_ascii_uppercase())
            && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if !well_formed {
            return Err(LinkError::InvalidProjectKey(key.to_owned()));
        }
        if !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
    }
    Ok(keys)
}
