//! `key rotate`: a new master key for a data directory, with every secret sealed again under it. How the key file holds
//! two keys belongs to `shared::envelope`.
//!
//! The old key is removed only after a pass over every secret found none that needs it. If it is killed before, the file has
//! both keys, and the next rotation goes on.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::domain::{Connection, Hook, Installation, Subscription};
use shared::envelope::{Context, Envelope, EnvelopeError, KeyFile, KeyFileError, Purpose, Sealed};
use shared::telemetry::with_causes;
use shared::text::count;
use tokio::sync::RwLock;

use super::{Operator, Refusal};
use crate::listener::MAX_REQUEST;

/// The longest time from sealing a secret to storing it: that of a request, and some seconds.
const MAX_ON_ITS_WAY: Duration = MAX_REQUEST.saturating_add(Duration::from_secs(5));

/// The master key of a data directory, as commands use it.
#[derive(Debug)]
pub struct MasterKey {
    /// The file.
    pub file: Arc<KeyFile>,
    /// Commands that change things share it; a rotation runs while none does.
    pub commands: RwLock<()>,
    /// The longest time from sealing a secret to storing it.
    pub on_its_way: Duration,
}

impl MasterKey {
    /// The key in `file`.
    #[must_use]
    pub fn new(file: Arc<KeyFile>) -> Self {
        Self { file, commands: RwLock::new(()), on_its_way: MAX_ON_ITS_WAY }
    }
}

/// What `key rotate` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyRotated {
    /// How many secrets were sealed again.
    pub secrets: u64,
    /// Whether an earlier rotation was interrupted, and this one finished it.
    pub resumed: bool,
}

impl Operator {
    pub(super) async fn key_rotate(&self) -> Result<KeyRotated, Refusal> {
        let key = self.key.as_ref().ok_or_else(|| {
            Refusal::new("A stack has no key file: KMS rotates its key once a year (EnableKeyRotation).")
        })?;
        let _alone = key.commands.write().await;
        let resumed = !key.file.add_key().map_err(|error| of_key_file(&error))?;
        let last_seal = self.linking.envelope.change_keys();
        let rotation = Rotation { operator: self, newest: Envelope::new(Arc::new(key.file.newest())) };
        let mut secrets = rotation.pass().await?;
        if let Some(last_seal) = last_seal {
            tokio::time::sleep_until((last_seal + key.on_its_way).into()).await;
        }
        // What was stored during the first pass; the last pass finds nothing.
        loop {
            match rotation.pass().await? {
                0 => break,
                more => secrets += more,
            }
        }
        key.file.remove_old_key().map_err(|error| of_key_file(&error))?;
        tracing::info!(secrets, resumed, "rotated the master key");
        Ok(KeyRotated { secrets, resumed })
    }
}

/// A rotation in which the key file has both keys.
struct Rotation<'a> {
    operator: &'a Operator,
    /// Opens only what is sealed under the newest key.
    newest: Envelope,
}

