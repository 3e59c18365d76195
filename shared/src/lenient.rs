//! Reading what GitLab and Jira write, of every version and behind every proxy: a field that is null, missing or of another
//! type counts as absent, an element that can't be read is left out of its list, and nothing else is lost by it. For
//! `#[serde(deserialize_with)]`; which fields something can't be without belongs to whoever reads it.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{IgnoredAny, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_with::{As, DefaultOnError, MapSkipError, Same, VecSkipError};

/// A field that may be anything.
pub(crate) fn field<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Anything::<T, false>(PhantomData))
}

/// [`field`] for an object or a list in which everything may be anything: it is read as it comes, and not kept in
/// memory first. Where it can't be read after all, what follows it may be lost, too, so somebody has to be ready to
/// read the whole text again.
pub(crate) fn nested<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Anything::<T, true>(PhantomData))
}

/// A list, that may be anything, of what [`nested`] is for.
pub(crate) fn nested_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let elements: Vec<Element<T>> = nested(deserializer)?;
    Ok(elements.into_iter().filter_map(|element| element.0).collect())
}

struct Element<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Element<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        nested(deserializer).map(Self)
    }
}

/// Reads a `T`, or its default from what is none. What is no object and no list is never kept in memory first; objects
/// and lists are, unless they are `NESTED`.
struct Anything<T, const NESTED: bool>(PhantomData<T>);

impl<T, const NESTED: bool> Anything<T, NESTED> {
    fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> T
    where
        T: Deserialize<'de> + Default,
    {
        T::deserialize(Present(deserializer)).unwrap_or_default()
    }
}

impl<'de, T: Deserialize<'de> + Default, const NESTED: bool> Visitor<'de> for Anything<T, NESTED> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<T, E> {
        Ok(T::deserialize(().into_deserializer()).unwrap_or_else(|_: E| T::default()))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<T, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<T, E> {
        Ok(Self::scalar::<serde::de::value::BoolDeserializer<E>>(value.into_deserializer()))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<T, E> {
        Ok(Self::scalar::<serde::de::value::I64Deserializer<E>>(value.into_deserializer()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<T, E> {
        Ok(Self::scalar::<serde::de::value::U64Deserializer<E>>(value.into_deserializer()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<T, E> {
        Ok(Self::scalar::<serde::de::value::F64Deserializer<E>>(value.into_deserializer()))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<T, E> {
        Ok(Self::scalar::<serde::de::value::StrDeserializer<'_, E>>(value.into_deserializer()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<T, E> {
        Ok(Self::scalar::<serde::de::value::StringDeserializer<E>>(value.into_deserializer()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        if !NESTED {
            return As::<DefaultOnError<Same>>::deserialize(SeqAccessDeserializer::new(list));
        }
        let read = T::deserialize(Present(SeqAccessDeserializer::new(&mut list)));
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(read.unwrap_or_default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<T, A::Error> {
        if !NESTED {
            return As::<DefaultOnError<Same>>::deserialize(MapAccessDeserializer::new(object));
        }
        let read = T::deserialize(Present(MapAccessDeserializer::new(&mut object)));
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(read.unwrap_or_default())
    }
}

/// Something that is there: serde's own deserializers of single values don't know that an option may take them.
struct Present<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Present<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
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

/// What others write may look like, for tests of what reads it.
#[cfg(test)]
pub(crate) mod odd {
    use serde_json::{Value, json};

    /// `whole` with each of its fields, at any depth, null or of another type: where, and what became of it.
    pub(crate) fn variants(whole: &Value) -> impl Iterator<Item = (String, Value)> {
        let odd = [json!(null), json!(7), json!("x"), json!(true), json!([null]), json!({"x": []})];
        fields(whole, "").into_iter().flat_map(move |path| {
            let variants = odd.clone().map(|odd| {
                let mut variant = whole.clone();
                *variant.pointer_mut(&path).expect("it is there") = odd;
                (path.clone(), variant)
            });
            variants.into_iter()
        })
    }

    /// Every field there is in `value`, as a JSON pointer.
    fn fields(value: &Value, at: &str) -> Vec<String> {
        let below: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), field)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect(),
            _ => Vec::new(),
        };
        let paths = below.into_iter().flat_map(|(name, field)| {
            let path = format!("{at}/{name}");
            let mut paths = fields(field, &path);
            paths.push(path);
            paths
        });
        paths.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        #[default]
        A,
        B,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Inner {
        #[serde(default, deserialize_with = "field")]
        a: Option<String>,
        #[serde(default, deserialize_with = "nested")]
        b: Option<Box<Inner>>,
        #[serde(default, deserialize_with = "nested_list")]
        c: Vec<Inner>,
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[abc]", inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    /// What serde_with makes of `value`, which keeps it in memory first.
    fn kept<T: serde::de::DeserializeOwned + Default>(text: &str) -> T {
        As::<DefaultOnError<Same>>::deserialize(&mut serde_json::Deserializer::from_str(text)).expect("JSON")
    }

    fn read<T: serde::de::DeserializeOwned + Default>(text: &str) -> T {
        field(&mut serde_json::Deserializer::from_str(text)).expect("JSON")
    }

    #[test]
    fn a_list_leaves_out_what_is_no_object() {
        let text = json!([1, {"a": "x"}, null, "y", {"a": 2, "c": [{"a": "z"}, 3]}]).to_string();
        let list: Vec<Inner> = nested_list(&mut serde_json::Deserializer::from_str(&text)).expect("JSON");
        let named = |a: &str| Inner { a: Some(a.to_owned()), ..Inner::default() };
        assert_eq!(list, [named("x"), Inner { c: vec![named("z")], ..Inner::default() }]);
    }

    proptest! {
        #[test]
        fn a_field_is_read_as_if_it_was_kept_first(value in values()) {
            let text = value.to_string();
            prop_assert_eq!(read::<Option<String>>(&text), kept::<Option<String>>(&text));
            prop_assert_eq!(read::<Option<u64>>(&text), kept::<Option<u64>>(&text));
            prop_assert_eq!(read::<Option<i64>>(&text), kept::<Option<i64>>(&text));
            prop_assert_eq!(read::<Option<f64>>(&text), kept::<Option<f64>>(&text));
            prop_assert_eq!(read::<bool>(&text), kept::<bool>(&text));
            prop_assert_eq!(read::<Option<Kind>>(&text), kept::<Option<Kind>>(&text));
            prop_assert_eq!(read::<Option<Vec<String>>>(&text), kept::<Option<Vec<String>>>(&text));
            prop_assert_eq!(read::<Option<Value>>(&text), kept::<Option<Value>>(&text));
        }

        #[test]
        fn what_is_read_as_it_comes_loses_nothing_after_it(value in values(), other in values()) {
            let text = json!({"b": value, "a": "x", "c": [other, {"a": "y"}]}).to_string();
            let read: Inner = serde_json::from_str(&text).expect("everything may be anything");
            prop_assert_eq!(read.a.as_deref(), Some("x"));
            // To serde a list of its fields is an object, too.
            prop_assert_eq!(read.b.is_some(), value.is_object() || value.is_array());
            prop_assert_eq!(read.c.last().and_then(|last| last.a.as_deref()), Some("y"));
        }
    }
}
