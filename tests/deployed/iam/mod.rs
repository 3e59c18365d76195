//! What AWS would let a function do: its deployed role, and the calls that it makes. Nobody else's rights are looked at,
//! and neither are the key's own policy and the queues', which leave the functions to their roles.

mod call;
mod gate;
mod role;

pub use call::Call;
pub use gate::Gate;
pub use role::Role;
