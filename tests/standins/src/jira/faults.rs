//! Making Jira fail: rules that a test sets and that calls use up.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::answer;
use super::api::Api;

/// One way to fail, for some calls. Applies to every call of every API until cleared, unless narrowed.
#[derive(Clone, Debug)]
pub struct FailureRule {
    fault: Fault,
    api: Option<Api>,
    method: Option<String>,
    remaining: Option<usize>,
    /// Applies to one call in so many; and how many there were.
    one_in: usize,
    met: usize,
}

#[derive(Clone, Debug)]
enum Fault {
    Status { status: StatusCode, retry_after: Option<u64>, reason: Option<String> },
    Slow(Duration),
    DropConnection,
    LoseAnswer,
    RejectEntity { id: String, message: String },
    RefuseEntity { id: String, message: String },
    MoreEntitiesThan(usize),
}

impl FailureRule {
    fn new(fault: Fault) -> Self {
        Self { fault, api: None, method: None, remaining: None, one_in: 1, met: 0 }
    }

    /// Answers with this status and the API's error body, without looking at the call.
    ///
    /// # Panics
    /// When `status` is not an HTTP status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a test names an HTTP status");
        Self::new(Fault::Status { status, retry_after: None, reason: None })
    }

    /// 429 with this `RateLimit-Reason` (`jira-burst-based`, `jira-per-issue-on-write`, `jira-quota-tenant-based`,
    /// `jira-quota-global-based`) and `Retry-After` in seconds.
    #[must_use]
    pub fn rate_limit(reason: &str, retry_after: u64) -> Self {
        let fault = Fault::Status {
            status: StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(retry_after),
            reason: Some(reason.to_owned()),
        };
        Self::new(fault)
    }

    /// Works as usual, but this much later.
    #[must_use]
    pub fn slow(delay: Duration) -> Self {
        Self::new(Fault::Slow(delay))
    }

    /// Closes the connection without reading the call.
    #[must_use]
    pub fn drop_connection() -> Self {
        Self::new(Fault::DropConnection)
    }

    /// Does what is asked, then closes the connection without an answer.
    #[must_use]
    pub fn lose_answer() -> Self {
        Self::new(Fault::LoseAnswer)
    }

    /// Rejects the entity with this id inside a 202. Ids of builds and deployments are the parts of their keys,
    /// joined by slashes: `pipeline/7`, `pipeline/environment/7`.
    #[must_use]
    pub fn reject_entity(id: &str, message: &str) -> Self {
        Self::new(Fault::RejectEntity { id: id.to_owned(), message: message.to_owned() })
    }

    /// Refuses with 400 every call that contains the entity with this id.
    #[must_use]
    pub fn refuse_entity(id: &str, message: &str) -> Self {
        Self::new(Fault::RefuseEntity { id: id.to_owned(), message: message.to_owned() })
    }

    /// Refuses with 413 every call that contains more entities than this.
    #[must_use]
    pub fn more_entities_than(limit: usize) -> Self {
        Self::new(Fault::MoreEntitiesThan(limit))
    }

    /// Adds `Retry-After`, in seconds, to a failing status.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        if let Fault::Status { retry_after, .. } = &mut self.fault {
            *retry_after = Some(seconds);
        }
        self
    }

    /// Narrows the rule to one API.
    #[must_use]
    pub fn on(mut self, api: Api) -> Self {
        self.api = Some(api);
        self
    }

    /// Narrows the rule to one method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_ascii_uppercase());
        self
    }

    /// Ends the rule after it was applied this often.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.remaining = Some(times);
        self
    }

    /// Applies to one call in `calls` of those that the rule is about, evenly.
    #[must_use]
    pub fn one_in(mut self, calls: usize) -> Self {
        self.one_in = calls.max(1);
        self
    }

    /// Whether the rule applies to this call, of those that it is about.
    fn is_due(&mut self) -> bool {
        self.met += 1;
        self.met.is_multiple_of(self.one_in)
    }

    fn is_about(&self, api: Api) -> bool {
        self.api.is_none_or(|own| own == api) && self.remaining != Some(0)
    }

    fn apply(&mut self) {
        if let Some(remaining) = &mut self.remaining {
            *remaining -= 1;
        }
    }
}

/// What happens to a call before and after it is read.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub delay: Duration,
    pub instead: Option<Instead>,
    pub lose_answer: bool,
}

/// What a call gets instead of its answer.
#[derive(Debug)]
pub(super) enum Instead {
    Response(Response),
    DropConnection,
}

/// The rules of a site.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<FailureRule>);

