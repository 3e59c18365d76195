//! What linking a group would mean, before anything is made: hooks, credential, and the issue keys that its merge requests
//! name.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::session::Session;
use super::{Administrator, Cause, PageApi, PageError, words};
use crate::domain::{CredentialMode, IssueKeys, SubscriptionId, TokenSource, lies_under};
use crate::gitlab::client::GitlabError;
use crate::gitlab::version::Version;
use crate::jira::client::JiraClient;
use crate::linking::GitlabPurpose;

/// Jira projects that are asked for, those with most keys first: each is a call to Jira while a person waits.
const MAX_ASKED: usize = 12;

/// Keys that are shown of a Jira project.
const MAX_EXAMPLES: usize = 3;

/// What is known of a group before it is linked.
#[derive(Debug, Serialize)]
pub(super) struct Preview {
    group: u64,
    path: String,
    username: String,
    version: String,
    is_owner: bool,
    /// How many projects it covers; `None` when GitLab does not count them.
    projects: Option<u64>,
    /// Whether one hook speaks for the group, or each project gets its own.
    hook: HookPlan,
    /// How GitLab can be read, best first.
    credentials: Vec<CredentialOption>,
    /// How many merge requests the keys were found in.
    merge_requests: usize,
    jira_projects: Vec<JiraProject>,
    /// Its link to this site, which would be renewed.
    link: Option<SubscriptionId>,
    /// Linked groups above and below it.
    related: Vec<RelatedLink>,
}

/// Which hooks would be made, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum HookPlan {
    /// One hook of the group.
    Group,
    /// One per project, because the person is not an Owner.
    ProjectsNotOwner,
    /// One per project, because GitLab has no group hooks here.
    ProjectsNoGroupHooks,
}

/// A way to read GitLab through the link.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct CredentialOption {
    /// `read`, `managed`, `given` or `none`.
    mode: &'static str,
    /// Why it can't be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    unavailable: Option<&'static str>,
}

/// A Jira project that merge requests name.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct JiraProject {
    key: String,
    /// How many of its issues.
    issues: usize,
    examples: Vec<String>,
    /// Whether Jira has it; `None` when that was not asked.
    in_jira: Option<bool>,
}

/// Another link of the site that concerns some of the same projects.
#[derive(Debug, Serialize)]
struct RelatedLink {
    path: String,
    /// Whether it covers this group, or lies in it.
    is_above: bool,
}

impl PageApi {
    pub(super) async fn preview(
        &self,
        who: &Administrator,
        session: &Session,
        id: u64,
    ) -> Result<Preview, PageError> {
        let gitlab = &session.gitlab;
        let failed = |purpose| move |error: GitlabError| words::of_gitlab(&error, &session.instance, purpose);
        let text = gitlab.version().await.map_err(failed(GitlabPurpose::ReadVersion))?;
        let version = Version::parse(&text);
        if !version.is_supported() {
            return Err(words::too_old(&session.instance, version));
        }
        let group = gitlab.group(&id.to_string()).await.map_err(failed(GitlabPurpose::ReadGroup))?;
        let user = gitlab.user().await.map_err(failed(GitlabPurpose::ReadUser))?;
        let level = match gitlab.access_level(group.id, user.id).await {
            Err(GitlabError::NotFound) if user.is_admin => 50,
            level => level.map_err(failed(GitlabPurpose::ReadMembers))?,
        };
        if level < 40 && !user.is_admin {
            return Err(PageError::new(
                Cause::Refused,
                format!(
                    "@{} must be Maintainer or Owner of {}: ask an Owner for the role.",
                    user.username, group.full_path
                ),
            ));
        }
        let is_owner = level >= 50 || user.is_admin;
        let has_group_hooks =
            gitlab.has_group_hooks(group.id).await.map_err(failed(GitlabPurpose::CreateGroupHook))?;
        let projects = gitlab.project_count(group.id).await.map_err(failed(GitlabPurpose::ListProjects))?;
        let requests =
            gitlab.newest_merge_requests(group.id).await.map_err(failed(GitlabPurpose::ReadGroup))?;
        let texts = requests.iter().map(|request| {
            IssueKeys::extract([&*request.title, &*request.description, &*request.source_branch])
        });
        let mut jira_projects = by_project(texts);
        self.ask_jira(who, &mut jira_projects).await;
        let links = self.links_at(who, &session.instance).await?;
        Ok(Preview {
            hook: match (is_owner, has_group_hooks) {
                (true, true) => HookPlan::Group,
                (true, false) => HookPlan::ProjectsNoGroupHooks,
                (false, _) => HookPlan::ProjectsNotOwner,
            },
            credentials: credentials(is_owner, has_group_hooks, &session.source),
            merge_requests: requests.len(),
            link: links.iter().find(|link| link.group_id == group.id).map(|link| link.id),
            related: links
                .iter()
                .filter(|link| link.group_id != group.id)
                .filter_map(|link| related(&group.full_path, &link.group_path))
                .collect(),
            group: group.id,
            path: group.full_path,
            username: user.username,
            version: text.split('-').next().unwrap_or_default().to_owned(),
            is_owner,
            projects,
            jira_projects,
        })
    }

