use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use obol_credential::UnixTime;
use obol_kms_audit::{AuditLog, CheckpointSigner, SignFailed, Trusted};
use obol_log::{Decision, Leaf, LogKey};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::pkcs8::EncodePublicKey;

use crate::world::World;

const ORIGIN: &str = "kms.test/audit";
const QUORUM: &str = "[quorum]\nactivate = 2\nunsuspend = 2\ncancel-destruction = 2\ndestroy = 2\n";

struct Key {
    secret: SigningKey,
    public: LogKey,
}

impl CheckpointSigner for Key {
    fn key(&self) -> &LogKey {
        &self.public
    }

    fn sign(&self, text: &str) -> Result<[u8; 64], SignFailed> {
        let signature: Signature = self.secret.sign(text.as_bytes());
        Ok(signature.to_bytes().into())
    }
}

/// A registry with one active key, a log in use, and what names the log's key.
struct House {
    world: World,
    log: AuditLog,
    key: String,
    spki: String,
}

impl House {
    fn new() -> House {
        let world = World::new(&["root"]);
        world.done("root create --token root.token.toml --out root.pem");
        let mut roster = String::new();
        for name in ["alice", "bob"] {
            roster += &world.done(&format!("officer keygen --name {name} --key {name}.key"));
        }
        fs::write(world.path("roster.toml"), roster + QUORUM).unwrap();
        world.done("keys init --registry keys --roster roster.toml --propagation 0s --tail 48h");
        let register = "keys register --registry keys --token root.token.toml --label root";
        let made = world.json(&format!("{register} --class root --json"));
        let spki = made["spki"].as_str().unwrap().to_owned();
        world.done("keys certify --registry keys --certificate root.pem");
        world.done(&format!("keys publish {spki} --registry keys"));
        world.done(&format!(
            "keys request {spki} activate --registry keys --out request"
        ));
        for name in ["alice", "bob"] {
            world.done(&format!(
                "officer approve --request request --key {name}.key --out {name}.approval --yes"
            ));
        }
        world.done(&format!(
            "keys activate {spki} --registry keys --reason first --approval alice.approval \
             --approval bob.approval"
        ));
        fs::create_dir(world.path("audit")).unwrap();
        let secret = SigningKey::from_slice(&[7; 32]).unwrap();
        let spki_der = secret.verifying_key().to_public_key_der().unwrap();
        let public = LogKey::from_spki_der(ORIGIN, spki_der.as_bytes()).unwrap();
        let key = public.to_vkey();
        let signer = Arc::new(Key { secret, public });
        let log = AuditLog::open(&world.path("audit"), ORIGIN, signer, &Trusted::default());
        let log = log.unwrap();
        House {
            world,
            log,
            key,
            spki,
        }
    }

    fn grow(&self, count: u64) {
        for number in 0..count {
            self.log.append(&leaf(number)).unwrap();
        }
        self.log.checkpoint().unwrap();
    }

    fn create(&self, out: &str) -> String {
        let key = &self.key;
        format!("backup create --registry keys --audit audit --key {key} --out {out}")
    }
}

struct EndsTheWriter<'a>(&'a AtomicBool);

impl Drop for EndsTheWriter<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn leaf(number: u64) -> Vec<u8> {
    let leaf = Leaf {
        time: UnixTime(1_800_000_000),
        actor: "uid:990",
        operation: "sign",
        key: [1; 32],
        class: "issuer",
        payload_type: "credential-claims",
        payload_hash: [2; 32],
        decision: Decision::Approved,
        policy_hash: None,
        reason: &number.to_string(),
    };
    leaf.encode().unwrap()
}

#[test]
fn a_backup_made_while_the_log_grows_verifies_each_time() {
    let house = House::new();
    house.grow(250);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                house.grow(7);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        // A failed assertion must end the writer too.
        let _ends = EndsTheWriter(&done);
        let mut last = 0;
        for number in 0..6 {
            let out = format!("backup-{number}");
            let made = house.world.json(&(house.create(&out) + " --json"));
            assert_eq!(made["keys"], 1);
            let entries = made["entries"].as_u64().unwrap();
            assert!(entries >= last.max(250), "{entries} after {last}");
            last = entries;
            let key = &house.key;
            let verified = house
                .world
                .json(&format!("backup verify --backup {out} --key {key} --json"));
            assert_eq!(verified["entries"], made["entries"]);
        }
    });
}

#[test]
fn a_restore_brings_registry_and_log_back_with_active_keys_suspended() {
    let house = House::new();
    house.grow(300);
    house.world.done(&house.create("backup"));
    house.grow(5);
    let (world, key) = (&house.world, &house.key);
    let restore =
        format!("backup restore --backup backup --key {key} --registry keys-2 --audit audit-2");
    let restored = world.json(&format!("{restore} --json"));
    assert_eq!(restored["entries"], 300);
    assert_eq!(restored["suspended"], serde_json::json!([house.spki]));
    let shown = world.json(&format!(
        "keys show {} --registry keys-2 --json",
        house.spki
    ));
    assert_eq!(shown["state"], "suspended");
    world.done(&format!("audit verify --log audit-2 --key {key}"));
    let names = |folder: &str| fs::read_dir(world.path(folder)).unwrap().count();
    assert_eq!(names("backup"), 2);

    // Nothing is overwritten, and half a restore leaves nothing.
    let (code, error, _) = world.fails(&restore);
    assert_eq!(code, 2);
    assert!(
        error.ends_with("exists already") || error.contains("exists"),
        "{error}"
    );
    let other = restore.replace("keys-2", "keys-3");
    assert_eq!(world.fails(&other).0, 2);
    assert!(!world.path("keys-3").exists());
}

#[test]
fn a_backup_with_one_changed_byte_is_refused() {
    let house = House::new();
    house.grow(300);
    house.world.done(&house.create("backup"));
    let (world, key) = (&house.world, &house.key);
    let tile = world.path("backup/audit/tile/entries/000");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[1_000] ^= 1;
    fs::write(&tile, &bytes).unwrap();
    let verify = format!("backup verify --backup backup --key {key}");
    let (code, error, _) = world.fails(&verify);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("tile/"), "{error}");
    bytes[1_000] ^= 1;
    fs::write(&tile, &bytes).unwrap();
    world.done(&verify);

    let registry = world.path("backup/registry");
    let mut bytes = fs::read(&registry).unwrap();
    bytes.truncate(8_000);
    fs::write(&registry, &bytes).unwrap();
    let (code, error, _) = world.fails(&verify);
    assert_eq!(code, 1, "{error}");
    assert!(error.starts_with("the backup is refused"), "{error}");
    let left = fs::read_dir(world.path("")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = left.filter(|name| name.contains("trial")).collect();
    assert_eq!(left, Vec::<String>::new());
}
