//! JSON without ambiguity, and its canonical form.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// JSON as OLPC's canonical form has it: no fractions, no member twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    Flag(bool),
    Whole(i64),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// Not JSON, or JSON that two readers could read differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotStrictJson(pub(super) String);

impl Json {
    pub(super) fn parse(bytes: &[u8]) -> Result<Json, NotStrictJson> {
        serde_json::from_slice(bytes).map_err(|error| NotStrictJson(error.to_string()))
    }

    /// OLPC canonical JSON: members sorted by their bytes, no white space, only `"` and `\` escaped.
    pub(super) fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
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

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
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
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((name, value)) = members.next_entry::<String, Json>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("member {name:?} is there twice")));
            }
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }
}
