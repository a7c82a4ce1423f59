use std::fmt;
use std::str::FromStr;

/// What a key is for. A class is given once, at registration, and decides what the key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Signs issuer and access CA certificates, and their CRL; offline.
    Root,
    /// Signs credentials only.
    Issuer,
    /// Signs certificates of clients, servers and terminals, and their CRL.
    AccessCa,
    /// One of the officers' keys behind the trust repository's root metadata.
    TufRoot,
    /// Signs the trust bundle's metadata; offline.
    TufTargets,
    /// Signs delegated targets (deny list, fares), snapshot and timestamp; online.
    TufOnline,
    /// Signs checkpoints of the audit log.
    Audit,
    /// Signs requests to payment channels.
    Channel,
    /// Signs the day roots of the books.
    LedgerClose,
    /// Wraps data keys; signs nothing.
    Data,
}

/// What is handed in to be signed. The daemon parses each and builds the signed bytes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayloadType {
    /// Claims of a PT1 credential.
    CredentialClaims,
    /// TBSCertificate (RFC 5280 section 4.1).
    TbsCertificate,
    /// TBSCertList (RFC 5280 section 5.1).
    Crl,
    /// TUF root metadata.
    TufRoot,
    /// TUF targets metadata, top-level or delegated.
    TufTargets,
    /// TUF snapshot metadata.
    TufSnapshot,
    /// TUF timestamp metadata.
    TufTimestamp,
    /// Checkpoint of a transparency log.
    LogCheckpoint,
    /// Root of one closed day of the books.
    LedgerDayRoot,
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256.
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// RSA with a modulus of 2048 bits.
    Rsa2048,
    /// AES with 256 bits. It has no public half; a descriptor of the caller's takes its place.
    Aes256,
}

/// No class, payload type, state or algorithm has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is none of {}", known.join(", "))]
pub struct UnknownName {
    /// What was given.
    pub found: String,
    /// What exists.
    pub known: Vec<&'static str>,
}

/// Names in files, on the command line and in the database: one table for both directions.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// All there are.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// The name in files, on the command line and in the database.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<$type, UnknownName> {
                $type::ALL.iter().copied().find(|one| one.name() == text).ok_or_else(|| UnknownName {
                    found: text.to_owned(),
                    known: $type::ALL.iter().map(|one| one.name()).collect(),
                })
            }
        }
    };
}
pub(crate) use named;

named!(Class {
    Root = "root",
    Issuer = "issuer",
    AccessCa = "access-ca",
    TufRoot = "tuf-root",
    TufTargets = "tuf-targets",
    TufOnline = "tuf-online",
    Audit = "audit",
    Channel = "channel",
    LedgerClose = "ledger-close",
    Data = "data",
});

named!(PayloadType {
    CredentialClaims = "credential-claims",
    TbsCertificate = "tbs-certificate",
    Crl = "crl",
    TufRoot = "tuf-root",
    TufTargets = "tuf-targets",
    TufSnapshot = "tuf-snapshot",
    TufTimestamp = "tuf-timestamp",
    LogCheckpoint = "log-checkpoint",
    LedgerDayRoot = "ledger-day-root",
});

named!(Algorithm {
    EcP256 = "ec-p256",
    EcP384 = "ec-p384",
    Rsa2048 = "rsa-2048",
    Aes256 = "aes-256",
});

impl Class {
    /// What an active key of this class may sign.
    ///
    /// Delegated targets have the type of targets: which of them a terminal believes from this key
    /// is said by the metadata that lists it.
    #[must_use]
    pub const fn payloads(self) -> &'static [PayloadType] {
        use PayloadType as P;
        match self {
            Class::Root | Class::AccessCa => &[P::TbsCertificate, P::Crl],
            Class::Issuer => &[P::CredentialClaims],
            Class::TufRoot => &[P::TufRoot],
            Class::TufTargets => &[P::TufTargets],
            Class::TufOnline => &[P::TufTargets, P::TufSnapshot, P::TufTimestamp],
            Class::Audit => &[P::LogCheckpoint],
            Class::LedgerClose => &[P::LedgerDayRoot],
            // Canonical requests have no payload type of their own yet.
            Class::Channel | Class::Data => &[],
        }
    }

    /// The algorithms that a key of this class may have.
    #[must_use]
    pub const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Class::Root | Class::AccessCa => &[Algorithm::EcP384],
            Class::Issuer => &[Algorithm::EcP384, Algorithm::EcP256],
            Class::TufRoot
            | Class::TufTargets
            | Class::TufOnline
            | Class::Audit
            | Class::LedgerClose => &[Algorithm::EcP256],
            Class::Channel => &[Algorithm::Rsa2048],
            Class::Data => &[Algorithm::Aes256],
        }
    }

    /// Whether terminals meet what keys of this class sign, and learn of the keys through the
    /// network: such a key becomes active by a plan that strands none of them. The root is not
    /// learnt so: it is pinned in each terminal by hand.
    #[must_use]
    pub const fn met_by_terminals(self) -> bool {
        matches!(
            self,
            Class::Issuer | Class::AccessCa | Class::TufRoot | Class::TufTargets | Class::TufOnline
        )
    }

    /// Whether others know the key by a certificate. Keys of the other classes are published as
    /// they are and skip the state `certified`.
    #[must_use]
    pub const fn has_certificate(self) -> bool {
        matches!(self, Class::Root | Class::Issuer | Class::AccessCa)
    }
}

/// DER of everything before the public key's bits, and how many bytes follow.
const P256_SPKI: (&[u8], usize) = (
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04",
    64,
);
const P384_SPKI: (&[u8], usize) = (
    b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00\x04",
    96,
);
const RSA2048_SPKI: (&[u8], usize) = (
    b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00",
    270,
);
/// Longest descriptor of a key without a public half.
const DESCRIPTOR_MAX: usize = 64;

impl Algorithm {
    /// Whether `spki_der` is a SubjectPublicKeyInfo of this algorithm (uncompressed point, or a
    /// modulus of 2048 bits); for AES a descriptor of 1 to 64 bytes.
    #[must_use]
    pub fn fits(self, spki_der: &[u8]) -> bool {
        let (head, rest) = match self {
            Algorithm::EcP256 => P256_SPKI,
            Algorithm::EcP384 => P384_SPKI,
            Algorithm::Rsa2048 => RSA2048_SPKI,
            Algorithm::Aes256 => return (1..=DESCRIPTOR_MAX).contains(&spki_der.len()),
        };
        spki_der
            .strip_prefix(head)
            .is_some_and(|bits| bits.len() == rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_payload_type_but_targets_is_signed_by_one_kind_of_authority() {
        for payload in PayloadType::ALL {
            let signers: Vec<_> = Class::ALL
                .iter()
                .filter(|class| class.payloads().contains(payload))
                .collect();
            let expected = match payload {
                PayloadType::TbsCertificate | PayloadType::Crl | PayloadType::TufTargets => 2,
                _ => 1,
            };
            assert_eq!(signers.len(), expected, "{payload}: {signers:?}");
        }
    }

    #[test]
    fn names_read_back_and_an_unknown_one_lists_what_exists() {
        for class in Class::ALL {
            assert_eq!(class.name().parse(), Ok(*class));
        }
        let error = "Issuer".parse::<Class>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"Issuer\" is none of root, issuer, access-ca, tuf-root, tuf-targets, tuf-online, \
             audit, channel, ledger-close, data"
        );
    }
}
