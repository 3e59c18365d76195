//! Looks after the tokens and hooks of links ([`LinkUpkeep`]), then counts the sites and links that still need attention, and
//! logs each with its remedy. What recovers by itself belongs to `sync`, and what a person does about the rest to the front
//! ends.

mod upkeep;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use shared::config::{Outbound, Variables};
use shared::domain::{Site, SubscriptionId};
use shared::health;
use shared::linking::hooks::LinkHooks;
use shared::outbound::OutboundClientError;
use shared::services::Services;
use shared::store::{Store, StoreError};
use shared::telemetry::Measure;

pub use upkeep::LinkUpkeep;

/// The metric of sites that hold work.
pub const SITES: &str = "SitesNeedingAttention";

/// The metric of links that are not whole.
pub const LINKS: &str = "LinksNeedingAttention";

/// Sites in memory at once, of at most some ten kilobytes each.
const PAGE: usize = 100;

/// Sites whose links are read at the same time.
const CONCURRENCY: usize = 8;

/// Links of a site whose missed deliveries are read at the same time.
const LINK_CONCURRENCY: usize = 4;

/// Log lines per run that name a site or a link: where many have the same problem, the first few are enough.
const MAX_NAMED: usize = 100;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// How GitLab may be called.
    pub outbound: Outbound,
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
    /// Where hooks deliver to.
    pub webhook_url: String,
    /// Where the steps of plans go.
    pub backfill_queue_url: String,
}

impl Config {
    /// Reads it from environment variables.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let outbound = Outbound::read(variables);
        let (table_name, kms_key_id) = (variables.required("TABLE_NAME"), variables.required("KMS_KEY_ID"));
        let webhook_url = variables.required("WEBHOOK_URL");
        let backfill_queue_url = variables.required("BACKFILL_QUEUE_URL");
        Some(Self { outbound: outbound?, table_name, kms_key_id, webhook_url, backfill_queue_url })
    }
}

/// What counting needs.
#[derive(Clone, Debug)]
pub struct Housekeeping {
    /// State.
    pub store: Store,
}

/// The function as `services` and its configuration make it.
///
/// # Errors
/// When no HTTP client can be made.
pub fn build(
    services: &Services,
    config: &Config,
) -> Result<(LinkUpkeep, Housekeeping), OutboundClientError> {
    let store = services.store(&config.table_name);
    let upkeep = LinkUpkeep {
        hooks: LinkHooks {
            store: store.clone(),
            envelope: services.envelope(&config.kms_key_id),
            gitlab: services.gitlab_http(&config.outbound)?,
            guard: config.outbound.guard.clone(),
            clock: services.clock(),
            webhook_base_url: config.webhook_url.trim_end_matches('/').to_owned(),
        },
        steps: services.backfill_queue(&config.backfill_queue_url, None),
        clock: services.clock(),
    };
    Ok((upkeep, Housekeeping { store }))
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
    /// Looks after links, and counts sites and links that need attention.
    ///
    /// # Errors
    /// When the table can't be read to its end; then nothing is counted.
    pub async fn run(&self) -> Result<UnhealthyCounts, StoreError> {
        let mut unhealthy = UnhealthyCounts::default();
        for page in self.store.site_ids().await?.chunks(PAGE) {
            let sites = stream::iter(self.store.sites_by_id(page).await?);
            let mut found = sites.map(|site| self.look_at(site)).buffered(CONCURRENCY);
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
            let remedies = health::link_remedies(&health::link_troubles(&link, missed, self.store.now()));
            Ok(remedies.map(|remedies| (link.id, remedies)))
        });
        let links = links.buffered(LINK_CONCURRENCY).try_filter_map(|found| async move { Ok(found) });
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
