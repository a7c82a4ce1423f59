//! Classes, states and payload types, as they cross the socket. Numbers are never reused.

use std::fmt;

use minicbor::{Decode, Encode};

/// Names as the registry has them, and numbers on the wire.
macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$of:meta])* $number:literal $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(index_only)]
        pub enum $type {
            $($(#[$of])* #[n($number)] $variant),+
        }

        impl $type {
            /// All there are.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// The name in files, on the command line and in policies.
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
    };
}

named!(
    /// What is handed in to be signed. The daemon parses it again.
    PayloadType {
        /// The deterministic encoding of a credential's claims (PT1).
        0 CredentialClaims = "credential-claims",
        /// DER TBSCertificate (RFC 5280 section 4.1).
        1 TbsCertificate = "tbs-certificate",
        /// DER TBSCertList (RFC 5280 section 5.1).
        2 Crl = "crl",
        /// `signed` of TUF root metadata, in OLPC canonical form.
        3 TufRoot = "tuf-root",
        /// `signed` of TUF targets metadata, in OLPC canonical form.
        4 TufTargets = "tuf-targets",
        /// `signed` of TUF snapshot metadata, in OLPC canonical form.
        5 TufSnapshot = "tuf-snapshot",
        /// `signed` of TUF timestamp metadata, in OLPC canonical form.
        6 TufTimestamp = "tuf-timestamp",
        /// Checkpoint of the daemon's own audit log: no client may ask for one.
        7 LogCheckpoint = "log-checkpoint",
        /// Root of one closed day of the books, deterministic CBOR.
        8 LedgerDayRoot = "ledger-day-root",
    }
);

named!(
    /// What a key is for.
    KeyClass {
        /// Root CA.
        0 Root = "root",
        /// Signs credentials.
        1 Issuer = "issuer",
        /// Certifies clients, servers and terminals.
        2 AccessCa = "access-ca",
        /// One of the keys behind the trust repository's root.
        3 TufRoot = "tuf-root",
        /// Signs the trust bundle's metadata.
        4 TufTargets = "tuf-targets",
        /// Signs delegated targets, snapshot and timestamp.
        5 TufOnline = "tuf-online",
        /// Signs checkpoints of the audit log.
        6 Audit = "audit",
        /// Signs requests to payment channels.
        7 Channel = "channel",
        /// Signs day roots.
        8 LedgerClose = "ledger-close",
        /// Wraps data keys.
        9 Data = "data",
    }
);

named!(
    /// The state of a key in the registry; only an active one signs.
    KeyState {
        /// Meant to be made.
        0 Planned = "planned",
        /// Made by its token.
        1 Generated = "generated",
        /// Has its certificate.
        2 Certified = "certified",
        /// Those who verify are being told of it.
        3 Published = "published",
        /// Signs.
        4 Active = "active",
        /// Signs no more; what it signed is still good.
        5 Retiring = "retiring",
        /// Nothing it signed is in use.
        6 Retired = "retired",
        /// Stopped for now.
        7 Suspended = "suspended",
        /// Stopped for good.
        8 Compromised = "compromised",
        /// Will be destroyed.
        9 PendingDestruction = "pending-destruction",
        /// Gone.
        10 Destroyed = "destroyed",
    }
);
