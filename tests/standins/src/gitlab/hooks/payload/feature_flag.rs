//! Feature flags that were switched.

use serde_json::{Value, json};

use super::{project, user};
use crate::gitlab::state::{FeatureFlag, Project, World};

/// The body of a Feature Flag Hook: the one place where a flag's id is shown.
pub(crate) fn feature_flag(world: &World, of: &Project, flag: &FeatureFlag, actor: u64) -> Value {
    json!({
        "object_kind": "feature_flag",
        "project": project(world, of),
        "user": user(world, actor),
        "user_url": format!("{}/{}", world.url, world.user(actor).username),
        "object_attributes": {
            "id": flag.id,
            "name": flag.name,
            "description": flag.description,
            "active": flag.active,
        },
    })
}
