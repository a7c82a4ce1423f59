//! The keys of the repository's online roles give way to the next, while buses look.

use std::{collections::BTreeSet, fs, time::Instant};

use obol_world::{Ceremony, Passenger, Scan};

use crate::{
    demo::moment_after,
    stage::{Stage, eventually},
};

/// What the services' processes are, so that none of them has been started anew.
fn processes(stage: &Stage) -> BTreeSet<String> {
    let folder = stage.world.folder().canonicalize().unwrap();
    let all = fs::read_dir("/proc").unwrap().flatten();
    // A process may end while it is looked at.
    let here = all.filter(|entry| {
        let works_in = fs::read_link(entry.path().join("cwd"));
        works_in.is_ok_and(|path| path.starts_with(&folder))
    });
    here.map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

fn revoked_and_refused(stage: &Stage, rider: &Passenger, account: u64, bus: &str) {
    let bus = stage.world.terminal(bus);
    let before = (Instant::now(), bus.sync_version().unwrap());
    stage.world.revoke_passenger(account).unwrap();
    bus.refuses_within(|| rider.show("denied.png"), "DENIED", before)
        .unwrap();
}

/// A plan with every key as the registry has it, held against what the bus told.
fn plan(stage: &Stage) {
    let fleet = ["fleet", "--config", "platform.toml"];
    let fleet = stage.world.tool("obol-platform").succeed(&fleet).unwrap();
    let recorded = fleet.stdout.split("recorded = ").nth(1).unwrap();
    let recorded = recorded.lines().next().unwrap();
    let draft = ["rotation", "draft", "--registry", "keys.registry"];
    let keys = stage.world.tool("obol-kms").succeed(&draft).unwrap().stdout;
    let ends = moment_after(recorded, "1 day");
    let plan = format!(
        "schema = 1\nbegins = {recorded}\nends = {ends}\n\
         lives = {{ credential = '48h', certificate = '90d' }}\n{keys}"
    );
    stage.write("plan.toml", &plan);
    stage.write("fleet.toml", &fleet.stdout);
}

#[test]
fn the_online_keys_are_replaced_while_buses_look_and_no_service_restarts() {
    let mut stage = Stage::empty();
    let world = &mut stage.world;
    world.make_people().unwrap();
    let all = Ceremony::all().chain(&Ceremony::NEXT_ONLINE);
    let names: Vec<_> = all.map(Ceremony::name).collect();
    let sites = world.prepare_sites(&names).unwrap();
    for ceremony in Ceremony::all().filter(|one| !names_what_officers_sign(one)) {
        world.hold(&sites, ceremony).unwrap();
    }
    world.hand_out_certificates().unwrap();
    world.make_registry().unwrap();
    world.make_access_registry().unwrap();
    world.make_trust_keys().unwrap();
    world.sign_trust(&sites).unwrap();
    world.certify_services().unwrap();
    world.start_bank().unwrap();
    world.start_online().unwrap();
    world.enrol_terminal("bus-1").unwrap();
    world.start_mirror().unwrap();
    world.terminal("bus-1").sync_until_fares().unwrap();
    let (eve, mal) = (world.passenger("eve"), world.passenger("mal"));
    let (eves, mals) = (eve.begin().unwrap(), mal.begin().unwrap());
    let scan = |bus: &str, rider: &Passenger| {
        let code = rider.show("ride.png").unwrap();
        stage.world.terminal(bus).scan(&code).unwrap()
    };
    let rode = |scan: Scan| assert!(matches!(scan, Scan::Granted { .. }), "{scan:?}");
    rode(scan("bus-1", &eve));
    stage.world.terminal("bus-1").upload().unwrap();
    let running = processes(&stage);
    assert!(running.len() >= 5, "{running:?}");

    // The next key is made beside the running daemon, and may sign by a plan that strands no bus.
    let next = stage.world.make_next_online_key().unwrap();
    plan(&stage);
    let by = ["--plan", "plan.toml", "--fleet", "fleet.toml"];
    stage.world.change_by(&next, "activate", &by).unwrap();
    let before = stage.world.terminal("bus-1").sync_version().unwrap();
    stage.world.name_next_online_key(&sites, &next).unwrap();
    let said = "officers named another key";
    stage.world.wait_for_log("issuer", said, 4).unwrap();
    // Between the next root and the timestamp of its key a look is refused: the bus looks again.
    let bus = stage.world.terminal("bus-1");
    eventually("the bus follows the next root", || {
        bus.sync_version().is_ok_and(|version| version > before)
    });
    let root = fs::read_to_string(stage.world.folder().join("bus-1/trust/root.json")).unwrap();
    assert!(root.contains("\"version\":2"), "{root}");

    // What it signs is believed, and the old ones are not needed any more.
    revoked_and_refused(&stage, &eve, eves, "bus-1");
    for role in ["timestamp", "snapshot", "denylist", "fares"] {
        let old = stage.world.first_online_key(role).unwrap();
        stage.world.change(&old, "retire").unwrap();
    }
    rode(scan("bus-1", &mal));
    revoked_and_refused(&stage, &mal, mals, "bus-1");
    // A bus that begins with the first root follows as well.
    stage.world.enrol_terminal("bus-2").unwrap();
    stage.world.terminal("bus-2").sync_until_fares().unwrap();
    assert_eq!(scan("bus-2", &mal), Scan::Refused("DENIED".to_owned()));
    assert_eq!(processes(&stage), running);
}

/// Root and targets are drafted from the keys that the other ceremonies make.
fn names_what_officers_sign(ceremony: &Ceremony) -> bool {
    let later = Ceremony::TRUST.iter().map(Ceremony::name);
    later.collect::<Vec<_>>().contains(&ceremony.name())
}
