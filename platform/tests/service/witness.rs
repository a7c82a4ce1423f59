//! `add-checkpoint` as c2sp.org/tlog-witness has it: what each submission is answered, and how often
//! evidence is logged.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use data_encoding::HEXLOWER;
use obol_log::consistency_proof;
use obol_log::witness::Submission;
use obol_log::{Checkpoint, Leaves, LogKey, Note, SignatureLine, WitnessKey, WitnessSigner};
use obol_transport::{Bytes, HttpsClient, Peer, Problem, Reply};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::pkcs8::EncodePublicKey;
use tracing::subscriber::DefaultGuard;

use crate::town::Town;

const ORIGIN: &str = "kms.test/audit";

/// The audit log's side.
struct Daemon {
    client: HttpsClient,
    secret: SigningKey,
    log: LogKey,
    witness: WitnessKey,
    town: Town,
}

impl Daemon {
    async fn new() -> Self {
        let secret = SigningKey::from_slice(&[7; 32]).unwrap();
        let spki = secret.verifying_key().to_public_key_der().unwrap();
        let log = LogKey::from_spki_der(ORIGIN, spki.as_bytes()).unwrap();
        let signer = WitnessSigner::from_seed("platform.test/w1", &[9; 32]).unwrap();
        let mut identity = None;
        let town = Town::with(|folder, authorities| {
            let key = folder.join("witness.key");
            fs::write(&key, signer.to_text().as_bytes()).unwrap();
            fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
            identity = Some(authorities.identity("kms", "main"));
            let spki = HEXLOWER.encode(&Peer::load(&folder.join("main.pem")).unwrap().spki);
            format!(
                "\n[witness]\nkey = \"witness.key\"\n[[witness.logs]]\nkey = \"{}\"\n\
                 state = \"witnessed\"\nclient = \"obol://kms/main\"\nspki = \"{spki}\"\n",
                log.to_vkey()
            )
        })
        .await;
        Self {
            client: HttpsClient::new(&town.authorities.anchor(), identity),
            secret,
            log,
            witness: signer.public().clone(),
            town,
        }
    }

    async fn bring(&self, submission: &Submission) -> Reply {
        self.post(submission.to_text()).await
    }

    async fn post(&self, body: String) -> Reply {
        post(&self.client, &self.town, body).await
    }

    fn submission(&self, history: u8, old: u64, size: u64) -> Submission {
        self.submission_of(ORIGIN, history, old, size)
    }

    /// The log at `size` after `old`, with leaves that differ by `history`.
    fn submission_of(&self, origin: &str, history: u8, old: u64, size: u64) -> Submission {
        let mut tree = Leaves::default();
        (0..size).for_each(|index| tree.push(&[history, u8::try_from(index).unwrap()]));
        let head = Checkpoint {
            origin: origin.to_owned(),
            size,
            root: tree.root(size),
        };
        let mut note = Note::new(head.to_text()).unwrap();
        note.sign(self.line(&note));
        let proof = consistency_proof(&tree, old.min(size), size).unwrap();
        Submission {
            old_size: old,
            proof,
            note,
        }
    }

    fn line(&self, note: &Note) -> SignatureLine {
        let signature: Signature = self.secret.sign(note.text().as_bytes());
        let raw: [u8; 64] = signature.to_bytes().into();
        self.log.line(note.text(), &raw).unwrap()
    }

    /// Five leaves are cosigned.
    async fn witnessed() -> Self {
        let daemon = Self::new().await;
        daemon.demand_cosigned(daemon.submission(0, 0, 5)).await;
        daemon
    }

    async fn demand_cosigned(&self, submission: Submission) {
        let reply = self.bring(&submission).await.success().unwrap();
        let mut text = submission.note.to_text().into_bytes();
        text.extend_from_slice(&reply.body);
        self.witness.verify(&Note::parse(&text).unwrap()).unwrap();
    }
}

async fn post(client: &HttpsClient, town: &Town, body: String) -> Reply {
    let url = format!("{}/v1/audit-log/add-checkpoint", town.terminals);
    let reply = client.post(&url, "text/plain", Bytes::from(body)).await;
    reply.unwrap()
}

fn problem(reply: &Reply) -> (u16, String) {
    let problem = Problem::from_reply(reply);
    (problem.status.as_u16(), problem.code.into_owned())
}

/// The answer that names the size from which the proof has to begin.
fn size(reply: &Reply) -> (u16, &str, &[u8]) {
    (reply.status.as_u16(), &reply.content_type, &reply.body)
}

#[tokio::test]
async fn a_body_that_is_no_checkpoint_with_its_proof_is_malformed() {
    let daemon = Daemon::witnessed().await;
    let good = daemon.submission(0, 5, 7).to_text();
    let beyond = Submission {
        old_size: 9,
        ..daemon.submission(0, 5, 7)
    };
    for body in [
        String::new(),
        "no checkpoint".to_owned(),
        good.replacen("old 5", "old five", 1),
        good.replacen("old 5", "old 05", 1),
        good.replacen("\n\n", "\nno hash\n\n", 1),
        good.replacen(ORIGIN, "", 1),
        good.replacen("\n7\n", "\n-7\n", 1),
        beyond.to_text(),
    ] {
        let reply = daemon.post(body.clone()).await;
        assert_eq!(
            problem(&reply),
            (400, "submission-malformed".into()),
            "{body}"
        );
    }
    daemon.demand_cosigned(daemon.submission(0, 5, 7)).await;
}

