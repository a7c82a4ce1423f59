mod ceremonies;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use minicbor::Encoder;
use obol_credential::DeviceKey;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::machine::{Act, Needs};

pub use ceremonies::{Ceremonies, CeremonyKind, CeremonyQuorum};

/// Longest roster, in bytes.
const ROSTER_MAX: usize = 16 * 1024;
/// Fewest officers: one alone is no quorum.
const OFFICERS_MIN: usize = 2;
/// Most officers.
const OFFICERS_MAX: usize = 16;
/// Longest name.
const NAME_MAX: usize = 32;
/// Smallest quorum.
const QUORUM_MIN: u8 = 2;

/// Who may approve what. Its hash is pinned when a registry is made.
///
/// ```toml
/// [[officers]]
/// name = "alice"                                                # 1 to 32 of a-z, 0-9 and -
/// public_key = "A2sX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKW"  # P-256, compressed, base64url
///
/// [[officers]]
/// name = "bob"
/// public_key = "A3zyexiNA09-ilI4AwS1GsPAiWnid_IbNaYLSPxHZpl4"
///
/// [quorum]                  # officers that must sign, each 2 to all of them
/// activate = 2
/// unsuspend = 2
/// cancel-destruction = 2
/// destroy = 2               # to set the day, and again on the day
/// ```
///
/// A roster for ceremonies has two more sections, both or neither: `[[witnesses]]`, people like the
/// officers who approve nothing, and `[ceremony]`, how many officers each kind of act takes:
///
/// ```toml
/// [[witnesses]]
/// name = "wendy"
/// public_key = "AmsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKW"
///
/// [ceremony]                # officers that must approve, each 2 to all of them
/// root = 2
/// certificate = 2
/// revocation = 2
/// trust = 2
/// destruction = 2
/// roster = 2
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    officers: Vec<Officer>,
    quorum: Quorum,
    ceremonies: Option<Ceremonies>,
}

/// One officer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Officer {
    name: String,
    key: OfficerKey,
}

/// An officer's public key: P-256, compressed SEC1, shown in base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OfficerKey([u8; 33]);

/// How many officers must sign, for each act that needs more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quorum {
    /// To let a key sign.
    pub activate: u8,
    /// To let a suspended key return.
    pub unsuspend: u8,
    /// To call off a destruction.
    pub cancel_destruction: u8,
    /// To set the day of a destruction, and again to destroy.
    pub destroy: u8,
}

/// SHA-256 over a roster's content: white space and comments of the file do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RosterHash(pub [u8; 32]);

