//! From events to deliveries: which hooks are triggered, which are disabled, and whether the test holds deliveries back.

use std::sync::Arc;

use serde_json::Value;

use super::{Delivery, Event, Trigger};
use crate::gitlab::random;
use crate::gitlab::shared::Shared;
use crate::gitlab::state::{Hook, HookOwner};

/// Delivers events one after the other, or adds them to what the test holds.
pub(crate) async fn dispatch(shared: &Arc<Shared>, events: Vec<Event>) {
    for event in events {
        let hooks = shared.world().triggered_hooks(event.trigger, event.place, event.branch.as_deref());
        for hook in hooks {
            let Some(delivery) = prepare(shared, hook, &event) else {
                continue;
            };
            if let Some(held) = shared.held().as_mut() {
                held.push(delivery);
                continue;
            }
            let sent = delivery.attempt().await;
            if let Some(error) = sent.error {
                tracing::debug!(%error, url = delivery.url(), "webhook not delivered");
            }
        }
    }
}

/// The delivery to one hook, or nothing if the hook is disabled or removed.
fn prepare(shared: &Arc<Shared>, hook: u64, event: &Event) -> Option<Delivery> {
    let world = shared.world();
    let hook = world.hooks.get(&hook)?;
    if hook.alert_status(world.clock.peek(), world.auto_disable_hooks) != "executable" {
        return None;
    }
    let body = body_for(hook, event);
    Some(Delivery::new(shared, &world, hook, event.trigger, &event.uuid, &random::uuid(), &body))
}

/// Payloads of system hooks name a push by `event_name` alone
/// (<https://docs.gitlab.com/administration/system_hooks/#push-events>).
fn body_for(hook: &Hook, event: &Event) -> Value {
    let mut body = event.body.clone();
    if hook.owner == HookOwner::Instance
        && matches!(event.trigger, Trigger::Push | Trigger::TagPush)
        && let Some(fields) = body.as_object_mut()
    {
        fields.remove("object_kind");
    }
    body
}
