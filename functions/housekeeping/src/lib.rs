//! Counts the sites and links that need attention, and logs each with its remedy. Changes nothing: what recovers by itself
//! belongs to `sync`, and what a person does about the rest to the front ends.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use shared::config::Variables;
use shared::domain::{Site, SubscriptionId};
use shared::health;
use shared::services::Services;
use shared::store::{Store, StoreError};
use shared::telemetry::Measure;

/// The metric of sites that hold work.
pub const SITES: &str = "SitesNeedingAttention";

/// The metric of links that are not whole.
pub const LINKS: &str = "LinksNeedingAttention";

/// Sites in memory at once, of at most some ten kilobytes each.
const PAGE: usize = 100;

/// Sites whose links are read at the same time.
const SIDE_BY_SIDE: usize = 8;

/// Links of a site whose missed deliveries are read at the same time.
const LINKS_SIDE_BY_SIDE: usize = 4;

/// Log lines per run that name a site or a link: where many have the same trouble, the first few tell.
const MAX_NAMED: usize = 100;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The table.
    pub table_name: String,
}

impl Config {
    /// Reads it from environment variables.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        Some(Self { table_name: variables.required("TABLE_NAME") })
    }
}

/// What the function needs.
#[derive(Clone, Debug)]
pub struct Housekeeping {
    /// State.
    pub store: Store,
}

/// The function as `services` and its configuration make it.
#[must_use]
pub fn build(services: &Services, config: &Config) -> Housekeeping {
    Housekeeping { store: services.store(&config.table_name) }
}

/// How many sites and links need attention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnhealthyCounts {
    /// Sites that hold work.
    pub sites: usize,
    /// Links that are not whole.
    pub links: usize,
}

/// What needs attention of one site and its links.
struct Found {
    host: String,
    site: Option<&'static str>,
    links: Vec<(SubscriptionId, String)>,
}

impl Housekeeping {
    /// Looks at everything once.
    ///
    /// # Errors
    /// When the table can't be read to its end; then nothing is counted.
    pub async fn run(&self) -> Result<UnhealthyCounts, StoreError> {
        let mut unhealthy = UnhealthyCounts::default();
        for page in self.store.site_ids().await?.chunks(PAGE) {
            let sites = stream::iter(self.store.sites_by_id(page).await?);
            let mut found = sites.map(|site| self.look_at(site)).buffered(SIDE_BY_SIDE);
            while let Some(found) = found.try_next().await? {
                log(&found, unhealthy);
                unhealthy.sites += usize::from(found.site.is_some());
                unhealthy.links += found.links.len();
            }
        }
        Measure::new("looked at sites and links")
            .level(SITES, unhealthy.sites)
            .level(LINKS, unhealthy.links)
            .log();
        Ok(unhealthy)
    }

    async fn look_at(&self, site: Site) -> Result<Found, StoreError> {
        let links = stream::iter(self.store.subscriptions(site.id).await?);
        let links = links.map(|link| async move {
            let missed = self.store.missed(link.id).await?;
            let remedies = health::link_remedies(&health::link_troubles(&link, missed));
            Ok(remedies.map(|remedies| (link.id, remedies)))
        });
        let links = links.buffered(LINKS_SIDE_BY_SIDE).try_filter_map(|found| async move { Ok(found) });
        let links = links.try_collect().await?;
        Ok(Found {
            host: site.host().to_owned(),
            site: health::site_trouble(&site).and_then(health::site_remedy),
            links,
        })
    }
}

/// Logs what was found, after as much as was logged before.
fn log(found: &Found, before: UnhealthyCounts) {
    let room = MAX_NAMED.saturating_sub(before.sites + before.links);
    let site = found.site.map(|remedy| (None, remedy));
    let links = found.links.iter().map(|(id, remedy)| (Some(id), remedy.as_str()));
    for (link, remedy) in site.into_iter().chain(links).take(room) {
        match link {
            None => tracing::warn!(site.host = found.host, remedy, "a site needs attention"),
            Some(id) => {
                tracing::warn!(site.host = found.host, subscription.id = %id, remedy, "a link needs attention");
            }
        }
    }
}
