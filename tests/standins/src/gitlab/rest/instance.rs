//! The instance and the caller.

use serde_json::json;

use super::{Answer, Call, Outcome, Refusal, people};
use crate::gitlab::state::World;

/// `GET /metadata`
pub(crate) fn metadata(world: &mut World, call: &Call) -> Outcome {
    call.caller()?;
    Ok(Answer::ok(json!({
        "version": world.version.number(),
        "revision": "c401a659d0c",
        "kas": { "enabled": false, "externalUrl": null, "version": null },
        "enterprise": true,
    })))
}

/// `GET /version`
pub(crate) fn version(world: &mut World, call: &Call) -> Outcome {
    call.caller()?;
    Ok(Answer::ok(json!({ "version": world.version.number(), "revision": "c401a659d0c" })))
}

/// `GET /user`
pub(crate) fn current_user(world: &mut World, call: &Call) -> Outcome {
    let id = call.caller()?.user;
    let user = world.user(id);
    let mut body = people::user(world, id);
    body["email"] = json!(user.email);
    body["public_email"] = json!(user.public_email.then_some(&user.email));
    body["bot"] = json!(user.bot);
    if user.admin {
        body["is_admin"] = json!(true);
    }
    Ok(Answer::ok(body))
}

/// `GET /users/:id`: only an address its owner publishes.
pub(crate) fn user(world: &mut World, call: &Call) -> Outcome {
    call.caller()?;
    let id = call.path_number("user_id")?;
    let user = world.users.get(&id).ok_or_else(|| Refusal::not_found("User"))?;
    let mut body = people::user(world, id);
    body["public_email"] = json!(user.public_email.then_some(&user.email));
    body["bot"] = json!(user.bot);
    Ok(Answer::ok(body))
}
