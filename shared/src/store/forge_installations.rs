//! Which installation Forge's id of it leads to. The installations themselves are kept with their site.

use serde::{Deserialize, Serialize};

use super::site_keys::{forge_key, installation_key};
use super::{Store, StoreError, When};
use crate::clock::Timestamp;
use crate::domain::{Connection, Installation, InstallationId, SiteId};

/// From Forge's id of an installation to ours. Stays when the app is uninstalled, so that a late call of the same
/// installation does not open the connection again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgePointer {
    /// The site.
    pub site: SiteId,
    /// The installation.
    pub installation: InstallationId,
    /// When the app was uninstalled, or lost its place to another installation, by Forge's clock.
    pub closed_at: Option<Timestamp>,
}

impl ForgePointer {
    /// To an installation that is open.
    #[must_use]
    pub fn to(installation: &Installation) -> Self {
        Self { site: installation.site, installation: installation.id, closed_at: None }
    }
}

impl Store {
    /// What Forge's id of an installation leads to, even when it was uninstalled.
    pub async fn forge_pointer(&self, installation_id: &str) -> Result<Option<ForgePointer>, StoreError> {
        Ok(self.get(&forge_key(installation_id)).await?.map(|stored| stored.value))
    }

    /// Removes the pointer from an id whose site is gone.
    pub async fn forget_forge_pointer(&self, installation_id: &str) -> Result<(), StoreError> {
        self.delete_many(&[forge_key(installation_id)]).await
    }

    /// Makes a Forge installation a connection of a site that is there, both its parts or none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when Forge's id leads somewhere already, unless it is opened `again`.
    pub async fn open_forge_connection(
        &self,
        installation: &Installation,
        again: bool,
    ) -> Result<(), StoreError> {
        let Connection::Forge { installation_id, .. } = &installation.connection else {
            return Err(StoreError::Conflict);
        };
        let when = if again { When::Always } else { When::Absent };
        let pointer = ForgePointer::to(installation);
        let puts = vec![
            self.put_of(&installation_key(installation), installation, When::Always, None)?,
            self.put_of(&forge_key(installation_id), &pointer, when, None)?,
        ];
        self.transact(puts).await
    }

    /// Closes a Forge installation: its id is remembered, its token is not.
    pub async fn close_forge_connection(
        &self,
        installation: &Installation,
        closed_at: Timestamp,
    ) -> Result<(), StoreError> {
        if let Connection::Forge { installation_id, .. } = &installation.connection {
            let pointer = ForgePointer { closed_at: Some(closed_at), ..ForgePointer::to(installation) };
            self.put(&forge_key(installation_id), &pointer, When::Always, None).await?;
        }
        self.delete_installation(installation).await
    }
}
