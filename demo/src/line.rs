//! The line itself, step by step. Each step demands what it claims.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use obol_console::unix_now;
use obol_world::{
    Audit, Ceremony, Network, Passenger, Scan, Sites, StatementLine, World, WorldError, forge,
};

use crate::{DemoError, steps::Steps};

const FARE_MINOR: u64 = 200;
/// That so many fall to one of two shards happens once in a million times.
const RIDERS_MAX: u32 = 20;
const BUSES: [&str; 2] = ["bus-1", "bus-2"];

/// Rides through everything once; the services still run when it returns.
pub(crate) fn ride(mut world: World, steps: &mut Steps) -> Result<World, DemoError> {
    let world_ref = &mut world;
    keys_and_services(world_ref, steps)?;
    let ada = world_ref.passenger("ada");
    money(world_ref, steps, &ada)?;
    let copied = steps.step("the key daemon's log is copied", world_ref, |w| {
        w.wait_for_witness(1)?;
        w.copy_log("audit-before")?;
        w.entries_of_log("audit-before")
    })?;
    first_ride(world_ref, steps, &ada)?;
    rides_offline(world_ref, steps, &ada)?;
    books(world_ref, steps, &ada)?;
    audit(world_ref, steps, copied)?;
    revocations(world_ref, steps, &ada)?;
    steps.say(&format!(
        "The whole line held in {:.1} s.",
        steps.elapsed().as_secs_f64()
    ));
    Ok(world)
}

fn keys_and_services(world: &mut World, steps: &mut Steps) -> Result<(), DemoError> {
    ceremonies(world, steps)?;
    steps.step("issuer and platform have identities", world, |w| {
        w.certify_services()
    })?;
    steps.say("Services, each its own process");
    steps.step("the bank is up", world, World::start_bank)?;
    steps.step(
        "key daemons of issuer and access CA, issuer and platform are up",
        world,
        World::start_online,
    )?;
    steps.step(
        "two buses enrol, each with a code that is good once and for a day",
        world,
        |w| BUSES.iter().try_for_each(|bus| w.enrol_terminal(bus)),
    )?;
    steps.step(
        "a static server gives away what the issuer publishes",
        world,
        World::start_mirror,
    )?;
    steps.step(
        "both buses follow it: issuer keys, who is denied, the platform's fares",
        world,
        |w| {
            let buses = BUSES.iter();
            buses
                .map(|bus| w.terminal(bus))
                .try_for_each(|bus| bus.sync_until_fares())
        },
    )
}

/// The hierarchy's keys, as people make them.
fn ceremonies(world: &mut World, steps: &mut Steps) -> Result<(), DemoError> {
    steps.say("Keys, made in ceremonies at two sites; none leaves its SoftHSM token");
    steps.step(
        "three officers and a witness have keys; two officers decide",
        world,
        |w| w.make_people(),
    )?;
    let sites = steps.step(
        "offline: five tokens, the root's PIN in three shares; online: two",
        world,
        |w| {
            let rehearsals: Vec<_> = Ceremony::all().map(Ceremony::name).collect();
            w.prepare_sites(&rehearsals)
        },
    )?;
    let mut hold = |claim, ceremonies: &[Ceremony]| {
        steps.step(claim, world, |w| {
            let mut all = ceremonies.iter();
            all.try_for_each(|ceremony| w.hold(&sites, ceremony))
        })
    };
    hold(
        "offline: the root's key and certificate (P-384)",
        &Ceremony::ROOT,
    )?;
    hold(
        "the access CA's key asks online, is certified offline, installed online",
        &Ceremony::ACCESS_CA,
    )?;
    hold(
        "two issuer keys, a shard each, go the same way",
        &Ceremony::ISSUERS,
    )?;
    hold(
        "offline: each officer's key for the trust repository, and that of its targets",
        &Ceremony::TRUST_KEYS,
    )?;
    steps.step(
        "two of the officers let every online key sign",
        world,
        |w| {
            w.hand_out_certificates()?;
            w.make_registry()?;
            w.make_access_registry()?;
            w.make_trust_keys()
        },
    )?;
    steps.step(
        "offline: officers sign the repository's root, and targets for three periods",
        world,
        |w| w.sign_trust(&sites),
    )?;
    let (audit, root) = steps.step(
        "an auditor's one command finds every bundle good",
        world,
        |w| Ok((w.audit_ceremonies(&sites)?, w.read_aloud("root.pem")?)),
    )?;
    tell(steps, &sites, &audit, &root);
    Ok(())
}

