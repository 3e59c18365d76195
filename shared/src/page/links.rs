//! Linking, unlinking and changing a link, for the page.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Administrator, Cause, PageApi, PageError, words};
use crate::domain::{HookKind, HookPlan, SignInId, Subscription, SubscriptionId, TokenSource};
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
    /// How far the webhooks of its projects have come, where each has its own.
    hooks: Option<HooksView>,
    notes: Vec<String>,
}

/// How far webhooks of projects have come.
#[derive(Debug, Serialize)]
pub(super) struct HooksView {
    is_running: bool,
    made: u64,
    repaired: u64,
    failed: u64,
    seen: u64,
    total: Option<u64>,
}

impl From<&HookPlan> for HooksView {
    fn from(plan: &HookPlan) -> Self {
        let HookPlan { made, repaired, failed, seen, total, .. } = *plan;
        Self { is_running: plan.is_running(), made, repaired, failed, seen, total }
    }
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
        let (link, notes) = if plan.linked.is_some() {
            let report = self.linking.renew(&plan).await.map_err(refused)?;
            let mut notes = words::renewal_notes(&report, &session.instance);
            notes.extend(report.notes.iter().filter_map(words::link_note));
            (report.subscription, notes)
        } else {
            let report = self.linking.link(&plan).await.map_err(refused)?;
            (report.subscription, report.notes.iter().filter_map(words::link_note).collect())
        };
        self.linking.begin_history(&link).await;
        tracing::info!(
            subscription.id = %link.id, gitlab.user = session.username, "a group was linked on the page"
        );
        Ok(Linked {
            link: link.id,
            path: link.group_path,
            hook: link.hook.kind,
            hooks: link.hooks.as_ref().map(HooksView::from),
            notes,
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
        // By itself: whoever asks may stop waiting, as proxies do after half a minute, and half an unlinking takes another one.
        let (linking, of) = (self.linking.clone(), site.clone());
        let unlinking = tokio::spawn(async move { linking.unlink(of, link, request).await });
        let report = unlinking.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
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

    /// A link of this site; another site's counts as not found.
    pub(super) async fn own_link(
        &self,
        who: &Administrator,
        id: SubscriptionId,
    ) -> Result<Subscription, PageError> {
        let link = self.store().subscription(id).await?;
        link.filter(|link| link.site == who.site.id).ok_or_else(|| {
            PageError::new(Cause::NotFound, "This group is not linked any more: reload the page.")
        })
    }
}