/// Why a roster was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoster {
    /// The text is longer than any roster.
    #[error("it has {0} bytes, at most {ROSTER_MAX} are read")]
    TooLong(usize),
    /// The text is no strict TOML of this shape.
    #[error("{0}")]
    Syntax(String),
    /// Too few or too many officers.
    #[error("{0} officers, wanted {OFFICERS_MIN} to {OFFICERS_MAX}")]
    Officers(usize),
    /// A name that could be mistaken for another, or breaks a line.
    #[error("officer name {0:?} is not 1 to {NAME_MAX} of a-z, 0-9 and -")]
    Name(String),
    /// One name or one key for two officers.
    #[error("officer {0:?} is there twice, by name or by key")]
    Twice(String),
    /// The key is none.
    #[error("public_key of {name:?} is not a compressed point of P-256 in base64url: {found:?}")]
    Key {
        /// The officer.
        name: String,
        /// What was given.
        found: String,
    },
    /// Ceremonies without a witness, or with too many.
    #[error("{0} witnesses, wanted 1 to 16")]
    Witnesses(usize),
    /// One of the two sections about ceremonies without the other.
    #[error("[[witnesses]] and [ceremony] belong together, one of them is missing")]
    HalfCeremonies,
    /// A quorum of one, or of more than there are.
    #[error("quorum {name} = {found} is not {QUORUM_MIN} to {officers}")]
    Quorum {
        /// The act.
        name: &'static str,
        /// What was given.
        found: u8,
        /// How many officers there are.
        officers: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoster {
    officers: Vec<RawOfficer>,
    quorum: Quorum,
    witnesses: Option<Vec<RawOfficer>>,
    ceremony: Option<CeremonyQuorum>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOfficer {
    name: String,
    public_key: String,
}

impl Roster {
    /// Reads a roster file.
    ///
    /// # Errors
    /// [`InvalidRoster`] says which officer or which number is wrong.
    pub fn parse(text: &str) -> Result<Roster, InvalidRoster> {
        if text.len() > ROSTER_MAX {
            return Err(InvalidRoster::TooLong(text.len()));
        }
        let raw: RawRoster =
            toml::from_str(text).map_err(|error| InvalidRoster::Syntax(error.to_string()))?;
        let people = |raw: Vec<RawOfficer>| {
            let people = raw.into_iter().map(Officer::parse);
            people.collect::<Result<Vec<_>, _>>()
        };
        let roster = Roster::new(people(raw.officers)?, raw.quorum)?;
        match (raw.witnesses, raw.ceremony) {
            (None, None) => Ok(roster),
            (Some(witnesses), Some(quorum)) => roster.with_ceremonies(people(witnesses)?, quorum),
            _ => Err(InvalidRoster::HalfCeremonies),
        }
    }

    /// A roster of these officers.
    ///
    /// # Errors
    /// [`InvalidRoster`]: their number, a doubled name or key, a quorum out of range.
    pub fn new(officers: Vec<Officer>, quorum: Quorum) -> Result<Roster, InvalidRoster> {
        let count = officers.len();
        if !(OFFICERS_MIN..=OFFICERS_MAX).contains(&count) {
            return Err(InvalidRoster::Officers(count));
        }
        all_different(officers.iter())?;
        for (name, found) in quorum.numbers() {
            if found < QUORUM_MIN || usize::from(found) > count {
                return Err(InvalidRoster::Quorum {
                    name,
                    found,
                    officers: count,
                });
            }
        }
        Ok(Roster {
            officers,
            quorum,
            ceremonies: None,
        })
    }

    /// The same officers with witnesses and quorums for ceremonies.
    ///
    /// # Errors
    /// [`InvalidRoster`]: no witness, one who is an officer as well, a quorum out of range.
    pub fn with_ceremonies(
        self,
        witnesses: Vec<Officer>,
        quorum: CeremonyQuorum,
    ) -> Result<Roster, InvalidRoster> {
        all_different(self.officers.iter().chain(&witnesses))?;
        let ceremonies = Some(Ceremonies::new(witnesses, quorum, self.officers.len())?);
        Ok(Roster { ceremonies, ..self })
    }

    /// The roster as a file that reads back to the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for Officer { name, key } in &self.officers {
            text += &format!("[[officers]]\nname = \"{name}\"\npublic_key = \"{key}\"\n\n");
        }
        text += "[quorum]\n";
        for (name, number) in self.quorum.numbers() {
            text += &format!("{name} = {number}\n");
        }
        if let Some(ceremonies) = &self.ceremonies {
            text += &ceremonies.to_toml();
        }
        text
    }

    /// SHA-256 over the deterministic CBOR of officers (in the file's order) and quorum, and of
    /// witnesses and quorum of ceremonies where there are any.
    ///
    /// # Panics
    /// Never: a vector takes what is written.
    #[must_use]
    pub fn hash(&self) -> RosterHash {
        let mut sink = Encoder::new(Vec::new());
        self.write(&mut sink)
            .expect("a vector takes what is written");
        RosterHash(Sha256::digest(sink.into_writer()).into())
    }

    fn write(
        &self,
        sink: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        let sections = if self.ceremonies.is_some() { 5 } else { 3 };
        sink.array(sections)?.str("obol roster")?;
        write_people(&self.officers, sink)?;
        let numbers = self.quorum.numbers();
        sink.array(numbers.len() as u64)?;
        for (_, number) in numbers {
            sink.u8(number)?;
        }
        match &self.ceremonies {
            Some(ceremonies) => ceremonies.write(sink),
            None => Ok(()),
        }
    }

    /// Witnesses and quorums of ceremonies; `None` where the roster allows none.
    #[must_use]
    pub const fn ceremonies(&self) -> Option<&Ceremonies> {
        self.ceremonies.as_ref()
    }

    /// The officers.
    #[must_use]
    pub fn officers(&self) -> &[Officer] {
        &self.officers
    }

    /// The officer with this key.
    #[must_use]
    pub fn officer(&self, key: &OfficerKey) -> Option<&Officer> {
        self.officers.iter().find(|officer| officer.key == *key)
    }

    /// How many officers must approve `act`.
    #[must_use]
    pub fn needed(&self, act: Act) -> u8 {
        match (act.needs(), act) {
            (Needs::Nobody, _) => 0,
            (Needs::OneOfficer, _) => 1,
            (Needs::Quorum, Act::Activate) => self.quorum.activate,
            (Needs::Quorum, Act::Unsuspend) => self.quorum.unsuspend,
            (Needs::Quorum, Act::CancelDestruction) => self.quorum.cancel_destruction,
            (Needs::Quorum, _) => self.quorum.destroy,
        }
    }
}

