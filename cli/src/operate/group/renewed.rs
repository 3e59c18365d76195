//! What `group link` answers of a link that was there already.

use serde::{Deserialize, Serialize};
use shared::domain::Site;
use shared::linking::GitlabPurpose;
use shared::linking::hooks::HookChange;
use shared::linking::renew::{CredentialRenewal, HookRenewal, OldToken, RenewReport};

use crate::operate::wording;

/// What was renewed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Renewed {
    /// Whether the link had never been completed, or its unlinking had begun.
    pub was_incomplete: bool,
    /// `none`, `added`, `replaced` or `removed`.
    pub token: String,
    /// What became of the old token: `revoked`, `not_revoked`, or `kept` by the person whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_token: Option<String>,
    /// `renewed`, `made`, `made_again`, `enabled`, `failed`, `projects` or `by_hand`.
    pub hook: String,
}

impl From<&RenewReport> for Renewed {
    fn from(report: &RenewReport) -> Self {
        let (token, old) = match report.credential {
            CredentialRenewal::StaysNone => ("none", None),
            CredentialRenewal::Added => ("added", None),
            CredentialRenewal::Replaced(old) => ("replaced", Some(old)),
            CredentialRenewal::Removed(old) => ("removed", Some(old)),
        };
        let old_token = old.map(|old| match old {
            OldToken::Revoked => "revoked",
            OldToken::NotRevoked => "not_revoked",
            OldToken::NotOurs => "kept",
        });
        let hook = match &report.hook {
            HookRenewal::Group(HookChange::Made) => "made",
            HookRenewal::Group(HookChange::MadeAgain) => "made_again",
            HookRenewal::Group(HookChange::Enabled) => "enabled",
            HookRenewal::Group(_) => "renewed",
            HookRenewal::GroupFailed(_) => "failed",
            HookRenewal::Projects => "projects",
            HookRenewal::ByHand(_) => "by_hand",
        };
        Self {
            was_incomplete: report.was_pending,
            token: token.to_owned(),
            old_token: old_token.map(str::to_owned),
            hook: hook.to_owned(),
        }
    }
}

impl Renewed {
    pub(super) fn lines(&self) -> Vec<String> {
        let hook = match self.hook.as_str() {
            "renewed" => "Renewed the hook's secrets and settings.",
            "made" => "Made the hook, which was missing.",
            "made_again" => "Made the hook again, which was gone.",
            "enabled" => "Renewed the hook, and enabled it: GitLab had disabled it.",
            "projects" => "Renewed the hooks of the projects.",
            "by_hand" => "The hook has new secrets.",
            _ => "The hook is as it was.",
        };
        let token = match (self.token.as_str(), self.old_token.as_deref()) {
            ("none", _) => "No token was kept before, and none is kept now.",
            ("added", _) => "A token is kept now.",
            ("replaced", Some("revoked")) => "Replaced the token, and revoked the old one.",
            ("replaced", _) => "Replaced the token.",
            (_, Some("revoked")) => "Revoked the token, and keeps none any more.",
            _ => "No token is kept any more.",
        };
        vec![hook.to_owned(), token.to_owned()]
    }
}

/// What a person should know of a renewal, beside what is said of every link.
pub(super) fn notes(report: &RenewReport, site: &Site) -> Vec<String> {
    let link = &report.subscription;
    let mut notes = Vec::new();
    if report.was_pending {
        notes.push(format!(
            "Linking or unlinking it had not ended before. What unlinking had deleted from {} is not restored by this.",
            site.host()
        ));
    }
    match report.credential {
        CredentialRenewal::Replaced(OldToken::NotRevoked)
        | CredentialRenewal::Removed(OldToken::NotRevoked) => notes.push(format!(
            "The old group access token \"GitLab for Jira\" may still work: an Owner revokes it under {}/groups/{}/-/settings/access_tokens.",
            link.instance, link.group_path
        )),
        CredentialRenewal::Replaced(OldToken::NotOurs) | CredentialRenewal::Removed(OldToken::NotOurs) => {
            notes.push("The token that was given before is forgotten, but not revoked.".to_owned());
        }
        _ => {}
    }
    match &report.hook {
        HookRenewal::GroupFailed(error) => {
            let purpose = wording::purpose(GitlabPurpose::RepairHook);
            notes.push(wording::of_gitlab(error, &link.instance, purpose).sentence);
        }
        HookRenewal::Group(HookChange::DisabledUntil(until)) => {
            let until = until.map(|until| format!(" until {}", until.iso8601())).unwrap_or_default();
            notes.push(format!("GitLab has disabled the hook{until}, and enables it by itself then."));
        }
        HookRenewal::ByHand(Some(until)) => {
            notes.push(format!("Until {} the old secrets are accepted, too.", until.iso8601()));
        }
        _ => {}
    }
    notes
}
