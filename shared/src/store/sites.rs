//! Sites, their installations, and which clientKey or cloud id leads to them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::forge_installations::ForgePointer;
use super::site_keys::{client_key_key, cloud_key, forge_key, installation_key, site_key};
use super::{Key, Store, StoreError, When, digest};
use crate::clock::Timestamp;
use crate::domain::{Connection, Installation, InstallationId, Site, SiteCondition, SiteId, SiteState};

/// From a clientKey to its installation. Stays when the app is uninstalled, so that a re-install finds its site again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientKeyPointer {
    /// The site.
    pub site: SiteId,
    /// The installation.
    pub installation: InstallationId,
}

impl Store {
    /// A site by id.
    pub async fn site(&self, id: SiteId) -> Result<Option<Site>, StoreError> {
        Ok(self.get(&site_key(id)).await?.map(|stored| stored.value))
    }

    /// All sites, oldest first.
    pub async fn sites(&self) -> Result<Vec<Site>, StoreError> {
        self.sites_by_id(&self.site_ids().await?).await
    }

    /// The ids of all sites, oldest first: for callers that should not have all sites in memory.
    pub async fn site_ids(&self) -> Result<Vec<SiteId>, StoreError> {
        self.query("SITES", "").await
    }

    /// Those of the sites that are there, oldest first.
    pub async fn sites_by_id(&self, ids: &[SiteId]) -> Result<Vec<Site>, StoreError> {
        let keys: Vec<Key> = ids.iter().copied().map(site_key).collect();
        let mut sites: Vec<Site> = self.get_many(&keys).await?.into_values().collect();
        sites.sort_by_key(|site: &Site| site.id);
        Ok(sites)
    }

    /// The site with Atlassian's id `cloud_id`.
    pub async fn site_by_cloud_id(&self, cloud_id: &str) -> Result<Option<Site>, StoreError> {
        match self.get::<SiteId>(&cloud_key(cloud_id)).await? {
            Some(pointer) => self.site(pointer.value).await,
            None => Ok(None),
        }
    }

    /// Stores a new site with its first installation, all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its clientKey, Forge id or cloud id belongs to another site already.
    pub async fn create_site(&self, site: &Site, installation: &Installation) -> Result<(), StoreError> {
        let mut puts = vec![
            self.put_of(&site_key(site.id), site, When::Absent, None)?,
            self.put_of(&Key::new("SITES", site.id.to_string()), &site.id, When::Absent, None)?,
            self.put_of(&installation_key(installation), installation, When::Absent, None)?,
        ];
        if let Some(cloud_id) = &site.cloud_id {
            puts.push(self.put_of(&cloud_key(cloud_id), &site.id, When::Absent, None)?);
        }
        if let Connection::Connect { client_key, .. } = &installation.connection {
            let pointer = ClientKeyPointer { site: site.id, installation: installation.id };
            puts.push(self.put_of(&client_key_key(client_key), &pointer, When::Absent, None)?);
        }
        if let Connection::Forge { installation_id, .. } = &installation.connection {
            let pointer = ForgePointer::to(installation);
            puts.push(self.put_of(&forge_key(installation_id), &pointer, When::Absent, None)?);
        }
        self.transact(puts).await
    }

    /// Changes a site; `None` when there is none.
    pub async fn update_site(
        &self,
        id: SiteId,
        change: impl Fn(&mut Site) + Send + Sync,
    ) -> Result<Option<Site>, StoreError> {
        self.update(&site_key(id), change).await
    }

