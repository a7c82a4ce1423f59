//! Certificates, requests, lists, and the rules for them.

use std::path::Path;

use obol_credential::UnixTime;
use obol_kms::x509::{
    Certificate, CertificateRequest, IssuerCertificate, Officers, RevocationList, Rules,
};
use obol_mint::DEVICE;
use obol_transport::Peer;

use crate::Taken;
use crate::files::with_folder;

/// When the waivers of the seeds are good.
const NOW: UnixTime = UnixTime(1_800_000_000);
/// The roster of the seeds.
const ROSTER: [u8; 32] = [7; 32];

pub(crate) fn certificate(data: &[u8]) -> Taken {
    let read = Certificate::from_pem(data);
    if let Ok(certificate) = &read {
        let again = Certificate::from_pem(certificate.to_pem().as_bytes());
        assert_eq!(again.as_ref(), Ok(certificate));
        drop(IssuerCertificate::read(certificate));
    }
    read.into()
}

pub(crate) fn certificate_request(data: &[u8]) -> Taken {
    let read = CertificateRequest::from_pem(data);
    if let Ok(request) = &read {
        assert!(request.uri().starts_with("obol://"));
    }
    read.into()
}

pub(crate) fn revocation_list(data: &[u8]) -> Taken {
    let read = RevocationList::from_pem(data);
    if let Ok(list) = &read {
        let again = RevocationList::from_pem(list.to_pem().as_bytes());
        assert_eq!(again.as_ref(), Ok(list));
        assert!(list.serials().len() <= data.len());
    }
    read.into()
}

/// The identity in a DER certificate.
pub(crate) fn peer_certificate(data: &[u8]) -> Taken {
    let read = Peer::from_certificate(data);
    if let Ok(peer) = &read {
        assert_eq!(peer.uri, format!("obol://{}/{}", peer.role, peer.name));
    }
    read.into()
}

pub(crate) fn lints(data: &[u8]) -> Taken {
    rules("lints.toml", data)
}

/// A profile, as that of servers.
pub(crate) fn profile(data: &[u8]) -> Taken {
    rules("profiles/server.toml", data)
}

fn rules(changed: &str, data: &[u8]) -> Taken {
    const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies");
    with_folder(|folder| {
        let profiles = folder.join("profiles");
        std::fs::create_dir_all(&profiles).expect("a temporary folder takes a folder");
        let names = std::fs::read_dir(Path::new(POLICIES).join("profiles")).expect("profiles");
        let names = names.map(|entry| entry.expect("an entry").file_name());
        let mut files: Vec<_> = names.map(|name| Path::new("profiles").join(name)).collect();
        files.push("lints.toml".into());
        for file in files {
            let to = folder.join(&file);
            if file == Path::new(changed) {
                std::fs::write(to, data).expect("a temporary folder takes a file");
            } else {
                std::fs::copy(Path::new(POLICIES).join(&file), to).expect("a committed file");
            }
        }
        Rules::load(folder).into()
    })
}

pub(crate) fn waivers(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    let officer = |secret| {
        let key = obol_mint::Issuer { secret, ..DEVICE };
        *key.device_key().as_sec1()
    };
    let officers = Officers::new(ROSTER, [("alice", officer(21)), ("bob", officer(22))]);
    let officers = officers.expect("two points");
    Rules::built_in().with_waivers(text, &officers, NOW).into()
}
