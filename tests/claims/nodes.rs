//! Two issuers, each with its own key daemon, token and register, behind one platform.

use std::{fs, net::Ipv4Addr};

use obol_world::{LOG_ORIGIN, Passenger, Service};
use tokio::net::TcpSocket;

use crate::stage::{FARE, Stage, amounts, eventually, json};

const TOKENS: &str = "tokens = [{ name = \"root\" }, { name = \"access\" }, { name = \"issuer\" }, \
                      { name = \"south\" }]\n";
pub(crate) const BUS: &str = "bus-1";

/// A deployment whose files are all there, and of which nothing runs but the bank and the key
/// daemon of the issuer `north`.
pub(crate) struct Nodes {
    pub(crate) stage: Stage,
    /// Where the issuer `south` listens; kept from everybody else.
    pub(crate) south_port: u16,
    _reserved: TcpSocket,
    _runtime: tokio::runtime::Runtime,
}

impl Nodes {
    pub(crate) fn prepared() -> Self {
        let mut stage = Stage::empty();
        stage.write("tokens.toml", TOKENS);
        let setup = ["tokens.toml", "--dir", "tokens"];
        stage.world.tool("softhsm-setup").succeed(&setup).unwrap();
        let world = &mut stage.world;
        world.make_authorities().unwrap();
        world.make_registry().unwrap();
        world.certify_services().unwrap();
        world.certify_terminal(BUS).unwrap();
        world.start_bank().unwrap();
        // It writes the configurations.
        world.start_online().unwrap();
        world.stop_online().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let reserved = runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            socket
        });
        let nodes = Self {
            south_port: reserved.local_addr().unwrap().port(),
            stage,
            _reserved: reserved,
            _runtime: runtime,
        };
        nodes.make_south();
        nodes.introduce();
        nodes
    }

    fn kms(&self, arguments: &str) -> String {
        let arguments: Vec<_> = arguments.split(' ').collect();
        self.stage
            .world
            .tool("obol-kms")
            .succeed(&arguments)
            .unwrap()
            .stdout
    }

    /// The node's own key in its own token, its registry, log and identity.
    fn make_south(&self) {
        let world = &self.stage.world;
        fs::create_dir_all(world.folder().join("south/audit")).unwrap();
        self.make_key("south", "south/issuer.pem");
        self.kms(
            "keys init --registry south/keys.registry --roster roster.toml --propagation 0s \
             --tail 48h",
        );
        self.activate_issuer_key("south", "south/issuer.pem");
        let audit = self.kms(
            "keys generate --registry south/keys.registry --class audit --label audit --token \
             tokens/south.token.toml",
        );
        self.activate(first_word(&audit), "");
        let identity = "identity --name south --host localhost --host 127.0.0.1 --key \
                        south/issuer.key --request south/issuer.csr";
        let identity: Vec<_> = identity.split(' ').collect();
        world.tool("obol-issuer").succeed(&identity).unwrap();
        world
            .certify("server", "south/issuer.csr", "south/issuer-tls.pem")
            .unwrap();
    }

    /// A key in the token `south`, certified by the root.
    pub(crate) fn make_key(&self, label: &str, certificate: &str) {
        self.kms(&format!(
            "issuer create --token tokens/south.token.toml --operator metro --classes 1,2 \
             --key-label {label} --out {certificate} --root-token tokens/root.token.toml --root \
             root.pem"
        ));
    }

    /// Registers a key of the token `south` and has two officers activate it; its SPKI id.
    pub(crate) fn activate_issuer_key(&self, label: &str, certificate: &str) -> String {
        let key = self.register(label, certificate);
        // Terminals of a world are made after its keys.
        self.activate(&key, " --no-fleet");
        key
    }

    pub(crate) fn register(&self, label: &str, certificate: &str) -> String {
        let key = self.kms(&format!(
            "keys register --registry south/keys.registry --class issuer --label {label} --token \
             tokens/south.token.toml"
        ));
        self.kms(&format!(
            "keys certify --registry south/keys.registry --certificate {certificate}"
        ));
        first_word(&key).to_owned()
    }

    fn activate(&self, key: &str, clearance: &str) {
        let registry = "--registry south/keys.registry";
        self.kms(&format!("keys publish {key} {registry}"));
        let request = format!("south/{key}.request");
        self.kms(&format!(
            "keys request {key} activate {registry} --out {request}{clearance}"
        ));
        let mut approvals = String::new();
        for officer in ["alice", "bob"] {
            let approval = format!("south/{key}.{officer}");
            self.kms(&format!(
                "officer approve --request {request} --yes --key people/{officer}.key --out \
                 {approval}"
            ));
            approvals += &format!(" --approval {approval}");
        }
        self.kms(&format!(
            "keys activate {key} {registry} --reason planned{approvals}{clearance}"
        ));
    }

    /// Configurations: each issuer publishes the other's key too, and the platform knows both.
    fn introduce(&self) {
        let stage = &self.stage;
        let kms = stage.world.kms_config().unwrap();
        let (kms, _) = kms.split_once("[audit.witness]").unwrap();
        let kms = kms
            .replace("\"kms.sock\"", "\"south/kms.sock\"")
            .replace("\"keys.registry\"", "\"south/keys.registry\"")
            .replace("unix:kms-metrics.sock", "unix:south/kms-metrics.sock")
            .replace("tokens/issuer.token.toml", "tokens/south.token.toml")
            .replace("folder = \"audit\"", "folder = \"south/audit\"")
            .replace(LOG_ORIGIN, "kms.metro.example/south");
        stage.write("kms-south.toml", &kms);
        let north = stage.read("issuer.toml");
        let signing = "signing = \"issuer.pem\"\n";
        assert!(north.contains(signing), "{north}");
        let published = |other: &str| format!("{signing}published = [\"{other}\"]\n");
        stage.write(
            "issuer.toml",
            &north.replace(signing, &published("south/issuer.pem")),
        );
        let south = north
            .replace(
                &stage.world.ports.issuer.to_string(),
                &self.south_port.to_string(),
            )
            .replace("\"issuer.db\"", "\"south/issuer.db\"")
            .replace("\"kms.sock\"", "\"south/kms.sock\"")
            .replace("\"issuer-tls.pem\"", "\"south/issuer-tls.pem\"")
            .replace("\"issuer.key\"", "\"south/issuer.key\"")
            .replace(signing, &published("issuer.pem"))
            .replace("signing = \"issuer.pem\"", "signing = \"south/issuer.pem\"");
        stage.write("issuer-south.toml", &south);
        let platform = stage.read("platform.toml");
        let url = format!("url = \"https://localhost:{}\"\n", stage.world.ports.issuer);
        let bundle = "bundle = \"trust-bundle.cbor\"\n";
        let node = |name: &str, port: u16| {
            let url = format!("https://localhost:{port}");
            format!("[[issuer.nodes]]\nname = \"{name}\"\nurl = \"{url}\"\n")
        };
        let nodes = node("north", stage.world.ports.issuer) + &node("south", self.south_port);
        assert!(
            platform.contains(&url) && platform.contains(bundle),
            "{platform}"
        );
        let platform = platform
            .replace(&url, "")
            .replace(bundle, &(bundle.to_owned() + &nodes));
        stage.write("platform.toml", &platform);
    }

    pub(crate) fn serve(&self, binary: &str, name: &str, config: &str) -> Service {
        let serve = ["serve", "--config", config];
        self.stage.world.serve(binary, name, &serve).unwrap()
    }

    /// Credentials in an issuer's register, as its own command counts them.
    pub(crate) fn issued(&self, register: &str) -> u64 {
        let check = ["check", register];
        let ran = self
            .stage
            .world
            .tool("obol-issuer")
            .succeed(&check)
            .unwrap();
        let mut lines = ran.stdout.lines();
        let count = lines.find_map(|line| line.strip_prefix("issued "));
        count.unwrap().parse().unwrap()
    }

    /// Riders until each issuer has two.
    pub(crate) fn riders(&self) -> Vec<Passenger> {
        let mut riders = Vec::new();
        while self.issued("issuer.db") < 2 || self.issued("south/issuer.db") < 2 {
            assert!(riders.len() < 40, "one issuer owns hardly anybody of 40");
            riders.push(self.stage.rider(&format!("rider-{}", riders.len())));
        }
        riders
    }

    /// What is pending at an issuer, a line each.
    pub(crate) fn pending(&self) -> String {
        let commands = ["commands", "--config", "platform.toml"];
        self.stage
            .world
            .tool("obol-platform")
            .succeed(&commands)
            .unwrap()
            .stdout
    }
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap()
}

