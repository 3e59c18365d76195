//! Access tokens: the caller's own, and those of a group's bots
//! (<https://docs.gitlab.com/api/group_access_tokens/>).

use serde_json::{Value, json};
use time::Duration;

use super::{Answer, Call, Outcome, Refusal};
use crate::gitlab::clock;
use crate::gitlab::random;
use crate::gitlab::state::{Role, Tier, Token, TokenKind, World};
use crate::gitlab::story::add_group_bot;

/// Scopes a bot's token may have in every version.
const BOT_SCOPES: [&str; 6] =
    ["api", "read_api", "read_repository", "write_repository", "read_registry", "write_registry"];
/// Since 16.0 no token lives longer.
const LONGEST_LIFE: Duration = Duration::days(365);
/// A rotated token lives this long unless the caller says otherwise.
const ROTATED_LIFE: Duration = Duration::days(7);

/// `GET /personal_access_tokens/self`
pub(crate) fn own(world: &mut World, call: &Call) -> Outcome {
    let token = &world.tokens[&call.caller()?.token];
    if token.kind == TokenKind::OAuth {
        return Err(Refusal::bad_request("This endpoint requires token type to be a personal access token"));
    }
    Ok(Answer::ok(show(world, token)))
}

/// `DELETE /personal_access_tokens/self`
pub(crate) fn revoke_own(world: &mut World, call: &Call) -> Outcome {
    let id = call.caller()?.token;
    if let Some(token) = world.tokens.get_mut(&id) {
        token.revoked = true;
    }
    Ok(Answer::no_content())
}

/// `POST /personal_access_tokens/self/rotate`
pub(crate) fn rotate_own(world: &mut World, call: &Call) -> Outcome {
    if !world.version.rotates_tokens() {
        return Err(Refusal::no_route());
    }
    let id = call.caller()?.token;
    replace(world, call, id)
}

/// `POST /groups/:id/access_tokens`
pub(crate) fn create(world: &mut World, call: &Call) -> Outcome {
    let group = call.group(world)?;
    let name = call.required("name")?;
    let scopes = requested_scopes(world, call)?;
    let level = call.number("access_level")?.unwrap_or(Role::Maintainer.access_level());
    let role = Role::from_access_level(level).ok_or_else(|| Refusal::no_valid_value("access_level"))?;
    let expires_on = requested_end(world, call)?;
    let user = call.caller()?.user;
    let allowed = world.has_group_role(user, group, Role::Owner) && !world.user(user).bot;
    if !allowed || world.tier(group) == Tier::Free {
        return Err(Refusal::bad_request("User does not have permission to create group access token"));
    }
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let id = add_group_bot(world, group, role, &scopes, expires_on);
    if let Some(token) = world.tokens.get_mut(&id) {
        token.name = name;
    }
    Ok(Answer::created(show_with_secret(world, id)))
}

fn requested_scopes(world: &World, call: &Call) -> Result<Vec<String>, Refusal> {
    let scopes = call.list("scopes");
    if scopes.is_empty() {
        return Err(Refusal::missing("scopes"));
    }
    let known = |scope: &str| {
        BOT_SCOPES.contains(&scope) || (scope == "self_rotate" && world.version.knows_self_rotate())
    };
    if scopes.iter().all(|scope| known(scope)) { Ok(scopes) } else { Err(Refusal::no_valid_value("scopes")) }
}

/// Old versions have tokens that never expire; newer ones demand an expiry within a year.
fn requested_end(world: &World, call: &Call) -> Result<Option<time::Date>, Refusal> {
    let asked = call.day("expires_at")?;
    let today = world.clock.peek().date();
    let must_end = world.version.rotates_tokens();
    match asked {
        None if must_end => Err(Refusal::missing("expires_at")),
        Some(day) if day <= today => Err(Refusal::bad_request("Expiration date must be in the future")),
        Some(day) if must_end && day > today + LONGEST_LIFE => {
            Err(Refusal::bad_request("Expiration date is too far away"))
        }
        asked => Ok(asked),
    }
}

