//! Counts the sites and links that need somebody, and names them with the remedy. Changes nothing: what goes on by itself
//! belongs to `sync`, and what a person does about it to the operator commands.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use shared::attention;
use shared::config::Variables;
use shared::domain::{Site, SubscriptionId};
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

/// Lines of one run that name something: the first few tell what is the matter when it is the matter with many.
const MAX_NAMED: usize = 100;

/// What the function is told by variables.
#[derive(Clone, Debug)]
pub struct Config {
    /// The table.
    pub table_name: String,
}

impl Config {
    /// Reads them.
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

/// How much needs somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnhealthyCounts {
    /// Sites that hold work.
    pub sites: usize,
    /// Links that are not whole.
    pub links: usize,
}

/// What the matter is with one site and its links.
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
                name(&found, unhealthy);
                unhealthy.sites += usize::from(found.site.is_some());
                unhealthy.links += found.links.len();
            }
        }
        Measure::new("looked at sites and links")
            .count(SITES, unhealthy.sites)
            .count(LINKS, unhealthy.links)
            .log();
        Ok(unhealthy)
    }

    async fn look_at(&self, site: Site) -> Result<Found, StoreError> {
        let links = stream::iter(self.store.subscriptions(site.id).await?);
        let links = links.map(|link| async move {
            let missed = self.store.missed(link.id).await?;
            Ok(attention::of_link(&link, missed).map(|sentence| (link.id, sentence)))
        });
        let links = links.buffered(LINKS_SIDE_BY_SIDE).try_filter_map(|found| async move { Ok(found) });
        let links = links.try_collect().await?;
        Ok(Found { host: site.host().to_owned(), site: attention::of_site(&site), links })
    }
}

/// Tells what was found, after as much as was told before.
fn name(found: &Found, before: UnhealthyCounts) {
    let room = MAX_NAMED.saturating_sub(before.sites + before.links);
    let site = found.site.map(|remedy| (None, remedy));
    let links = found.links.iter().map(|(id, remedy)| (Some(id), remedy.as_str()));
    for (link, remedy) in site.into_iter().chain(links).take(room) {
        match link {
            None => tracing::warn!(site.host = found.host, remedy, "a site needs somebody"),
            Some(id) => {
                tracing::warn!(site.host = found.host, subscription.id = %id, remedy, "a link needs somebody");
            }
        }
    }
}
