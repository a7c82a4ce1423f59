use std::collections::BTreeSet;

use obol_credential::UnixTime;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::value::Datetime;

use crate::class::Class;
use crate::rotation::times::{duration_s, instant, moment};
use crate::spki::SpkiId;

/// Longest plan, in bytes.
pub const PLAN_MAX: usize = 64 * 1024;
const SCHEMA: u32 = 1;
const KEYS_MAX: usize = 64;
/// Most roots, and most bundles.
const VERSIONS_MAX: usize = 256;
/// Longest life of anything in a plan, in seconds: ten years.
const LIFE_MAX_S: u32 = 3_660 * 86_400;

/// Which keys and versions of metadata there will be, and when. Made by [`Plan::parse`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) begins: UnixTime,
    pub(super) ends: UnixTime,
    pub(super) lives: Lives,
    pub(super) keys: Vec<PlannedKey>,
    pub(super) roots: Vec<PlannedRoot>,
    pub(super) bundles: Vec<Metadata>,
    pub(super) online: Option<Online>,
    hash: [u8; 32],
}

/// The longest lives of what is signed, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// Of a credential.
    pub credential_s: u32,
    /// Of a certificate of the access CA.
    pub certificate_s: u32,
}

/// One key's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedKey {
    /// The key.
    pub spki: SpkiId,
    /// What it is for.
    pub class: Class,
    /// From when what terminals fetch names it.
    pub published: UnixTime,
    /// The first second in which it signs.
    pub activated: UnixTime,
    /// The first second in which it signs no more; `None`: it goes on.
    pub retired: Option<UnixTime>,
    /// From when what terminals fetch does not name it; `None`: it stays.
    pub removed: Option<UnixTime>,
    /// The last second of its certificate's validity.
    pub good_until: Option<UnixTime>,
}

/// One version of metadata, or of the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Its number.
    pub version: u64,
    /// From when terminals fetch it.
    pub published: UnixTime,
    /// The first second in which it is out of date.
    pub expires: UnixTime,
}

/// One version of the root metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedRoot {
    /// When it comes and ends.
    pub metadata: Metadata,
    /// From when `N.root.json` is not served; `None`: it stays.
    pub removed: Option<UnixTime>,
}

/// Snapshot, timestamp and deny list, signed again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Online {
    pub(super) every_s: u32,
    pub(super) life_s: u32,
}

