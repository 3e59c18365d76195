//! Feature flags, for Developers and above (<https://docs.gitlab.com/api/feature_flags/>). No answer has an id.

use serde_json::{Value, json};

use super::{Answer, Call, Outcome, Refusal};
use crate::gitlab::clock;
use crate::gitlab::state::{FeatureFlag, Role, Strategy, World};

/// `GET /projects/:id/feature_flags`
pub(crate) fn list(world: &mut World, call: &Call) -> Outcome {
    let project = call.project_as(world, Role::Developer)?;
    let scope = call.optional_choice("scope", &["enabled", "disabled"])?;
    let wanted = |flag: &&FeatureFlag| scope.is_none_or(|scope| flag.active == (scope == "enabled"));
    let found: Vec<&FeatureFlag> = project.feature_flags.values().filter(wanted).collect();
    Answer::page(call, &found, |flag| feature_flag(flag))
}

/// `GET /projects/:id/feature_flags/:name`
pub(crate) fn show(world: &mut World, call: &Call) -> Outcome {
    let project = call.project_as(world, Role::Developer)?;
    let flag = project.feature_flags.get(call.path("name")).ok_or_else(Refusal::plain_not_found)?;
    Ok(Answer::ok(feature_flag(flag)))
}

fn feature_flag(flag: &FeatureFlag) -> Value {
    json!({
        "name": flag.name,
        "description": flag.description,
        "active": flag.active,
        "version": "new_version_flag",
        "created_at": clock::rest(flag.created_at),
        "updated_at": clock::rest(flag.updated_at),
        "scopes": [],
        "strategies": flag.strategies.iter().map(strategy).collect::<Vec<_>>(),
    })
}

fn strategy(strategy: &Strategy) -> Value {
    let scope = |(id, environment): &(u64, String)| json!({ "id": id, "environment_scope": environment });
    json!({
        "id": strategy.id,
        "name": strategy.name,
        "parameters": strategy.parameters,
        "scopes": strategy.scopes.iter().map(scope).collect::<Vec<_>>(),
        "user_list": null,
    })
}
