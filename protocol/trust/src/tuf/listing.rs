use alloc::collections::BTreeMap;
use alloc::string::String;

use obol_credential::UnixTime;

use super::form::{self, Form, FormError, take, take_if_there, wrong};
use super::role::{Head, version};
use super::targets::Hashes;
use crate::json::Json;

/// Files that one snapshot lists.
const FILES_MAX: usize = 4096;
const SNAPSHOT: &str = "snapshot.json";
const ISSUED: &str = "x-obol-issued";

/// What is said of another metadata file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its version.
    pub version: u32,
    /// Its length in bytes, where it is said.
    pub length: Option<u64>,
    /// Its hashes, where they are said.
    pub hashes: Option<Hashes>,
}

impl Meta {
    /// Of these bytes.
    #[must_use]
    pub fn of(version: u32, bytes: &[u8]) -> Meta {
        Meta {
            version,
            length: Some(bytes.len() as u64),
            hashes: Some(Hashes::of(bytes)),
        }
    }

    /// Whether `bytes` have the length and the hashes that are said.
    #[must_use]
    pub fn fits(&self, bytes: &[u8]) -> bool {
        let length = self
            .length
            .is_none_or(|length| length == bytes.len() as u64);
        length && self.hashes.as_ref().is_none_or(|hashes| hashes.fit(bytes))
    }

    fn read(json: &Json) -> Form<Meta> {
        Ok(Meta {
            version: take(json, "version", "1 to 2^31 - 1", version)?,
            length: take_if_there(json, "length", "a length", form::count)?,
            hashes: match json.member("hashes") {
                Some(hashes) => Some(Hashes::read(hashes)?),
                None => None,
            },
        })
    }

    fn to_json(&self) -> Json {
        let mut members = BTreeMap::new();
        members.insert("version".into(), Json::Whole(self.version.into()));
        if let Some(length) = self.length.and_then(|length| i64::try_from(length).ok()) {
            members.insert("length".into(), Json::Whole(length));
        }
        if let Some(hashes) = &self.hashes {
            members.insert("hashes".into(), hashes.to_json());
        }
        Json::Object(members)
    }
}

/// `snapshot`: which versions of all targets roles belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What all roles begin with.
    pub head: Head,
    /// File names, `ROLE.json`, and what is said of them.
    pub meta: BTreeMap<String, Meta>,
}

impl Snapshot {
    /// Reads the `signed` part.
    ///
    /// # Errors
    /// [`FormError`] names the member.
    pub fn read(json: &Json) -> Form<Snapshot> {
        let head = Head::read(json, "snapshot")?;
        let members = take(json, "meta", "an object of at most 4096 files", |value| {
            form::object(value).filter(|members| members.len() <= FILES_MAX)
        })?;
        let mut meta = BTreeMap::new();
        for (name, value) in members {
            if !name.ends_with(".json") {
                return wrong(name, "a file name ROLE.json");
            }
            let read = Meta::read(value).map_err(|FormError { member, wanted }| {
                let member = alloc::format!("{name} {member}");
                FormError { member, wanted }
            })?;
            meta.insert(name.clone(), read);
        }
        Ok(Snapshot { head, meta })
    }

    /// The `signed` part.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let file = |(name, meta): (&String, &Meta)| (name.clone(), meta.to_json());
        let [kind, spec, version, expires] = self.head.write("snapshot");
        let meta = Json::Object(self.meta.iter().map(file).collect());
        Json::object([kind, spec, version, expires, ("meta", meta)])
    }
}

/// `timestamp`: which snapshot is the newest, and when that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// What all roles begin with.
    pub head: Head,
    /// The snapshot.
    pub snapshot: Meta,
    /// `x-obol-issued`: when it was signed, by the publisher's clock. Other repositories have none.
    pub issued: Option<UnixTime>,
}

impl Timestamp {
    /// Reads the `signed` part.
    ///
    /// # Errors
    /// [`FormError`] names the member.
    pub fn read(json: &Json) -> Form<Timestamp> {
        let head = Head::read(json, "timestamp")?;
        let meta = take(json, "meta", "snapshot.json alone", |value| {
            let files = form::object(value)?;
            files.get(SNAPSHOT).filter(|_| files.len() == 1)
        })?;
        let issued = take_if_there(json, ISSUED, "seconds since 1970 in 32 bits", |value| {
            u32::try_from(form::count(value)?).ok().map(UnixTime)
        })?;
        Ok(Timestamp {
            head,
            snapshot: Meta::read(meta)?,
            issued,
        })
    }

    /// The `signed` part.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let [kind, spec, version, expires] = self.head.write("timestamp");
        let meta = Json::object([(SNAPSHOT, self.snapshot.to_json())]);
        let mut json = Json::object([kind, spec, version, expires, ("meta", meta)]);
        if let (Json::Object(members), Some(issued)) = (&mut json, self.issued) {
            members.insert(ISSUED.into(), Json::Whole(issued.0.into()));
        }
        json
    }
}
