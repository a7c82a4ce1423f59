//! What a roster says about ceremonies: who watches, and how many officers each kind of act takes.

use std::convert::Infallible;

use minicbor::Encoder;
use serde::Deserialize;

use super::{InvalidRoster, Officer, QUORUM_MIN};

/// Most witnesses.
const WITNESSES_MAX: usize = 16;

/// Witnesses and quorums of ceremonies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceremonies {
    witnesses: Vec<Officer>,
    quorum: CeremonyQuorum,
}

/// How many officers must approve a ceremony, by the kind of its act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeremonyQuorum {
    /// A root's key and certificate.
    pub root: u8,
    /// Certificates of the access CA and of issuers.
    pub certificate: u8,
    /// Revocation lists.
    pub revocation: u8,
    /// TUF root and targets, emergency blocks included.
    pub trust: u8,
    /// Destroying a key.
    pub destruction: u8,
    /// Another roster in place of this one.
    pub roster: u8,
}

/// A kind of act that takes one number of approvals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CeremonyKind {
    /// A root's key and certificate.
    Root,
    /// Certificates of the access CA and of issuers.
    Certificate,
    /// Revocation lists.
    Revocation,
    /// TUF root and targets.
    Trust,
    /// Destroying a key.
    Destruction,
    /// Another roster.
    Roster,
}

impl Ceremonies {
    pub(super) fn new(
        witnesses: Vec<Officer>,
        quorum: CeremonyQuorum,
        officers: usize,
    ) -> Result<Ceremonies, InvalidRoster> {
        if !(1..=WITNESSES_MAX).contains(&witnesses.len()) {
            return Err(InvalidRoster::Witnesses(witnesses.len()));
        }
        for (name, found) in quorum.numbers() {
            if found < QUORUM_MIN || usize::from(found) > officers {
                return Err(InvalidRoster::Quorum {
                    name,
                    found,
                    officers,
                });
            }
        }
        Ok(Ceremonies { witnesses, quorum })
    }

    /// The witnesses; none is an officer.
    #[must_use]
    pub fn witnesses(&self) -> &[Officer] {
        &self.witnesses
    }

    /// How many officers must approve.
    #[must_use]
    pub const fn needed(&self, kind: CeremonyKind) -> u8 {
        let quorum = &self.quorum;
        match kind {
            CeremonyKind::Root => quorum.root,
            CeremonyKind::Certificate => quorum.certificate,
            CeremonyKind::Revocation => quorum.revocation,
            CeremonyKind::Trust => quorum.trust,
            CeremonyKind::Destruction => quorum.destruction,
            CeremonyKind::Roster => quorum.roster,
        }
    }

    pub(super) fn to_toml(&self) -> String {
        let mut text = String::from("\n");
        for witness in &self.witnesses {
            let (name, key) = (witness.name(), witness.key());
            text += &format!("[[witnesses]]\nname = \"{name}\"\npublic_key = \"{key}\"\n\n");
        }
        text += "[ceremony]\n";
        for (name, number) in self.quorum.numbers() {
            text += &format!("{name} = {number}\n");
        }
        text
    }

    pub(super) fn write(
        &self,
        sink: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<Infallible>> {
        super::write_people(&self.witnesses, sink)?;
        let numbers = self.quorum.numbers();
        sink.array(numbers.len() as u64)?;
        for (_, number) in numbers {
            sink.u8(number)?;
        }
        Ok(())
    }
}

impl CeremonyQuorum {
    const fn numbers(&self) -> [(&'static str, u8); 6] {
        [
            ("root", self.root),
            ("certificate", self.certificate),
            ("revocation", self.revocation),
            ("trust", self.trust),
            ("destruction", self.destruction),
            ("roster", self.roster),
        ]
    }
}
