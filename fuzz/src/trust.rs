//! What a terminal believes and charges by (docs/spec/trust.md, docs/spec/fare-pack.md).

use obol_credential::UnixTime;
use obol_fare::{Boarding, CLASSES, FarePack, FareRule, Journey, ZONES, Zone, price, tariff};
use obol_trust::tuf::{self, Signed, Snapshot, Targets, Timestamp};
use obol_trust::{StatusList, SuspendedKeys, TrustBundle};
use obol_verifier_sdk::x509::Root;

use crate::Taken;

/// The root of the seeds.
const ROOT: &[u8] = include_bytes!("../corpus/trust_root/root.pem");

pub(crate) fn trust_bundle(data: &[u8]) -> Taken {
    let decoded = TrustBundle::decode(data);
    if let Ok(bundle) = &decoded {
        assert_eq!(bundle.encode(), data);
        let again = TrustBundle::new(
            bundle.issued_at(),
            bundle.expires_at(),
            bundle.entries().to_vec(),
        );
        assert_eq!(again.as_ref(), Ok(bundle));
    }
    decoded.into()
}

/// With the certificates inside.
pub(crate) fn trust_accept(data: &[u8]) -> Taken {
    let root = Root::from_pem(ROOT).expect("the committed root");
    root.accept_bundle(data).into()
}

pub(crate) fn trust_root(data: &[u8]) -> Taken {
    Root::from_pem(data).into()
}

/// What is read as a role, and written again, is read as the same.
pub(crate) fn tuf_metadata(data: &[u8]) -> Taken {
    let Ok(signed) = Signed::parse(data, 1 << 20) else {
        return Taken::Refused;
    };
    let json = signed.unverified();
    if let Ok(root) = tuf::Root::read(json) {
        assert_eq!(tuf::Root::read(&root.to_json()), Ok(root));
    } else if let Ok(timestamp) = Timestamp::read(json) {
        assert_eq!(Timestamp::read(&timestamp.to_json()), Ok(timestamp));
    } else if let Ok(snapshot) = Snapshot::read(json) {
        assert_eq!(Snapshot::read(&snapshot.to_json()), Ok(snapshot));
    } else if let Ok(targets) = Targets::read(json) {
        assert_eq!(Targets::read(&targets.to_json()), Ok(targets));
    } else {
        return Taken::Refused;
    }
    Taken::Accepted
}

pub(crate) fn status_list(data: &[u8]) -> Taken {
    let decoded = StatusList::decode(data);
    if let Ok(list) = &decoded {
        assert_eq!(StatusList::decode(&list.encode()).as_ref(), Ok(list));
    }
    decoded.into()
}

pub(crate) fn suspended_keys(data: &[u8]) -> Taken {
    let decoded = SuspendedKeys::decode(data);
    if let Ok(keys) = &decoded {
        assert_eq!(keys.encode(), data);
    }
    decoded.into()
}

pub(crate) fn fare_pack(data: &[u8]) -> Taken {
    let decoded = FarePack::decode(data);
    if let Ok(pack) = &decoded {
        assert_eq!(pack.bytes(), data);
        prices(pack);
    }
    decoded.into()
}

pub(crate) fn fare_tariff(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    let compiled = tariff::compile(text);
    if let Ok(pack) = &compiled {
        let read = FarePack::decode(pack.bytes()).expect("what is compiled can be read");
        assert_eq!(read.bytes(), pack.bytes());
        prices(pack);
    }
    compiled.into()
}

/// No ride costs more than its own fare, on whatever journey, and none is priced without a rule.
fn prices(pack: &FarePack) {
    let changes = pack.offsets().iter().map(|change| change.from);
    let times = [pack.valid_from(), pack.valid_until(), UnixTime(0)];
    let mut journey = None;
    for at in times.into_iter().chain(changes) {
        for class in 0..=CLASSES {
            let zone = Zone::new(class % ZONES).expect("below the number of zones");
            let Ok(quote) = price(pack, Boarding { class, zone, at }) else {
                continue;
            };
            let holds = |rule: &&FareRule| rule.classes.holds(class) && rule.zones.holds(zone);
            assert!(
                pack.rules()
                    .iter()
                    .filter(holds)
                    .any(|rule| rule.id == quote.fare.rule)
            );
            let (fare, after) = Journey::ride(journey, &quote);
            assert!(fare.amount_minor <= quote.fare.amount_minor);
            journey = Some(after);
        }
    }
}
