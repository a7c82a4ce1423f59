//! The daemon and its client, over a real socket.

use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use obol_credential::{Credential, UnixTime};
use obol_kms::Curve;
use obol_kms::daemon::{AuditConfig, Daemon, DaemonConfig, TokenEntry, TokenPlace};
use obol_kms_client::wire::{
    Answer, Call, FRAME_MAX, RefusalKind, Reply, Request, decode_frame, read_frame, write_frame,
};
use obol_kms_client::{KeyClass, KeyState, KmsClient, KmsError, SpkiId};
use obol_kms_policy::{Client, Role};
use obol_kms_registry::Class;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::credentials::claims;
use crate::registered::activate;
use crate::world::{NOW, World, in_a_world, issuer};

fn clock() -> UnixTime {
    NOW
}

/// A daemon on a fresh issuer; `work` gets its socket.
fn with_daemon<F: Future<Output = ()>>(world: &World, uid: u32, work: impl FnOnce(PathBuf) -> F) {
    let token = world.token("issuer");
    let registry = world.registry();
    let (certificate, key) = issuer(&token, Curve::P384, NOW);
    activate(
        &registry,
        &token,
        key.key(),
        Class::Issuer,
        Some(&certificate),
    );
    let audit = token.generate(Curve::P256, "audit").unwrap();
    activate(&registry, &token, &audit, Class::Audit, None);
    let folder = world.folder.join("audit");
    std::fs::create_dir(&folder).unwrap();
    let config = DaemonConfig {
        socket: world.folder.join("kms.sock"),
        socket_mode: 0o600,
        registry: registry.path().to_path_buf(),
        policy: None,
        max_connections: 4,
        request_deadline: Duration::from_millis(500),
        call_limit: Duration::from_millis(200),
        metrics: None,
        tokens: vec![TokenEntry {
            file: world.token_file("issuer"),
            sessions: 2,
        }],
        clients: [(uid, Client::new(Role::Issuer, "uid:1").unwrap())].into(),
        audit: AuditConfig {
            folder,
            origin: "kms.test/audit".to_owned(),
            key: None,
            witness: None,
        },
    };
    drop((token, registry));
    world.unload();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let daemon = Daemon::start(&config, TokenPlace::ThisProcess, clock).unwrap();
        let socket = daemon.path().to_path_buf();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(daemon.serve(async {
            stopped.await.ok();
        }));
        work(socket.clone()).await;
        drop(stop);
        serving.await.unwrap();
        assert!(!socket.exists(), "the socket goes with the daemon");
    });
}

fn keys() -> Call {
    Call {
        id: 1,
        left_ms: None,
        request: Request::Keys,
    }
}

async fn issuer_key(client: &KmsClient) -> SpkiId {
    let keys = client.keys().await.unwrap();
    let issuer = keys.iter().find(|key| key.class == KeyClass::Issuer);
    issuer.unwrap().spki
}

fn own_uid(world: &World) -> u32 {
    world.folder.metadata().unwrap().uid()
}

#[test]
fn the_daemon_signs_claims_and_the_client_assembles_the_credential() {
    in_a_world(
        "daemon::the_daemon_signs_claims_and_the_client_assembles_the_credential",
        |world| {
            with_daemon(world, own_uid(world), |socket| async move {
                let client = KmsClient::connect(&socket).await.unwrap();
                let keys = client.keys().await.unwrap();
                let key = keys
                    .iter()
                    .find(|key| key.class == KeyClass::Issuer)
                    .unwrap();
                assert_eq!((keys.len(), key.state), (2, KeyState::Active));
                assert_eq!(SpkiId::of(&key.spki_der), key.spki);
                let signed = client.sign_credential(key.spki, &claims()).await.unwrap();
                let credential = Credential::decode(signed.credential()).unwrap();
                assert_eq!(credential.claims(), &claims());
                assert_eq!(credential.kid(), key.spki.kid());
                assert_eq!(credential.signature(), signed.signature().to_raw());
                assert_eq!(signed.signature().leaf(), 0);

                let unknown = SpkiId([9; 32]);
                let error = client
                    .sign_credential(unknown, &claims())
                    .await
                    .unwrap_err();
                assert!(matches!(error, KmsError::UnknownKey(id) if id == unknown));
            });
        },
    );
}

