//! How many requests history may make of GitLab: about half of what GitLab allows a token, so that live work always
//! finds room. A 429 still takes precedence; this keeps it from happening.

use std::num::NonZeroU32;
use std::time::Duration;

use super::History;
use crate::clock::Timestamp;
use crate::domain::{HookKind, Subscription};
use crate::store::StoreError;

/// The public instance, whose limits are known.
const GITLAB_COM: &str = "https://gitlab.com";

/// How many requests each link's history may make, where somebody has set it; none: about half of what GitLab.com allows,
/// and a pace that a self-managed instance can take. Which instance has which limits, its administrator knows
/// (<https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceLimits {
    /// Requests a minute.
    pub per_minute: Option<NonZeroU32>,
    /// Requests an hour.
    pub per_hour: Option<NonZeroU32>,
}

/// Requests that a link's history may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    per_minute: u64,
    per_hour: u64,
}

/// A span of time in which requests are counted.
struct Span {
    name: &'static str,
    length: Duration,
    limit: u64,
}

impl Pace {
    /// The pace for a link. GitLab.com has announced limits by plan
    /// (<https://docs.gitlab.com/user/gitlab_com/#rate-limits-on-gitlabcom>); a group's hook needs Premium, so a link
    /// that has one is under Premium's at least. Other instances allow what their administrators say, and say so with a
    /// 429.
    fn of(link: &Subscription, limits: PaceLimits) -> Self {
        let is_gitlab_com = link.instance == GITLAB_COM;
        let usual = match (is_gitlab_com, link.hook.kind) {
            (true, HookKind::Group) => Self { per_minute: 600, per_hour: 7_500 },
            (true, _) => Self { per_minute: 50, per_hour: 2_500 },
            (false, _) => Self { per_minute: 600, per_hour: 36_000 },
        };
        usual.within(limits)
    }

    fn within(self, limits: PaceLimits) -> Self {
        let set = |limit: Option<NonZeroU32>| limit.map(|limit| u64::from(limit.get()));
        Self {
            per_minute: set(limits.per_minute).unwrap_or(self.per_minute),
            per_hour: set(limits.per_hour).unwrap_or(self.per_hour),
        }
    }

    fn spans(self) -> [Span; 2] {
        [
            Span { name: "MINUTE", length: Duration::from_secs(60), limit: self.per_minute },
            Span { name: "HOUR", length: Duration::from_secs(3600), limit: self.per_hour },
        ]
    }
}

impl Span {
    fn begin(&self, now: Timestamp) -> Timestamp {
        let length = i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX);
        Timestamp(now.0 - now.0.rem_euclid(length))
    }
}

impl History {
    /// Counts requests that were made for a link, and answers until when no more may be made, if so.
    pub(super) async fn count_requests(
        &self,
        link: &Subscription,
        requests: u64,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (now, mut until) = (self.clock.now(), None);
        for span in Pace::of(link, self.limits).spans() {
            let begin = span.begin(now);
            let counted = self.store.count_history_requests(link.id, (span.name, begin), requests).await?;
            if counted >= span.limit {
                until = until.max(Some(begin.after(span.length)));
            }
        }
        Ok(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_limits_take_precedence() {
        let usual = Pace { per_minute: 600, per_hour: 7_500 };
        let limits = PaceLimits { per_minute: NonZeroU32::new(1_000), per_hour: None };
        assert_eq!(usual.within(limits), Pace { per_minute: 1_000, per_hour: 7_500 });
    }

    #[test]
    fn a_span_begins_with_the_clock() {
        let [minute, hour] = Pace { per_minute: 1, per_hour: 1 }.spans();
        let noon = 1_767_607_200_000;
        assert_eq!(minute.begin(Timestamp(noon + 59_999)), Timestamp(noon));
        assert_eq!(hour.begin(Timestamp(noon + 3_599_999)), Timestamp(noon));
    }
}