/// Nobody stands there twice, by name or by key.
fn all_different<'a>(people: impl Iterator<Item = &'a Officer>) -> Result<(), InvalidRoster> {
    let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for Officer { name, key } in people {
        if !names.insert(name) | !keys.insert(key) {
            return Err(InvalidRoster::Twice(name.clone()));
        }
    }
    Ok(())
}

fn write_people(
    people: &[Officer],
    sink: &mut Encoder<Vec<u8>>,
) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
    sink.array(people.len() as u64)?;
    for Officer { name, key } in people {
        sink.array(2)?.str(name)?.bytes(&key.0)?;
    }
    Ok(())
}

impl Quorum {
    fn numbers(&self) -> [(&'static str, u8); 4] {
        [
            ("activate", self.activate),
            ("unsuspend", self.unsuspend),
            ("cancel-destruction", self.cancel_destruction),
            ("destroy", self.destroy),
        ]
    }
}

impl Officer {
    /// An officer of this name and key.
    ///
    /// # Errors
    /// [`InvalidRoster::Name`].
    pub fn new(name: &str, key: OfficerKey) -> Result<Officer, InvalidRoster> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=NAME_MAX).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(InvalidRoster::Name(name.to_owned()));
        }
        let name = name.to_owned();
        Ok(Officer { name, key })
    }

    fn parse(raw: RawOfficer) -> Result<Officer, InvalidRoster> {
        let RawOfficer { name, public_key } = raw;
        let key = public_key.parse().map_err(|()| InvalidRoster::Key {
            name: name.clone(),
            found: public_key,
        })?;
        Officer::new(&name, key)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    #[must_use]
    pub const fn key(&self) -> &OfficerKey {
        &self.key
    }
}

impl OfficerKey {
    /// `None` unless the bytes are a compressed point of P-256.
    #[must_use]
    pub fn from_sec1(bytes: [u8; 33]) -> Option<OfficerKey> {
        DeviceKey::from_sec1(bytes)?;
        VerifyingKey::from_sec1_bytes(&bytes).ok()?;
        Some(OfficerKey(bytes))
    }

    /// The compressed point.
    #[must_use]
    pub const fn as_sec1(&self) -> &[u8; 33] {
        &self.0
    }

    pub(crate) fn verifier(&self) -> VerifyingKey {
        VerifyingKey::from_sec1_bytes(&self.0).expect("from_sec1 has read the same bytes")
    }

    /// Whether `signature`, raw r || s of ECDSA with SHA-256, is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.verifier().verify(message, &signature).is_ok())
    }
}

impl fmt::Display for OfficerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for OfficerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OfficerKey({self})")
    }
}

impl FromStr for OfficerKey {
    type Err = ();

    fn from_str(text: &str) -> Result<OfficerKey, ()> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(drop)?;
        let bytes = bytes.try_into().map_err(drop)?;
        OfficerKey::from_sec1(bytes).ok_or(())
    }
}

