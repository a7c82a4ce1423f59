//! JSON without ambiguity, and its canonical form (docs/spec/trust.md section 7).

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// Deepest nesting of arrays and objects that is read.
pub const JSON_DEPTH_MAX: usize = 16;
/// Most values, names of members not counted, that one text may have.
pub const JSON_VALUES_MAX: usize = 65_536;

/// JSON as OLPC's canonical form has it: no fractions, no member twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number of 64 bits.
    Whole(i64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object; each member once.
    Object(BTreeMap<String, Json>),
}

/// Not JSON, or JSON that two readers could read differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotStrictJson(String);

impl Json {
    /// Reads one text of at most `limit` bytes.
    ///
    /// # Errors
    /// [`NotStrictJson`] for more bytes, for anything that is not JSON, for fractions, for a member
    /// that is there twice, and for more than [`JSON_DEPTH_MAX`] levels or [`JSON_VALUES_MAX`]
    /// values.
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Json, NotStrictJson> {
        if bytes.len() > limit {
            let length = bytes.len();
            return Err(NotStrictJson(format!("{length} bytes, more than {limit}")));
        }
        let said = |error: serde_json::Error| NotStrictJson(error.to_string());
        let left = Cell::new(JSON_VALUES_MAX);
        let mut text = serde_json::Deserializer::from_slice(bytes);
        let value = Reading::top(&left).deserialize(&mut text).map_err(said)?;
        text.end().map_err(said)?;
        Ok(value)
    }

    /// An object of these members; of two with one name the later stays.
    #[must_use]
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
        let owned = members.map(|(name, value)| (name.to_owned(), value));
        Json::Object(owned.into())
    }

    /// A string.
    #[must_use]
    pub fn text(text: &str) -> Json {
        Json::Text(text.to_owned())
    }

    /// The member `name` of an object.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.get(name),
            _ => None,
        }
    }

    /// OLPC canonical JSON: members sorted by their bytes, no white space, only `"` and `\` escaped.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// Ordinary JSON without white space.
    ///
    /// # Panics
    /// Never: what is held here has a text.
    #[must_use]
    pub fn to_text(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("each value has a text")
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Json::Null => bytes.extend(b"null"),
            Json::Flag(true) => bytes.extend(b"true"),
            Json::Flag(false) => bytes.extend(b"false"),
            Json::Whole(number) => bytes.extend(number.to_string().bytes()),
            Json::Text(text) => write_text(text, bytes),
            Json::List(items) => {
                bytes.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    bytes.extend(separator(index));
                    item.write(bytes);
                }
                bytes.push(b']');
            }
            Json::Object(members) => {
                bytes.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    bytes.extend(separator(index));
                    write_text(name, bytes);
                    bytes.push(b':');
                    value.write(bytes);
                }
                bytes.push(b'}');
            }
        }
    }
}

fn separator(index: usize) -> &'static [u8] {
    if index == 0 { b"" } else { b"," }
}

fn write_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            bytes.push(b'\\');
        }
        bytes.push(byte);
    }
    bytes.push(b'"');
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Flag(flag) => serializer.serialize_bool(*flag),
            Json::Whole(number) => serializer.serialize_i64(*number),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items
                    .iter()
                    .try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Json::Object(members) => {
                let mut object = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    object.serialize_entry(name, value)?;
                }
                object.end()
            }
        }
    }
}

/// One value that is being read: how deep it may nest and how many values are still allowed.
#[derive(Clone, Copy)]
struct Reading<'a> {
    depth: usize,
    left: &'a Cell<usize>,
}

impl<'a> Reading<'a> {
    fn top(left: &'a Cell<usize>) -> Self {
        let depth = JSON_DEPTH_MAX;
        Self { depth, left }
    }

    fn inside<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1);
        let depth = depth
            .ok_or_else(|| E::custom(format_args!("nested deeper than {JSON_DEPTH_MAX} levels")))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let left = self.left.get().checked_sub(1);
        let left = left
            .ok_or_else(|| D::Error::custom(format_args!("more than {JSON_VALUES_MAX} values")))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with whole numbers")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Whole(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        i64::try_from(number)
            .map(Json::Whole)
            .map_err(|_| E::custom("a number beyond 64 bits"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let inside = self.inside()?;
        let mut object = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                let twice = format_args!("member {name:?} is there twice");
                return Err(A::Error::custom(twice));
            }
            let value = members.next_value_seed(inside)?;
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }
}