    /// Asks Jira which of the projects it has. What can't be asked stays unknown: a preview must not fail for it.
    async fn ask_jira(&self, who: &Administrator, projects: &mut [JiraProject]) {
        let Some(jira) = self.jira_of(who).await else { return };
        let asked = projects.iter().take(MAX_ASKED).map(|project| project.key.clone());
        let answers = asked.map(|key| {
            let jira = jira.clone();
            async move { jira.has_project(&key).await }
        });
        let answers = futures::future::join_all(answers.collect::<Vec<_>>()).await;
        for (project, answer) in projects.iter_mut().zip(answers) {
            match answer {
                Ok(answer) => project.in_jira = answer,
                Err(error) => tracing::warn!(%error, "Jira can't be asked for a project"),
            }
        }
    }

    /// Jira through the connection that the page is in, or else the writing one.
    async fn jira_of(&self, who: &Administrator) -> Option<JiraClient> {
        let id = who.here.or(who.site.writer)?;
        let installation = self.store().installation(who.site.id, id).await.ok()??;
        self.linking.connections.open(&who.site, &installation).await.ok()
    }
}

fn related(group: &str, link: &str) -> Option<RelatedLink> {
    let is_above = lies_under(group, link);
    (is_above || lies_under(link, group)).then(|| RelatedLink { path: link.to_owned(), is_above })
}

/// Group access tokens take an Owner, and the tier that group hooks take.
fn credentials(is_owner: bool, has_tier: bool, source: &TokenSource) -> Vec<CredentialOption> {
    let group_token = match (is_owner, has_tier) {
        (true, true) => None,
        (false, _) => Some("Only an Owner of the group can create a group access token."),
        (true, false) => Some("This GitLab plan has no group access tokens."),
    };
    let given = matches!(source, TokenSource::Oauth { .. })
        .then_some("Paste the access token of a bot or service account.");
    vec![
        CredentialOption { mode: "read", unavailable: group_token },
        CredentialOption { mode: "managed", unavailable: group_token },
        CredentialOption { mode: "given", unavailable: given },
        CredentialOption { mode: "none", unavailable: None },
    ]
}

/// The keys of all texts by Jira project, those with most issues first.
fn by_project(texts: impl Iterator<Item = IssueKeys>) -> Vec<JiraProject> {
    let mut projects: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for keys in texts {
        for key in keys.as_slice() {
            if let Some((project, _)) = key.rsplit_once('-') {
                projects.entry(project.to_owned()).or_default().insert(key.clone());
            }
        }
    }
    let mut projects: Vec<JiraProject> = projects
        .into_iter()
        .map(|(key, issues)| JiraProject {
            key,
            issues: issues.len(),
            examples: issues.into_iter().take(MAX_EXAMPLES).collect(),
            in_jira: None,
        })
        .collect();
    projects.sort_by(|one, other| other.issues.cmp(&one.issues).then_with(|| one.key.cmp(&other.key)));
    projects
}

/// How the page calls a kept credential.
pub(super) fn credential_name(mode: Option<CredentialMode>) -> &'static str {
    match mode {
        None => "none",
        Some(CredentialMode::Managed) => "managed",
        Some(CredentialMode::Read) => "read",
        Some(CredentialMode::Pasted) => "given",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_by_jira_project_once_each() {
        let texts = ["PAY-1 and PAY-2, as UTF-8", "PAY-1 again", "OPS-3"];
        let found = by_project(texts.iter().map(|text| IssueKeys::extract([*text])));
        let counts: Vec<_> = found.iter().map(|project| (project.key.as_str(), project.issues)).collect();
        assert_eq!(counts, [("PAY", 2), ("OPS", 1), ("UTF", 1)]);
    }

    #[test]
    fn a_group_token_takes_an_owner_and_the_tier() {
        let oauth = TokenSource::Oauth { application_id: "1".to_owned() };
        let can = |is_owner, tier, source: &TokenSource| {
            let options = credentials(is_owner, tier, source);
            let can = options.into_iter().filter(|option| option.unavailable.is_none());
            can.map(|option| option.mode).collect::<Vec<_>>()
        };
        assert_eq!(can(true, true, &oauth), ["read", "managed", "none"]);
        assert_eq!(can(false, true, &TokenSource::Pasted), ["given", "none"]);
        assert_eq!(can(true, false, &oauth), ["none"]);
    }
}
