//! What a GitLab version can do. Everything here degrades: an older instance gives less, it is not refused.

use std::fmt;

/// A GitLab version, such as `19.1.0-ee`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u16,
    minor: u16,
}

impl Version {
    /// The oldest version that links are made with.
    pub const OLDEST: Self = Self { major: 15, minor: 7 };

    /// Reads the first two numbers of a version; anything else counts as the oldest supported one.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut numbers = text.split(['.', '-']).map(str::parse::<u16>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Self { major, minor },
            _ => Self::OLDEST,
        }
    }

    /// Whether links can be made with it.
    #[must_use]
    pub fn is_supported(self) -> bool {
        self >= Self::OLDEST
    }

    /// Whether deliveries name an `Idempotency-Key`.
    #[must_use]
    pub fn has_idempotency_key(self) -> bool {
        self >= Self { major: 17, minor: 4 }
    }

    /// Whether hooks can be given a signing token.
    #[must_use]
    pub fn has_signing_token(self) -> bool {
        self >= Self { major: 19, minor: 0 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(Version::parse("9.9.0") < Version::parse("15.7.3-ee"));
        assert!(Version::parse("17.10.0").has_idempotency_key());
        assert!(!Version::parse("18.11.2").has_signing_token());
        assert_eq!(Version::parse("nonsense"), Version::OLDEST);
    }
}