#[tokio::test]
async fn a_checkpoint_that_the_log_did_not_sign_is_refused() {
    let mut daemon = Daemon::witnessed().await;
    // The log's own signature, of another of its checkpoints.
    let mut forged = daemon.submission(0, 5, 7);
    let other = daemon.submission(0, 5, 8).note;
    forged.note = Note::new(forged.note.text().to_owned()).unwrap();
    forged.note.sign(other.signatures()[0].clone());
    let forged = daemon.bring(&forged).await;
    assert_eq!(problem(&forged), (403, "log-signature-refused".into()));
    daemon.secret = SigningKey::from_slice(&[8; 32]).unwrap();
    let spki = daemon.secret.verifying_key().to_public_key_der().unwrap();
    daemon.log = LogKey::from_spki_der(ORIGIN, spki.as_bytes()).unwrap();
    let by_another_key = daemon.bring(&daemon.submission(0, 5, 7)).await;
    assert_eq!(
        problem(&by_another_key),
        (403, "log-signature-refused".into())
    );
}

#[tokio::test]
async fn a_checkpoint_of_somebody_elses_is_not_taken() {
    let daemon = Daemon::witnessed().await;
    let town = &daemon.town;
    let identity = town.authorities.identity("kms", "other");
    let other = HttpsClient::new(&town.authorities.anchor(), Some(identity));
    let reply = post(&other, town, daemon.submission(0, 5, 7).to_text()).await;
    assert_eq!(problem(&reply), (403, "submitter-not-registered".into()));
}

#[tokio::test]
async fn a_log_of_an_unknown_origin_is_not_found() {
    let daemon = Daemon::witnessed().await;
    let other = daemon.submission_of("kms.test/other", 0, 0, 5);
    let reply = daemon.bring(&other).await;
    assert_eq!(problem(&reply), (404, "log-unknown".into()));
}

#[tokio::test]
async fn a_proof_from_another_size_than_the_witness_has_is_answered_with_that_size() {
    let daemon = Daemon::new().await;
    let none_seen = daemon.bring(&daemon.submission(0, 3, 5)).await;
    let conflict = |body: &'static [u8]| (409, "text/x.tlog.size", body);
    assert_eq!(size(&none_seen), conflict(b"0\n"));
    daemon.demand_cosigned(daemon.submission(0, 0, 5)).await;
    for old in [0, 4, 6] {
        let reply = daemon.bring(&daemon.submission(0, old, 7)).await;
        assert_eq!(size(&reply), conflict(b"5\n"), "{old}");
    }
    let set_back = daemon.bring(&daemon.submission(0, 3, 3)).await;
    assert_eq!(size(&set_back), conflict(b"5\n"));
}

#[tokio::test]
async fn a_proof_that_does_not_hold_is_unprocessable_and_another_root_a_conflict() {
    let daemon = Daemon::witnessed().await;
    let rewritten = daemon.bring(&daemon.submission(1, 5, 7)).await;
    assert_eq!(problem(&rewritten), (422, "log-inconsistent".into()));
    let mut unproved = daemon.submission(0, 5, 7);
    unproved.proof.pop();
    let unproved = daemon.bring(&unproved).await;
    assert_eq!(problem(&unproved), (422, "log-inconsistent".into()));
    let same_size = daemon.bring(&daemon.submission(1, 5, 5)).await;
    assert_eq!(problem(&same_size), (409, "log-inconsistent".into()));
    daemon.demand_cosigned(daemon.submission(0, 5, 7)).await;
}

#[tokio::test]
async fn a_log_that_was_set_back_is_logged_once_and_not_at_each_submission() {
    let daemon = Daemon::witnessed().await;
    let log = Log::default();
    let _capture = log.capture();
    for size in [2, 3, 3, 4] {
        let reply = daemon.bring(&daemon.submission(0, size, size)).await;
        assert_eq!(reply.status, 409);
    }
    assert_eq!(log.count("an audit log was set back"), 1);
    for _ in 0..2 {
        daemon.bring(&daemon.submission(1, 5, 7)).await;
    }
    let rewritten = "an audit log does not continue what was cosigned";
    assert_eq!(log.count(rewritten), 1);
    // After it was well again, it is news again.
    daemon.demand_cosigned(daemon.submission(0, 5, 6)).await;
    for _ in 0..2 {
        daemon.bring(&daemon.submission(0, 4, 4)).await;
    }
    assert_eq!(log.count("an audit log was set back"), 2);
}

/// What this thread logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture(&self) -> DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn count(&self, text: &str) -> usize {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).matches(text).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