impl Faults {
    pub(super) fn add(&mut self, rule: FailureRule) {
        self.0.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What a call meets before it is read. Every delay applies, and the oldest rule that decides.
    pub(super) fn on_arrival(&mut self, api: Api, method: &str) -> Verdict {
        let mut verdict = Verdict::default();
        for rule in &mut self.0 {
            if !rule.is_about(api)
                || rule.method.as_deref().is_some_and(|own| own != method)
                || !rule.is_due()
            {
                continue;
            }
            match &rule.fault {
                Fault::Slow(delay) => verdict.delay += *delay,
                Fault::LoseAnswer => verdict.lose_answer = true,
                Fault::DropConnection if verdict.instead.is_none() => {
                    verdict.instead = Some(Instead::DropConnection);
                }
                Fault::Status { status, retry_after, reason } if verdict.instead.is_none() => {
                    let response = failing(api, *status, *retry_after, reason.as_deref());
                    verdict.instead = Some(Instead::Response(response));
                }
                _ => continue,
            }
            rule.apply();
        }
        verdict
    }

    /// The 400 or 413 that a call with these entities meets.
    pub(super) fn on_entities(&mut self, api: Api, ids: &[String]) -> Option<(StatusCode, String)> {
        for rule in self.0.iter_mut().filter(|rule| rule.is_about(api)) {
            let refused = match &rule.fault {
                Fault::MoreEntitiesThan(limit) if ids.len() > *limit => {
                    (StatusCode::PAYLOAD_TOO_LARGE, "Data is too large".to_owned())
                }
                Fault::RefuseEntity { id, message } if ids.contains(id) => {
                    (StatusCode::BAD_REQUEST, message.clone())
                }
                _ => continue,
            };
            rule.apply();
            return Some(refused);
        }
        None
    }

    /// Why an entity is rejected inside a 202.
    pub(super) fn rejection(&mut self, api: Api, id: &str) -> Option<String> {
        let mut rules = self.0.iter_mut().filter(|rule| rule.is_about(api));
        rules.find_map(|rule| {
            let message = match &rule.fault {
                Fault::RejectEntity { id: own, message } if own == id => message.clone(),
                _ => return None,
            };
            rule.apply();
            Some(message)
        })
    }
}

fn failing(api: Api, status: StatusCode, retry_after: Option<u64>, reason: Option<&str>) -> Response {
    // Jira answers these without a documented body.
    let mut response = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::SERVICE_UNAVAILABLE => {
            status.into_response()
        }
        _ => answer::error(api, status, &["injected by the test".to_owned()]),
    };
    let headers = response.headers_mut();
    if let Some(seconds) = retry_after {
        headers.insert("retry-after", HeaderValue::from(seconds));
    }
    if let Some(reason) = reason.and_then(|reason| HeaderValue::from_str(reason).ok()) {
        headers.insert("ratelimit-reason", reason);
        headers.insert("x-ratelimit-remaining", HeaderValue::from(0));
        let reset = OffsetDateTime::now_utc() + Duration::from_secs(retry_after.unwrap_or_default());
        let reset = reset.format(&Rfc3339).ok().and_then(|reset| HeaderValue::from_str(&reset).ok());
        headers.extend(reset.map(|reset| (HeaderName::from_static("x-ratelimit-reset"), reset)));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(verdict: &Verdict) -> Option<u16> {
        match &verdict.instead {
            Some(Instead::Response(response)) => Some(response.status().as_u16()),
            Some(Instead::DropConnection) => Some(0),
            None => None,
        }
    }

    #[test]
    fn a_rule_applies_as_often_and_where_it_says() {
        let mut faults = Faults::default();
        faults.add(FailureRule::status(500).on(Api::Builds).method("post").times(2));
        assert_eq!(status(&faults.on_arrival(Api::DevInfo, "POST")), None);
        assert_eq!(status(&faults.on_arrival(Api::Builds, "DELETE")), None);
        assert_eq!(status(&faults.on_arrival(Api::Builds, "POST")), Some(500));
        assert_eq!(status(&faults.on_arrival(Api::Builds, "POST")), Some(500));
        assert_eq!(status(&faults.on_arrival(Api::Builds, "POST")), None);
    }

    #[test]
    fn a_rule_applies_to_one_call_in_so_many() {
        let mut faults = Faults::default();
        faults.add(FailureRule::status(500).one_in(3));
        let struck: Vec<_> =
            (0..6).map(|_| status(&faults.on_arrival(Api::Builds, "POST")).is_some()).collect();
        assert_eq!(struck, [false, false, true, false, false, true]);
    }

    #[test]
    fn a_rule_without_a_count_lasts_until_cleared() {
        let mut faults = Faults::default();
        faults.add(FailureRule::drop_connection());
        for _ in 0..5 {
            assert_eq!(status(&faults.on_arrival(Api::Rest, "GET")), Some(0));
        }
        faults.clear();
        assert_eq!(status(&faults.on_arrival(Api::Rest, "GET")), None);
    }

    #[test]
    fn a_rate_limit_names_its_reason() {
        let response = failing(Api::Builds, StatusCode::TOO_MANY_REQUESTS, Some(7), Some("jira-burst-based"));
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.headers()["ratelimit-reason"], "jira-burst-based");
        assert!(response.headers().contains_key("x-ratelimit-reset"));
    }

    #[test]
    fn delays_add_up_beside_a_decision() {
        let mut faults = Faults::default();
        faults.add(FailureRule::slow(Duration::from_millis(10)).times(1));
        faults.add(FailureRule::slow(Duration::from_millis(5)));
        faults.add(FailureRule::status(503).retry_after(1).times(1));
        faults.add(FailureRule::status(500));
        let verdict = faults.on_arrival(Api::DevInfo, "POST");
        assert_eq!((verdict.delay, status(&verdict)), (Duration::from_millis(15), Some(503)));
        let verdict = faults.on_arrival(Api::DevInfo, "POST");
        assert_eq!((verdict.delay, status(&verdict)), (Duration::from_millis(5), Some(500)));
    }

    #[test]
    fn entities_are_rejected_refused_or_too_many() {
        let mut faults = Faults::default();
        faults.add(FailureRule::reject_entity("p/1", "no").times(1));
        faults.add(FailureRule::refuse_entity("p/2", "bad"));
        faults.add(FailureRule::more_entities_than(2));
        assert_eq!(faults.rejection(Api::Builds, "p/2"), None);
        assert_eq!(faults.rejection(Api::Builds, "p/1").as_deref(), Some("no"));
        assert_eq!(faults.rejection(Api::Builds, "p/1"), None);
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(faults.on_entities(Api::Builds, &ids(&["p/1", "p/3"])), None);
        assert_eq!(faults.on_entities(Api::Builds, &ids(&["p/2"])).unwrap().0, StatusCode::BAD_REQUEST);
        assert_eq!(
            faults.on_entities(Api::Builds, &ids(&["1", "2", "3"])).unwrap().0,
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }
}
