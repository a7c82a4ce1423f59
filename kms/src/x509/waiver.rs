//! Waivers: a rule of `lints.toml` set aside for one profile, for a while, by two officers.

mod draft;

use data_encoding::BASE64URL_NOPAD;
use minicbor::Encoder;
use obol_credential::UnixTime;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::x509::SECONDS_PER_DAY;
use crate::x509::lint::{Finding, Lints};
use crate::x509::profile::{ProfileName, RULES_FILE_MAX};

pub use draft::Waiver;

/// Longest time a waiver may still be good for, in days.
pub const WAIVER_DAYS_MAX: u32 = 366;
/// Most waivers of a file.
pub const WAIVERS_MAX: usize = 32;
/// Longest reason, in bytes.
pub const REASON_MAX: usize = 500;
/// Officers that must approve.
const APPROVALS_MIN: usize = 2;
/// What the signature is about; no other signed structure of the house begins like this.
const CONTEXT: &str = "obol lint waiver";

/// The officers who may approve, and the hash that pins their roster.
#[derive(Debug, Clone)]
pub struct Officers {
    roster: [u8; 32],
    keys: Vec<(String, VerifyingKey)>,
}

/// What an officer signs: ECDSA on P-256 with SHA-256, raw r || s, over [`WaiverStatement::encode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiverStatement {
    /// Hash of the roster that the officer stands on.
    pub roster: [u8; 32],
    /// Id of the rule.
    pub rule: String,
    /// Its version: a waiver for another version waives nothing.
    pub rule_version: u32,
    /// The profile that it is set aside for.
    pub profile: ProfileName,
    /// Why, for those who read it in a year: 1 to [`REASON_MAX`] bytes.
    pub reason: String,
    /// The last second in which it counts.
    pub not_after: UnixTime,
}

/// Waivers in force, each checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Waivers(Vec<WaiverStatement>);

