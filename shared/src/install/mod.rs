//! Installations of a site: those of the Connect app ([`connect`]) and of the Forge app ([`forge`]), and which of a site's
//! connections writes ([`switch`]). Who called is proved in `http`; how Jira is called belongs to `jira::connections`.

pub mod connect;
pub mod forge;
pub mod switch;
