//! Reading what GitLab and Jira write, of every version and behind every proxy: a field that is null, missing or of another
//! type counts as absent, an element that can't be read is left out of its list, and nothing else is lost by it. For
//! `#[serde(deserialize_with)]`; which fields something can't be without belongs to whoever reads it.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer};
use serde_with::{As, DefaultOnError, MapSkipError, Same, VecSkipError};

/// A field that may be anything.
pub(crate) fn field<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    As::<DefaultOnError<Same>>::deserialize(deserializer)
}

/// A list that may be anything, with elements that may be anything.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    As::<DefaultOnError<VecSkipError<Same>>>::deserialize(deserializer)
}

/// An object that may be anything, with values that may be anything.
pub(crate) fn map<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<HashMap<String, T>, D::Error> {
    As::<DefaultOnError<MapSkipError<Same, Same>>>::deserialize(deserializer)
}