#[test]
fn the_daemon_refuses_claims_longer_than_48_hours() {
    in_a_world(
        "daemon::the_daemon_refuses_claims_longer_than_48_hours",
        |world| {
            with_daemon(world, own_uid(world), |socket| async move {
                let client = KmsClient::connect(&socket).await.unwrap();
                let key = issuer_key(&client).await;
                let mut long = claims();
                long.expires_at = long.issued_at.plus(48 * 3600 + 1);
                match client.sign_credential(key, &long).await.unwrap_err() {
                    KmsError::Refused {
                        kind: RefusalKind::PayloadRefused,
                        reason,
                    } => {
                        assert!(reason.contains("life is not 1 s to 48 h"), "{reason}");
                    }
                    other => panic!("{other:?}"),
                }
                long.expires_at = long.issued_at.plus(48 * 3600);
                client.sign_credential(key, &long).await.unwrap();
            });
        },
    );
}

#[test]
fn the_daemon_refuses_another_uid() {
    in_a_world("daemon::the_daemon_refuses_another_uid", |world| {
        let another = own_uid(world) + 1;
        with_daemon(world, another, |socket| async move {
            let error = KmsClient::connect(&socket).await.unwrap_err();
            assert!(matches!(error, KmsError::Closed(path) if path == socket));
        });
    });
}

#[test]
fn noise_is_answered_with_a_refusal_and_the_connection_closed() {
    in_a_world(
        "daemon::noise_is_answered_with_a_refusal_and_the_connection_closed",
        |world| {
            with_daemon(world, own_uid(world), |socket| async move {
                let trailing = [0, 0, 0, 4, 0x82, 0x00, 0x80, 0x00];
                let digest = [&[0, 0, 0, 50, 0x58, 48][..], &[7; 48]].concat();
                let huge = (FRAME_MAX as u32 + 1).to_be_bytes();
                for frame in [&trailing[..], &digest, &huge, &[0, 0, 0, 0]] {
                    let mut stream = UnixStream::connect(&socket).await.unwrap();
                    stream.write_all(frame).await.unwrap();
                    let answer = read_frame(&mut stream).await.unwrap().unwrap();
                    let Reply { id, answer } = decode_frame(&answer).unwrap();
                    let Answer::Refused { code, .. } = answer else {
                        panic!("noise was not refused")
                    };
                    assert_eq!((id, code), (0, RefusalKind::BadRequest));
                    assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
                }
                KmsClient::connect(&socket).await.unwrap();
            });
        },
    );
}

#[test]
fn a_request_that_never_ends_is_cut_off_and_an_idle_connection_is_not() {
    in_a_world(
        "daemon::a_request_that_never_ends_is_cut_off_and_an_idle_connection_is_not",
        |world| {
            with_daemon(world, own_uid(world), |socket| async move {
                let mut slow = UnixStream::connect(&socket).await.unwrap();
                let mut idle = UnixStream::connect(&socket).await.unwrap();
                slow.write_all(&[0, 0]).await.unwrap();
                assert!(matches!(slow.read(&mut [0]).await, Ok(0) | Err(_)));
                write_frame(&mut idle, &keys()).await.unwrap();
                assert!(read_frame(&mut idle).await.unwrap().is_some());
            });
        },
    );
}

#[test]
fn connections_over_the_limit_are_closed_at_once() {
    in_a_world(
        "daemon::connections_over_the_limit_are_closed_at_once",
        |world| {
            with_daemon(world, own_uid(world), |socket| async move {
                let mut kept = Vec::new();
                for _ in 0..4 {
                    let mut stream = UnixStream::connect(&socket).await.unwrap();
                    write_frame(&mut stream, &keys()).await.unwrap();
                    read_frame(&mut stream).await.unwrap().unwrap();
                    kept.push(stream);
                }
                let mut fifth = UnixStream::connect(&socket).await.unwrap();
                assert!(matches!(fifth.read(&mut [0]).await, Ok(0) | Err(_)));
            });
        },
    );
}
