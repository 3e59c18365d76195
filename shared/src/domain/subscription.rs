//! A GitLab group linked to a Jira site.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{HookMark, HookPlan, SiteId, SubscriptionId};
use crate::clock::Timestamp;
use crate::envelope::Sealed;

/// How long a hook's old secrets are accepted after GitLab has taken new ones. Longer than a delivery is under way, and as
/// long as one that was taken in unverified may have to wait for its verification.
const PREVIOUS_ACCEPTED: Duration = Duration::from_secs(24 * 3600);

/// How many replaced secrets a hook keeps.
const MAX_PREVIOUS: usize = 4;

/// A link between a GitLab group and a Jira site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subscription {
    /// Our id; part of the webhook's URL.
    pub id: SubscriptionId,
    /// The Jira site.
    pub site: SiteId,
    /// Base URL of the GitLab instance, without a trailing slash.
    pub instance: String,
    /// The instance's version when it was linked, such as `19.1.0`.
    pub instance_version: String,
    /// GitLab's id of the group: paths change, ids do not.
    pub group_id: u64,
    /// The group's full path when it was linked, for people.
    pub group_path: String,
    /// Whether the link is whole.
    pub state: SubscriptionState,
    /// The hook that speaks for the whole group (or for `--no-hook`); project hooks have their own items.
    pub hook: Hook,
    /// The token we read GitLab with.
    pub credential: Option<Credential>,
    /// Only issue keys of these Jira projects; empty means any.
    #[serde(default)]
    pub project_keys: Vec<String>,
    /// What a person has to fix, if anything.
    #[serde(default)]
    pub attention: Option<LinkAttention>,
    /// The hooks of its projects, as they were last put in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<HookPlan>,
    /// The last check of its token and hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upkeep: Option<Upkeep>,
    /// When it was linked.
    pub created_at: Timestamp,
    /// GitLab's user name of whoever linked it; unknown of links from before it was kept.
    #[serde(default)]
    pub linked_by: Option<String>,
}

impl Subscription {
    /// Whether projects that come later get a hook: through the group's own, or from a token that may make one.
    #[must_use]
    pub fn gets_hooks_by_itself(&self) -> bool {
        let may_make_hooks = |credential: &Credential| credential.mode != CredentialMode::Read;
        self.hook.kind != HookKind::Project || self.credential.as_ref().is_some_and(may_make_hooks)
    }
}

/// How far linking has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionState {
    /// Stored before the first hook exists, so that no hook ever points nowhere.
    Pending,
    /// Whole.
    Active,
}

/// What is wrong with a link in a way that only a person can fix. What to say about it belongs to `health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredAttention", into = "StoredAttention")]
pub enum LinkAttention {
    /// GitLab answers 401 to the stored token.
    TokenRefused,
    /// GitLab answers 403, or hides what the link covers: the token's scopes or role do not suffice.
    TokenInsufficient,
    /// A proxy in front of GitLab answers 404 to every path with an encoded slash, such as those of many branches.
    SlashesRefused,
    /// GitLab let us make no hook in some projects of the group.
    ProjectsWithoutHook {
        /// How many.
        count: usize,
        /// The paths of the first few.
        paths: Vec<String>,
    },
    /// What a release before this type wrote, in its own sentence.
    Text(String),
}

/// [`LinkAttention`] as it is stored: releases up to 0.1 wrote a sentence.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum StoredAttention {
    Condition(StoredCondition),
    Text(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "condition", rename_all = "snake_case")]
enum StoredCondition {
    TokenRefused,
    TokenInsufficient,
    SlashesRefused,
    ProjectsWithoutHook { count: usize, paths: Vec<String> },
}

/// The sentences of releases up to 0.1 that are conditions today.
const TOKEN_REFUSED: &str = "GitLab refuses the stored token: link the group again with a new one.";
const TOKEN_INSUFFICIENT: &str =
    "The stored token may not read everything: give it read_api and the Developer role.";

impl From<StoredAttention> for LinkAttention {
    fn from(stored: StoredAttention) -> Self {
        match stored {
            StoredAttention::Condition(StoredCondition::TokenRefused) => Self::TokenRefused,
            StoredAttention::Condition(StoredCondition::TokenInsufficient) => Self::TokenInsufficient,
            StoredAttention::Condition(StoredCondition::SlashesRefused) => Self::SlashesRefused,
            StoredAttention::Condition(StoredCondition::ProjectsWithoutHook { count, paths }) => {
                Self::ProjectsWithoutHook { count, paths }
            }
            StoredAttention::Text(text) => match text.as_str() {
                TOKEN_REFUSED => Self::TokenRefused,
                TOKEN_INSUFFICIENT => Self::TokenInsufficient,
                _ => Self::Text(text),
            },
        }
    }
}

impl From<LinkAttention> for StoredAttention {
    fn from(attention: LinkAttention) -> Self {
        Self::Condition(match attention {
            LinkAttention::TokenRefused => StoredCondition::TokenRefused,
            LinkAttention::TokenInsufficient => StoredCondition::TokenInsufficient,
            LinkAttention::SlashesRefused => StoredCondition::SlashesRefused,
            LinkAttention::ProjectsWithoutHook { count, paths } => {
                StoredCondition::ProjectsWithoutHook { count, paths }
            }
            LinkAttention::Text(text) => return Self::Text(text),
        })
    }
}

