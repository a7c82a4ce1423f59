//! What is asked of issuers, and what they give.

use data_encoding::HEXLOWER;
use obol_credential::{Cti, Kid, UnixTime};

/// A credential that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The passenger's handle; it decides which issuer is asked.
    pub subject: [u8; 16],
    /// The phone's handle; a command on it denies every credential that was asked for with it.
    pub device: Option<[u8; 16]>,
    /// The rider class, 0 to 31.
    pub class: u8,
    /// The proof of possession of a fresh device key.
    pub possession: Vec<u8>,
}

/// A credential as the issuer handed it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The CWT, well-formed, its signature not verified here.
    pub credential: Vec<u8>,
    /// The first second at which it is refused.
    pub expires_at: UnixTime,
    /// The issuer key that signed it.
    pub kid: Kid,
    /// Its name.
    pub cti: Cti,
    /// The issuer that has it in its register.
    pub issuer: String,
}

/// The name of one request, under which it is repeated: one name, one request. It is used up by the
/// call it is given to; what is left open then is in the error.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestKey(String);

impl RequestKey {
    /// Of 16 random bytes, drawn anew for each request.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(HEXLOWER.encode(&random))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// Whom a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A passenger.
    Subject([u8; 16]),
    /// A phone.
    Device([u8; 16]),
}

impl Target {
    pub(crate) fn path(self) -> String {
        match self {
            Self::Subject(handle) => format!("/v1/subjects/{}", HEXLOWER.encode(&handle)),
            Self::Device(handle) => format!("/v1/devices/{}", HEXLOWER.encode(&handle)),
        }
    }
}

/// What a command wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Deny live credentials and refuse new ones, until it is resumed.
    Suspend,
    /// End a suspension.
    Resume,
    /// Deny for good.
    Revoke,
}

impl Verb {
    /// `suspend`, `resume` or `revoke`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Revoke => "revoke",
        }
    }
}

/// A command that holds at every issuer or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Whom it is about.
    pub target: Target,
    /// What is wanted.
    pub verb: Verb,
    /// For those who look later: 1 to 200 bytes, no personal data.
    pub reason: String,
    /// Its place among the commands on this target, where the caller counts them: an issuer lets no
    /// lower number undo a higher one, so that a copy that was delayed changes nothing.
    pub number: Option<u64>,
}
