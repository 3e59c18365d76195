//! Dates as GitLab has written them over the years: `2026-01-05T10:00:00.000Z`, `2021-04-28 21:50:00 +0200`,
//! `2016-12-01 13:11:10 UTC`, `2011-12-12T14:27:31+02:00`.

use serde::{Deserialize, Deserializer};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::clock::Timestamp;

const WITH_OFFSET: &[BorrowedFormatItem<'_>] = format_description!(
    "[year]-[month]-[day] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);
const IN_UTC: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");

/// Reads a date; `None` when it is none.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(text, WITH_OFFSET))
        .or_else(|_| PrimitiveDateTime::parse(text, IN_UTC).map(PrimitiveDateTime::assume_utc))
        .ok()
        .map(Timestamp::from)
}

/// For serde: an unreadable date counts as missing, since one odd field must not cost the event.
pub(crate) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.as_ref().and_then(serde_json::Value::as_str).and_then(parse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_of_old_and_new_versions() {
        for (text, milliseconds) in [
            ("2026-01-05T10:00:00.123Z", 1_767_607_200_123),
            ("2011-12-12T14:27:31+02:00", 1_323_692_851_000),
            ("2021-04-28 21:50:00 +0200", 1_619_639_400_000),
            ("2016-12-01 13:11:10 UTC", 1_480_597_870_000),
        ] {
            assert_eq!(parse(text), Some(Timestamp(milliseconds)), "{text}");
        }
        assert_eq!(parse("yesterday"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}
