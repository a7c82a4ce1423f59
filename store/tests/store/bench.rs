//! A platform on a bench: one store, one bank, terminals that sign their journals.

use std::path::PathBuf;

use obol_account::dpop::{Authenticated, Request, verify};
use obol_account::{AccountNumber, SubjectHandle};
use obol_fare::{Boarding, FarePack, FareRule, RuleId, Tariff, Zone, price};
use obol_ledger::Amount;
use obol_mint::{Mint, NOW, operator};
use obol_payment::channel::simulated_bank::{BankKey, parse_notify};
use obol_payment::channel::{Channel, Notice, Verified};
use obol_payment::order::{Order, OrderNumber};
use obol_payment::ride::{Epoch, Head, Intake, Reexamined, TerminalName, Upload};
use obol_payment::{Cti, Currency, Kid, Nonce, UnixTime};
use obol_store::{Book, PostedUpload, Reposted, SqliteStore};
use obol_tap::{
    FareCharged, PackId, SpkiId, TapRecord, TerminalKey, UnsignedSegment, VerifiedSegment,
};
use obol_verifier_sdk::{IssuerKey, TrustStore, Verifier};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::pkcs8::{EncodePublicKey, LineEnding};

/// When everything of a test arrives.
pub(crate) const RECEIVED_AT: UnixTime = NOW.plus(3_600);
/// The fare of class 1 before [`LATER`].
pub(crate) const FARE: i64 = 200;

/// A store in a directory of its own. When it goes, its books must be whole.
pub(crate) struct Bench {
    pub(crate) store: SqliteStore,
    pub(crate) directory: tempfile::TempDir,
}

pub(crate) fn book() -> Book {
    Book::new(Currency::new("CNY").unwrap(), 28_800).unwrap()
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("platform.sqlite"), book()).unwrap();
        Bench { store, directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("platform.sqlite")
    }

    /// A passenger whose phone has the key `phone`.
    pub(crate) fn passenger(&self, phone: u8) -> AccountNumber {
        let admitted = self
            .store
            .admit_newcomer(&request_of(phone, "0123456789abcdef"), NOW)
            .unwrap();
        let enrolment = self
            .store
            .enrol_passenger(&admitted, SubjectHandle([phone; 16]), NOW);
        enrolment.unwrap().passenger().number
    }

    /// A passenger to whom the credential `cti` was issued.
    pub(crate) fn rider(&self, phone: u8, cti: Cti) -> AccountNumber {
        let number = self.passenger(phone);
        self.store
            .bind_credential(kid(), cti, number, NOW.plus(86_400), NOW)
            .unwrap();
        number
    }

    pub(crate) fn order(&self, number: AccountNumber, amount_minor: i64) -> Order {
        let wallet = number.wallet();
        let order = OrderNumber::new(wallet, [amount_minor as u8; 10]);
        let order = Order::open(order, wallet, amount_minor, Channel::SimulatedBank, NOW).unwrap();
        self.store.create_order(&order).unwrap();
        order
    }

    pub(crate) fn recharge(&self, number: AccountNumber, amount_minor: i64) {
        let order = self.order(number, amount_minor);
        let notice = notice("T1", &order, amount_minor, NOW);
        self.store.credit_recharge(&notice, NOW).unwrap();
    }

    pub(crate) fn post(&self, upload: &Upload) -> PostedUpload {
        self.store.post_rides(upload).unwrap()
    }

    /// Examines every refused record again.
    pub(crate) fn reexamine(&self, known: &Known) -> Vec<Reposted> {
        let records = self.store.rejected(None).unwrap();
        let repost = |(record, _)| {
            let record = known.rules(|rules| Reexamined::of(record, rules));
            self.store.repost(&record, known.now).unwrap()
        };
        records.into_iter().map(repost).collect()
    }

    pub(crate) fn balance(&self, number: AccountNumber) -> i64 {
        self.store
            .statement(number, 0, u32::MAX)
            .unwrap()
            .closing
            .minor()
    }
}

