use super::*;
use obol_credential::Algorithm;
use obol_kms_client::wire::{WireAudit, WireToken};
use obol_kms_client::{KeyClass, KeyState, SpkiId};

fn key(seed: u8, token: Option<&str>) -> KeyInfo {
    KeyInfo {
        spki: SpkiId([seed; 32]),
        spki_der: Vec::new(),
        algorithm: Algorithm::Esp384,
        class: KeyClass::Issuer,
        state: KeyState::Active,
        token: token.map(str::to_owned),
    }
}

fn status(healths: [TokenHealth; 2]) -> Status {
    let token = |(serial, health): (&str, TokenHealth)| WireToken {
        label: "issuer".to_owned(),
        serial: serial.to_owned(),
        health,
        restarts: 0,
    };
    Status {
        tokens: ["a", "b"].into_iter().zip(healths).map(token).collect(),
        audit: WireAudit {
            leaves: 0,
            signed: 0,
            witnessed: 0,
            trouble: None,
        },
    }
}

fn away() -> TokenHealth {
    TokenHealth::Degraded("gone".to_owned())
}

fn with_keys() -> (Arc<Availability>, [Kid; 3]) {
    let availability = Arc::<Availability>::default();
    let keys = [key(1, Some("a")), key(2, Some("b")), key(3, None)];
    availability.hear_keys(&keys);
    (availability, keys.map(|key| key.spki.kid()))
}

fn has(availability: &Availability, kids: [Kid; 3]) -> [bool; 3] {
    kids.map(|kid| availability.has(kid))
}

#[test]
fn a_token_is_away_after_three_looks_in_a_row_and_back_after_one() {
    let (availability, kids) = with_keys();
    for _ in 0..2 {
        availability.hear_status(&status([away(), TokenHealth::Ready]));
        assert_eq!(has(&availability, kids), [true; 3]);
    }
    availability.hear_status(&status([away(), TokenHealth::Ready]));
    assert_eq!(has(&availability, kids), [false, true, true]);
    assert!(availability.enter(kids[0]).is_none() && availability.refuses(kids[0]));
    // Of a key whose token is not said, all tokens must be away.
    for _ in 0..3 {
        availability.hear_status(&status([away(), away()]));
    }
    assert_eq!(has(&availability, kids), [false; 3]);
    availability.hear_status(&status([TokenHealth::Ready, away()]));
    assert_eq!(has(&availability, kids), [true, false, true]);
}

#[test]
fn a_daemon_that_says_nothing_three_times_has_no_key_until_it_speaks() {
    let (availability, kids) = with_keys();
    (0..2).for_each(|_| availability.hear_nothing(Nothing::AtOnce));
    assert_eq!(has(&availability, kids), [true; 3]);
    availability.hear_nothing(Nothing::AtOnce);
    assert_eq!(has(&availability, kids), [false; 3]);
    availability.hear_status(&status([TokenHealth::Ready, TokenHealth::Ready]));
    (0..2).for_each(|_| availability.hear_nothing(Nothing::InTime));
    assert_eq!(has(&availability, kids), [false; 3]);
    availability.hear_status(&status([TokenHealth::Ready, TokenHealth::Ready]));
    assert_eq!(has(&availability, kids), [true; 3]);
}

fn late() -> Result<(), KmsError> {
    Err(KmsError::Deadline)
}

#[test]
fn after_a_signature_that_did_not_come_one_at_a_time_tries_until_one_comes() {
    let (availability, [kid, other, _]) = with_keys();
    let begun = Instant::now();
    let passes = [(); 2].map(|()| availability.enter(kid).unwrap());
    let [first, second] = passes;
    first.ended(begun, &late());
    assert!(!second.holds(), "nobody else waits for it in vain");
    drop(second);
    assert!(availability.has(other));
    let trial = availability.enter(kid).unwrap();
    assert!(trial.holds() && availability.enter(kid).is_none() && availability.refuses(kid));
    // A trial that was given up is none.
    drop(trial);
    assert!(!availability.refuses(kid));
    let trial = availability.enter(kid).unwrap();
    trial.ended(begun, &late());
    assert!(availability.enter(kid).is_none(), "not so soon");
    std::thread::sleep(TRY_EVERY);
    availability.enter(kid).unwrap().ended(begun, &Ok(()));
    assert!(availability.has(kid) && availability.enter(kid).is_some());
}

#[test]
fn a_request_tries_with_all_its_items_and_stops_with_the_first_that_gets_nothing() {
    let (availability, [kid, other, _]) = with_keys();
    let begun = Instant::now();
    availability.enter(kid).unwrap().ended(begun, &late());
    let mut passes = Passes::new(&availability);
    let [first, second] = [(); 2].map(|()| passes.of(kid).unwrap());
    assert!(passes.of(other).is_some() && Passes::new(&availability).of(kid).is_none());
    first.ended(begun, &late());
    assert!(!second.holds() && passes.of(kid).is_none());
    second.ended(begun, &Ok(()));
    assert!(availability.has(kid) && Passes::new(&availability).of(kid).is_some());
}

#[test]
fn a_token_that_is_said_to_be_ready_gets_requests_again_one_at_a_time() {
    let (availability, [kid, ..]) = with_keys();
    availability
        .enter(kid)
        .unwrap()
        .ended(Instant::now(), &late());
    let ready = status([TokenHealth::Ready, TokenHealth::Ready]);
    for _ in 0..3 {
        assert!(!availability.has(kid));
        availability.hear_status(&ready);
    }
    assert!(availability.has(kid));
    let trial = availability.enter(kid).unwrap();
    assert!(!availability.has(kid) && availability.enter(kid).is_none());
    trial.ended(Instant::now(), &late());
    assert!(!availability.has(kid), "three looks again");
}

#[test]
fn a_key_that_serves_others_meanwhile_is_slow_and_not_away_and_a_refusal_is_no_silence() {
    let (availability, [kid, ..]) = with_keys();
    let begun = Instant::now();
    availability.enter(kid).unwrap().ended(begun, &Ok(()));
    availability.enter(kid).unwrap().ended(begun, &late());
    assert!(availability.has(kid));
    let kind = RefusalKind::Denied;
    let reason = "the policy does not permit it".to_owned();
    let denied: Result<(), _> = Err(KmsError::Refused { kind, reason });
    let pass = availability.enter(kid).unwrap();
    pass.ended(Instant::now(), &denied);
    assert!(availability.has(kid));
}
