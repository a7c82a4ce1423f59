//! Two issuers behind the shipped client, over mTLS, and a network that breaks.

use std::sync::Arc;
use std::time::Duration;

use obol_credential::Cti;
use obol_issuer_client::{
    Ask, Batch, Command, Issued, IssuerAddress, IssuerClient, IssuerClientError, NotConfirmed,
    Placement, Target, Verb,
};
use obol_transport::Identity;
use tokio::net::TcpListener;

use crate::faults::Faults;
use crate::world::{NOW, Phone, World, fresh_key};

const NAMES: [&str; 2] = ["north", "south"];
const SHORT: Duration = Duration::from_secs(2);

pub(crate) struct Fleet {
    pub(crate) worlds: [World; 2],
    pub(crate) faults: [Arc<Faults>; 2],
    identity: Identity,
    pub(crate) client: IssuerClient,
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        let fleet = Self::without(&[]).await;
        assert_eq!(fleet.0.reserved(), [0, 0]);
        fleet.0
    }

    /// With listeners of those that do not run.
    async fn without(away: &[usize]) -> (Self, Vec<std::net::SocketAddr>) {
        let first = World::new();
        let worlds = [first.beside(), first.beside()];
        let identity = first.identity("platform", "obol://platform/main");
        let faults = [Arc::default(), Arc::default()];
        let (mut addresses, mut closed) = (Vec::new(), Vec::new());
        for (at, world) in worlds.iter().enumerate() {
            world.write("access.pem", &read(&first, "access.pem"));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap();
            if away.contains(&at) {
                closed.push(port);
            } else {
                let config = world.config(&[("obol://platform/main", &identity)]);
                let faults = Arc::clone(&faults[at]);
                world.start_at(listener, config, faults).await.unwrap();
            }
            addresses.push(IssuerAddress {
                name: NAMES[at].to_owned(),
                url: format!("https://localhost:{}", port.port()),
            });
        }
        let client = IssuerClient::new(&addresses, &first.anchor(), identity.clone(), [7; 16]);
        let fleet = Self {
            worlds,
            faults,
            identity,
            client: client.unwrap(),
        };
        (fleet, closed)
    }

    async fn start(&self, at: usize, address: std::net::SocketAddr) {
        let config = self.worlds[at].config(&[("obol://platform/main", &self.identity)]);
        let listener = TcpListener::bind(address).await.unwrap();
        let faults = Arc::clone(&self.faults[at]);
        self.worlds[at]
            .start_at(listener, config, faults)
            .await
            .unwrap();
    }

    fn reserved(&self) -> [u32; 2] {
        let of = |world: &World| {
            let exists = world.path("issuer.sqlite").exists();
            if exists { world.reserved() } else { 0 }
        };
        [of(&self.worlds[0]), of(&self.worlds[1])]
    }

    fn place(&self, name: &str) -> usize {
        NAMES.iter().position(|one| *one == name).unwrap()
    }

    /// Subjects that belong to an issuer.
    pub(crate) fn subjects_of(&self, name: &str) -> impl Iterator<Item = [u8; 16]> {
        let all = (0..).map(subject);
        let (client, name) = (self.client.clone(), name.to_owned());
        all.filter(move |subject| client.owner(subject) == name)
    }
}

fn read(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.path(name)).unwrap()
}

fn subject(number: u32) -> [u8; 16] {
    let mut handle = [0x5a; 16];
    handle[..4].copy_from_slice(&number.to_be_bytes());
    handle
}

pub(crate) fn ask(subject: [u8; 16], phone: u32) -> Ask {
    Ask {
        subject,
        device: None,
        class: 1,
        possession: Phone::numbered(phone).proof(subject, NOW),
    }
}

fn placement(result: Result<Issued, IssuerClientError>) -> Placement {
    match result {
        Err(IssuerClientError::Unsettled { placement, .. }) => placement,
        other => panic!("{other:?}"),
    }
}

