//! What runs out by itself: certificates and the revocation list.

use std::path::Path;

use obol_console::{read_limited, utc_text};
use obol_credential::UnixTime;
use x509_parser::pem::{Pem, parse_x509_pem};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

use crate::config::Config;
use crate::shards::Shards;

const PEM_MAX: usize = 8 * 1024 * 1024;

/// Something with an end, as metrics and people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// `issuer-certificate`, `tls-certificate` or `revocation-list`.
    pub(crate) what: &'static str,
    /// The kid of an issuer's certificate, else `main`.
    pub(crate) name: String,
    /// The last second at which it counts.
    pub(crate) at: UnixTime,
}

impl Expiry {
    /// A line for people.
    pub(crate) fn line(&self, now: UnixTime) -> String {
        let (verb, at) = match now <= self.at {
            true => ("until", utc_text(self.at.0)),
            false => ("ended", utc_text(self.at.0)),
        };
        format!("{} {} {verb} {at}\n", self.what, self.name)
    }
}

/// Of the files of a configuration. What cannot be read is left out: whoever needs it says why.
pub(crate) fn of(config: &Config, shards: &Shards) -> Vec<Expiry> {
    let signing = shards.signing().iter().map(|shard| &shard.certificate);
    let issuers = signing.map(|certificate| Expiry {
        what: "issuer-certificate",
        name: certificate.kid().to_string(),
        at: certificate.not_after(),
    });
    let own = |what, at: Option<UnixTime>| {
        let name = "main".to_owned();
        at.map(|at| Expiry { what, name, at })
    };
    let tls = own("tls-certificate", certificate_end(&config.tls.certificate));
    let list = config.tls.crl.as_deref().and_then(list_end);
    let list = own("revocation-list", list);
    issuers.chain(tls).chain(list).collect()
}

fn certificate_end(path: &Path) -> Option<UnixTime> {
    let pem = read_limited(path, PEM_MAX).ok()?;
    let (_, pem) = parse_x509_pem(&pem).ok()?;
    Some(seconds(pem.parse_x509().ok()?.validity().not_after))
}

/// When the first of a file's lists is out of date.
fn list_end(path: &Path) -> Option<UnixTime> {
    let pem = read_limited(path, PEM_MAX).ok()?;
    let lists = Pem::iter_from_buffer(&pem).map(|section| {
        let section = section.ok()?;
        let (_, list) = CertificateRevocationList::from_der(&section.contents).ok()?;
        list.next_update().map(seconds)
    });
    lists.collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// Before 1970 is 1970, and what lasts longer than our numbers lasts until their end.
pub(crate) fn seconds(time: ASN1Time) -> UnixTime {
    let unix = time.timestamp().clamp(0, u32::MAX.into());
    UnixTime(u32::try_from(unix).expect("it was clamped"))
}
