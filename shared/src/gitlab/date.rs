//! Dates as GitLab has written them over the years: `2026-01-05T10:00:00.000Z`, `2021-04-28 21:50:00 +0200`,
//! `2016-12-01 13:11:10 UTC`, `2011-12-12T14:27:31+02:00`, `2026-01-05`.

use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::Timestamp;

/// Reads a date; `None` when it is none. One without a zone is in UTC.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    OffsetDateTime::parse(&normalised(text.trim())?, &Rfc3339).ok().map(Timestamp::from)
}

/// The date in RFC 3339.
fn normalised(text: &str) -> Option<String> {
    let (date, rest) = text.split_at_checked("2026-01-05".len())?;
    let rest = rest.trim_start_matches(['T', 't', ' ']);
    let end = rest.find(|it: char| !it.is_ascii_digit() && it != ':' && it != '.').unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end);
    let zone = match zone.trim() {
        "" | "Z" | "z" | "UTC" | "GMT" => "Z".to_owned(),
        zone => match zone.split_at_checked(3)? {
            (hours, "") => format!("{hours}:00"),
            (hours, minutes) => format!("{hours}:{}", minutes.trim_start_matches(':')),
        },
    };
    // A day alone begins at midnight.
    let time = if time.is_empty() { "00:00:00" } else { time };
    Some(format!("{date}T{time}{zone}"))
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
            ("2026-07-28T15:09:25+0000", 1_785_251_365_000),
            ("2026-07-28 15:09:25 -07:00", 1_785_276_565_000),
            ("2024-01-05 10:00:00.123 UTC", 1_704_448_800_123),
            ("2023-11-27 16:31:16 Z", 1_701_102_676_000),
            ("2023-11-27 16:31:16", 1_701_102_676_000),
            ("2023-11-27T16:31:16 +01", 1_701_099_076_000),
            ("2026-01-05", 1_767_571_200_000),
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
