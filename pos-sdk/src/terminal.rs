use obol_credential::{RefusalCode, UnixTime};
use obol_fare::{Currency, Fare, FarePack, price};
use obol_tap::{FareCharged, PackId};
use obol_verifier_sdk::{
    CodeIdentity, Novelty, Operator, Passback, Refusal, TrustStore, Verified, Verifier,
};

use crate::{Durable, Granted, Journal, JournalError, Recorded, Trust, TrustRefused};

/// Classes that exist: one bit each, 0 ..= 31.
pub const ALL_CLASSES: u32 = u32::MAX;

/// What a terminal takes fares for, and how.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The operator.
    pub operator: Operator,
    /// The rider classes it serves, one bit each.
    pub classes: u32,
    /// What a second code of one credential means.
    pub passback: Passback,
}

/// A terminal: takes texts from the scanner, writes rides down, lets riders in.
#[derive(Debug)]
pub struct Terminal {
    rules: Rules,
    trust: Trust,
    fares: Option<FarePack>,
    journal: Journal,
    counts: Counts,
    fault: Option<JournalError>,
}

/// What a scan led to.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// A new ride, written down: open the gate.
    Granted(Granted),
    /// This code was paid before, and nothing says that the gate was opened for it: open the gate.
    /// Nothing was written down again.
    AlreadyPaid(Granted),
    /// Keep the gate closed and say why.
    Refused(Refusal),
    /// The credential was used less than three seconds ago: keep the gate as it is, say nothing.
    Ignored,
}

/// How often each refusal was given since the terminal started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts([u32; RefusalCode::all().len()]);

impl Counts {
    /// How often `code` was the answer.
    #[must_use]
    pub fn of(&self, code: RefusalCode) -> u32 {
        self.0[usize::from(code.number()) - 1]
    }

    fn add(&mut self, code: RefusalCode) {
        let count = &mut self.0[usize::from(code.number()) - 1];
        *count = count.saturating_add(1);
    }
}

impl Terminal {
    /// Puts a terminal together. What it has taken before, the journal knows.
    #[must_use]
    pub fn new(rules: Rules, trust: Trust, fares: Option<FarePack>, journal: Journal) -> Self {
        Self {
            rules,
            trust,
            fares,
            journal,
            counts: Counts::default(),
            fault: None,
        }
    }

    /// Believes another trust bundle from now on.
    ///
    /// # Errors
    /// [`TrustRefused`] when it may not take the place of the one in use, which stays.
    pub fn believe(&mut self, trust: Trust, now: UnixTime) -> Result<(), TrustRefused> {
        trust.may_replace(Some(&self.trust), now)?;
        self.trust = trust;
        Ok(())
    }

    /// Charges by another fare pack from now on.
    pub fn charge_by(&mut self, fares: FarePack) {
        self.fares = Some(fares);
    }

    /// Decides about one text from the scanner: verify, look for duplicates, price, write down,
    /// and only then grant (docs/spec/pt1.md section 4). One line end at the end is taken off.
    pub fn scan(&mut self, text: &[u8], now: UnixTime) -> Decision {
        let decision = self
            .decide(without_line_end(text), now)
            .unwrap_or_else(Decision::Refused);
        if let Decision::Refused(refusal) = &decision {
            self.counts.add(refusal.code);
        }
        decision
    }

    fn decide(&mut self, text: &[u8], now: UnixTime) -> Result<Decision, Refusal> {
        self.check_trust(now)?;
        let verifier = Verifier {
            trust: TrustStore::new(self.trust.keys()),
            operator: self.rules.operator,
        };
        let verified = verifier.verify_text(text, now)?;
        self.check_class(&verified)?;
        match self.journal.recorded(&verified.identity()) {
            Ok(Recorded::No) => {}
            Ok(Recorded::Granted) => return Err(DUPLICATE),
            Ok(Recorded::Unopened(durable)) => {
                return self.open(durable, now).map(Decision::AlreadyPaid);
            }
            Err(fault) => return Err(self.storage_fault(fault, UNREADABLE)),
        }
        match self.novelty(&verified.identity(), now)? {
            Novelty::New | Novelty::Companion => {}
            Novelty::Duplicate => return Err(DUPLICATE),
            Novelty::Silent => return Ok(Decision::Ignored),
            Novelty::Passback => return Err(PASSBACK),
        }
        let fare = self.fare(&verified, now)?;
        let durable = self.write_down(verified, fare)?;
        self.open(durable, now).map(Decision::Granted)
    }