    /// Notes the condition of a site, if it is another than before. A change of connections goes on whatever the old
    /// connection says.
    pub async fn set_condition(&self, site: &Site, condition: SiteCondition) -> Result<(), StoreError> {
        if site.state.condition != condition {
            let since = self.clock.now();
            self.update_site(site.id, |site| {
                if site.state.condition != SiteCondition::Switching {
                    site.state = SiteState { condition, since };
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Notes Atlassian's id of a site after an authenticated call has proved it. `false`: another site has it.
    pub async fn claim_cloud_id(&self, id: SiteId, cloud_id: &str) -> Result<bool, StoreError> {
        match self.put(&cloud_key(cloud_id), &id, When::Absent, None).await {
            Ok(()) => {}
            Err(StoreError::Conflict) => {
                let holder = self.get::<SiteId>(&cloud_key(cloud_id)).await?;
                if holder.is_none_or(|holder| holder.value != id) {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error),
        }
        self.update_site(id, |site| site.cloud_id = Some(cloud_id.to_owned())).await?;
        Ok(true)
    }

    /// The installations of a site, oldest first.
    pub async fn installations(&self, site: SiteId) -> Result<Vec<Installation>, StoreError> {
        self.query(&format!("SITE#{site}"), "INSTALLATION#").await
    }

    /// An installation of a site.
    pub async fn installation(
        &self,
        site: SiteId,
        id: InstallationId,
    ) -> Result<Option<Installation>, StoreError> {
        let key = Key::new(format!("SITE#{site}"), format!("INSTALLATION#{id}"));
        Ok(self.get(&key).await?.map(|stored| stored.value))
    }

    /// The installation that a clientKey belongs to, even when it was uninstalled.
    pub async fn client_key_pointer(&self, client_key: &str) -> Result<Option<ClientKeyPointer>, StoreError> {
        Ok(self.get(&client_key_key(client_key)).await?.map(|stored| stored.value))
    }

    /// Removes the pointer from a clientKey whose site is gone.
    pub async fn forget_client_key(&self, client_key: &str) -> Result<(), StoreError> {
        self.delete_many(&[client_key_key(client_key)]).await
    }

    /// The installation with a clientKey, with its site.
    pub async fn installation_by_client_key(
        &self,
        client_key: &str,
    ) -> Result<Option<(Site, Installation)>, StoreError> {
        let Some(pointer) = self.client_key_pointer(client_key).await? else {
            return Ok(None);
        };
        let site = self.site(pointer.site).await?;
        let installation = self.installation(pointer.site, pointer.installation).await?;
        Ok(site.zip(installation))
    }

    /// Stores an installation, new or renewed.
    pub async fn put_installation(&self, installation: &Installation) -> Result<(), StoreError> {
        self.put(&installation_key(installation), installation, When::Always, None).await
    }

    /// Changes an installation; `None` when there is none.
    pub async fn update_installation(
        &self,
        installation: &Installation,
        change: impl Fn(&mut Installation) + Send + Sync,
    ) -> Result<Option<Installation>, StoreError> {
        self.update(&installation_key(installation), change).await
    }

    /// Removes an installation; the clientKey goes on leading to its site.
    pub async fn delete_installation(&self, installation: &Installation) -> Result<(), StoreError> {
        self.delete_many(&[installation_key(installation)]).await
    }

    /// Makes an installation the writer of its site where none writes: a writer that no longer exists counts as none. Never
    /// in the middle of a change of connections, and never in place of one that is there, whatever Jira says of it. `None`:
    /// another one writes.
    pub async fn take_over(&self, site: &Site, id: InstallationId) -> Result<Option<Site>, StoreError> {
        if let Some(writer) = site.writer
            && self.installation(site.id, writer).await?.is_some()
        {
            return Ok(None);
        }
        let (gone, now) = (site.writer, self.clock.now());
        let changed = self.update_site(site.id, |site| {
            let is_free = site.writer.is_none() || site.writer == gone;
            if is_free && site.state.condition != SiteCondition::Switching {
                site.writer = Some(id);
                site.state = SiteState { condition: SiteCondition::Active, since: now };
            }
        });
        let changed = changed.await?;
        self.end_backoffs(site.id).await?;
        Ok(changed)
    }

    /// Notes that a connection is about to be closed: if it wrote, the site waits for another one, and Jira has deleted
    /// what came through it. Before the installation goes, so that what is interrupted in between can be done again.
    pub async fn lose_writer(&self, installation: &Installation) -> Result<(), StoreError> {
        let has_links = self.has_subscriptions(installation.site).await?;
        let now = self.clock.now();
        self.update_site(installation.site, |site| {
            if site.writer == Some(installation.id) {
                site.writer = None;
                site.state = SiteState { condition: SiteCondition::Uninstalled, since: now };
                if has_links {
                    site.needs_resync_since = Some(now);
                }
            }
        })
        .await
        .map(drop)
    }

    /// Removes a site without subscriptions, and all its installations. The site goes last, so that a removal that was cut
    /// off can be done again: what still led to a site that is gone could never lead to another.
    pub async fn delete_site(&self, site: &Site) -> Result<(), StoreError> {
        let mut keys = Vec::from_iter(site.cloud_id.as_deref().map(cloud_key));
        for installation in self.installations(site.id).await? {
            if let Connection::Connect { client_key, .. } = &installation.connection {
                keys.push(client_key_key(client_key));
            }
            if let Connection::Forge { installation_id, .. } = &installation.connection {
                keys.push(forge_key(installation_id));
            }
            keys.push(installation_key(&installation));
        }
        self.delete_many(&keys).await?;
        self.delete_many(&[site_key(site.id), Key::new("SITES", site.id.to_string())]).await
    }

    /// Uses up a lifecycle token until it expires. `false`: it was used before.
    pub async fn use_token(&self, token: &str, expires_at: Timestamp) -> Result<bool, StoreError> {
        let lifetime = expires_at.since(self.clock.now()) + Duration::from_secs(60);
        let key = Key::new(format!("TOKEN#{}", digest(token)), "USED");
        // Identifies this use: a write that the SDK repeats because its answer was lost must not count as a replay.
        let this_use = Ulid::new();
        match self.put(&key, &this_use, When::AbsentOrMine, Some(lifetime)).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