pub(crate) fn account(rider: &Passenger) -> String {
    let statement = rider.run(&["statement", "--json"]).unwrap();
    json(&statement)["account"].to_string()
}

#[test]
fn two_issuers_carry_one_city_and_a_lost_one_costs_neither_a_ride_nor_a_command() {
    let mut nodes = Nodes::prepared();
    nodes.stage.world.start_kms().unwrap();
    let south_kms = nodes.serve("obol-kms", "kms-south", "kms-south.toml");
    let north = nodes.serve("obol-issuer", "issuer", "issuer.toml");
    let south = nodes.serve("obol-issuer", "issuer-south", "issuer-south.toml");
    let platform = nodes.serve("obol-platform", "platform", "platform.toml");
    let riders = nodes.riders();
    let bus = nodes.stage.world.terminal(BUS);
    bus.sync().unwrap();
    let mut seq = 0;
    let mut all_ride = |nodes: &Nodes| {
        for rider in &riders {
            seq += 1;
            nodes.stage.ride(rider, BUS, seq);
        }
    };
    all_ride(&nodes);

    // The node is gone, with its daemon and its token.
    let before = nodes.issued("south/issuer.db");
    south.kill().unwrap();
    south_kms.kill().unwrap();
    all_ride(&nodes);
    assert_eq!(nodes.issued("south/issuer.db"), before);
    let thief = riders.last().unwrap();
    let account = account(thief);
    let revoke = ["revoke", "--config", "platform.toml", "--account", &account];
    let revoke = [&revoke[..], &["--reason", "stolen"]].concat();
    nodes
        .stage
        .world
        .tool("obol-platform")
        .succeed(&revoke)
        .unwrap();
    eventually("the issuer that is there confirms", || {
        let pending = nodes.pending();
        pending.starts_with(&format!("south {account} revoked ")) && pending.lines().count() == 1
    });
    let refused = thief.run(&["refresh"]).unwrap();
    assert_ne!(refused.code, 0, "{refused:?}");

    // It is back: the command reaches it although nobody gives it again, and its subjects return.
    let _south_kms = nodes.serve("obol-kms", "kms-south", "kms-south.toml");
    let _south = nodes.serve("obol-issuer", "issuer-south", "issuer-south.toml");
    eventually("the command is confirmed", || nodes.pending().is_empty());
    assert_ne!(thief.run(&["refresh"]).unwrap().code, 0);
    let others = &riders[..riders.len() - 1];
    eventually("subjects return", || {
        others.iter().for_each(|rider| rider.refresh().unwrap());
        nodes.issued("south/issuer.db") > before
    });

    // Every ride is charged, whoever signed for it.
    bus.upload().unwrap();
    for rider in &riders {
        let rides = amounts(rider);
        let fares = rides
            .iter()
            .filter(|amount| **amount == -(FARE as i64))
            .count();
        assert_eq!(fares, 2, "{rides:?}");
    }
    for service in [platform, north] {
        service.stop().unwrap();
    }
}
