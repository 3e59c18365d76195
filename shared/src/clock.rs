//! The clock as a port, so that six hours of waiting pass at once in a test. Reading the time for anything that
//! is stored, compared or sent goes through here; timeouts of single network calls do not.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

#[cfg(test)]
pub(crate) mod stopped;

/// Milliseconds since the Unix epoch, UTC. Also what Jira's sequence numbers are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment, `duration` later. Saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment, `duration` earlier. Saturates.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads the form of HTTP's `Date` header (<https://www.rfc-editor.org/rfc/rfc9110#name-date-time-formats>).
    #[must_use]
    pub fn parse_http_date(text: &str) -> Option<Self> {
        let parsed = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        Some(Self(parsed.unix_timestamp() * 1000))
    }

    /// Whole seconds since the epoch, as JWT claims and DynamoDB's TTL want them.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// ISO 8601 in UTC with milliseconds, as Jira wants its dates: `2026-01-05T09:59:00.000Z`.
    #[must_use]
    pub fn iso8601(self) -> String {
        let nanoseconds = i128::from(self.0) * 1_000_000;
        let date =
            OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            date.hour(),
            date.minute(),
            date.second(),
            date.millisecond()
        )
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(date: OffsetDateTime) -> Self {
        Self(i64::try_from(date.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
    }
}

/// Tells the time and waits.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Waits for `duration` of this clock's time.
    async fn sleep(&self, duration: Duration);
}

/// A clock that everything of one process shares.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// A clock that starts at the machine's time, runs `factor` times as fast, and can be put forward.
#[derive(Debug)]
pub struct ScaledClock {
    started: Instant,
    origin: Timestamp,
    factor: u32,
    /// By how many milliseconds it was put forward.
    ahead: AtomicU64,
}

impl ScaledClock {
    /// A clock that runs `factor` times as fast as the machine's.
    #[must_use]
    pub fn new(factor: u32) -> Self {
        let (started, origin) = (Instant::now(), SystemClock.now());
        Self { started, origin, factor: factor.max(1), ahead: AtomicU64::new(0) }
    }

    /// Puts it forward. Sleepers whose time is then over wake within moments.
    pub fn put_forward(&self, duration: Duration) {
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.ahead.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for ScaledClock {
    fn now(&self) -> Timestamp {
        let ahead = Duration::from_millis(self.ahead.load(Ordering::Relaxed));
        self.origin.after(self.started.elapsed().saturating_mul(self.factor)).after(ahead)
    }

    async fn sleep(&self, duration: Duration) {
        // How long it may take until a sleeper sees that the clock was put forward.
        const POLL_INTERVAL: Duration = Duration::from_millis(20);
        let until = self.now().after(duration);
        loop {
            let left = until.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep((left / self.factor).clamp(Duration::from_millis(1), POLL_INTERVAL)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C1.
    #[test]
    fn milliseconds_since_the_epoch() {
        let first = OffsetDateTime::from_unix_timestamp(1).expect("in range");
        let fifth = OffsetDateTime::from_unix_timestamp(5).expect("in range");
        assert_eq!((Timestamp::from(first), Timestamp::from(fifth)), (Timestamp(1000), Timestamp(5000)));
    }

    #[test]
    fn http_dates_are_read() {
        let read = Timestamp::parse_http_date;
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp(784_111_777_000)));
        assert_eq!((read("yesterday"), read("")), (None, None));
    }

    #[test]
    fn iso8601_has_milliseconds_and_utc() {
        assert_eq!(Timestamp(1_767_607_140_007).iso8601(), "2026-01-05T09:59:00.007Z");
    }

    #[tokio::test]
    async fn a_scaled_clock_outruns_the_machine() {
        let clock = ScaledClock::new(1000);
        let before = clock.now();
        clock.sleep(Duration::from_secs(5)).await;
        assert!(clock.now().since(before) >= Duration::from_secs(5));
    }
}
