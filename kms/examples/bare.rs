//! How many signatures a token makes in so many seconds for a program that does the least one can:
//! `C_Sign` and a verification by `p384` or `p256`, on so many sessions. The benchmark of the issuer
//! puts its figures beside this one.
//!
//! `bare TOKEN.token.toml ISSUER.pem KEY-LABEL SESSIONS SECONDS` prints signatures a second.

#![allow(clippy::unwrap_used)] // a measurement that cannot be set up has nothing to say

#[path = "../benches/kms/bare.rs"]
mod bare;

use std::env;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use obol_credential::{Claims, Cti, DeviceKey, FareTerms, UnixTime};
use obol_kms::x509::{Certificate, IssuerCertificate};
use obol_kms::{IssuerKey, Module, Token, TokenConfig};

use bare::{Bare, Place};

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [token, certificate, label, sessions, seconds] = &arguments[..] else {
        eprintln!("error: five arguments are needed\nhelp: see the head of kms/examples/bare.rs");
        std::process::exit(2);
    };
    let sessions: usize = sessions.parse().unwrap();
    let lasting = Duration::from_secs_f64(seconds.parse().unwrap());
    let config = TokenConfig::load(Path::new(token)).unwrap();
    let module = Module::load(&config.module).unwrap();
    let opened = Token::open(&module, &config, 1).unwrap();
    let certificate = Certificate::from_pem(&fs::read(certificate).unwrap()).unwrap();
    let issuer = IssuerKey::find(&opened, IssuerCertificate::read(&certificate).unwrap()).unwrap();
    let place = Place {
        module: &config.module,
        token: &config.label,
        label,
    };
    let bare = Bare::open(&issuer, &place, &claims().encode(), sessions);
    let (signed, begun) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..sessions {
            let (bare, signed) = (&bare, &signed);
            scope.spawn(move || {
                while begun.elapsed() < lasting {
                    bare.sign(thread);
                    signed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let signed = signed.into_inner() as f64;
    println!("{:.1}", signed / begun.elapsed().as_secs_f64());
}

fn claims() -> Claims {
    let mut point = [0x11; 33];
    point[0] = 2;
    Claims {
        issued_at: UnixTime(1_800_000_000),
        expires_at: UnixTime(1_800_086_400),
        cti: Cti([7; 8]),
        device_key: DeviceKey::from_sec1(point).unwrap(),
        fare: FareTerms {
            class: 1,
            cap_minor: 1_000,
            window_s: 30,
            status_index: 9,
            flags: 0,
        },
    }
}
