//! A process that is killed while it counts.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use obol_kms_registry::{Limits, PayloadType, Rate, Registry, SpkiId, State};

use crate::world::{NOW, PROPAGATION, World, later, new_key};

const BURST: u32 = 4_000;

/// Not a test of its own: the process that `kill_9_never_sets_a_counter_back` kills. It reads the
/// path of a registry and the name of a key, uses the key and says so after each time.
#[test]
#[ignore = "run by kill_9_never_sets_a_counter_back"]
fn child_that_counts_until_it_is_killed() {
    let mut lines = std::io::stdin().lines();
    let registry = Registry::open(lines.next().unwrap().unwrap().as_ref()).unwrap();
    let spki: SpkiId = lines.next().unwrap().unwrap().parse().unwrap();
    let signable = registry
        .signable(spki, PayloadType::LogCheckpoint, NOW)
        .unwrap();
    loop {
        match registry.count(&signable, "issuer", NOW) {
            Ok(counted) => println!("counted {}", counted.number()),
            Err(refused) => {
                println!("refused {refused}");
                return;
            }
        }
    }
}

#[test]
fn kill_9_never_sets_a_counter_back() {
    let world = World::new();
    let mut key = new_key(obol_kms_registry::Class::Audit, 1);
    let free = Rate::new(100_000, 1, 100_000).unwrap();
    key.limits = Limits::new(1_000_000, free, Rate::new(1, 60, BURST).unwrap()).unwrap();
    world.registry.register(&key, NOW).unwrap();
    world.go(key.spki, State::Published, NOW).unwrap();
    world
        .go(key.spki, State::Active, later(PROPAGATION))
        .unwrap();

    let (mut last, mut uses) = (0, 0);
    for kill_after in [1, 999, 1_000, 1_001, 37] {
        let (numbers, _) = run(&world, key.spki, kill_after);
        assert!(numbers[0] > last, "{} after {last}", numbers[0]);
        assert!(numbers[0] <= last + 1_000 + 1);
        assert!(numbers.is_sorted_by(|a, b| a < b));
        last = *numbers.last().unwrap();
        uses += numbers.len();
        // Numbers given to the child that it did not live to print.
        last = last.max(world.record(key.spki).reserved.saturating_sub(1_000));
    }
    let (numbers, refused) = run(&world, key.spki, usize::MAX);
    uses += numbers.len();
    assert!(refused.contains("has used its share"), "{refused}");
    assert!(uses <= BURST as usize, "{uses} of {BURST} permits");
    world.registry.examine().unwrap();
}

/// The numbers that the child printed before it was killed, and its last word if it ended itself.
fn run(world: &World, spki: SpkiId, kill_after: usize) -> (Vec<u64>, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_counts_until_it_is_killed"])
        .args(["--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let path = world.registry.path().display();
    writeln!(child.stdin.take().unwrap(), "{path}\n{spki}").unwrap();
    let (mut numbers, mut refused) = (Vec::new(), String::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, number)) = line.split_once("counted ") {
            numbers.push(number.parse().unwrap());
        } else if let Some((_, why)) = line.split_once("refused ") {
            refused = why.to_owned();
        }
        if numbers.len() >= kill_after {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    (numbers, refused)
}