/// Which kind of hook carries a link's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookKind {
    /// One hook of the group: covers its projects and subgroups. GitLab asks for Premium and an Owner.
    Group,
    /// A hook per project.
    Project,
    /// Somebody makes the hook by hand with the secrets that `--no-hook` printed.
    Manual,
}

/// A hook and its webhook credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// What it covers.
    pub kind: HookKind,
    /// GitLab's id of it, once it exists.
    #[serde(default)]
    pub id: Option<u64>,
    /// The only project it may speak of; `None` for a group's hook.
    #[serde(default)]
    pub project_id: Option<u64>,
    /// The secret sent in clear as `X-Gitlab-Token`.
    pub token: Sealed,
    /// The key of the signature (GitLab 19.0 and newer).
    pub signing_token: Sealed,
    /// Whether a valid signature is demanded: GitLab said that it kept the signing token, or a valid one was seen.
    #[serde(default)]
    pub signed: bool,
    /// The secrets it had before, newest last, while deliveries made with them may still come in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<PreviousSecrets>,
    /// What the last plan that came by did about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<HookMark>,
}

/// Secrets of a hook that were replaced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreviousSecrets {
    /// The secret sent in clear as `X-Gitlab-Token`.
    pub token: Sealed,
    /// The key of the signature.
    pub signing_token: Sealed,
    /// Until when they are accepted; `None` while it is not known whether GitLab has taken the newer ones.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl Hook {
    /// Gives it new secrets. The old ones are accepted until the new ones are confirmed, and for a while after that.
    pub fn replace_secrets(&mut self, token: Sealed, signing_token: Sealed) {
        let token = std::mem::replace(&mut self.token, token);
        let signing_token = std::mem::replace(&mut self.signing_token, signing_token);
        self.previous.push(PreviousSecrets { token, signing_token, until: None });
        // More replacements than that in a row without an answer of GitLab's are no coincidence.
        let surplus = self.previous.len().saturating_sub(MAX_PREVIOUS);
        self.previous.drain(..surplus);
    }

    /// Notes that GitLab has the newest secrets since `now`.
    pub fn confirm_secrets(&mut self, now: Timestamp) {
        self.previous.retain(|secrets| secrets.until.is_none_or(|until| until > now));
        for secrets in &mut self.previous {
            secrets.until.get_or_insert(now.after(PREVIOUS_ACCEPTED));
        }
    }
}

/// How the stored token was created, and so what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialMode {
    /// A group access token we made: `api`, Maintainer; repairs and removes hooks.
    Managed,
    /// A group access token we made: `read_api`, `read_repository`, `self_rotate`, Developer.
    Read,
    /// A token that a person gave us to keep.
    Pasted,
}

/// A token for GitLab's API.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Credential {
    /// How it was created.
    pub mode: CredentialMode,
    /// The token.
    pub token: Sealed,
    /// GitLab's id of a token we made, to remove it by.
    #[serde(default)]
    pub token_id: Option<u64>,
    /// When GitLab stops accepting it, as far as it says.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// When GitLab was last asked about it.
    #[serde(default)]
    pub checked_at: Option<Timestamp>,
    /// A rotation whose result is not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
}

/// A rotation of a token whose result is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rotation", content = "at", rename_all = "snake_case")]
pub enum Rotation {
    /// It was begun, and may have succeeded: the token must not be rotated again before that is known.
    Begun(Timestamp),
    /// It succeeded, and its answer was lost: the token does not work, and nobody has its successor.
    Lost(Timestamp),
}

/// A check of a link's token and hooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upkeep {
    /// When it ended.
    pub at: Timestamp,
    /// What was wrong with the group's hook after it.
    #[serde(default)]
    pub hook: Option<HookTrouble>,
}

/// What is wrong with a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trouble", content = "detail", rename_all = "snake_case")]
pub enum HookTrouble {
    /// GitLab delivers nothing until this moment, if it says, because deliveries failed.
    DisabledUntil(Option<Timestamp>),
    /// GitLab refuses to make or change it, in its own words.
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn attention_that_an_earlier_release_stored_as_a_sentence_is_still_read() {
        let read = |stored| serde_json::from_value::<LinkAttention>(stored).expect("readable");
        assert_eq!(read(json!(TOKEN_REFUSED)), LinkAttention::TokenRefused);
        assert_eq!(read(json!(TOKEN_INSUFFICIENT)), LinkAttention::TokenInsufficient);
        assert_eq!(read(json!("3 of its projects")), LinkAttention::Text("3 of its projects".to_owned()));
    }

    #[test]
    fn attention_survives_storing() {
        let projects = LinkAttention::ProjectsWithoutHook { count: 9, paths: vec!["acme/api".to_owned()] };
        for attention in [LinkAttention::TokenRefused, projects, LinkAttention::Text("x".to_owned())] {
            let stored = serde_json::to_value(&attention).expect("JSON");
            assert_eq!(serde_json::from_value::<LinkAttention>(stored).expect("readable"), attention);
        }
    }
}