/// What the auditor has seen.
fn tell(steps: &Steps, sites: &Sites, audit: &Audit, root: &str) {
    let Audit {
        bundles,
        steps: done,
        carried,
        drafts,
        exceptions,
        officers,
    } = audit;
    let officers: Vec<_> = officers.iter().map(String::as_str).collect();
    let exceptions = match exceptions {
        0 => "none".to_owned(),
        some => some.to_string(),
    };
    steps.say(&format!(
        "     {bundles} bundles, {done} steps, each rehearsed and approved by two of {};\n     \
         {carried} files that they read were made in others, {drafts} were drafts to sign; \
         exceptions: {exceptions}",
        officers.join(", ")
    ));
    let root = root.trim_end().replace("\n  ", "\n       ");
    steps.say(&format!("     root.pem {root}"));
    steps.say(&format!("     roster {}", sites.roster_hash()));
}

fn money(world: &mut World, steps: &mut Steps, ada: &Passenger) -> Result<(), DemoError> {
    steps.say("A passenger");
    steps.step("Ada's phone makes a key and has an account", world, |_| {
        ada.enrol()
    })?;
    steps.step(
        "50.00 is paid at the bank, told three times, credited once",
        world,
        |w| {
            let order = ada.recharge("50.00")?;
            w.wait_for_log("bank", "notice delivered", 3)?;
            let lines = ada.statement()?;
            demand(lines.len() == 1 && lines[0].balance_minor == 5_000, || {
                format!("order {order}: {lines:?}")
            })
        },
    )?;
    steps.step(
        "the issuer signs a credential for a fresh device key",
        world,
        |_| ada.refresh(),
    )
}

fn first_ride(world: &mut World, steps: &mut Steps, ada: &Passenger) -> Result<(), DemoError> {
    steps.say("The first ride");
    let code = steps.step("the phone shows a boarding code", world, |_| {
        ada.show("first.png")
    })?;
    steps.step(
        "bus-1 finds it in the picture, verifies, journals, opens",
        world,
        |w| granted(&w.terminal("bus-1").scan(&code)?, 1),
    )?;
    steps.step("bus-1 uploads the tap", world, |w| {
        w.terminal("bus-1").upload().map(drop)
    })
}

fn rides_offline(world: &mut World, steps: &mut Steps, ada: &Passenger) -> Result<(), DemoError> {
    steps.say("Without any network");
    steps.step("issuer and platform are stopped", world, World::stop_online)?;
    let network = if Network::none_is_allowed(world) {
        Network::None
    } else {
        Network::Loopback
    };
    if network == Network::Loopback {
        steps.say(
            "     (this machine allows no network namespace; the services are down all the same)",
        );
    }
    let code = steps.step("the phone shows another code", world, |_| {
        ada.show("offline.png")
    })?;
    let ride = match network {
        Network::None => "bus-2, in a network namespace without routes, takes it",
        Network::Loopback => "bus-2 takes it",
    };
    steps.step(ride, world, |w| {
        granted(&w.terminal("bus-2").on(network).scan(&code)?, 1)
    })?;
    let scan = |w: &World, picture: &Path| w.terminal("bus-2").on(network).scan(picture);
    steps.step("the same code again is refused: DUPLICATE", world, |w| {
        refused(&scan(w, &code)?, "DUPLICATE")
    })?;
    steps.step(
        "a code two minutes old is refused: CODE_STALE",
        world,
        |w| {
            let stale = ada.show_with_clock_off_by("stale.png", -120)?;
            refused(&scan(w, &stale)?, "CODE_STALE")
        },
    )?;
    steps.step(
        "a photographed credential under a thief's key is refused: DEVICE_SIG",
        world,
        |w| {
            let picture = ada.folder().join("forged.png");
            forge(&ada.text()?, unix_now(), &picture)?;
            refused(&scan(w, &picture)?, "DEVICE_SIG")
        },
    )
}

fn books(world: &mut World, steps: &mut Steps, ada: &Passenger) -> Result<(), DemoError> {
    steps.say("Back in reach");
    steps.step(
        "issuer and platform are started again",
        world,
        World::start_online,
    )?;
    steps.step(
        "bus-2 uploads; uploading again changes nothing",
        world,
        |w| {
            let bus = w.terminal("bus-2");
            bus.upload()?;
            bus.upload().map(drop)
        },
    )?;
    steps.step("Ada's statement: +50.00, -2.00, -2.00", world, |_| {
        let amounts: Vec<_> = ada
            .statement()?
            .iter()
            .map(|line: &StatementLine| line.amount_minor)
            .collect();
        demand(amounts == [5_000, -200, -200], || format!("{amounts:?}"))
    })?;
    let trial = steps.step("the books balance and recount", world, |w| {
        w.check_books()?;
        w.trial_balance()
    })?;
    let statement = steps.step("what Ada reads", world, |_| ada.printed_statement())?;
    println!("{statement}\n{trial}");
    Ok(())
}

