//! The keys of a site, its installations, and what leads to them.

use super::{Key, digest};
use crate::domain::{Installation, SiteId};

pub(super) fn site_key(id: SiteId) -> Key {
    Key::new(format!("SITE#{id}"), "SITE")
}

pub(super) fn cloud_key(cloud_id: &str) -> Key {
    Key::new(format!("CLOUD#{cloud_id}"), "SITE")
}

pub(super) fn client_key_key(client_key: &str) -> Key {
    Key::new(format!("CLIENT#{}", digest(client_key)), "INSTALLATION")
}

pub(super) fn forge_key(installation_id: &str) -> Key {
    Key::new(format!("FORGE#{}", digest(installation_id)), "INSTALLATION")
}

pub(super) fn installation_key(installation: &Installation) -> Key {
    Key::new(format!("SITE#{}", installation.site), format!("INSTALLATION#{}", installation.id))
}
