//! The stand-in's own time, and the forms in which GitLab writes a date. Only this module formats dates.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};
use time::{Duration, OffsetDateTime};

use super::Version;

/// The time zone old versions use in `status_changed_at`: the server's, which is rarely UTC.
const SERVER_ZONE: time::UtcOffset = offset!(+2);

/// A clock that can be moved, and never gives the same millisecond twice, so that "newest first" is certain.
pub(crate) struct Clock {
    shift: Duration,
    last: OffsetDateTime,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock { shift: Duration::ZERO, last: OffsetDateTime::UNIX_EPOCH }
    }

    /// The current time without marking it as used.
    pub(crate) fn peek(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + self.shift
    }

    /// The time of something that happens now: later than everything that happened before.
    pub(crate) fn tick(&mut self) -> OffsetDateTime {
        let now = whole_milliseconds(self.peek());
        self.last = if now > self.last { now } else { self.last + Duration::MILLISECOND };
        self.last
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.shift += by;
    }

    pub(crate) fn set(&mut self, to: OffsetDateTime) {
        self.shift = to - OffsetDateTime::now_utc();
        self.last = OffsetDateTime::UNIX_EPOCH;
    }
}

fn whole_milliseconds(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_millisecond(at.millisecond()).unwrap_or(at)
}

/// REST form: `2019-07-11T22:34:43.500Z`.
pub(crate) fn rest(at: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    at.to_offset(offset!(UTC)).format(form).expect("a form of plain date components always fits")
}

/// As people read it: `11 Jul 2019, 22:34:43 UTC`.
pub(crate) fn readable(at: OffsetDateTime) -> String {
    let form =
        format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute]:[second] UTC");
    at.to_offset(offset!(UTC)).format(form).expect("a form of plain date components always fits")
}

/// REST form of a date that may be missing.
pub(crate) fn rest_or_null(at: Option<OffsetDateTime>) -> Value {
    at.map_or(Value::Null, |at| json!(rest(at)))
}

/// REST form of a commit's date, which keeps the committer's offset: `2012-06-27T05:51:39.000+00:00`.
pub(crate) fn commit_rest(at: OffsetDateTime) -> String {
    let form = format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3][offset_hour sign:mandatory]:[offset_minute]"
    );
    at.format(form).expect("a form of plain date components always fits")
}

/// Hook form of a commit's date in every version: `2012-01-03T23:36:29+02:00`.
pub(crate) fn commit_hook(at: OffsetDateTime) -> String {
    let form = format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second][offset_hour sign:mandatory]:[offset_minute]"
    );
    at.format(form).expect("a form of plain date components always fits")
}

/// Which date of a payload is written; the middle version is newer in some places than in others.
#[derive(Clone, Copy)]
pub(crate) enum HookDate {
    /// `created_at` and `updated_at` of a merge request, and the dates of group events.
    Attribute,
    /// `last_edited_at`, and everything about pipelines and jobs.
    Detail,
    /// `status_changed_at` of a deployment.
    StatusChange,
}

/// Hook form: `2021-04-28T21:50:00Z` where a version is new, `2021-04-28 21:50:00 UTC` or
/// `2021-04-28 23:50:00 +0200` where it is old.
pub(crate) fn hook(version: Version, date: HookDate, at: OffsetDateTime) -> String {
    let iso = match (version, date) {
        (Version::V15_7, _) => false,
        (Version::V17_3, HookDate::Attribute) => true,
        (Version::V17_3, _) => false,
        (Version::V19_1, _) => true,
    };
    let utc = at.to_offset(offset!(UTC));
    let text = if iso {
        utc.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"))
    } else if matches!(date, HookDate::StatusChange) {
        at.to_offset(SERVER_ZONE).format(format_description!(
            "[year]-[month]-[day] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
        ))
    } else {
        utc.format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC"))
    };
    text.expect("a form of plain date components always fits")
}

/// Hook form of a date that may be missing.
pub(crate) fn hook_or_null(version: Version, date: HookDate, at: Option<OffsetDateTime>) -> Value {
    at.map_or(Value::Null, |at| json!(hook(version, date, at)))
}

/// The day, as `expires_at` of a token: `2026-02-14`.
pub(crate) fn day(at: time::Date) -> String {
    at.format(format_description!("[year]-[month]-[day]"))
        .expect("a form of plain date components always fits")
}

/// Reads `2026-02-14`.
pub(crate) fn parse_day(text: &str) -> Option<time::Date> {
    time::Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}

/// Reads a date and time as a query parameter gives it; a bare day means its first moment in UTC.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    // An unescaped `+` of an offset arrives as a space.
    let text = text.replace(' ', "+");
    OffsetDateTime::parse(&text, &Rfc3339)
        .ok()
        .or_else(|| parse_day(&text).map(|day| day.midnight().assume_utc()))
}
