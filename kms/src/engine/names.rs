//! One word for one thing, in the types of registry, policy and socket: they use nothing of each
//! other, and this is where they meet.

use obol_kms_client as wire;
use obol_kms_policy as policy;
use obol_kms_registry as registry;

/// The same variants by name; a variant that one of the two lacks does not compile.
macro_rules! same {
    ($name:ident: $from:path => $to:path { $($variant:ident),+ $(,)? }) => {
        pub(crate) fn $name(from: $from) -> $to {
            use $from as From;
            use $to as To;
            match from { $(From::$variant => To::$variant),+ }
        }
    };
}

same!(policy_class: registry::Class => policy::KeyClass {
    Root, Issuer, AccessCa, TufRoot, TufTargets, TufOnline, Audit, Channel, LedgerClose, Data,
});

same!(policy_payload: registry::PayloadType => policy::Payload {
    CredentialClaims, TbsCertificate, Crl, TufRoot, TufTargets, TufSnapshot, TufTimestamp,
    LogCheckpoint, LedgerDayRoot,
});

same!(wire_class: registry::Class => wire::KeyClass {
    Root, Issuer, AccessCa, TufRoot, TufTargets, TufOnline, Audit, Channel, LedgerClose, Data,
});

same!(wire_state: registry::State => wire::KeyState {
    Planned, Generated, Certified, Published, Active, Retiring, Retired, Suspended, Compromised,
    PendingDestruction, Destroyed,
});

same!(payload_of: wire::PayloadType => registry::PayloadType {
    CredentialClaims, TbsCertificate, Crl, TufRoot, TufTargets, TufSnapshot, TufTimestamp,
    LogCheckpoint, LedgerDayRoot,
});

pub(crate) fn registry_id(id: wire::SpkiId) -> registry::SpkiId {
    registry::SpkiId(id.0)
}

pub(crate) fn wire_id(id: registry::SpkiId) -> wire::SpkiId {
    wire::SpkiId(id.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_has_one_name_in_registry_policy_and_on_the_socket() {
        for class in registry::Class::ALL {
            assert_eq!(policy_class(*class).name(), class.name());
            assert_eq!(wire_class(*class).name(), class.name());
        }
        for state in registry::State::ALL {
            assert_eq!(wire_state(*state).name(), state.name());
        }
        for payload in wire::PayloadType::ALL {
            let known = payload_of(*payload);
            assert_eq!(known.name(), payload.name());
            assert_eq!(policy_payload(known).name(), payload.name());
        }
        assert_eq!(
            wire::PayloadType::ALL.len(),
            registry::PayloadType::ALL.len()
        );
    }
}
