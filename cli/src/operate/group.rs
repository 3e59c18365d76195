//! `group`: listing, linking and unlinking groups. What that takes belongs to `shared::linking`; the words for it are in
//! [`words`].

mod hooks;
mod renewed;
pub(super) mod words;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use shared::domain::{
    Credential, CredentialMode, HookKind, Site, Subscription, SubscriptionId, SubscriptionState,
};
use shared::health::{self, LinkTrouble};
use shared::linking::hooks::HookSecrets;
use shared::linking::link::{LinkNote, LinkReport};
use shared::linking::plan::LinkRequest;
use shared::linking::renew::RenewReport;
use shared::linking::unlink::{UnlinkReport, UnlinkRequest};
use shared::text::count;

use super::next::Next;
use super::text::{clean, day, notes, table};
use super::{GroupLink, Operator, Refusal};

pub use hooks::{FailedProject, ProjectHooks};
pub use renewed::Renewed;

/// What `group list` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Groups {
    /// Linked groups.
    pub groups: Vec<LinkedGroup>,
}

/// A linked group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinkedGroup {
    /// The link.
    pub id: SubscriptionId,
    /// The host name of its site.
    pub site: String,
    /// Base URL of the GitLab instance.
    pub instance: String,
    /// The group's full path.
    pub group: String,
    /// Whether the link is whole.
    pub state: SubscriptionState,
    /// Its hooks.
    pub hook: HookSummary,
    /// How far those of its projects have come, where each has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<ProjectHooks>,
    /// `none`, `managed`, `read` or `pasted`.
    pub credential: String,
    /// Only these Jira projects; any if empty.
    pub project_keys: Vec<String>,
    /// What needs attention.
    pub attention: Option<String>,
    /// When it was linked, in ISO 8601.
    pub created_at: String,
}

/// A link's hooks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HookSummary {
    /// What they cover.
    pub kind: HookKind,
    /// Whether each must sign its deliveries.
    pub signed: bool,
}

/// What `group link` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupLinked {
    /// The link.
    pub subscription: SubscriptionId,
    /// The host name of its site.
    pub site: String,
    /// The group's full path.
    pub group: String,
    /// Where its hooks deliver to.
    pub webhook_url: String,
    /// GitLab's id of the group's hook, if it has one.
    pub hook_id: Option<u64>,
    /// What the hooks cover.
    pub hook_kind: HookKind,
    /// `none`, `managed`, `read` or `pasted`.
    pub credential: String,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What was renewed, where the group was linked already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<Renewed>,
    /// Where each project has its own hook: which have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<ProjectHooks>,
    /// Whether what happened before is being brought to Jira.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub history: bool,
    /// The secrets of a hook made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<ManualHookSecrets>,
}

/// The secrets of a hook made by hand, in clear: they are shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct ManualHookSecrets {
    /// For *Secret token*.
    pub token: String,
    /// For *Signing token*.
    pub signing_token: String,
}

