//! What a sealed secret belongs to, and the bytes and names that key services see of it.

use std::fmt;

/// What a secret is for. A role may unwrap only the purposes it needs, by a condition on the encryption context, so
/// these names are part of the deployed policies and of everything stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// A Connect installation's shared secret.
    SharedSecret,
    /// The client secret of a site's OAuth credentials.
    ClientSecret,
    /// A Forge app's system token.
    SystemToken,
    /// What a GitLab webhook is verified by.
    HookSecret,
    /// A token for GitLab's API.
    GitlabToken,
    /// What a person signs in to GitLab with on the page: a PKCE verifier, then a token of that person.
    SignIn,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 6] = [
        Self::SharedSecret,
        Self::ClientSecret,
        Self::SystemToken,
        Self::HookSecret,
        Self::GitlabToken,
        Self::SignIn,
    ];

    /// The name in encryption contexts; never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SharedSecret => "shared-secret",
            Self::ClientSecret => "client-secret",
            Self::SystemToken => "system-token",
            Self::HookSecret => "hook-secret",
            Self::GitlabToken => "gitlab-token",
            Self::SignIn => "sign-in",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a secret belongs to: the additional data of AES-GCM. It is not secret and holds ids only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    site: String,
    purpose: Purpose,
    record: String,
}

/// What a data key belongs to: the encryption context of KMS, which writes it into its audit log. A data key is a site's, for
/// one purpose; the record that a secret is sealed for is bound by the seal alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EncryptionContext {
    site: String,
    purpose: Purpose,
    /// Only where a record has a data key of its own, as in the first version of sealed secrets.
    record: Option<String>,
}

impl Context {
    /// The context of the secret that `record` (the id of an installation, subscription or hook) of `site` keeps for
    /// `purpose`.
    #[must_use]
    pub(super) fn new(site: impl Into<String>, purpose: Purpose, record: impl Into<String>) -> Self {
        Self { site: site.into(), purpose, record: record.into() }
    }

    /// The context of an installation's credential: a shared secret, a client secret or a system token, as `purpose` says.
    #[must_use]
    pub fn installation(site: impl fmt::Display, installation: impl fmt::Display, purpose: Purpose) -> Self {
        Self::new(site.to_string(), purpose, installation.to_string())
    }

    /// The context of a hook's secret token and signing token; `project` for a project's hook.
    #[must_use]
    pub fn hook(site: impl fmt::Display, subscription: impl fmt::Display, project: Option<u64>) -> Self {
        let record = match project {
            None => subscription.to_string(),
            Some(project) => format!("{subscription}#{project}"),
        };
        Self::new(site.to_string(), Purpose::HookSecret, record)
    }

    /// The context of the token that a link reads GitLab with.
    #[must_use]
    pub fn gitlab_token(site: impl fmt::Display, subscription: impl fmt::Display) -> Self {
        Self::new(site.to_string(), Purpose::GitlabToken, subscription.to_string())
    }

    /// The context of the token that a person gave for a plan of a link's project hooks.
    #[must_use]
    pub fn hook_plan_token(site: impl fmt::Display, subscription: impl fmt::Display) -> Self {
        Self::new(site.to_string(), Purpose::GitlabToken, format!("{subscription}#hooks"))
    }

    /// The context of what a person signs in to GitLab with.
    #[must_use]
    pub fn sign_in(site: impl fmt::Display, sign_in: impl fmt::Display) -> Self {
        Self::new(site.to_string(), Purpose::SignIn, sign_in.to_string())
    }

    /// The context of a text that is sealed and opened only to see whether the key works.
    #[must_use]
    pub fn probe() -> Self {
        Self::new("doctor", Purpose::HookSecret, "doctor")
    }

    /// What the data key of its secret belongs to.
    #[must_use]
    pub fn encryption_context(&self) -> EncryptionContext {
        EncryptionContext { site: self.site.clone(), purpose: self.purpose, record: None }
    }

    /// What its data key belongs to where a record has one of its own, as in the first version of sealed secrets.
    #[must_use]
    pub fn encryption_context_of_record(&self) -> EncryptionContext {
        EncryptionContext { record: Some(self.record.clone()), ..self.encryption_context() }
    }

    /// One text of bytes per context.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        canonical([self.site.as_str(), self.purpose.as_str(), &self.record])
    }
}

impl EncryptionContext {
    /// The pairs of a KMS encryption context.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let record = self.record.as_deref().map(|record| ("record", record));
        [("site", self.site.as_str()), ("purpose", self.purpose.as_str())].into_iter().chain(record)
    }

    /// One text of bytes per context.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        canonical(self.pairs().map(|(_, part)| part))
    }
}

/// Each part follows its length as eight big-endian bytes, so that no two lists of parts share an encoding.
fn canonical<'a>(parts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contexts() -> impl Strategy<Value = Context> {
        (".{0,6}", 0..Purpose::ALL.len(), ".{0,6}")
            .prop_map(|(site, purpose, record)| Context::new(site, Purpose::ALL[purpose], record))
    }

    /// A secret that is sealed already opens with the very same context only.
    #[test]
    fn contexts_of_stored_secrets_never_change() {
        for (context, purpose, record) in [
            (Context::installation("S", "I", Purpose::SystemToken), "system-token", "I"),
            (Context::hook("S", "L", None), "hook-secret", "L"),
            (Context::hook("S", "L", Some(7)), "hook-secret", "L#7"),
            (Context::gitlab_token("S", "L"), "gitlab-token", "L"),
            (Context::hook_plan_token("S", "L"), "gitlab-token", "L#hooks"),
        ] {
            assert_eq!(context.canonical(), canonical(["S", purpose, record]));
            let (shared, own) = (context.encryption_context(), context.encryption_context_of_record());
            let pairs = [("site", "S"), ("purpose", purpose), ("record", record)];
            assert_eq!(shared.pairs().collect::<Vec<_>>(), pairs[..2]);
            assert_eq!(own.pairs().collect::<Vec<_>>(), pairs);
        }
    }

    #[test]
    fn names_of_purposes_are_stable() {
        let names = Purpose::ALL.map(Purpose::as_str);
        let stable =
            ["shared-secret", "client-secret", "system-token", "hook-secret", "gitlab-token", "sign-in"];
        assert_eq!(names, stable);
        assert_eq!(Purpose::HookSecret.to_string(), "hook-secret");
    }

    #[test]
    fn the_canonical_bytes_are_stable() {
        let context = Context::new("s1", Purpose::HookSecret, "r");
        assert_eq!(
            context.canonical(),
            b"\0\0\0\0\0\0\0\x02s1\0\0\0\0\0\0\0\x0bhook-secret\0\0\0\0\0\0\0\x01r"
        );
        assert_eq!(context.encryption_context_of_record().canonical(), context.canonical());
        let of_data_key = b"\0\0\0\0\0\0\0\x02s1\0\0\0\0\0\0\0\x0bhook-secret";
        assert_eq!(context.encryption_context().canonical(), of_data_key);
    }

    proptest! {
        #[test]
        fn different_contexts_have_different_bytes(one in contexts(), other in contexts()) {
            prop_assert_eq!(one == other, one.canonical() == other.canonical());
        }

        #[test]
        fn moving_a_character_changes_the_bytes(site in "[a-z]{1,6}", record in "[a-z]{1,6}") {
            let moved = Context::new(&site[1..], Purpose::SharedSecret, format!("{}{record}", &site[..1]));
            prop_assert_ne!(Context::new(site, Purpose::SharedSecret, record).canonical(), moved.canonical());
        }
    }
}
