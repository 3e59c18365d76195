//! How many deliveries are queued unverified. While the table or the keys are out of reach, a stranger is like anybody else,
//! and must not fill the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::future::Cache;
use shared::domain::SubscriptionId;
use shared::http::Error;

/// Unverified deliveries per link in each [`WINDOW`]: one a second, more than most groups have.
const MAX_PER_LINK: u32 = 60;

/// Unverified deliveries of all links in each [`WINDOW`]: strangers can name links that do not exist.
const MAX_IN_ALL: u32 = 600;

const WINDOW: Duration = Duration::from_secs(60);

/// How many links are counted.
const MAX_LINKS: u64 = 10_000;

/// Counts the unverified deliveries that this process admitted.
#[derive(Clone, Debug)]
pub(crate) struct UnverifiedLimit {
    /// By link; none stands for all.
    counts: Cache<Option<SubscriptionId>, Arc<AtomicU32>>,
}

impl Default for UnverifiedLimit {
    fn default() -> Self {
        Self { counts: Cache::builder().max_capacity(MAX_LINKS).time_to_live(WINDOW).build() }
    }
}

impl UnverifiedLimit {
    /// Admits an unverified delivery of `link`.
    ///
    /// # Errors
    /// 503 when there were too many.
    pub(crate) async fn admit(&self, link: SubscriptionId) -> Result<(), Error> {
        // A link that has used up its share takes nothing from the others.
        if self.count(Some(link)).await < MAX_PER_LINK && self.count(None).await < MAX_IN_ALL {
            return Ok(());
        }
        Err(Error::unavailable("too many unverified deliveries").retry_after(WINDOW))
    }

    /// How many there were before this one.
    async fn count(&self, of: Option<SubscriptionId>) -> u32 {
        let count = self.counts.get_with(of, async { Arc::default() }).await;
        count.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_link_gets_more_than_its_share_and_all_together_are_bounded() {
        let limit = UnverifiedLimit::default();
        let (busy, quiet) = (SubscriptionId::generate(), SubscriptionId::generate());
        for number in 0..1000 {
            assert_eq!(limit.admit(busy).await.is_ok(), number < MAX_PER_LINK, "{number}");
        }
        assert!(limit.admit(quiet).await.is_ok());
        let mut admitted = MAX_PER_LINK + 1;
        for _ in 0..1000 {
            admitted += u32::from(limit.admit(SubscriptionId::generate()).await.is_ok());
        }
        assert_eq!(admitted, MAX_IN_ALL);
        assert!(limit.admit(quiet).await.is_err());
    }
}