fn code(error: &IssuerClientError) -> &str {
    match error {
        IssuerClientError::Refused(problem) => &problem.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answers_are_lost_is_repeated_and_makes_one_credential() {
    let fleet = Fleet::new().await;
    let subject = fleet.subjects_of("north").next().unwrap();
    fleet.faults[0].set(|faults| &faults.lose_answers, 2);
    let issued = fleet
        .client
        .sign(fresh_key(), &ask(subject, 1))
        .await
        .unwrap();
    assert_eq!(
        (issued.issuer.as_str(), fleet.faults[0].arrived()),
        ("north", 3)
    );
    fleet.faults[0].set(|faults| &faults.lose_requests, 1);
    fleet
        .client
        .sign(fresh_key(), &ask(subject, 2))
        .await
        .unwrap();
    assert_eq!(fleet.reserved(), [2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_arrives_twice_makes_one_credential() {
    let fleet = Fleet::new().await;
    let subject = fleet.subjects_of("south").next().unwrap();
    fleet.faults[1].set(|faults| &faults.duplicate, 1);
    fleet
        .client
        .sign(fresh_key(), &ask(subject, 1))
        .await
        .unwrap();
    assert_eq!(fleet.reserved(), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_may_have_been_taken_is_settled_where_it_was_and_taken_nowhere_else() {
    let fleet = Fleet::new().await;
    let subject = fleet.subjects_of("north").next().unwrap();
    fleet.faults[0].set(|faults| &faults.lose_answers, 1000);
    let (client, asked) = (fleet.client.within(SHORT), ask(subject, 1));
    let placed = placement(client.sign(fresh_key(), &asked).await);
    assert_eq!(placed.issuer, "north");
    let still = placement(client.settle(&placed, &asked).await);
    assert_eq!(still, placed);
    // Meanwhile the issuer counts as lost, and new requests go on to the next.
    let other = fleet
        .client
        .sign(fresh_key(), &ask(subject, 2))
        .await
        .unwrap();
    assert_eq!(other.issuer, "south");

    fleet.faults[0].set(|faults| &faults.lose_answers, 0);
    let issued = client.settle(&placed, &asked).await.unwrap();
    assert_eq!(issued.issuer, "north");
    assert_eq!(client.settle(&placed, &asked).await.unwrap(), issued);
    assert_eq!(fleet.reserved(), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn subjects_of_an_issuer_that_is_away_go_to_the_next_and_come_back() {
    let (fleet, closed) = Fleet::without(&[0]).await;
    let subject = fleet.subjects_of("north").next().unwrap();
    let issued = fleet
        .client
        .sign(fresh_key(), &ask(subject, 1))
        .await
        .unwrap();
    assert_eq!(issued.issuer, "south");
    fleet.start(0, closed[0]).await;
    for phone in 2..100 {
        let issued = fleet
            .client
            .sign(fresh_key(), &ask(subject, phone))
            .await
            .unwrap();
        if issued.issuer == "north" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("the subject did not come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_cannot_sign_keeps_what_it_took_and_is_passed_over_by_what_is_new() {
    let fleet = Fleet::new().await;
    let subject = fleet.subjects_of("south").next().unwrap();
    fleet.worlds[1].silence_daemon(true);
    let (client, asked) = (&fleet.client, ask(subject, 1));
    let placed = placement(client.sign(fresh_key(), &asked).await);
    assert_eq!(placed.issuer, "south");
    let issued = client.sign(fresh_key(), &ask(subject, 2)).await.unwrap();
    assert_eq!(issued.issuer, "north");
    fleet.worlds[1].silence_daemon(false);
    let settled = fleet.client.settle(&placed, &asked).await.unwrap();
    assert_eq!(settled.issuer, "south");
    assert_eq!(fleet.reserved(), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_a_busy_issuer_is_asked_again_unless_it_would_be_too_late() {
    let fleet = Fleet::new().await;
    let mut asked = ask(fleet.subjects_of("north").next().unwrap(), 1);
    asked.class = 9;
    let refused = fleet.client.sign(fresh_key(), &asked).await.unwrap_err();
    assert_eq!(
        (code(&refused), fleet.faults[0].arrived()),
        ("class-unknown", 1)
    );
    asked.class = 1;
    fleet.faults[0].set(|faults| &faults.shed, 1);
    fleet.client.sign(fresh_key(), &asked).await.unwrap();
    assert_eq!(fleet.faults[0].arrived(), 3);
    // It asks for a second, and there is half of one.
    fleet.faults[0].set(|faults| &faults.shed, 1);
    let hasty = fleet.client.within(Duration::from_millis(500));
    let refused = hasty
        .sign(fresh_key(), &ask(asked.subject, 2))
        .await
        .unwrap_err();
    assert_eq!(
        (code(&refused), fleet.faults[0].arrived()),
        ("overloaded", 4)
    );
    assert_eq!(fleet.reserved(), [1, 0]);
}

fn batch(count: u32) -> Vec<Ask> {
    (0..count)
        .map(|number| ask(subject(number), number))
        .collect()
}

/// Each signed by its owner, for its own device key.
fn check(client: &IssuerClient, asks: &[Ask], batch: &Batch, except: usize) {
    for (place, result) in batch
        .results
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != except)
    {
        let issued = result.as_ref().unwrap();
        assert_eq!(issued.issuer, client.owner(&asks[place].subject));
        let credential = obol_credential::Credential::decode(&issued.credential).unwrap();
        let phone = Phone::numbered(u32::try_from(place).unwrap());
        assert_eq!(credential.claims().device_key, phone.device_key());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_to_the_owners_and_its_results_keep_their_order() {
    let fleet = Fleet::new().await;
    let mut asks = batch(60);
    asks[17].class = 9;
    let done = fleet.client.sign_batch(fresh_key(), &asks).await;
    check(&fleet.client, &asks, &done, 17);
    assert_eq!(
        code(done.results[17].as_ref().unwrap_err()),
        "class-unknown"
    );
    assert_eq!(done.unsettled, []);
    let [north, south] = fleet.reserved();
    assert!(
        north > 0 && south > 0 && north + south == 59,
        "{north} {south}"
    );
    let mut broken = asks[..1].to_vec();
    broken[0].possession.pop();
    let done = fleet.client.sign_batch(fresh_key(), &broken).await;
    let refused = done.results[0].as_ref().unwrap_err();
    assert!(
        matches!(refused, IssuerClientError::Possession(_)),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_batch_whose_answer_is_lost_is_open_alone_and_settles_to_what_was_signed() {
    let fleet = Fleet::new().await;
    let asks = batch(20);
    fleet.faults[0].set(|faults| &faults.lose_answers, 1000);
    let client = fleet.client.within(SHORT);
    let done = client.sign_batch(fresh_key(), &asks).await;
    let [part] = &done.unsettled[..] else {
        panic!("{done:?}")
    };
    assert_eq!(part.placement.issuer, "north");
    for (place, result) in done.results.iter().enumerate() {
        assert_eq!(result.is_ok(), !part.places.contains(&place), "{place}");
    }
    fleet.faults[0].set(|faults| &faults.lose_answers, 0);
    let settled = fleet.client.settle_part(part, &asks).await.unwrap();
    assert_eq!(settled.len(), part.places.len());
    for (place, result) in settled {
        let owner = fleet.client.owner(&asks[place].subject);
        assert_eq!(result.unwrap().issuer, owner);
    }
    let [north, south] = fleet.reserved();
    assert_eq!(north + south, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_issuer_is_away_is_signed_by_the_other() {
    let (fleet, _) = Fleet::without(&[1]).await;
    let done = fleet.client.sign_batch(fresh_key(), &batch(20)).await;
    assert!(
        done.results
            .iter()
            .all(|result| result.as_ref().unwrap().issuer == "north")
    );
    assert_eq!(fleet.reserved(), [20, 0]);
}

fn command(target: Target, verb: Verb) -> Command {
    Command {
        target,
        verb,
        reason: "lost phone".to_owned(),
        number: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_an_issuer_did_not_hear_names_it_and_holds_everywhere_once_given_again() {
    let (fleet, closed) = Fleet::without(&[1]).await;
    let target = Target::Subject(subject(1));
    let client = fleet.client.within(SHORT);
    let revoke = command(target, Verb::Revoke);
    let missing = client.command(&revoke).await.unwrap_err();
    assert_eq!(missing.to_string(), "not confirmed by issuer south");
    let NotConfirmed { confirmed, missing } = missing;
    assert_eq!((confirmed, missing.len()), (vec!["north".to_owned()], 1));

    fleet.start(1, closed[0]).await;
    fleet.client.command(&revoke).await.unwrap();
    // What is revoked stays so: a command that comes late is dealt with and changes nothing.
    fleet
        .client
        .command(&command(target, Verb::Resume))
        .await
        .unwrap();
    for (_, heard) in fleet.client.standing(target).await {
        assert_eq!(heard.unwrap().standing, "revoked");
    }
    let refused = fleet
        .client
        .sign(fresh_key(), &ask(subject(1), 1))
        .await
        .unwrap_err();
    assert_eq!(code(&refused), "subject-revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_renewed_and_looked_up_at_the_issuer_that_made_it() {
    let (fleet, closed) = Fleet::without(&[0]).await;
    let subject = fleet.subjects_of("north").next().unwrap();
    let issued = fleet
        .client
        .sign(fresh_key(), &ask(subject, 1))
        .await
        .unwrap();
    assert_eq!(issued.issuer, "south");
    fleet.start(0, closed[0]).await;
    let proof = Phone::numbered(2).proof(subject, NOW);
    let renewed = fleet
        .client
        .renew(fresh_key(), &subject, issued.cti, &proof)
        .await
        .unwrap();
    assert_eq!(renewed.issuer, "south");
    let status = fleet.client.status(renewed.cti).await.unwrap();
    assert_eq!(
        (status.state.as_str(), status.kid),
        ("live", renewed.kid.to_string())
    );
    let unknown = fleet.client.status(Cti([0; 8])).await.unwrap_err();
    assert_eq!(code(&unknown), "credential-unknown");
    let refused = fleet
        .client
        .renew(fresh_key(), &subject, Cti([0; 8]), &proof)
        .await;
    assert_eq!(code(&refused.unwrap_err()), "credential-unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_issuer_tells_its_keys_and_its_bundle() {
    let fleet = Fleet::new().await;
    let keys = fleet.client.keys().await;
    let kid = |at: usize| keys[at].1.as_ref().unwrap()[0].kid.clone();
    assert_eq!((keys[0].0.as_str(), keys[1].0.as_str()), ("north", "south"));
    assert_ne!(kid(0), kid(1));
    for (at, (issuer, bundle)) in fleet.client.trust_bundles().await.into_iter().enumerate() {
        assert_eq!(fleet.place(&issuer), at);
        let bytes = bundle.unwrap();
        let bundle = obol_trust::TrustBundle::decode(&bytes).unwrap();
        assert_eq!(bundle.entries().len(), 1);
    }
}
