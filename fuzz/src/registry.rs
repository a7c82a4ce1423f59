//! Officers and the registry of keys (docs/spec/key-registry.md).

use obol_credential::UnixTime;
use obol_kms_registry::rotation::{Fleet, Plan, simulate};
use obol_kms_registry::{Approval, Registry, RegistryId, Roster, Statement};

use crate::Taken;
use crate::files::with_file;

pub(crate) fn officers_statement(data: &[u8]) -> Taken {
    let decoded = Statement::decode(data);
    if let Ok(statement) = &decoded {
        assert_eq!(statement.encode(), data);
    }
    decoded.into()
}

pub(crate) fn officers_approval(data: &[u8]) -> Taken {
    let decoded = Approval::decode(data);
    if let Ok(approval) = &decoded {
        assert_eq!(approval.encode(), data);
        assert_eq!(approval.statement().encode(), approval.statement_bytes());
    }
    decoded.into()
}

pub(crate) fn officers_roster(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    let parsed = Roster::parse(text);
    if let Ok(roster) = &parsed {
        let again = Roster::parse(&roster.to_toml()).expect("it was written so");
        assert_eq!(again.hash(), roster.hash());
    }
    parsed.into()
}

const FLEET: &str = "schema = 1\nrecorded = 2027-01-14T12:00:00Z\n[[groups]]\nname = 'all'\n\
                     terminals = 1000\nlongest = '26h'\n";
const PLAN: &str = include_str!("../corpus/rotation_plan/one-key.toml");

/// Whatever reads as a plan can be held against a fleet.
pub(crate) fn rotation_plan(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    let parsed = Plan::parse(text);
    if let Ok(plan) = &parsed {
        let fleet = Fleet::parse(FLEET).expect("it is one");
        let findings = simulate(plan.clone(), fleet).findings().to_vec();
        assert!(
            findings
                .iter()
                .all(|finding| !finding.to_string().is_empty())
        );
    }
    parsed.into()
}

/// And whatever reads as a fleet, a plan against it.
pub(crate) fn rotation_fleet(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    let parsed = Fleet::parse(text);
    if let Ok(fleet) = &parsed {
        let plan = Plan::parse(PLAN).expect("it is one");
        let simulation = simulate(plan, fleet.clone());
        assert_eq!(simulation.fleet(), fleet);
    }
    parsed.into()
}

pub(crate) fn registry_backup(data: &[u8]) -> Taken {
    with_file("backup", data, |path| {
        let out = path.with_extension("restored");
        let restored =
            Registry::restore(path, &out, RegistryId([0xfe; 16]), UnixTime(1_900_000_000));
        if restored.is_ok() {
            let registry = Registry::open(&out).expect("what was restored opens");
            registry.examine().expect("what was restored is sound");
        }
        assert_eq!(restored.is_ok(), out.exists(), "half a registry");
        restored.into()
    })
}
