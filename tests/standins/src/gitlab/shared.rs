//! What the server, the handles and the deliveries share. Locks are never held across an await.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::gate::Gate;
use super::hooks::{Delivery, Event, dispatch};
use super::oauth::Oauth;
use super::state::World;

pub(crate) struct Shared {
    world: Mutex<World>,
    held: Mutex<Option<Vec<Delivery>>>,
    pub(crate) gate: Gate,
    pub(crate) oauth: Oauth,
    pub(crate) http: reqwest::Client,
}

impl Shared {
    pub(crate) fn new(world: World, http: reqwest::Client) -> Arc<Self> {
        Arc::new(Shared {
            world: Mutex::new(world),
            held: Mutex::new(None),
            gate: Gate::default(),
            oauth: Oauth::default(),
            http,
        })
    }

    /// The state. A test that panicked with it does not spoil it for the others.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deliveries held back, if they are.
    pub(crate) fn held(&self) -> MutexGuard<'_, Option<Vec<Delivery>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then triggers the hooks for what happened.
    pub(crate) async fn change<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut World, &mut Vec<Event>) -> T,
    ) -> T {
        let mut events = Vec::new();
        let outcome = change(&mut self.world(), &mut events);
        dispatch::dispatch(self, events).await;
        outcome
    }
}