/// One more signature, which a copy of the log from before it, with `copied` entries, does not have.
fn audit(world: &mut World, steps: &mut Steps, copied: u64) -> Result<(), DemoError> {
    steps.say("What the key daemon has signed");
    steps.step("Bob has a credential signed", world, |w| {
        let bob = w.passenger("bob");
        bob.enrol()?;
        let order = bob.recharge("20.00")?;
        w.wait_for_log("bank", "notice delivered", 6)?;
        let lines = bob.statement()?;
        demand(lines.len() == 1, || format!("order {order}: {lines:?}"))?;
        bob.refresh()
    })?;
    steps.step(
        "the platform has cosigned the daemon's audit log as its witness",
        world,
        |w| w.wait_for_witness(copied + 1),
    )?;
    steps.step("every byte of the log is as it was signed", world, |w| {
        let ran = w.verify_log("audit")?;
        demand(ran.code == 0, || ran.unexpected().to_string())
    })?;
    steps.step("the log set back to its copy is found", world, |w| {
        let ran = w.verify_log("audit-before")?;
        let found = ran.code == 1 && ran.stderr.contains("the log was rolled back");
        demand(found, || ran.unexpected().to_string())
    })
}

/// A rider and a shard are blocked while buses are online, and phones get over it.
fn revocations(world: &mut World, steps: &mut Steps, ada: &Passenger) -> Result<(), DemoError> {
    steps.say("Blocked");
    let (eve, account) = steps.step("Eve has a credential, and bus-1 takes it", world, |w| {
        let eve = w.passenger("eve");
        let account = eve.begin()?;
        granted(&w.terminal("bus-1").scan(&eve.show("before.png")?)?, 2)?;
        Ok((eve, account))
    })?;
    let took = steps.step(
        "Eve is revoked, and bus-1 refuses her: DENIED",
        world,
        |w| {
            let bus = w.terminal("bus-1");
            let before = (Instant::now(), bus.sync_version()?);
            w.revoke_passenger(account)?;
            bus.refuses_within(|| eve.show("denied.png"), "DENIED", before)
        },
    )?;
    tell_how_long(steps, took);
    let (other, shard) = steps.step(
        "Ada, and a rider whose credential is of the other shard",
        world,
        |w| {
            ada.refresh()?;
            let shard = ada.shard()?;
            Ok((rider_of_another_shard(w, &shard)?, shard))
        },
    )?;
    let (took, told) = steps.step(
        "Ada's shard is blocked, and bus-2 refuses her: KEY_SUSPENDED",
        world,
        |w| {
            let bus = w.terminal("bus-2");
            let before = (Instant::now(), bus.sync_version()?);
            let told = w.suspend_key(&shard)?;
            let took = bus.refuses_within(|| ada.show("blocked.png"), "KEY_SUSPENDED", before)?;
            Ok((took, told))
        },
    )?;
    tell_how_long(steps, took);
    told.lines()
        .for_each(|line| steps.say(&format!("     {line}")));
    let words = steps.step("the bus tells her what to do", world, |w| {
        let bus = w.terminal("bus-2");
        let say = |language| bus.explain("KEY_SUSPENDED", language);
        Ok([say("en")?, say("zh-CN")?])
    })?;
    words
        .iter()
        .for_each(|words| steps.say(&format!("     {words}")));
    steps.step("the rider of the other shard rides on bus-2", world, |w| {
        granted(&w.terminal("bus-2").scan(&other.show("other.png")?)?, 2)
    })?;
    steps.step(
        "Ada's phone is online: a credential of the other shard, and she rides",
        world,
        |w| {
            ada.statement()?; // in which the platform tells the phone to renew
            let renewed = ada.shard()?;
            demand(renewed != shard, || format!("shard {renewed} again"))?;
            granted(&w.terminal("bus-2").scan(&ada.show("again.png")?)?, 3)
        },
    )
}

fn tell_how_long(steps: &Steps, took: Duration) {
    let took = took.as_secs_f64();
    steps.say(&format!(
        "     {took:.2} s from the operator's command to the refusal at the gate"
    ));
}

/// The hash of a passenger's handle chooses the shard: riders enrol until one falls to another.
fn rider_of_another_shard(world: &World, shard: &str) -> Result<Passenger, WorldError> {
    for number in 1..=RIDERS_MAX {
        let rider = world.passenger(&format!("rider-{number}"));
        rider.begin()?;
        if rider.shard()? != shard {
            return Ok(rider);
        }
    }
    Err(WorldError::new(format!(
        "{RIDERS_MAX} riders fell to shard {shard}"
    )))
}

fn granted(scan: &Scan, at: u64) -> Result<(), WorldError> {
    demand(
        *scan
            == Scan::Granted {
                seq: at,
                fare_minor: FARE_MINOR,
            },
        || format!("{scan:?}"),
    )
}

fn refused(scan: &Scan, code: &str) -> Result<(), WorldError> {
    demand(*scan == Scan::Refused(code.to_owned()), || {
        format!("{scan:?}, wanted {code}")
    })
}

fn demand(holds: bool, found: impl FnOnce() -> String) -> Result<(), WorldError> {
    if holds {
        Ok(())
    } else {
        Err(WorldError::new(format!("found {}", found())))
    }
}