/// What a platform knows when it examines a record.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) keys: Vec<IssuerKey>,
    pub(crate) packs: Vec<FarePack>,
    pub(crate) now: UnixTime,
}

impl Known {
    /// The issuer's key, every fare pack, and the right time.
    pub(crate) fn everything() -> Known {
        Known {
            keys: vec![Mint::default().issuer_key()],
            packs: packs().to_vec(),
            now: RECEIVED_AT,
        }
    }

    fn rules<T>(&self, examine: impl FnOnce(&Intake<'_>) -> T) -> T {
        let trust = TrustStore::new(&self.keys);
        let verifier = Verifier {
            trust,
            operator: operator(),
        };
        examine(&Intake {
            verifier,
            packs: &self.packs,
            received_at: self.now,
            now: self.now,
        })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let report = self.store.check_books().unwrap();
            assert_eq!(report.findings, []);
            assert_eq!(report.trial_balance.difference(), Ok(Amount::ZERO));
        }
    }
}

pub(crate) fn kid() -> Kid {
    Mint::default().issuer_key().kid()
}

/// A request of the phone whose key is `phone`, as DPoP would authenticate it.
pub(crate) fn request_of(phone: u8, jti: &str) -> Authenticated {
    let key = SigningKey::from_slice(&[phone; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let base64 = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    let (x, y) = (
        base64(&point.as_bytes()[1..33]),
        base64(&point.as_bytes()[33..]),
    );
    let header = format!(
        r#"{{"typ":"dpop+jwt","alg":"ES256",
             "jwk":{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}}}"#
    );
    let claims = format!(r#"{{"jti":"{jti}","htm":"GET","htu":"https://p/","iat":{NOW}}}"#);
    let signed = format!(
        "{}.{}",
        base64(header.as_bytes()),
        base64(claims.as_bytes())
    );
    let signature: Signature = key.sign(signed.as_bytes());
    let proof = format!("{signed}.{}", base64(&signature.to_bytes()));
    let request = Request {
        method: "GET",
        url: "https://p/",
        body: b"",
    };
    verify(proof.as_bytes(), &request, NOW).unwrap()
}

/// What the bank says: `transaction` paid `order`.
pub(crate) fn notice(
    transaction: &str,
    order: &Order,
    amount_minor: i64,
    paid_at: UnixTime,
) -> Verified<Notice> {
    let key = SigningKey::from_slice(&[77; 32]).unwrap();
    let pem = key
        .verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .unwrap();
    let number = order.number;
    let body = format!(
        r#"{{"transaction":"{transaction}","order":"{number}","amount_minor":{amount_minor},
             "currency":"CNY","paid_at":{paid_at}}}"#
    );
    let signature: Signature = key.sign(format!("{NOW}.{body}").as_bytes());
    let signature = data_encoding::BASE64URL_NOPAD.encode(&signature.to_bytes());
    let header = format!("t={NOW},v1={signature}");
    let key = BankKey::from_pem(&pem).unwrap();
    parse_notify(header.as_bytes(), body.as_bytes(), &key, NOW).unwrap()
}

/// A boarding code made at `issued_at`.
pub(crate) fn code(cti: Cti, counter: u32, issued_at: UnixTime, nonce: u8) -> Mint {
    let mut mint = Mint::default();
    mint.claims.cti = cti;
    mint.dynamic.counter = counter;
    mint.dynamic.issued_at = issued_at;
    mint.dynamic.nonce = Nonce([nonce; 4]);
    mint
}

/// A terminal and its journal.
#[derive(Clone)]
pub(crate) struct Terminal {
    pub(crate) name: TerminalName,
    pub(crate) epoch: Epoch,
    records: Vec<Vec<u8>>,
    heads: Vec<Head>,
}