impl fmt::Display for RosterHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "A2sX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKW";
    const BOB: &str = "A3zyexiNA09-ilI4AwS1GsPAiWnid_IbNaYLSPxHZpl4";

    fn file(officers: &[(&str, &str)], activate: u8) -> String {
        let officers: String = officers
            .iter()
            .map(|(name, key)| format!("[[officers]]\nname = '{name}'\npublic_key = '{key}'\n"))
            .collect();
        format!(
            "{officers}[quorum]\nactivate = {activate}\nunsuspend = 2\n\
             cancel-destruction = 2\ndestroy = 2\n"
        )
    }

    fn refusal(officers: &[(&str, &str)], activate: u8) -> String {
        Roster::parse(&file(officers, activate))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_documented_roster_reads_and_its_own_text_has_the_same_hash() {
        let documented: String = include_str!("roster.rs")
            .lines()
            .skip_while(|line| !line.starts_with("/// ```toml"))
            .skip(1)
            .take_while(|line| !line.starts_with("/// ```"))
            .map(|line| format!("{}\n", line.trim_start_matches("///")))
            .collect();
        let roster = Roster::parse(&documented).unwrap();
        let again = Roster::parse(&roster.to_toml()).unwrap();
        assert_eq!(roster.hash(), again.hash());
        assert_eq!(roster.needed(Act::Activate), 2);
        assert_eq!(roster.needed(Act::Suspend), 1);
        assert_eq!(roster.needed(Act::Publish), 0);
    }

    #[test]
    fn another_order_or_quorum_is_another_hash() {
        let one = Roster::parse(&file(&[("alice", ALICE), ("bob", BOB)], 2)).unwrap();
        let other = Roster::parse(&file(&[("bob", BOB), ("alice", ALICE)], 2)).unwrap();
        assert_ne!(one.hash(), other.hash());
    }

    #[test]
    fn a_roster_that_would_let_one_person_act_alone_is_refused() {
        assert_eq!(
            refusal(&[("alice", ALICE)], 2),
            "1 officers, wanted 2 to 16"
        );
        let both = [("alice", ALICE), ("bob", BOB)];
        assert_eq!(refusal(&both, 1), "quorum activate = 1 is not 2 to 2");
        assert_eq!(refusal(&both, 3), "quorum activate = 3 is not 2 to 2");
        let twice = "officer \"bob\" is there twice, by name or by key";
        assert_eq!(refusal(&[("alice", ALICE), ("bob", ALICE)], 2), twice);
        assert_eq!(refusal(&[("bob", ALICE), ("bob", BOB)], 2), twice);
    }

    /// The same point as ALICE's, mirrored.
    const WENDY: &str = "AmsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKW";
    const CEREMONY: &str = "[ceremony]\nroot = 2\ncertificate = 2\nrevocation = 2\n\
                            trust = 2\ndestruction = 2\nroster = 2\n";

    fn witnessed(name: &str, key: &str, ceremony: &str) -> Result<Roster, InvalidRoster> {
        let officers = file(&[("alice", ALICE), ("bob", BOB)], 2);
        Roster::parse(&format!(
            "{officers}[[witnesses]]\nname = '{name}'\npublic_key = '{key}'\n{ceremony}"
        ))
    }

    #[test]
    fn witnesses_and_ceremony_quorums_are_part_of_the_hash_and_read_back() {
        let roster = witnessed("wendy", WENDY, CEREMONY).unwrap();
        let plain = Roster::parse(&file(&[("alice", ALICE), ("bob", BOB)], 2)).unwrap();
        assert_ne!(roster.hash(), plain.hash());
        let again = Roster::parse(&roster.to_toml()).unwrap();
        assert_eq!(again, roster);
        let ceremonies = roster.ceremonies().unwrap();
        assert_eq!(ceremonies.needed(CeremonyKind::Destruction), 2);
        assert_eq!(ceremonies.witnesses()[0].name(), "wendy");
    }

    #[test]
    fn a_witness_who_is_an_officer_or_a_quorum_out_of_range_is_refused() {
        let twice = InvalidRoster::Twice("wendy".to_owned());
        assert_eq!(witnessed("wendy", ALICE, CEREMONY).unwrap_err(), twice);
        for (number, found) in [("root = 0", 0), ("root = 1", 1), ("root = 3", 3)] {
            let ceremony = CEREMONY.replace("root = 2", number);
            let refused = InvalidRoster::Quorum {
                name: "root",
                found,
                officers: 2,
            };
            let answer = witnessed("wendy", WENDY, &ceremony);
            assert_eq!(answer.unwrap_err(), refused);
        }
        assert_eq!(
            witnessed("wendy", WENDY, "").unwrap_err(),
            InvalidRoster::HalfCeremonies
        );
    }

    #[test]
    fn unknown_keys_bad_names_and_points_off_the_curve_are_refused() {
        let both = file(&[("alice", ALICE), ("bob", BOB)], 2);
        let extra = format!("{both}revive = 1\n");
        assert!(matches!(
            Roster::parse(&extra),
            Err(InvalidRoster::Syntax(_))
        ));
        assert_eq!(
            refusal(&[("Alice", ALICE), ("bob", BOB)], 2),
            "officer name \"Alice\" is not 1 to 32 of a-z, 0-9 and -"
        );
        let off = BASE64URL_NOPAD.encode(&[[2; 1].as_slice(), &[0xff; 32]].concat());
        assert_eq!(
            refusal(&[("alice", &off), ("bob", BOB)], 2),
            format!(
                "public_key of \"alice\" is not a compressed point of P-256 in base64url: {off:?}"
            )
        );
    }
}
