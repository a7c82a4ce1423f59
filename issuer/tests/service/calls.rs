//! The shipped client's calls: over few connections, and never longer than they may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use obol_issuer_client::{Ask, IssuerAddress, IssuerClient, IssuerClientError};
use obol_transport::Identity;
use tokio::net::{TcpListener, TcpStream};

use crate::process::PATIENCE;
use crate::world::{NOW, Phone, SUBJECT, World, fresh_key};

/// Passes on to an address, and counts the connections.
async fn counting(to: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let to = to.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                tokio::io::copy_bidirectional(&mut client, &mut server)
                    .await
                    .ok();
            });
        }
    });
    (format!("https://localhost:{port}"), count)
}

fn client(world: &World, identity: Identity, url: String) -> IssuerClient {
    let name = "main".to_owned();
    let issuer = IssuerAddress { name, url };
    IssuerClient::new(&[issuer], &world.anchor(), identity, [0; 16]).unwrap()
}

fn ask(phone: u32) -> Ask {
    Ask {
        subject: SUBJECT,
        device: None,
        class: 1,
        possession: Phone::numbered(phone).proof(SUBJECT, NOW),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_one_after_another_and_those_of_a_clone_share_their_connections() {
    let world = World::new();
    let platform = world.identity("platform", "obol://platform/main");
    let config = world.config(&[("obol://platform/main", &platform)]);
    let base = world.start(config).await.unwrap();
    let (url, count) = counting(base.trim_start_matches("https://").to_owned()).await;
    let client = client(&world, platform, url);
    let clone = client.within(PATIENCE);
    for phone in 0..10 {
        client.sign(fresh_key(), &ask(2 * phone)).await.unwrap();
        clone.sign(fresh_key(), &ask(2 * phone + 1)).await.unwrap();
    }
    client.keys().await.remove(0).1.unwrap();
    // One, but for calls that come before the last one's connection is free again.
    let count = count.load(Ordering::SeqCst);
    assert!(count <= 5, "{count} connections for 21 calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_who_says_nothing_ends_at_its_deadline_and_is_left_open() {
    let world = World::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let short = Duration::from_millis(500);
    let platform = world.identity("platform", "obol://platform/main");
    let client = client(&world, platform, url).within(short);
    let begun = Instant::now();
    let ended = client.sign(fresh_key(), &ask(1)).await.unwrap_err();
    let IssuerClientError::Unsettled { placement, .. } = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(placement.issuer, "main");
    let elapsed = begun.elapsed();
    assert!(elapsed >= short && elapsed < PATIENCE, "{elapsed:?}");
    drop(silent);
}