impl Terminal {
    pub(crate) fn new(name: &str) -> Terminal {
        let (name, epoch) = (TerminalName::new(name).unwrap(), Epoch([1; 8]));
        let heads = vec![Head::origin(&name, epoch)];
        Terminal {
            name,
            epoch,
            records: Vec::new(),
            heads,
        }
    }

    /// Journals a tap of `code` at the time it was made.
    pub(crate) fn tap(&mut self, code: &Mint) -> &mut Terminal {
        self.tap_at(code, code.dynamic.issued_at)
    }

    pub(crate) fn tap_at(&mut self, code: &Mint, accepted_at: UnixTime) -> &mut Terminal {
        let packs = packs();
        let boarding = Boarding {
            class: 1,
            zone: Zone::NONE,
            at: accepted_at,
        };
        let quotes = packs.iter().map(|pack| price(pack, boarding));
        let fare = quotes.flatten().next().unwrap().fare;
        let (pack_id, rule) = (PackId(fare.pack_id.0), fare.rule.0);
        self.tap_charging(
            code,
            accepted_at,
            FareCharged {
                pack_id,
                rule,
                amount_minor: fare.amount_minor,
            },
        )
    }

    pub(crate) fn tap_charging(
        &mut self,
        code: &Mint,
        accepted_at: UnixTime,
        fare: FareCharged,
    ) -> &mut Terminal {
        let record = TapRecord {
            seq: self.records.len() as u64 + 1,
            accepted_at,
            terminal: self.name.clone(),
            presentation: code.code(),
            fare,
            flags: 0,
            zone: Some(0),
        };
        self.records.push(record.encode());
        let head = self.head().then(self.records.last().unwrap());
        self.heads.push(head);
        self
    }

    /// Records so far.
    pub(crate) fn taken(&self) -> u64 {
        self.records.len() as u64
    }

    pub(crate) fn head(&self) -> Head {
        *self.heads.last().unwrap()
    }

    /// The whole journal as one upload.
    pub(crate) fn upload(&self) -> Upload {
        self.upload_of(1, self.records.len() as u64)
    }

    /// The records `first..=last`, signed, sent, verified and examined.
    pub(crate) fn upload_of(&self, first: u64, last: u64) -> Upload {
        self.upload_to(&Known::everything(), first, last)
    }

    /// The same, examined by a platform that knows no more than this.
    pub(crate) fn upload_to(&self, known: &Known, first: u64, last: u64) -> Upload {
        let key = SigningKey::from_slice(&[99; 32]).unwrap();
        let public =
            TerminalKey::from_sec1(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap();
        let kid: SpkiId = public.id();
        let records = &self.records[first as usize - 1..last as usize];
        let previous = self.heads[first as usize - 1];
        let segment =
            UnsignedSegment::new(&self.name, self.epoch, first, previous, records).unwrap();
        let signature: Signature = key.sign(&segment.signature_input(kid));
        let bytes = segment.assemble(kid, &signature.to_bytes().into());
        let segment = VerifiedSegment::decode(&bytes, &public).unwrap();
        known.rules(|rules| Upload::examine(&segment, rules))
    }
}

/// From here on class 1 pays [`LATER_FARE`].
pub(crate) const LATER: UnixTime = NOW.plus(95);
/// The fare of class 1 from [`LATER`] on.
pub(crate) const LATER_FARE: i64 = 300;

/// Class 1 pays [`FARE`] before [`LATER`].
pub(crate) fn pack() -> FarePack {
    pack_of(FARE, NOW.minus(86_400), LATER.minus(1))
}

fn packs() -> [FarePack; 2] {
    [pack(), pack_of(LATER_FARE, LATER, NOW.plus(86_400))]
}

fn pack_of(fare: i64, from: UnixTime, until: UnixTime) -> FarePack {
    let rule = FareRule::flat(RuleId(10), 1, fare as u32);
    FarePack::new(Tariff::plain(
        Currency::new("CNY").unwrap(),
        from,
        until,
        vec![rule],
    ))
    .unwrap()
}