    /// The journal remembers each use of a credential for good, so that no length of the passback
    /// interval and no crowd makes it forget one.
    fn novelty(&mut self, code: &CodeIdentity, now: UnixTime) -> Result<Novelty, Refusal> {
        match self.journal.last_use(code.kid, code.cti) {
            Ok(None) => Ok(Novelty::New),
            Ok(Some(last)) => Ok(self.rules.passback.novelty(now.since(last))),
            Err(fault) => Err(self.storage_fault(fault, UNREADABLE)),
        }
    }

    fn check_trust(&self, now: UnixTime) -> Result<(), Refusal> {
        if self.trust.is_from_the_future(now) {
            return Err(refusal(
                RefusalCode::ClockFault,
                "the clock is behind the trust bundle's issue",
            ));
        }
        if self.trust.has_expired(now) {
            return Err(refusal(
                RefusalCode::BundleExpired,
                "the trust bundle is out of date",
            ));
        }
        Ok(())
    }

    fn check_class(&self, verified: &Verified) -> Result<(), Refusal> {
        let class = u32::from(verified.claims().fare.class);
        if self.rules.classes & (1 << class) == 0 {
            return Err(refusal(
                RefusalCode::OutOfScope,
                "this terminal does not serve the class",
            ));
        }
        Ok(())
    }

    fn fare(&self, verified: &Verified, now: UnixTime) -> Result<Fare, Refusal> {
        let terms = &verified.claims().fare;
        let pack = self
            .fares
            .as_ref()
            .ok_or(refusal(RefusalCode::FareUnknown, "no fare pack is loaded"))?;
        let fare = price(pack, terms.class, now).map_err(|_| {
            refusal(
                RefusalCode::FareUnknown,
                "the fare pack has no fare for this class now",
            )
        })?;
        if fare.amount_minor > terms.cap_minor {
            return Err(refusal(
                RefusalCode::Cap,
                "the fare is above the credential's cap",
            ));
        }
        Ok(fare)
    }

    fn write_down(&mut self, verified: Verified, fare: Fare) -> Result<Durable, Refusal> {
        let charged = FareCharged {
            pack_id: PackId(fare.pack_id.0),
            rule: fare.rule.0,
            amount_minor: fare.amount_minor,
        };
        self.journal
            .append(verified, charged)
            .map_err(|fault| self.storage_fault(fault, "the tap could not be written"))
    }

    fn open(&mut self, durable: Durable, now: UnixTime) -> Result<Granted, Refusal> {
        self.journal.grant(durable, now).map_err(|fault| {
            self.storage_fault(fault, "paid, but the gate's opening could not be written")
        })
    }

    fn storage_fault(&mut self, fault: JournalError, rule: &'static str) -> Refusal {
        self.fault = Some(fault);
        refusal(RefusalCode::StorageFault, rule)
    }

    /// What lay behind the last `STORAGE_FAULT`; taken out.
    pub fn take_fault(&mut self) -> Option<JournalError> {
        self.fault.take()
    }

    /// How often each refusal was given since the terminal started.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The currency of the fare pack, three capital letters; `None` while there is no pack.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        self.fares.as_ref().map(FarePack::currency)
    }

    /// The journal, to upload from.
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }
}

const UNREADABLE: &str = "the journal cannot be read";
const DUPLICATE: Refusal = refusal(RefusalCode::Duplicate, "this code was taken before");
const PASSBACK: Refusal = refusal(
    RefusalCode::Passback,
    "the credential was used here within the passback interval",
);

const fn refusal(code: RefusalCode, rule: &'static str) -> Refusal {
    Refusal { code, rule }
}

/// Takes off exactly one CR, LF or CR LF: a scanner's suffix. Anything more is part of the text.
fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::without_line_end;

    #[test]
    fn exactly_one_line_end_is_taken_off_and_no_space() {
        for (text, left) in [
            ("A", "A"),
            ("A\n", "A"),
            ("A\r", "A"),
            ("A\r\n", "A"),
            ("A\n\n", "A\n"),
            ("A\r\r", "A\r"),
            ("A \r\n", "A "),
            (" A", " A"),
        ] {
            assert_eq!(
                without_line_end(text.as_bytes()),
                left.as_bytes(),
                "{text:?}"
            );
        }
    }
}