/// Why a plan was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// Longer than any plan.
    #[error("the plan has {0} bytes, at most {PLAN_MAX} are read")]
    TooLong(usize),
    /// No strict TOML of this shape.
    #[error("the plan does not read: {0}")]
    Syntax(String),
    /// Another version of this form.
    #[error("the plan has schema {0}, this program reads {SCHEMA}")]
    Schema(u32),
    /// A name, a time or a length of time that is none.
    #[error("{field} = {found:?} is not {expected}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// Two moments in the wrong order.
    #[error("{what}: {later} at {then} is not after {earlier} at {first}")]
    Order {
        /// The key or the version.
        what: String,
        /// What comes first.
        earlier: &'static str,
        /// When it is.
        first: String,
        /// What must come later.
        later: &'static str,
        /// When it is.
        then: String,
    },
    /// No key at all, or too many of something.
    #[error("{0} {1}, wanted 1 to {2}")]
    Count(usize, &'static str, usize),
    /// A key that stands there twice.
    #[error("key {0} stands there twice")]
    Twice(SpkiId),
    /// A class whose keys no terminal meets.
    #[error("key {spki} is of class {class}, which no terminal meets: leave it out")]
    NotMet {
        /// The key.
        spki: SpkiId,
        /// Its class.
        class: Class,
    },
    /// Versions with a gap, or not ascending.
    #[error("{what} {version} does not follow {before}")]
    Versions {
        /// Root or bundle.
        what: &'static str,
        /// The later.
        version: u64,
        /// The earlier.
        before: u64,
    },
    /// A repository has all three roles, or there is none.
    #[error("the plan has some of [[roots]], [[bundles]] and [online]: give all three, or none")]
    HalfRepository,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlan {
    schema: u32,
    begins: Datetime,
    ends: Datetime,
    lives: RawLives,
    keys: Vec<RawKey>,
    #[serde(default)]
    roots: Vec<RawRoot>,
    #[serde(default)]
    bundles: Vec<RawBundle>,
    online: Option<RawOnline>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLives {
    credential: String,
    certificate: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    spki: String,
    class: String,
    published: Datetime,
    activated: Datetime,
    retired: Option<Datetime>,
    removed: Option<Datetime>,
    good_until: Option<Datetime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoot {
    version: u64,
    published: Datetime,
    expires: Datetime,
    removed: Option<Datetime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBundle {
    version: u64,
    published: Datetime,
    expires: Datetime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOnline {
    every: String,
    life: String,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// [`InvalidPlan`] names what is wrong.
    pub fn parse(text: &str) -> Result<Plan, InvalidPlan> {
        if text.len() > PLAN_MAX {
            return Err(InvalidPlan::TooLong(text.len()));
        }
        let raw: RawPlan =
            toml::from_str(text).map_err(|error| InvalidPlan::Syntax(error.to_string()))?;
        if raw.schema != SCHEMA {
            return Err(InvalidPlan::Schema(raw.schema));
        }
        let (begins, ends) = (time("begins", &raw.begins)?, time("ends", &raw.ends)?);
        after("the plan", ("begins", begins), ("ends", ends))?;
        let online = raw.online.map(Online::of).transpose()?;
        let some = [
            !raw.roots.is_empty(),
            !raw.bundles.is_empty(),
            online.is_some(),
        ];
        if some.iter().any(|one| *one) && !some.iter().all(|one| *one) {
            return Err(InvalidPlan::HalfRepository);
        }
        Ok(Plan {
            begins,
            ends,
            lives: Lives {
                credential_s: life("lives.credential", &raw.lives.credential)?,
                certificate_s: life("lives.certificate", &raw.lives.certificate)?,
            },
            keys: keys(raw.keys)?,
            roots: roots(raw.roots)?,
            bundles: bundles(raw.bundles)?,
            online,
            hash: Sha256::digest(text).into(),
        })
    }

    /// The first second that the plan speaks of.
    #[must_use]
    pub const fn begins(&self) -> UnixTime {
        self.begins
    }

    /// The last second that the plan speaks of.
    #[must_use]
    pub const fn ends(&self) -> UnixTime {
        self.ends
    }

    /// The keys, in the plan's order.
    #[must_use]
    pub fn keys(&self) -> &[PlannedKey] {
        &self.keys
    }

    /// SHA-256 of the plan's text, as `sha256sum` says it.
    #[must_use]
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

fn keys(raw: Vec<RawKey>) -> Result<Vec<PlannedKey>, InvalidPlan> {
    bounded(raw.len(), "keys", 1, KEYS_MAX)?;
    let mut seen = BTreeSet::new();
    let mut keys = Vec::with_capacity(raw.len());
    for raw in raw {
        let key = PlannedKey::of(raw)?;
        if !seen.insert(key.spki) {
            return Err(InvalidPlan::Twice(key.spki));
        }
        keys.push(key);
    }
    Ok(keys)
}

impl PlannedKey {
    fn of(raw: RawKey) -> Result<PlannedKey, InvalidPlan> {
        let value = |field, found: String, expected| InvalidPlan::Value {
            field,
            found,
            expected,
        };
        let spki = raw.spki.parse();
        let spki: SpkiId =
            spki.map_err(|_| value("spki", raw.spki, "64 lower-case hexadecimal digits"))?;
        let class = raw.class.parse();
        let class: Class = class.map_err(|_| value("class", raw.class, "a class of keys"))?;
        if !class.met_by_terminals() {
            return Err(InvalidPlan::NotMet { spki, class });
        }
        let optional = |field, written: Option<Datetime>| {
            written.map(|written| time(field, &written)).transpose()
        };
        let key = PlannedKey {
            spki,
            class,
            published: time("published", &raw.published)?,
            activated: time("activated", &raw.activated)?,
            retired: optional("retired", raw.retired)?,
            removed: optional("removed", raw.removed)?,
            good_until: optional("good_until", raw.good_until)?,
        };
        let what = format!("key {spki}");
        if let Some(retired) = key.retired {
            after(&what, ("activated", key.activated), ("retired", retired))?;
        }
        if let Some(removed) = key.removed {
            after(&what, ("published", key.published), ("removed", removed))?;
        }
        Ok(key)
    }
}

fn roots(raw: Vec<RawRoot>) -> Result<Vec<PlannedRoot>, InvalidPlan> {
    bounded(raw.len(), "roots", 0, VERSIONS_MAX)?;
    let mut roots: Vec<PlannedRoot> = Vec::with_capacity(raw.len());
    for raw in raw {
        let metadata = Metadata::of("root", raw.version, &raw.published, &raw.expires)?;
        let removed = raw.removed.map(|removed| time("removed", &removed));
        let removed = removed.transpose()?;
        let what = format!("root {}", raw.version);
        if let Some(removed) = removed {
            after(
                &what,
                ("published", metadata.published),
                ("removed", removed),
            )?;
        }
        if let Some(before) = roots.last() {
            // Each root is fetched by its number, so there is no gap between two.
            let next = before.metadata.version.checked_add(1) == Some(raw.version);
            follows("root", next, before.metadata, metadata)?;
        }
        roots.push(PlannedRoot { metadata, removed });
    }
    Ok(roots)
}

fn bundles(raw: Vec<RawBundle>) -> Result<Vec<Metadata>, InvalidPlan> {
    bounded(raw.len(), "bundles", 0, VERSIONS_MAX)?;
    let mut bundles: Vec<Metadata> = Vec::with_capacity(raw.len());
    for raw in raw {
        let metadata = Metadata::of("bundle", raw.version, &raw.published, &raw.expires)?;
        if let Some(before) = bundles.last() {
            follows("bundle", before.version < raw.version, *before, metadata)?;
        }
        bundles.push(metadata);
    }
    Ok(bundles)
}

impl Metadata {
    fn of(
        what: &str,
        version: u64,
        published: &Datetime,
        expires: &Datetime,
    ) -> Result<Metadata, InvalidPlan> {
        let published = time("published", published)?;
        let expires = time("expires", expires)?;
        let what = format!("{what} {version}");
        after(&what, ("published", published), ("expires", expires))?;
        Ok(Metadata {
            version,
            published,
            expires,
        })
    }
}

impl Online {
    fn of(raw: RawOnline) -> Result<Online, InvalidPlan> {
        Ok(Online {
            every_s: life("online.every", &raw.every)?,
            life_s: life("online.life", &raw.life)?,
        })
    }
}

fn follows(
    what: &'static str,
    in_turn: bool,
    before: Metadata,
    next: Metadata,
) -> Result<(), InvalidPlan> {
    if !in_turn {
        return Err(InvalidPlan::Versions {
            what,
            version: next.version,
            before: before.version,
        });
    }
    let name = format!("{what} {}", next.version);
    let (first, then) = (before.published, next.published);
    after(&name, ("its predecessor", first), ("published", then))
}

fn bounded(count: usize, what: &'static str, least: usize, most: usize) -> Result<(), InvalidPlan> {
    if (least..=most).contains(&count) {
        Ok(())
    } else {
        Err(InvalidPlan::Count(count, what, most))
    }
}

fn after(
    what: &str,
    (earlier, first): (&'static str, UnixTime),
    (later, then): (&'static str, UnixTime),
) -> Result<(), InvalidPlan> {
    if first < then {
        return Ok(());
    }
    Err(InvalidPlan::Order {
        what: what.to_owned(),
        earlier,
        first: instant(first),
        later,
        then: instant(then),
    })
}

fn time(field: &'static str, written: &Datetime) -> Result<UnixTime, InvalidPlan> {
    moment(written).ok_or_else(|| InvalidPlan::Value {
        field,
        found: written.to_string(),
        expected: "a moment in whole seconds with an offset, 2027-01-15T00:00:00Z",
    })
}

fn life(field: &'static str, text: &str) -> Result<u32, InvalidPlan> {
    let fits = |seconds: &u32| (1..=LIFE_MAX_S).contains(seconds);
    duration_s(text)
        .filter(fits)
        .ok_or_else(|| InvalidPlan::Value {
            field,
            found: text.to_owned(),
            expected: "1s to 3660d: a number with s, m, h or d behind it",
        })
}