impl Rotation<'_> {
    /// Checks every secret, and seals again those that need the old key. Answers how many.
    async fn pass(&self) -> Result<u64, Refusal> {
        let mut sealed = 0;
        let store = &self.operator.store;
        for site in store.site_ids().await? {
            for installation in store.installations(site).await? {
                sealed += u64::from(self.installation(&installation).await?);
            }
            for link in store.subscriptions(site).await? {
                sealed += self.link(&link).await?;
                for hook in store.project_hooks(link.id).await? {
                    sealed += self.project_hook(&link, hook).await?;
                }
            }
        }
        Ok(sealed)
    }

    async fn installation(&self, installation: &Installation) -> Result<bool, Refusal> {
        let mut connection = installation.connection.clone();
        let Some((purpose, old)) = credential(&mut connection) else { return Ok(false) };
        let context = Context::installation(installation.site, installation.id, purpose);
        let of = || format!("the {purpose} of the site {}", installation.site);
        let Some(new) = self.seal_again(old, &context, of).await? else { return Ok(false) };
        let change = |stored: &mut Installation| {
            if let Some((_, secret)) = credential(&mut stored.connection) {
                replace(secret, old, &new);
            }
        };
        self.operator.store.update_installation(installation, change).await?;
        Ok(true)
    }

    /// The secrets of the link itself: its hook's, and its token.
    async fn link(&self, link: &Subscription) -> Result<u64, Refusal> {
        let (hook, sealed) = self.hook(link, &link.hook, None).await?;
        let mut token = None;
        if let Some(credential) = &link.credential {
            let of = || format!("the GitLab token of the link {}", link.id);
            let context = Context::gitlab_token(link.site, link.id);
            token = self.seal_again(&credential.token, &context, of).await?;
        }
        let mut of_plan = None;
        if let Some(kept) = link.hooks.as_ref().and_then(|plan| plan.token.as_ref()) {
            let of = || format!("the token for the hooks of the link {}", link.id);
            of_plan = self.seal_again(kept, &Context::hook_plan_token(link.site, link.id), of).await?;
        }
        let sealed = sealed + u64::from(token.is_some()) + u64::from(of_plan.is_some());
        if sealed == 0 {
            return Ok(0);
        }
        let change = |stored: &mut Subscription| {
            replace_secrets(&mut stored.hook, &link.hook, &hook);
            if let (Some(stored), Some(old), Some(new)) = (&mut stored.credential, &link.credential, &token) {
                replace(&mut stored.token, &old.token, new);
            }
            let kept = |link: &Subscription| link.hooks.as_ref().and_then(|plan| plan.token.clone());
            if let (Some(old), Some(new)) = (kept(link), &of_plan)
                && let Some(stored) = stored.hooks.as_mut().and_then(|plan| plan.token.as_mut())
            {
                replace(stored, &old, new);
            }
        };
        self.operator.store.update_subscription(link.id, change).await?;
        Ok(sealed)
    }

    /// The secrets of a project's hook.
    async fn project_hook(&self, link: &Subscription, hook: Hook) -> Result<u64, Refusal> {
        let Some(project) = hook.project_id else { return Ok(0) };
        let (new, sealed) = self.hook(link, &hook, Some(project)).await?;
        if sealed > 0 {
            let change = |stored: &mut Hook| replace_secrets(stored, &hook, &new);
            self.operator.store.update_hook(link.id, Some(project), change).await?;
        }
        Ok(sealed)
    }

    async fn hook(
        &self,
        link: &Subscription,
        hook: &Hook,
        project: Option<u64>,
    ) -> Result<(Hook, u64), Refusal> {
        let context = Context::hook(link.site, link.id, project);
        let of = || format!("the secrets of a hook of the link {}", link.id);
        let (mut new, mut sealed) = (hook.clone(), 0);
        let previous = new.previous.iter_mut().flat_map(|it| [&mut it.token, &mut it.signing_token]);
        for secret in [&mut new.token, &mut new.signing_token].into_iter().chain(previous) {
            if let Some(again) = self.seal_again(secret, &context, of).await? {
                *secret = again;
                sealed += 1;
            }
        }
        Ok((new, sealed))
    }

    /// The secret sealed under the newest key; `None` if it is already.
    async fn seal_again(
        &self,
        sealed: &Sealed,
        context: &Context,
        of: impl Fn() -> String,
    ) -> Result<Option<Sealed>, Refusal> {
        if self.newest.open(sealed, context).await.is_ok() {
            return Ok(None);
        }
        let envelope = &self.operator.linking.envelope;
        let refusal = |error: EnvelopeError| {
            Refusal::new(format!(
                "Both keys are kept, because one secret can't be opened ({}: {error}). Remove or renew what it belongs to, \
                 and run `gitlab-jira key rotate` again.",
                of()
            ))
        };
        let secret = envelope.open(sealed, context).await.map_err(refusal)?;
        envelope.seal(&secret, context).await.map(Some).map_err(refusal)
    }
}

/// The secret of a connection; a Forge app may have none yet.
fn credential(connection: &mut Connection) -> Option<(Purpose, &mut Sealed)> {
    match connection {
        Connection::Connect { shared_secret, .. } => Some((Purpose::SharedSecret, shared_secret)),
        Connection::OauthCredentials { client_secret, .. } => Some((Purpose::ClientSecret, client_secret)),
        Connection::Forge { token, .. } => Some((Purpose::SystemToken, &mut token.as_mut()?.token)),
    }
}

/// Those of a hook that nobody renewed meanwhile.
fn replace_secrets(stored: &mut Hook, old: &Hook, new: &Hook) {
    fn secrets(hook: &Hook) -> impl Iterator<Item = &Sealed> {
        let previous = hook.previous.iter().flat_map(|it| [&it.token, &it.signing_token]);
        [&hook.token, &hook.signing_token].into_iter().chain(previous)
    }
    let again: Vec<(&Sealed, &Sealed)> = secrets(old).zip(secrets(new)).collect();
    let previous = stored.previous.iter_mut().flat_map(|it| [&mut it.token, &mut it.signing_token]);
    for secret in [&mut stored.token, &mut stored.signing_token].into_iter().chain(previous) {
        if let Some((_, new)) = again.iter().find(|(old, _)| *old == secret) {
            secret.clone_from(new);
        }
    }
}

/// Unless somebody renewed it meanwhile.
fn replace(stored: &mut Sealed, old: &Sealed, new: &Sealed) {
    if stored == old {
        stored.clone_from(new);
    }
}

fn of_key_file(error: &KeyFileError) -> Refusal {
    Refusal::new(format!("The key file can't be changed: {}.", with_causes(error)))
}

impl KeyRotated {
    pub(super) fn lines(&self) -> Vec<String> {
        let resumed =
            if self.resumed { " An earlier rotation was interrupted, and is finished now." } else { "" };
        let secrets = count(self.secrets, "secret", "secrets");
        vec![
            format!("Sealed {secrets} again under the new key, and removed the old one.{resumed}"),
            "Copy the file `key` again; a backup of the state from before needs the old one.".to_owned(),
        ]
    }
}
