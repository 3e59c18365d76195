//! Users, groups, roles and access tokens.

use std::collections::BTreeMap;

use time::{Date, OffsetDateTime};

/// The plan of a top-level group. Decides whether group hooks and group access tokens exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Project hooks only.
    Free,
    /// Group hooks and group access tokens too.
    Premium,
}

/// A role, with GitLab's access level as its number
/// (<https://docs.gitlab.com/api/members/#roles>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees that the project exists, not its code.
    Guest = 10,
    /// As Guest, plus planning tools.
    Planner = 15,
    /// Reads everything but feature flags and hooks.
    Reporter = 20,
    /// Reads feature flags too.
    Developer = 30,
    /// Manages project hooks.
    Maintainer = 40,
    /// Manages group hooks and group access tokens.
    Owner = 50,
}

impl Role {
    /// The number the API uses.
    pub fn access_level(self) -> u64 {
        self as u64
    }

    /// The role of a number, if there is one.
    pub(crate) fn from_access_level(level: u64) -> Option<Role> {
        [Role::Guest, Role::Planner, Role::Reporter, Role::Developer, Role::Maintainer, Role::Owner]
            .into_iter()
            .find(|role| role.access_level() == level)
    }

    /// As member hooks write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Guest => "Guest",
            Role::Planner => "Planner",
            Role::Reporter => "Reporter",
            Role::Developer => "Developer",
            Role::Maintainer => "Maintainer",
            Role::Owner => "Owner",
        }
    }
}

pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) username: String,
    pub(crate) name: String,
    pub(crate) email: String,
    /// Whether the profile shows the e-mail address; hooks redact it otherwise.
    pub(crate) public_email: bool,
    pub(crate) blocked: bool,
    pub(crate) admin: bool,
    pub(crate) bot: bool,
}

pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) parent: Option<u64>,
    pub(crate) description: String,
    pub(crate) avatar_url: Option<String>,
    pub(crate) public: bool,
    pub(crate) tier: Tier,
    pub(crate) members: BTreeMap<u64, Role>,
    pub(crate) created_at: OffsetDateTime,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Personal,
    /// Belongs to a bot that is a member of this group.
    Group(u64),
    /// Belongs to a bot that is a member of this project.
    Project(u64),
    /// From a sign-in; works as `Bearer` only.
    OAuth,
}

pub(crate) struct Token {
    pub(crate) id: u64,
    pub(crate) secret: String,
    pub(crate) name: String,
    pub(crate) kind: TokenKind,
    pub(crate) user: u64,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_on: Option<Date>,
    /// OAuth tokens end at a moment, not at the start of a day.
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) revoked: bool,
    pub(crate) created_at: OffsetDateTime,
    /// Tokens that replaced each other share a family; use of a replaced one costs the whole family.
    pub(crate) family: u64,
}

impl Token {
    pub(crate) fn expired(&self, now: OffsetDateTime) -> bool {
        self.expires_on.is_some_and(|day| now.date() >= day) || self.expires_at.is_some_and(|at| now >= at)
    }

    pub(crate) fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}
