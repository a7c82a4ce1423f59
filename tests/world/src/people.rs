use crate::{World, WorldError};

/// Whoever decides: two of them for each act, in ceremonies and in the registry.
pub(crate) const OFFICERS: [&str; 3] = ["alice", "bob", "carol"];
/// Whoever watches ceremonies and decides nothing.
pub(crate) const WITNESS: &str = "wendy";
/// The roster of them all, which the tokens of ceremonies pin.
pub(crate) const ROSTER: &str = "roster.toml";
const QUORUMS: &str = "
[quorum]
activate = 2
unsuspend = 2
cancel-destruction = 2
destroy = 2

[ceremony]
root = 2
certificate = 2
revocation = 2
trust = 2
destruction = 2
roster = 2

";

impl World {
    /// Three officers and a witness make their keys, each their own; the roster names them.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn make_people(&self) -> Result<(), WorldError> {
        self.make_folder("people")?;
        let mut roster = String::new();
        for officer in OFFICERS {
            roster += &self.make_person(officer)?;
        }
        roster += QUORUMS;
        roster += &self
            .make_person(WITNESS)?
            .replace("[[officers]]", "[[witnesses]]");
        self.write(ROSTER, &roster)
    }

    /// Makes a key and returns its lines of the roster.
    fn make_person(&self, name: &str) -> Result<String, WorldError> {
        let keygen = ["officer", "keygen", "--name", name, "--key", &key_of(name)];
        Ok(self.tool("obol-kms").succeed(&keygen)?.stdout)
    }
}

/// Where a person's key is.
pub(crate) fn key_of(person: &str) -> String {
    format!("people/{person}.key")
}