/// Why a file of waivers was refused, as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWaiver {
    /// Not strict TOML of its form, or too long.
    #[error("waivers: {0}")]
    Syntax(String),
    /// The rule does not exist, or not for this profile.
    #[error("the waiver of {rule:?} for profile {profile:?}: there is no such rule there")]
    Unknown {
        /// The rule.
        rule: String,
        /// The profile.
        profile: String,
    },
    /// The rule has changed since.
    #[error("the waiver of {rule:?} is for version {written}, the rule has version {version}")]
    OtherVersion {
        /// The rule.
        rule: String,
        /// The waiver's.
        written: u32,
        /// The rule's.
        version: u32,
    },
    /// Its time is over.
    #[error("the waiver of {rule:?} ended at {not_after}, it is {now} (seconds since 1970)")]
    Expired {
        /// The rule.
        rule: String,
        /// Its last second.
        not_after: UnixTime,
        /// Now.
        now: UnixTime,
    },
    /// It would be good for longer than a waiver may be.
    #[error("the waiver of {rule:?} is good until {not_after}, more than 366 days from now")]
    TooLong {
        /// The rule.
        rule: String,
        /// Its last second.
        not_after: UnixTime,
    },
    /// The reason is missing or longer than a reason.
    #[error("the waiver of {0:?} has no reason of 1 to 500 bytes")]
    Reason(String),
    /// Fewer officers than it takes.
    #[error("the waiver of {rule:?} takes the approval of 2 officers, {given} given")]
    TooFew {
        /// The rule.
        rule: String,
        /// Different officers that approve.
        given: usize,
    },
    /// The name is on no line of the roster.
    #[error("{0:?}, who approves a waiver, is no officer of the roster")]
    NotAnOfficer(String),
    /// The signature is not the officer's over this statement.
    #[error("the signature of officer {officer:?} on the waiver of {rule:?} does not verify")]
    Signature {
        /// The officer.
        officer: String,
        /// The rule.
        rule: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWaivers {
    waiver: Vec<RawWaiver>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWaiver {
    rule: String,
    rule_version: u32,
    profile: String,
    reason: String,
    not_after: u32,
    #[serde(default)]
    approval: Vec<RawApproval>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApproval {
    officer: String,
    signature: String,
}

impl Officers {
    /// The officers of the roster that hashes to `roster`, each with a name and a compressed P-256
    /// key; `None` if a key is no point.
    pub fn new<'a>(
        roster: [u8; 32],
        officers: impl IntoIterator<Item = (&'a str, [u8; 33])>,
    ) -> Option<Officers> {
        let keys = officers.into_iter().map(|(name, key)| {
            let key = VerifyingKey::from_sec1_bytes(&key).ok()?;
            Some((name.to_owned(), key))
        });
        let keys = keys.collect::<Option<_>>()?;
        Some(Officers { roster, keys })
    }
}

impl WaiverStatement {
    /// Deterministic CBOR (RFC 8949 section 4.2.1): the bytes that are signed.
    ///
    /// # Panics
    /// Never: a vector takes what is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut sink = Encoder::new(Vec::new());
        self.write(&mut sink)
            .expect("a vector takes what is written");
        sink.into_writer()
    }

    fn write(
        &self,
        sink: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        sink.map(7)?;
        sink.u8(1)?.str(CONTEXT)?;
        sink.u8(2)?.bytes(&self.roster)?;
        sink.u8(3)?.str(&self.rule)?;
        sink.u8(4)?.u32(self.rule_version)?;
        sink.u8(5)?.str(self.profile.name())?;
        sink.u8(6)?.str(&self.reason)?;
        sink.u8(7)?.u32(self.not_after.0)?;
        Ok(())
    }
}

impl Waivers {
    /// Reads a file of waivers and checks each against the rules in force, the clock and its
    /// approvals. One that does not hold refuses the file: a waiver that has run out must be seen.
    pub(super) fn parse(
        text: &str,
        lints: &Lints,
        officers: &Officers,
        now: UnixTime,
    ) -> Result<Waivers, InvalidWaiver> {
        let raw = RawWaivers::parse(text)?;
        let checked = raw.waiver.iter().map(|raw| raw.check(lints, officers, now));
        checked.collect::<Result<_, _>>().map(Waivers)
    }

    pub(super) fn covers(&self, finding: &Finding, profile: ProfileName, now: UnixTime) -> bool {
        self.0.iter().any(|waiver| {
            waiver.rule == finding.rule
                && waiver.rule_version == finding.version
                && waiver.profile == profile
                && now <= waiver.not_after
        })
    }
}

impl RawWaivers {
    fn parse(text: &str) -> Result<RawWaivers, InvalidWaiver> {
        if text.len() > RULES_FILE_MAX {
            return Err(InvalidWaiver::Syntax(format!(
                "longer than {RULES_FILE_MAX} bytes"
            )));
        }
        let raw: RawWaivers =
            toml::from_str(text).map_err(|error| InvalidWaiver::Syntax(error.to_string()))?;
        if raw.waiver.len() > WAIVERS_MAX {
            return Err(InvalidWaiver::Syntax(format!(
                "more than {WAIVERS_MAX} waivers"
            )));
        }
        Ok(raw)
    }
}

impl RawWaiver {
    fn check(
        &self,
        lints: &Lints,
        officers: &Officers,
        now: UnixTime,
    ) -> Result<WaiverStatement, InvalidWaiver> {
        let (rule, not_after) = (self.rule.clone(), UnixTime(self.not_after));
        let profile = ProfileName::from_name(&self.profile);
        let known = profile.and_then(|profile| Some((profile, lints.version(&rule, profile)?)));
        let Some((profile, version)) = known else {
            let profile = self.profile.clone();
            return Err(InvalidWaiver::Unknown { rule, profile });
        };
        if self.rule_version != version {
            let written = self.rule_version;
            return Err(InvalidWaiver::OtherVersion {
                rule,
                written,
                version,
            });
        }
        if now > not_after {
            return Err(InvalidWaiver::Expired {
                rule,
                not_after,
                now,
            });
        }
        if not_after > now.plus(WAIVER_DAYS_MAX * SECONDS_PER_DAY) {
            return Err(InvalidWaiver::TooLong { rule, not_after });
        }
        if !(1..=REASON_MAX).contains(&self.reason.len()) {
            return Err(InvalidWaiver::Reason(rule));
        }
        let statement = WaiverStatement {
            roster: officers.roster,
            rule,
            rule_version: version,
            profile,
            reason: self.reason.clone(),
            not_after,
        };
        self.check_approvals(&statement, officers)?;
        Ok(statement)
    }

    fn check_approvals(
        &self,
        statement: &WaiverStatement,
        officers: &Officers,
    ) -> Result<(), InvalidWaiver> {
        let message = statement.encode();
        let mut approving = std::collections::BTreeSet::new();
        for RawApproval { officer, signature } in &self.approval {
            let (_, key) = officers
                .keys
                .iter()
                .find(|(name, _)| name == officer)
                .ok_or_else(|| InvalidWaiver::NotAnOfficer(officer.clone()))?;
            let signature = BASE64URL_NOPAD
                .decode(signature.as_bytes())
                .ok()
                .and_then(|raw| Signature::from_slice(&raw).ok());
            if signature.is_none_or(|signature| key.verify(&message, &signature).is_err()) {
                return Err(InvalidWaiver::Signature {
                    officer: officer.clone(),
                    rule: self.rule.clone(),
                });
            }
            approving.insert(officer);
        }
        if approving.len() < APPROVALS_MIN {
            return Err(InvalidWaiver::TooFew {
                rule: self.rule.clone(),
                given: approving.len(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer;

    use crate::x509::Rules;
    use crate::x509::fixture::{House, NOW};
    use crate::x509::profile::CertificateProfile;

    const ROSTER: [u8; 32] = [7; 32];

    fn officer(name: &str) -> SigningKey {
        let seed = name.as_bytes()[0];
        SigningKey::from_slice(&[seed; 32]).unwrap()
    }

    fn officers() -> Officers {
        let key = |name: &'static str| {
            let point = officer(name).verifying_key().to_sec1_point(true);
            (name, <[u8; 33]>::try_from(point.as_bytes()).unwrap())
        };
        Officers::new(ROSTER, ["alice", "bob"].map(key)).unwrap()
    }

    fn statement() -> WaiverStatement {
        WaiverStatement {
            roster: ROSTER,
            rule: "validity-within-profile".to_owned(),
            rule_version: 1,
            profile: ProfileName::Server,
            reason: "the depot's server is replaced in spring".to_owned(),
            not_after: NOW.plus(30 * SECONDS_PER_DAY),
        }
    }

    /// The file as officers would write it: `written` as its fields, `signed` under the signatures.
    fn file(written: &WaiverStatement, signed: &WaiverStatement, approving: &[&str]) -> String {
        let WaiverStatement {
            rule,
            rule_version,
            profile,
            reason,
            not_after,
            ..
        } = written;
        let profile = profile.name();
        let mut text = format!(
            "[[waiver]]\nrule = \"{rule}\"\nrule_version = {rule_version}\nprofile = \"{profile}\"\n\
             reason = \"{reason}\"\nnot_after = {not_after}\n"
        );
        for name in approving {
            let signature: Signature = officer(name).sign(&signed.encode());
            let signature = BASE64URL_NOPAD.encode(&signature.to_bytes());
            text += &format!(
                "[[waiver.approval]]\nofficer = \"{name}\"\nsignature = \"{signature}\"\n"
            );
        }
        text
    }

    fn refusal(text: &str) -> InvalidWaiver {
        Rules::built_in()
            .with_waivers(text, &officers(), NOW)
            .unwrap_err()
    }

    /// Refusal of a waiver that two officers signed as it is written.
    fn refusal_of(change: impl FnOnce(&mut WaiverStatement)) -> InvalidWaiver {
        let mut statement = statement();
        change(&mut statement);
        refusal(&file(&statement, &statement, &["alice", "bob"]))
    }

    #[test]
    fn a_waiver_by_two_officers_sets_one_rule_aside_for_one_profile_until_it_ends() {
        let text = file(&statement(), &statement(), &["alice", "bob"]);
        let mut rules = Rules::built_in()
            .with_waivers(&text, &officers(), NOW)
            .unwrap();
        let finding = |rules: &Rules, profile| {
            let found = Finding {
                rule: "validity-within-profile",
                version: 1,
                clause: String::new(),
                fault: String::new(),
            };
            rules
                .unwaived(vec![found], profile, NOW.plus(29 * SECONDS_PER_DAY))
                .len()
        };
        assert_eq!(finding(&rules, ProfileName::Server), 0);
        assert_eq!(finding(&rules, ProfileName::Client), 1);
        let house = House::new();
        assert!(house.issue(&rules, CertificateProfile::Server).is_ok());
        rules.waivers = Waivers(vec![WaiverStatement {
            not_after: NOW,
            ..statement()
        }]);
        assert_eq!(finding(&rules, ProfileName::Server), 1);
    }

    #[test]
    fn a_waiver_for_another_version_of_the_rule_is_refused() {
        let rule = statement().rule;
        let (written, version) = (2, 1);
        assert_eq!(
            refusal_of(|waiver| waiver.rule_version = 2),
            InvalidWaiver::OtherVersion {
                rule,
                written,
                version
            }
        );
    }

    #[test]
    fn an_expired_waiver_is_refused_and_so_is_one_without_end() {
        let (rule, not_after) = (statement().rule, NOW.minus(1));
        assert_eq!(
            refusal_of(|waiver| waiver.not_after = not_after),
            InvalidWaiver::Expired {
                rule: rule.clone(),
                not_after,
                now: NOW
            }
        );
        let not_after = NOW.plus(367 * SECONDS_PER_DAY);
        assert_eq!(
            refusal_of(|waiver| waiver.not_after = not_after),
            InvalidWaiver::TooLong { rule, not_after }
        );
    }

    #[test]
    fn a_waiver_by_one_officer_is_refused_even_if_the_officer_signs_twice() {
        for approving in [&["alice"][..], &["alice", "alice"]] {
            let (rule, given) = (statement().rule, 1);
            assert_eq!(
                refusal(&file(&statement(), &statement(), approving)),
                InvalidWaiver::TooFew { rule, given }
            );
        }
    }

    #[test]
    fn a_waiver_signed_by_a_stranger_or_for_something_else_is_refused() {
        let stranger = file(&statement(), &statement(), &["alice", "mallory"]);
        assert_eq!(
            refusal(&stranger),
            InvalidWaiver::NotAnOfficer("mallory".to_owned())
        );
        let changes: [fn(&mut WaiverStatement); 5] = [
            |other| other.rule = "key-usage".to_owned(),
            |other| other.profile = ProfileName::Client,
            |other| other.reason.push('!'),
            |other| other.not_after = NOW.plus(60),
            |other| other.roster = [8; 32],
        ];
        for change in changes {
            let mut other = statement();
            change(&mut other);
            let (officer, rule) = ("alice".to_owned(), statement().rule);
            assert_eq!(
                refusal(&file(&statement(), &other, &["alice", "bob"])),
                InvalidWaiver::Signature { officer, rule }
            );
        }
    }

    #[test]
    fn a_waiver_of_no_rule_or_without_a_reason_is_refused() {
        let unknown = refusal_of(|waiver| waiver.profile = ProfileName::Crl);
        assert!(matches!(unknown, InvalidWaiver::Unknown { .. }));
        let unknown = refusal_of(|waiver| waiver.rule = "no-such-rule".to_owned());
        assert!(matches!(unknown, InvalidWaiver::Unknown { .. }));
        let silent = refusal_of(|waiver| waiver.reason.clear());
        assert_eq!(silent, InvalidWaiver::Reason(statement().rule));
        let extra = file(&statement(), &statement(), &["alice", "bob"]) + "skip = true\n";
        assert!(matches!(refusal(&extra), InvalidWaiver::Syntax(_)));
    }
}
