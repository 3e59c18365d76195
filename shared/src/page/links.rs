//! Linking, unlinking and changing a link, for the page.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Administrator, Cause, PageApi, PageError, words};
use crate::domain::{HookKind, SignInId, Subscription, SubscriptionId, TokenSource};
use crate::linking::CredentialChoice;
use crate::linking::plan::{LinkRequest, project_keys};
use crate::linking::unlink::UnlinkRequest;

/// What a person chose in the preview.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkChoice {
    /// The sign-in.
    pub sign_in: SignInId,
    /// GitLab's id of the group.
    pub group: u64,
    /// What GitLab is read with.
    pub credential: PageCredential,
    /// The token to read with, for [`PageCredential::Given`].
    #[serde(default)]
    pub token: Option<SecretString>,
    /// Only these Jira projects; any if empty.
    #[serde(default)]
    pub project_keys: Vec<String>,
}

/// What a link reads GitLab with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageCredential {
    /// A group access token that may only read.
    Read,
    /// A group access token that may repair hooks, too.
    Managed,
    /// A token that a person pastes.
    Given,
    /// Nothing.
    None,
}

/// A group that was linked.
#[derive(Debug, Serialize)]
pub(super) struct Linked {
    link: SubscriptionId,
    path: String,
    hook: HookKind,
    projects_with_hook: usize,
    notes: Vec<String>,
}

/// A group that was unlinked.
#[derive(Debug, Serialize)]
pub(super) struct Unlinked {
    path: String,
    hooks_removed: usize,
    repositories_removed: usize,
    notes: Vec<String>,
}

impl PageApi {
    pub(super) async fn link(&self, who: &Administrator, choice: LinkChoice) -> Result<Linked, PageError> {
        let session = self.session(who, choice.sign_in).await?;
        let kept_token = choice.token.filter(|_| choice.credential == PageCredential::Given);
        if choice.credential == PageCredential::Given
            && kept_token.is_none()
            && session.source != TokenSource::Pasted
        {
            return Err(PageError::new(
                Cause::Refused,
                "Paste the access token that the link is to read GitLab with: what you signed in with ends after two hours.",
            ));
        }
        let request = LinkRequest {
            group: choice.group.to_string(),
            gitlab_url: Some(session.instance.clone()),
            gitlab_token: session.token.clone(),
            kept_token,
            manual_hook: false,
            project_keys: choice.project_keys,
            credential: match choice.credential {
                PageCredential::Read => CredentialChoice::Read,
                PageCredential::Managed => CredentialChoice::Managed,
                PageCredential::Given => CredentialChoice::Given,
                PageCredential::None => CredentialChoice::None,
            },
        };
        let site = self.again(who).await?.site;
        let refused = |error| words::of_link(&error, &site);
        let plan = self.linking.plan(site.clone(), request).await.map_err(refused)?;
        let report = self.linking.link(&plan).await.map_err(refused)?;
        tracing::info!(
            subscription.id = %report.subscription.id, gitlab.user = session.username,
            "a group was linked on the page"
        );
        let failed = report.failed_projects.iter();
        let failed = failed.map(|project| words::no_hook(&project.path, &project.error, &session.instance));
        Ok(Linked {
            link: report.subscription.id,
            path: report.subscription.group_path.clone(),
            hook: report.subscription.hook.kind,
            projects_with_hook: report.projects_with_hook,
            notes: report.notes.iter().filter_map(words::link_note).chain(failed).collect(),
        })
    }

    pub(super) async fn unlink(
        &self,
        who: &Administrator,
        id: SubscriptionId,
        keep_jira_data: bool,
        sign_in: Option<SignInId>,
    ) -> Result<Unlinked, PageError> {
        let link = self.own_link(who, id).await?;
        let gitlab_token = match sign_in {
            Some(sign_in) => {
                let session = self.session(who, sign_in).await?;
                (session.instance == link.instance).then_some(session.token)
            }
            None => None,
        };
        let site = self.again(who).await?.site;
        let request = UnlinkRequest { keep_jira_data, gitlab_token };
        let report = self.linking.unlink(site.clone(), link, request).await;
        let report = report.map_err(|error| words::of_unlink(&error, &site))?;
        let webhook_url = self.linking.webhook_url(id);
        Ok(Unlinked {
            hooks_removed: report.hooks_removed,
            repositories_removed: report.repositories_removed,
            notes: report
                .notes
                .iter()
                .map(|note| words::unlink_note(note, &site, &report.subscription, &webhook_url))
                .collect(),
            path: report.subscription.group_path,
        })
    }

    pub(super) async fn set_project_keys(
        &self,
        who: &Administrator,
        id: SubscriptionId,
        keys: &[String],
    ) -> Result<(), PageError> {
        self.own_link(who, id).await?;
        let keys = project_keys(keys).map_err(|error| words::of_link(&error, &who.site))?;
        self.store().update_subscription(id, |link| link.project_keys.clone_from(&keys)).await?;
        Ok(())
    }

    /// A link of this site: of another site's nothing is told.
    async fn own_link(&self, who: &Administrator, id: SubscriptionId) -> Result<Subscription, PageError> {
        let link = self.store().subscription(id).await?;
        link.filter(|link| link.site == who.site.id).ok_or_else(|| {
            PageError::new(Cause::NotFound, "This group is not linked any more: reload the page.")
        })
    }
}