/// `DELETE /groups/:id/access_tokens/:token_id`
pub(crate) fn revoke(world: &mut World, call: &Call) -> Outcome {
    let group = call.group(world)?;
    let id = call.path_number("token_id")?;
    let token = world.tokens.get(&id).filter(|token| token.kind == TokenKind::Group(group) && !token.revoked);
    let bot = token.ok_or_else(|| Refusal::not_found("group Access Token"))?.user;
    if !world.has_group_role(call.caller()?.user, group, Role::Owner) {
        return Err(Refusal::bad_request("User does not have permission to revoke the access token"));
    }
    // The bot is removed with its token.
    world.tokens.values_mut().filter(|token| token.user == bot).for_each(|token| token.revoked = true);
    if let Some(group) = world.groups.get_mut(&group) {
        group.members.remove(&bot);
    }
    Ok(Answer::no_content())
}

/// `POST /groups/:id/access_tokens/:token_id/rotate`; `self` is the caller's own.
pub(crate) fn rotate(world: &mut World, call: &Call) -> Outcome {
    if !world.version.rotates_tokens() {
        return Err(Refusal::no_route());
    }
    let group = call.group(world)?;
    let caller = call.caller()?;
    let id = match call.path("token_id") {
        "self" => caller.token,
        _ => call.path_number("token_id")?,
    };
    let of_group = world.tokens.get(&id).is_some_and(|token| token.kind == TokenKind::Group(group));
    let own = id == caller.token;
    // Only `api` rotates another's token.
    let other =
        world.has_group_role(caller.user, group, Role::Owner) && world.tokens[&caller.token].has_scope("api");
    if !of_group || !(own || other) {
        return Err(Refusal::unauthorized());
    }
    replace(world, call, id)
}

/// Revokes a token and makes its successor. A token that was rotated before gets its whole token family revoked.
fn replace(world: &mut World, call: &Call, id: u64) -> Outcome {
    let today = world.clock.peek().date();
    let expires_on = call.day("expires_at")?.unwrap_or(today + ROTATED_LIFE);
    let (next, now) = (world.fresh_id(), world.now());
    let old = world.tokens.get_mut(&id).ok_or_else(Refusal::plain_not_found)?;
    let family = old.family;
    if old.revoked {
        world
            .tokens
            .values_mut()
            .filter(|token| token.family == family)
            .for_each(|token| token.revoked = true);
        return Err(Refusal::bad_request("token already revoked"));
    }
    old.revoked = true;
    let successor = Token {
        id: next,
        secret: random::token(),
        name: old.name.clone(),
        kind: old.kind,
        user: old.user,
        scopes: old.scopes.clone(),
        expires_on: Some(expires_on),
        expires_at: None,
        revoked: false,
        created_at: now,
        family,
    };
    world.tokens.insert(next, successor);
    Ok(Answer::ok(show_with_secret(world, next)))
}

/// The only moment a secret is shown.
fn show_with_secret(world: &World, id: u64) -> Value {
    let token = &world.tokens[&id];
    let mut body = show(world, token);
    body["token"] = json!(token.secret);
    body
}

fn show(world: &World, token: &Token) -> Value {
    let role = match token.kind {
        TokenKind::Group(group) => world.role_in_group(token.user, group),
        TokenKind::Project(project) => {
            world.projects.get(&project).and_then(|project| world.role_in_project(token.user, project))
        }
        TokenKind::Personal | TokenKind::OAuth => None,
    };
    let mut body = json!({
        "id": token.id,
        "name": token.name,
        "revoked": token.revoked,
        "created_at": clock::rest(token.created_at),
        "scopes": token.scopes,
        "user_id": token.user,
        "last_used_at": null,
        "active": !token.revoked && !token.expired(world.clock.peek()),
        "expires_at": token.expires_on.map(clock::day),
    });
    if let Some(role) = role {
        body["access_level"] = json!(role.access_level());
    }
    body
}
