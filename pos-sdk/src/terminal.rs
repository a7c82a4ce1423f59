use obol_credential::{Cti, Kid, RefusalCode, UnixTime};
use obol_fare::{Boarding, Currency, Fare, FarePack, Journey, Quote, Zone, price};
use obol_tap::{FLAG_COMPANION, FLAG_DEGRADED, FareCharged, PackId, TapRecord};
use obol_verifier_sdk::{CodeIdentity, Novelty, Refusal, Verified, Verifier};

use crate::{
    Answer, Belief, Clock, ClockCheck, ClockFloor, Door, Durable, Freshness, Granted, Journal,
    JournalError, Opening, Recorded, Rules, Scanner, Trust, TrustRefused, TrustState, speed::Speed,
};

/// Bytes of a text that a scanner may hand over; the longest boarding code has 483. What is longer
/// is refused for its length, whatever it is.
pub const TEXT_MAX: usize = 1024;

/// A terminal: takes texts from the scanner, writes rides down, lets riders in.
#[derive(Debug)]
pub struct Terminal {
    rules: Rules,
    belief: Belief,
    speed: Speed,
    fares: Option<FarePack>,
    journal: Journal,
    floor: ClockFloor,
    counts: Counts,
    fault: Option<JournalError>,
}

/// What a scan led to.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// A new ride, written down: open the gate, then call [`Terminal::opened`].
    Granted(Granted),
    /// This code was paid before, and nothing says that the gate was opened for it: open the gate,
    /// then call [`Terminal::opened`]. Nothing was written down again.
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

/// Why a text was refused, and whose it was when both signatures were good.
struct Refused {
    refusal: Refusal,
    credential: Option<(Kid, Cti)>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            credential: None,
        }
    }
}