impl std::fmt::Debug for ManualHookSecrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// What `group unlink` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupUnlinked {
    /// The link that was removed.
    pub subscription: SubscriptionId,
    /// The host name of its site.
    pub site: String,
    /// The group's full path.
    pub group: String,
    /// Hooks that were removed from GitLab.
    pub hooks_removed: usize,
    /// Projects whose development information was deleted from Jira.
    pub repositories_removed: usize,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Operator {
    pub(super) async fn group_list(&self, site: Option<&str>) -> Result<Groups, Refusal> {
        let sites = match site {
            Some(site) => vec![self.find_site(site).await?],
            None => self.store.sites().await?,
        };
        let mut groups = Vec::new();
        for site in sites {
            for link in self.store.subscriptions(site.id).await? {
                let signed =
                    self.linking.is_signed(&link).await.map_err(|error| words::error(&error, &site))?;
                let attention = link.attention.clone().map(LinkTrouble::Attention);
                let projects = link.hooks.as_ref().map(ProjectHooks::from);
                groups.push(LinkedGroup {
                    projects,
                    id: link.id,
                    site: site.host().to_owned(),
                    instance: link.instance,
                    group: link.group_path,
                    state: link.state,
                    hook: HookSummary { kind: link.hook.kind, signed },
                    credential: credential_name(link.credential.as_ref()).to_owned(),
                    project_keys: link.project_keys,
                    attention: attention.as_ref().map(health::link_remedy),
                    created_at: link.created_at.iso8601(),
                });
            }
        }
        Ok(Groups { groups })
    }

    pub(super) async fn group_link(&self, command: GroupLink) -> Result<GroupLinked, Refusal> {
        let site = self.find_site(&command.site).await?;
        let request = LinkRequest {
            group: command.group,
            gitlab_url: command.gitlab_url,
            gitlab_token: command.gitlab_token.0,
            kept_token: None,
            manual_hook: command.no_hook,
            project_keys: command.project_keys,
            credential: command.credential.into(),
        };
        let refused = |error| words::error(&error, &site);
        let plan = self.linking.plan(site.clone(), request).await.map_err(refused)?;
        let (mut answer, link) = match &plan.linked {
            Some(_) => {
                let report = self.linking.renew(&plan).await.map_err(refused)?;
                (renewed(&site, &report), report.subscription)
            }
            None => {
                let report = self.linking.link(&plan).await.map_err(refused)?;
                (linked(&site, &report), report.subscription)
            }
        };
        answer.history = command.history && self.linking.begin_history(&link).await;
        let hooks = self.linking.finish_hooks(answer.subscription).await.map_err(refused)?;
        answer.projects = hooks.as_ref().map(ProjectHooks::from);
        Ok(answer)
    }

    pub(super) async fn group_unlink(
        &self,
        id: &str,
        keep_jira_data: bool,
        gitlab_token: Option<SecretString>,
    ) -> Result<GroupUnlinked, Refusal> {
        let unknown =
            || Refusal::new("There is no link with this id: run `gitlab-jira group list` to see the ids.");
        let id: SubscriptionId = id.trim().parse().map_err(|_| unknown())?;
        let link = self.store.subscription(id).await?.ok_or_else(unknown)?;
        let site = self.store.site(link.site).await?.ok_or_else(unknown)?;
        let request = UnlinkRequest { keep_jira_data, gitlab_token };
        let unlinked = self.linking.unlink(site.clone(), link, request).await;
        let UnlinkReport { subscription, hooks_removed, repositories_removed, notes } =
            unlinked.map_err(|error| words::unlink_error(&error, &site, id))?;
        let webhook_url = self.linking.webhook_url(id);
        Ok(GroupUnlinked {
            subscription: id,
            site: site.host().to_owned(),
            notes: notes
                .iter()
                .map(|note| words::unlink_note(note, &site, &subscription, &webhook_url))
                .collect(),
            group: subscription.group_path,
            hooks_removed,
            repositories_removed,
        })
    }
}

/// What of a link that was made or renewed is the same.
struct Answered<'a> {
    site: &'a Site,
    link: &'a Subscription,
    webhook_url: &'a str,
    manual_hook: Option<&'a HookSecrets>,
    notes: &'a [LinkNote],
}

impl Answered<'_> {
    fn answer(&self) -> GroupLinked {
        let secrets = self.manual_hook.map(|secrets| ManualHookSecrets {
            token: secrets.token.expose_secret().to_owned(),
            signing_token: secrets.signing_token.expose_secret().to_owned(),
        });
        GroupLinked {
            subscription: self.link.id,
            site: self.site.host().to_owned(),
            group: self.link.group_path.clone(),
            webhook_url: self.webhook_url.to_owned(),
            hook_id: self.link.hook.id,
            hook_kind: self.link.hook.kind,
            credential: credential_name(self.link.credential.as_ref()).to_owned(),
            notes: self.notes.iter().map(|note| words::link_note(note, self.site)).collect(),
            renewed: None,
            projects: None,
            history: false,
            secrets,
        }
    }
}

fn linked(site: &Site, report: &LinkReport) -> GroupLinked {
    let LinkReport { subscription: link, webhook_url, manual_hook, notes } = report;
    Answered { site, link, webhook_url, manual_hook: manual_hook.as_ref(), notes }.answer()
}

