//! How the API shows a person.

use serde_json::{Value, json};

use crate::gitlab::hooks::payload::avatar;
use crate::gitlab::state::World;

/// A user inside another object: never with an e-mail address.
pub(crate) fn user(world: &World, id: u64) -> Value {
    let user = world.user(id);
    json!({
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "state": if user.blocked { "blocked" } else { "active" },
        "locked": false,
        "avatar_url": avatar(world, user),
        "web_url": format!("{}/{}", world.url, user.username),
    })
}

/// A list of users inside another object.
pub(crate) fn users(world: &World, ids: &[u64]) -> Value {
    ids.iter().map(|id| user(world, *id)).collect()
}