impl Terminal {
    /// Puts a terminal together. What it has taken before, the journal knows.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn new(
        rules: Rules,
        belief: impl Into<Belief>,
        fares: Option<FarePack>,
        journal: Journal,
    ) -> Result<Self, JournalError> {
        Ok(Self {
            rules,
            belief: belief.into(),
            speed: Speed::new(),
            fares,
            floor: journal.clock()?.into(),
            journal,
            counts: Counts::default(),
            fault: None,
        })
    }

    /// Computes tables of the issuer keys, so that an issuer's signature costs about a quarter: for
    /// a terminal that stays switched on. Takes 104 KiB for each P-384 key and once more, and the
    /// time of about six verifications each; from then on also after each change of what is
    /// believed.
    pub fn prepare(&mut self) {
        self.speed.prepare(self.belief.keys());
    }

    /// How many issuer keys have a table; none before [`Terminal::prepare`].
    #[must_use]
    pub fn prepared_keys(&self) -> usize {
        self.speed.table_count()
    }

    /// Believes another trust bundle from now on.
    ///
    /// # Errors
    /// [`TrustRefused`] when it may not take the place of the one in use, which stays.
    pub fn believe(&mut self, trust: Trust, now: UnixTime) -> Result<(), TrustRefused> {
        let in_use = match &self.belief {
            Belief::Bundle(in_use) => Some(in_use),
            Belief::State(_) => None,
        };
        trust.may_replace(in_use, now)?;
        self.belief = trust.into();
        self.speed.keys_changed(self.belief.keys());
        Ok(())
    }

    /// Believes what an update of the trust repository brought. The update has compared the
    /// versions.
    pub fn believe_state(&mut self, state: TrustState) {
        self.belief = state.into();
        self.speed.keys_changed(self.belief.keys());
    }

    /// Charges by another fare pack from now on.
    pub fn charge_by(&mut self, fares: FarePack) {
        self.fares = Some(fares);
    }

    /// Stands in another fare zone from now on.
    pub fn enter_zone(&mut self, zone: Zone) {
        self.rules.zone = zone;
    }

    /// Takes note of the time that a server tells over an authenticated connection. When it agrees
    /// with the clock, the clock's floor starts from here: the way out of `CLOCK_FAULT`.
    ///
    /// # Errors
    /// [`JournalError`] when it could not be stored; the floor stays.
    pub fn server_time(
        &mut self,
        server_time: UnixTime,
        now: UnixTime,
    ) -> Result<ClockCheck, JournalError> {
        let check = ClockFloor::check(server_time, now);
        if check == ClockCheck::Agrees {
            self.journal.confirm_clock(server_time)?;
            self.floor.confirm(server_time);
        }
        Ok(check)
    }

    /// The one call for a simple box: takes the scanner's texts until it is done.
    ///
    /// # Errors
    /// What the scanner or the door says. The terminal can go on after it.
    pub fn run<E>(
        &mut self,
        scanner: &mut impl Scanner<Error = E>,
        clock: &mut impl Clock,
        door: &mut impl Door<Error = E>,
    ) -> Result<(), E> {
        if !self.speed.is_prepared() {
            self.prepare();
        }
        while let Some(text) = scanner.next_text()? {
            self.take(&text, clock, door)?;
        }
        Ok(())
    }

    /// Takes one text and does what it leads to: decides, opens the gate or keeps it closed, and
    /// notes that it is open.
    ///
    /// # Errors
    /// What the door says. A gate that did not open opens for the same code again, within its
    /// window.
    pub fn take<D: Door>(
        &mut self,
        text: &[u8],
        clock: &mut impl Clock,
        door: &mut D,
    ) -> Result<Answer, D::Error> {
        let now = clock.now();
        let (granted, why) = match self.scan(text, now) {
            Decision::Granted(granted) => (granted, Opening::Granted),
            Decision::AlreadyPaid(granted) => (granted, Opening::AlreadyPaid),
            Decision::Refused(refusal) => {
                door.stay_closed(Some(&refusal))?;
                return Ok(Answer::Refused(refusal));
            }
            Decision::Ignored => {
                door.stay_closed(None)?;
                return Ok(Answer::Ignored);
            }
        };
        door.open(&granted, why)?;
        self.opened(granted, now);
        Ok(Answer::Opened(why))
    }

    /// Decides about one text from the scanner: verify, look for duplicates, price, write down,
    /// and only then grant (docs/spec/pt1.md section 4). One line end at the end is taken off.
    pub fn scan(&mut self, text: &[u8], now: UnixTime) -> Decision {
        match self.decide(without_line_end(text), now) {
            Ok(decision) => decision,
            Err(Refused {
                refusal,
                credential,
            }) => {
                self.counts.add(refusal.code);
                // A stranger's text leaves no trace but its count.
                if let Some(credential) = credential
                    && let Err(fault) = self.journal.refused(credential, refusal.code, now)
                {
                    self.fault.get_or_insert(fault);
                }
                Decision::Refused(refusal)
            }
        }
    }

    /// Takes note that the gate is open. Should that fail, the ride is on disk all the same, and
    /// [`Terminal::take_fault`] says why.
    pub fn opened(&mut self, granted: Granted, at: UnixTime) {
        if let Err(fault) = self.journal.opened(granted, at) {
            self.fault = Some(fault);
        }
    }

    fn decide(&mut self, text: &[u8], now: UnixTime) -> Result<Decision, Refused> {
        let freshness = self.check_trust(now)?;
        let (trust, cache) = self.speed.trust(self.belief.keys());
        let operator = self.rules.operator;
        let verified = Verifier { trust, operator }.verify_text_cached(text, now, cache)?;
        let code = verified.identity();
        self.judge(verified, freshness, now)
            .map_err(|refusal| Refused {
                refusal,
                credential: Some((code.kid, code.cti)),
            })
    }

    /// Both signatures are good: is it a ride?
    fn judge(
        &mut self,
        verified: Verified,
        freshness: Freshness,
        now: UnixTime,
    ) -> Result<Decision, Refusal> {
        let class = verified.claims().fare.class;
        if !self.rules.serves(class) {
            return Err(CLASS);
        }
        self.belief.check_status(&verified)?;
        match self.journal.recorded(&verified.identity()) {
            Ok(Recorded::No) => {}
            Ok(Recorded::Granted) => return Err(DUPLICATE),
            Ok(Recorded::Unopened(durable)) => return Ok(Decision::AlreadyPaid(durable.grant())),
            Err(fault) => return Err(self.storage_fault(fault, UNREADABLE)),
        }
        let mut flags = match freshness {
            Freshness::Degraded => FLAG_DEGRADED,
            Freshness::Fresh | Freshness::Expired => 0,
        };
        match self.novelty(&verified.identity(), class, now)? {
            Novelty::New => {}
            Novelty::Companion => flags |= FLAG_COMPANION,
            Novelty::Duplicate => return Err(DUPLICATE),
            Novelty::Silent => return Ok(Decision::Ignored),
            Novelty::Passback => return Err(PASSBACK),
        }
        let quote = self.quote(&verified, freshness)?;
        let fare = self.charged(&verified, &quote, flags)?;
        let durable = self.write_down(verified, fare, flags)?;
        self.floor.tapped(now);
        Ok(Decision::Granted(durable.grant()))
    }

    /// The journal remembers each use of a credential for longer than the credential lives, so
    /// that no crowd makes it forget one.
    fn novelty(
        &mut self,
        code: &CodeIdentity,
        class: u8,
        now: UnixTime,
    ) -> Result<Novelty, Refusal> {
        let since = now.minus(self.rules.velocity.within_s);
        let uses = match self.journal.uses(code.kid, code.cti, since) {
            Ok(uses) => uses,
            Err(fault) => return Err(self.storage_fault(fault, UNREADABLE)),
        };
        let novelty = self.rules.novelty(class, uses, now);
        let pays = matches!(novelty, Novelty::New | Novelty::Companion);
        if pays && self.rules.too_many(uses) {
            return Err(VELOCITY);
        }
        Ok(novelty)
    }

    fn check_trust(&mut self, now: UnixTime) -> Result<Freshness, Refusal> {
        if self.clock_is_wrong(now) {
            return Err(refusal(
                RefusalCode::ClockFault,
                "the clock is behind a time that is certain",
            ));
        }
        match self.freshness(now) {
            Freshness::Expired => Err(refusal(
                RefusalCode::BundleExpired,
                "the trust bundle is out of date",
            )),
            freshness => Ok(freshness),
        }
    }

    /// A process beside this one may have spoken with a server: before the terminal stands still,
    /// it looks.
    fn clock_is_wrong(&mut self, now: UnixTime) -> bool {
        let signed_at = self.belief.signed_at();
        if !self.floor.is_above(now, signed_at) {
            return false;
        }
        match self.journal.clock() {
            Ok(stored) => self.floor = stored.into(),
            Err(fault) => self.fault = Some(fault),
        }
        self.floor.is_above(now, signed_at)
    }

    /// How fresh the terminal's trust is.
    #[must_use]
    pub fn freshness(&self, now: UnixTime) -> Freshness {
        self.belief.freshness(now)
    }

    /// The time before which it cannot be.
    #[must_use]
    pub fn clock_floor(&self) -> UnixTime {
        self.floor.at(self.belief.signed_at())
    }

    /// The ride's own fare. The caps hold for it, transfer or not: what the terminal cannot know
    /// may take the transfer away.
    fn quote(&self, verified: &Verified, freshness: Freshness) -> Result<Quote, Refusal> {
        let terms = &verified.claims().fare;
        let pack = self
            .fares
            .as_ref()
            .ok_or(refusal(RefusalCode::FareUnknown, "no fare pack is loaded"))?;
        let boarding = Boarding {
            class: terms.class,
            zone: self.rules.zone,
            at: verified.at(),
        };
        let quote = price(pack, boarding).map_err(|_| {
            refusal(
                RefusalCode::FareUnknown,
                "the fare pack has no fare for this class here and now",
            )
        })?;
        let own_minor = quote.fare.amount_minor;
        if own_minor > terms.cap_minor {
            return Err(refusal(
                RefusalCode::Cap,
                "the fare is above the credential's cap",
            ));
        }
        if freshness != Freshness::Fresh && own_minor > self.rules.degraded_cap_minor {
            return Err(refusal(
                RefusalCode::Cap,
                "the fare is above the cap while the trust bundle is out of date",
            ));
        }
        Ok(quote)
    }

    /// What the ride costs as far as this terminal knows: it may continue a journey that began
    /// here. What other terminals know, the platform adds.
    fn charged(&mut self, verified: &Verified, quote: &Quote, flags: u8) -> Result<Fare, Refusal> {
        if quote.transfer.is_none() || flags & FLAG_COMPANION != 0 {
            return Ok(quote.fare);
        }
        let code = verified.identity();
        let rides = match self.journal.rides(code.kid, code.cti) {
            Ok(rides) => rides,
            Err(fault) => return Err(self.storage_fault(fault, UNREADABLE)),
        };
        let class = verified.claims().fare.class;
        let so_far = self
            .fares
            .as_ref()
            .and_then(|pack| journey(pack, class, &rides));
        Ok(Journey::ride(so_far, quote).0)
    }

    fn write_down(
        &mut self,
        verified: Verified,
        fare: Fare,
        flags: u8,
    ) -> Result<Durable, Refusal> {
        let charged = FareCharged {
            pack_id: PackId(fare.pack_id.0),
            rule: fare.rule.0,
            amount_minor: fare.amount_minor,
        };
        self.journal
            .append(verified, charged, flags, self.rules.zone.number())
            .map_err(|fault| self.storage_fault(fault, "the tap could not be written"))
    }

    fn storage_fault(&mut self, fault: JournalError, rule: &'static str) -> Refusal {
        self.fault = Some(fault);
        refusal(RefusalCode::StorageFault, rule)
    }

    /// What lay behind the last `STORAGE_FAULT`, or behind a note that could not be made; taken
    /// out.
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

/// The journey that these rides of one credential, by ascending time, are on. It begins anew with
/// each fare pack: what a ride cost by another pack, this one cannot say.
fn journey(pack: &FarePack, class: u8, rides: &[TapRecord]) -> Option<Journey> {
    let own = rides.iter().filter(|ride| ride.flags & FLAG_COMPANION == 0);
    own.fold(None, |so_far, ride| {
        let boarding = Boarding {
            class,
            zone: Zone::new(ride.zone.unwrap_or(0))?,
            at: ride.accepted_at,
        };
        let same_pack = ride.fare.pack_id.0 == pack.id().0;
        let quote = price(pack, boarding).ok().filter(|_| same_pack)?;
        Some(Journey::ride(so_far, &quote).1)
    })
}

const UNREADABLE: &str = "the journal cannot be read";
const CLASS: Refusal = refusal(
    RefusalCode::OutOfScope,
    "this terminal does not serve the class",
);
const VELOCITY: Refusal = refusal(
    RefusalCode::Velocity,
    "the credential has paid for too many rides here",
);
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
