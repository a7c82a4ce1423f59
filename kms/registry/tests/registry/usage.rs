//! Counters and rates.

use obol_credential::UnixTime;
use obol_kms_registry::{
    CLIENT_MAX, Class, CountError, Limits, PayloadType, Rate, Registry, Signable, SpkiId, State,
};

use crate::world::{DAY, NOW, PROPAGATION, World, later, new_key};

fn limits(lifetime: u64, per_key: (u32, u32, u32), per_client: (u32, u32, u32)) -> Limits {
    let rate = |(permits, per_s, burst)| Rate::new(permits, per_s, burst).unwrap();
    Limits::new(lifetime, rate(per_key), rate(per_client)).unwrap()
}

/// An active audit key with these limits.
fn active(world: &World, limits: Limits) -> SpkiId {
    let mut key = new_key(Class::Audit, 1);
    key.limits = limits;
    world.registry.register(&key, NOW).unwrap();
    world.go(key.spki, State::Published, NOW).unwrap();
    world
        .go(key.spki, State::Active, later(PROPAGATION))
        .unwrap();
    key.spki
}

fn signable(registry: &Registry, spki: SpkiId) -> Signable {
    registry
        .signable(spki, PayloadType::LogCheckpoint, NOW)
        .unwrap()
}

const FREE: (u32, u32, u32) = (100_000, 1, 100_000);

/// Uses until the first refusal, and the refusal.
fn drain(registry: &Registry, spki: SpkiId, client: &str, now: UnixTime) -> (u64, CountError) {
    let signable = signable(registry, spki);
    let mut uses = 0;
    loop {
        match registry.count(&signable, client, now) {
            Ok(_) => uses += 1,
            Err(refused) => return (uses, refused),
        }
    }
}

#[test]
fn uses_are_numbered_from_one_without_gaps() {
    let world = World::new();
    let spki = active(&world, limits(1_000_000, FREE, FREE));
    let signable = signable(&world.registry, spki);
    for number in 1..=2_500 {
        let counted = world.registry.count(&signable, "issuer", NOW).unwrap();
        assert_eq!((counted.number(), counted.spki()), (number, spki));
    }
    assert_eq!(world.record(spki).reserved, 3_000);
}

#[test]
fn two_connections_never_give_the_same_number() {
    let world = World::new();
    let spki = active(&world, limits(1_000_000, FREE, FREE));
    let other = world.again();
    let numbers = |registry: &Registry| -> Vec<u64> {
        let signable = signable(registry, spki);
        let use_it = |_| registry.count(&signable, "issuer", NOW).unwrap().number();
        (0..1_500).map(use_it).collect()
    };
    let (mut all, rest) = std::thread::scope(|scope| {
        let one = scope.spawn(|| numbers(&world.registry));
        let two = scope.spawn(|| numbers(&other));
        (one.join().unwrap(), two.join().unwrap())
    });
    for one in [&all, &rest] {
        assert!(one.is_sorted_by(|a, b| a < b));
    }
    all.extend(rest);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 3_000);
}

#[test]
fn a_key_ends_with_its_last_use_and_restarts_give_none_back() {
    let world = World::new();
    let spki = active(&world, limits(50, FREE, FREE));
    let signable_then = signable(&world.registry, spki);
    for _ in 0..20 {
        world.registry.count(&signable_then, "issuer", NOW).unwrap();
    }
    let (uses, refused) = drain(&world.again(), spki, "issuer", NOW);
    assert_eq!(uses, 30);
    assert!(matches!(refused, CountError::UsedUp { lifetime: 50, .. }));
    let (uses, _) = drain(&world.again(), spki, "issuer", NOW);
    assert_eq!(uses, 0);
}

#[test]
fn a_client_gets_its_burst_then_its_rate_and_takes_nothing_from_others() {
    let world = World::new();
    let spki = active(&world, limits(1_000_000, FREE, (6, 60, 30)));
    let (uses, refused) = drain(&world.registry, spki, "greedy", NOW);
    assert_eq!(uses, 30);
    assert!(matches!(
        refused,
        CountError::ClientRate { client, retry_after_s: 10, .. } if client == "greedy"
    ));
    assert_eq!(drain(&world.registry, spki, "modest", NOW).0, 30);
    assert_eq!(drain(&world.registry, spki, "greedy", later(9)).0, 0);
    assert_eq!(drain(&world.registry, spki, "greedy", later(20)).0, 2);
    // What is not used is saved up to one burst.
    assert_eq!(drain(&world.registry, spki, "greedy", later(DAY)).0, 30);
}

#[test]
fn all_clients_together_get_the_keys_rate() {
    let world = World::new();
    let spki = active(&world, limits(1_000_000, (10, 1, 40), (10, 1, 30)));
    assert_eq!(drain(&world.registry, spki, "one", NOW).0, 30);
    let (uses, refused) = drain(&world.registry, spki, "two", NOW);
    assert_eq!(uses, 10);
    assert!(matches!(
        refused,
        CountError::KeyRate {
            retry_after_s: 1,
            ..
        }
    ));
    // The refusal cost the client nothing: its own bucket still holds the rest of its burst.
    assert_eq!(drain(&world.registry, spki, "two", later(1)).0, 10);
}

#[test]
fn a_restart_does_not_fill_a_bucket() {
    let world = World::new();
    let spki = active(&world, limits(1_000_000, FREE, (6, 60, 30)));
    assert_eq!(drain(&world.registry, spki, "greedy", NOW).0, 30);
    assert_eq!(drain(&world.again(), spki, "greedy", NOW).0, 0);
}

#[test]
fn a_clock_set_back_makes_a_client_wait_and_gives_it_nothing() {
    let world = World::new();
    let spki = active(&world, limits(1_000_000, FREE, (6, 60, 30)));
    assert_eq!(drain(&world.registry, spki, "client", later(DAY)).0, 30);
    let (uses, refused) = drain(&world.registry, spki, "client", NOW);
    assert_eq!(uses, 0);
    assert!(matches!(
        refused,
        CountError::ClientRate { retry_after_s, .. } if retry_after_s == DAY + 10
    ));
}

#[test]
fn client_names_and_their_number_are_bounded() {
    let world = World::new();
    let spki = active(&world, limits(1_000_000, FREE, FREE));
    let signable = signable(&world.registry, spki);
    for name in ["", "two\nlines", &"x".repeat(CLIENT_MAX + 1)] {
        let refused = world.registry.count(&signable, name, NOW);
        assert!(matches!(refused, Err(CountError::ClientName(found)) if found == name));
    }
    // The bucket of all clients together is one of the 1 024.
    for client in 0..1_023 {
        world
            .registry
            .count(&signable, &format!("c{client}"), NOW)
            .unwrap();
    }
    let refused = world.registry.count(&signable, "one-more", NOW);
    assert!(matches!(refused, Err(CountError::TooManyClients(_))));
    world.registry.count(&signable, "c7", NOW).unwrap();
}

#[test]
fn a_counter_can_be_raised_and_never_lowered() {
    let world = World::new();
    let spki = active(&world, limits(50, FREE, FREE));
    world.registry.raise_uses(spki, 40).unwrap();
    world.registry.raise_uses(spki, 10).unwrap();
    assert_eq!(world.record(spki).reserved, 40);
    assert_eq!(drain(&world.registry, spki, "issuer", NOW).0, 10);
    world
        .registry
        .raise_uses(spki, u64::from(u32::MAX))
        .unwrap();
    assert_eq!(world.record(spki).reserved, 50);
}
