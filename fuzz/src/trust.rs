//! What a terminal believes and charges by (docs/spec/trust.md, docs/spec/fare-pack.md).

use obol_credential::UnixTime;
use obol_fare::{FarePack, price, tariff};
use obol_trust::TrustBundle;
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

fn prices(pack: &FarePack) {
    for at in [pack.valid_from(), pack.valid_until(), UnixTime(0)] {
        for class in 0..=u8::MAX {
            let fare = price(pack, class, at);
            let has_rule = pack.rules().iter().any(|rule| rule.class == class);
            assert!(fare.is_err() || has_rule);
        }
    }
}
