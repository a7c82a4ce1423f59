//! Officers and the registry of keys (docs/spec/key-registry.md).

use obol_credential::UnixTime;
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
