//! People.

use std::sync::Arc;

use secrecy::SecretString;

use super::{DEFAULT_ACTOR, title_case};
use crate::gitlab::random;
use crate::gitlab::shared::Shared;
use crate::gitlab::state::{Token, TokenKind, User, World};

/// OAuth access tokens live this long (<https://docs.gitlab.com/api/oauth2/>).
const OAUTH_LIFETIME: time::Duration = time::Duration::hours(2);

/// A person with an account.
#[derive(Clone)]
pub struct UserHandle {
    shared: Arc<Shared>,
    id: u64,
}

impl UserHandle {
    pub(crate) fn new(shared: &Arc<Shared>, id: u64) -> Self {
        UserHandle { shared: Arc::clone(shared), id }
    }

    /// The user name.
    pub fn username(&self) -> String {
        self.shared.world().user(self.id).username.clone()
    }

    /// The numeric id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The account's e-mail address, public or not.
    pub fn email(&self) -> String {
        self.shared.world().user(self.id).email.clone()
    }

    /// Shows the e-mail address on the profile, and so in hooks.
    #[must_use]
    pub fn with_public_email(self) -> Self {
        self.change(|user| user.public_email = true);
        self
    }

    /// Blocks the account: its tokens stop working, and its pipelines trigger no hook.
    pub fn block(&self) {
        self.change(|user| user.blocked = true);
    }

    /// Makes the account an administrator of the instance.
    pub fn make_admin(&self) {
        self.change(|user| user.admin = true);
    }

    /// A personal access token that does not expire.
    pub fn token(&self, scopes: &[&str]) -> SecretString {
        let mut world = self.shared.world();
        let id = issue(&mut world, TokenKind::Personal, self.id, scopes, None);
        secret(&world, id)
    }

    /// An OAuth access token as a sign-in yields it: `Bearer` only, two hours.
    pub fn oauth_token(&self, scopes: &[&str]) -> SecretString {
        let mut world = self.shared.world();
        let id = issue(&mut world, TokenKind::OAuth, self.id, scopes, None);
        let ends = world.clock.peek() + OAUTH_LIFETIME;
        if let Some(token) = world.tokens.get_mut(&id) {
            token.expires_at = Some(ends);
        }
        secret(&world, id)
    }

    fn change(&self, change: impl FnOnce(&mut User)) {
        if let Some(user) = self.shared.world().users.get_mut(&self.id) {
            change(user);
        }
    }
}

/// The secret text of a token that was just issued.
pub(crate) fn secret(world: &World, token: u64) -> SecretString {
    world.tokens.get(&token).map(|token| token.secret.clone()).unwrap_or_default().into()
}

/// Adds a token to the state and gives its id.
pub(crate) fn issue(
    world: &mut World,
    kind: TokenKind,
    user: u64,
    scopes: &[&str],
    expires_on: Option<time::Date>,
) -> u64 {
    let (id, created_at) = (world.fresh_id(), world.now());
    let token = Token {
        id,
        secret: random::token(),
        name: format!("token {id}"),
        kind,
        user,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        expires_on,
        expires_at: None,
        revoked: false,
        created_at,
        family: id,
    };
    world.tokens.insert(id, token);
    id
}

/// The user with this name, made if need be.
pub(crate) fn ensure_user(world: &mut World, username: &str) -> u64 {
    if let Some(user) = world.users.values().find(|user| user.username == username) {
        return user.id;
    }
    add_user(world, username, false)
}

pub(crate) fn add_user(world: &mut World, username: &str, bot: bool) -> u64 {
    let id = world.fresh_id();
    let user = User {
        id,
        username: username.to_owned(),
        name: title_case(username),
        email: format!("{username}@example.com"),
        public_email: false,
        blocked: false,
        admin: username == DEFAULT_ACTOR,
        bot,
    };
    world.users.insert(id, user);
    id
}