fn renewed(site: &Site, report: &RenewReport) -> GroupLinked {
    let RenewReport { subscription: link, webhook_url, manual_hook, notes, .. } = report;
    let mut answer = Answered { site, link, webhook_url, manual_hook: manual_hook.as_ref(), notes }.answer();
    answer.renewed = Some(Renewed::from(report));
    answer.notes.extend(renewed::notes(report, site));
    answer
}

fn credential_name(credential: Option<&Credential>) -> &'static str {
    match credential.map(|credential| credential.mode) {
        None => "none",
        Some(CredentialMode::Managed) => "managed",
        Some(CredentialMode::Read) => "read",
        Some(CredentialMode::Pasted) => "pasted",
    }
}

/// A hook's kind as `--json` names it.
fn kind_name(kind: HookKind) -> &'static str {
    match kind {
        HookKind::Group => "group",
        HookKind::Project => "project",
        HookKind::Manual => "manual",
    }
}

impl Groups {
    pub(super) fn lines(&self) -> Vec<String> {
        if self.groups.is_empty() {
            return vec!["No group is linked: run `gitlab-jira group link`.".to_owned()];
        }
        let mut lines = table(
            ["GROUP", "SITE", "ID", "STATE", "HOOK", "TOKEN", "KEYS", "SINCE"],
            self.groups.iter().map(|group| {
                let signed = if group.hook.signed { ", signed" } else { "" };
                let keys = group.project_keys.join(",");
                [
                    clean(&group.group),
                    clean(&group.site),
                    clean(group.id),
                    if group.state == SubscriptionState::Active { "active" } else { "pending" }.to_owned(),
                    format!("{}{signed}{}", kind_name(group.hook.kind), group.running()),
                    group.credential.clone(),
                    if keys.is_empty() { "any".to_owned() } else { clean(keys) },
                    day(&group.created_at),
                ]
            }),
        );
        let attention = self.groups.iter().filter_map(|group| Some((group, group.attention.as_ref()?)));
        lines.extend(attention.map(|(group, attention)| {
            format!("{} ({}): {}", clean(&group.group), group.id, clean(attention))
        }));
        lines
    }
}

impl LinkedGroup {
    /// How far hooks have come that are being put in order.
    fn running(&self) -> String {
        let running = self.projects.as_ref().filter(|projects| projects.is_running());
        running.map(|projects| format!(", {}", projects.progress())).unwrap_or_default()
    }
}

impl GroupLinked {
    pub(super) fn lines(&self) -> Vec<String> {
        let renewed = if self.renewed.is_some() { "; the link is renewed" } else { "" };
        let mut lines = vec![
            format!(
                "{} is linked to {} as {}{renewed}.",
                clean(&self.group),
                clean(&self.site),
                self.subscription
            ),
            format!("Hook: {}, delivers to {}", kind_name(self.hook_kind), clean(&self.webhook_url)),
            format!("Token kept: {}", self.credential),
        ];
        if let Some(secrets) = &self.secrets {
            lines.push(format!("Secret token: {}", secrets.token));
            lines.push(format!("Signing token (GitLab 19.0 and newer): {}", secrets.signing_token));
            lines.push("These secrets are not shown again.".to_owned());
        }
        lines.extend(self.renewed.iter().flat_map(Renewed::lines));
        lines.extend(self.projects.iter().flat_map(ProjectHooks::lines));
        lines.extend(notes(&self.notes));
        if self.history {
            lines.push("Its history is being sent.".to_owned());
        }
        lines.push("To try it, push a commit that names an issue, and explain the issue's key.".to_owned());
        lines
    }

    pub(super) fn next(&self) -> Vec<Next> {
        let history = self.history.then_some(Next::ShowHistory { link: self.subscription });
        history.into_iter().chain([Next::Explain]).collect()
    }
}

impl GroupUnlinked {
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} is no longer linked to {}: removed {} from GitLab and {} from Jira.",
            clean(&self.group),
            clean(&self.site),
            count(self.hooks_removed as u64, "hook", "hooks"),
            count(self.repositories_removed as u64, "repository", "repositories"),
        )];
        lines.extend(notes(&self.notes));
        lines
    }
}
