use obol_credential::{Cti, DeviceKey, Kid, STATUS_EPOCH_S, UnixTime};

use super::*;
use crate::issuance::FareTemplate;

const NOW: UnixTime = UnixTime(1_800_000_000);
const DAY: u32 = STATUS_EPOCH_S;

fn register() -> (tempfile::TempDir, Register) {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::open(&folder.path().join("issuer.sqlite")).unwrap();
    (folder, register)
}

fn reservation(key: u8, candidates: [u32; CANDIDATES]) -> Reservation {
    let mut point = [key; 33];
    point[0] = 2;
    Reservation {
        kid: Kid([1; 4]),
        subject: Handle([9; 16]),
        device: None,
        device_key: DeviceKey::from_sec1(point).unwrap(),
        cti: Cti([key; 8]),
        issued_at: NOW,
        expires_at: NOW.plus(DAY),
        class: 1,
        template: FareTemplate {
            cap_minor: 1000,
            window_s: 30,
            flags: 0,
        },
        candidates,
        item: 0,
    }
}

fn batch(items: Vec<Reservation>) -> Batch {
    Batch {
        client: "obol://platform/main".to_owned(),
        request: None,
        quota: 1000,
        items,
    }
}

async fn reserve(register: &Register, item: Reservation) -> Result<u32, ReserveRefused> {
    match register.reserve(batch(vec![item])).await?.remove(0)? {
        Reserved::New(index) => Ok(index),
        Reserved::Again(prior) => panic!("{prior:?}"),
    }
}

fn change(target: Target, to: Standing) -> Change {
    Change {
        target,
        to,
        reason: "phone stolen".to_owned(),
        number: None,
        by: "obol://platform/main".to_owned(),
        at: NOW,
    }
}

#[tokio::test]
async fn an_index_is_given_once_in_a_key_and_a_day() {
    let (_folder, register) = register();
    let all = |index| [index; CANDIDATES];
    assert_eq!(reserve(&register, reservation(1, all(5))).await.unwrap(), 5);
    let taken = reserve(&register, reservation(2, all(5)))
        .await
        .unwrap_err();
    assert!(matches!(taken, ReserveRefused::Full), "{taken:?}");

    let mut then_free = all(5);
    then_free[CANDIDATES - 1] = 6;
    assert_eq!(
        reserve(&register, reservation(2, then_free)).await.unwrap(),
        6
    );

    let other_key = Reservation {
        kid: Kid([2; 4]),
        ..reservation(3, all(5))
    };
    assert_eq!(reserve(&register, other_key).await.unwrap(), 5);
    let other_day = Reservation {
        issued_at: NOW.plus(DAY),
        ..reservation(4, all(5))
    };
    assert_eq!(reserve(&register, other_day).await.unwrap(), 5);
}

#[tokio::test]
async fn a_device_key_is_taken_once_whatever_the_subject() {
    let (_folder, register) = register();
    reserve(&register, reservation(1, [5; CANDIDATES]))
        .await
        .unwrap();
    let again = Reservation {
        subject: Handle([8; 16]),
        cti: Cti([7; 8]),
        ..reservation(1, [6; CANDIDATES])
    };
    let refused = reserve(&register, again).await.unwrap_err();
    assert!(
        matches!(refused, ReserveRefused::DeviceKeyReused),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_was_reserved_is_there_after_the_register_is_opened_again() {
    let (folder, register) = register();
    reserve(&register, reservation(1, [5; CANDIDATES]))
        .await
        .unwrap();
    // Opened while the first still holds the file, as after kill -9: no orderly close.
    let reopened = Register::open(&folder.path().join("issuer.sqlite")).unwrap();
    let refused = reserve(&reopened, reservation(1, [6; CANDIDATES]))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ReserveRefused::DeviceKeyReused),
        "{refused:?}"
    );
}

#[test]
fn a_register_that_another_process_writes_to_opens_when_it_is_done() {
    let (folder, register) = register();
    let path = folder.path().join("issuer.sqlite");
    let mut other = Connection::open(&path).unwrap();
    let writing = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
    let writing = writing.unwrap();
    writing
        .execute_batch("UPDATE issued SET class = class")
        .unwrap();
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| Register::open(&path).map(drop));
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!opening.is_finished(), "it waits");
        writing.commit().unwrap();
        opening.join().unwrap().unwrap();
    });
    drop(register);
}

#[tokio::test]
async fn the_registers_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, register) = register();
    reserve(&register, reservation(1, [5; CANDIDATES]))
        .await
        .unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(files, [0o600; 4], "the database and its three companions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_get_different_indexes() {
    let (_folder, register) = register();
    let register = Arc::new(register);
    let candidates: [u32; CANDIDATES] = std::array::from_fn(|place| place as u32);
    let tasks: Vec<_> = (0..CANDIDATES as u8)
        .map(|key| {
            let register = register.clone();
            tokio::spawn(async move { reserve(&register, reservation(key, candidates)).await })
        })
        .collect();
    let mut given = Vec::new();
    for task in tasks {
        given.push(task.await.unwrap().unwrap());
    }
    given.sort_unstable();
    assert_eq!(given, candidates);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noise");
    std::fs::write(&path, [0xa5; 8192]).unwrap();
    let refused = Register::open(&path).unwrap_err();
    assert!(matches!(refused, RegisterError::Storage(_)), "{refused:?}");
}

#[test]
fn a_file_of_a_later_release_is_refused() {
    let (folder, register) = register();
    drop(register);
    let path = folder.path().join("issuer.sqlite");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let refused = Register::open(&path).unwrap_err();
    assert!(matches!(refused, RegisterError::Version(99)), "{refused:?}");
}

#[tokio::test]
async fn a_file_of_the_first_release_is_brought_up_and_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("issuer.sqlite");
    schema::make_first_version(&path);
    let mut point = [1u8; 33];
    point[0] = 2;
    let connection = Connection::open(&path).unwrap();
    let values = rusqlite::params![
        [1u8; 4],
        20833,
        5,
        [1u8; 8],
        [9u8; 16],
        point,
        NOW.0,
        NOW.0 + 9
    ];
    connection
        .execute(
            "INSERT INTO issued VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            values,
        )
        .unwrap();
    drop(connection);

    let register = Register::open(&path).unwrap();
    let refused = reserve(&register, reservation(1, [6; CANDIDATES]))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ReserveRefused::DeviceKeyReused),
        "{refused:?}"
    );
    let subject = Target::Subject(Handle([9; 16]));
    register
        .change_standing(change(subject, Standing::Suspended))
        .await
        .unwrap();
    let denied = register.denied_indexes(NOW).await.unwrap();
    assert_eq!(denied[0].indexes, [5], "{denied:?}");
}

const REQUEST: RequestKey = RequestKey {
    id: [3; 16],
    digest: [4; 32],
};

fn named(items: Vec<Reservation>) -> Batch {
    Batch {
        request: Some(REQUEST),
        ..batch(items)
    }
}

#[tokio::test]
async fn a_request_that_comes_again_finds_what_it_reserved_and_the_signature_if_it_was_kept() {
    let (folder, register) = register();
    let first = Reservation {
        item: 0,
        ..reservation(1, [5; CANDIDATES])
    };
    let second = Reservation {
        item: 1,
        ..reservation(2, [6; CANDIDATES])
    };
    register
        .reserve(named(vec![first.clone(), second]))
        .await
        .unwrap();
    let found = register.recall(REQUEST, 3).await.unwrap();
    assert_eq!(found[2], None);
    let prior = found[0].clone().unwrap();
    assert_eq!(
        (prior.claims.cti, prior.claims.fare.status_index),
        (Cti([1; 8]), 5)
    );
    assert_eq!(prior.signature, None);

    register
        .keep_signed(prior.kid, &prior.claims, 7, Some(vec![7; 96]))
        .await
        .unwrap();
    drop(register);
    let register = Register::open(&folder.path().join("issuer.sqlite")).unwrap();
    let found = register.recall(REQUEST, 2).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap().signature, Some(vec![7; 96]));
    // And a race past the look-up ends in the same credential.
    let again = Reservation {
        cti: Cti([8; 8]),
        ..first
    };
    let reserved = register
        .reserve(named(vec![again]))
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let Reserved::Again(prior) = reserved else {
        panic!("{reserved:?}")
    };
    assert_eq!(prior.claims.cti, Cti([1; 8]));
}

#[tokio::test]
async fn a_request_key_that_belongs_to_another_body_is_refused_and_reserves_nothing() {
    let (_folder, register) = register();
    register
        .reserve(named(vec![reservation(1, [5; CANDIDATES])]))
        .await
        .unwrap();
    let other = RequestKey {
        digest: [5; 32],
        ..REQUEST
    };
    let refused = register.recall(other, 1).await.unwrap_err();
    assert!(
        matches!(refused, ReserveRefused::OtherRequest),
        "{refused:?}"
    );
    let other = Batch {
        request: Some(other),
        ..batch(vec![reservation(2, [6; CANDIDATES])])
    };
    let refused = register.reserve(other).await.unwrap_err();
    assert!(
        matches!(refused, ReserveRefused::OtherRequest),
        "{refused:?}"
    );
    assert_eq!(register.credential(Cti([2; 8])).await.unwrap(), None);
}

#[tokio::test]
async fn a_quota_is_of_a_client_a_shard_and_a_day_and_survives_a_restart() {
    let (folder, register) = register();
    let of = |key, kid| Reservation {
        kid: Kid([kid; 4]),
        ..reservation(key, [key.into(); CANDIDATES])
    };
    let limited = |item| Batch {
        quota: 1,
        ..batch(vec![item])
    };
    register
        .reserve(limited(of(1, 1)))
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    drop(register);
    let register = Register::open(&folder.path().join("issuer.sqlite")).unwrap();
    let refused = register
        .reserve(limited(of(2, 1)))
        .await
        .unwrap()
        .remove(0)
        .unwrap_err();
    assert!(matches!(refused, ReserveRefused::Quota(1)), "{refused:?}");
    register
        .reserve(limited(of(2, 2)))
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let other = Batch {
        client: "obol://platform/b".to_owned(),
        ..limited(of(3, 1))
    };
    register.reserve(other).await.unwrap().remove(0).unwrap();
    let tomorrow = Reservation {
        issued_at: NOW.plus(DAY),
        ..of(4, 1)
    };
    register
        .reserve(limited(tomorrow))
        .await
        .unwrap()
        .remove(0)
        .unwrap();
}

#[tokio::test]
async fn who_is_suspended_gets_nothing_and_has_every_live_index_denied() {
    let (_folder, register) = register();
    let phone = Handle([0xd; 16]);
    let with_phone = Reservation {
        device: Some(phone),
        ..reservation(1, [5; CANDIDATES])
    };
    reserve(&register, with_phone).await.unwrap();
    reserve(&register, reservation(2, [7; CANDIDATES]))
        .await
        .unwrap();
    let elsewhere = Reservation {
        subject: Handle([8; 16]),
        ..reservation(3, [9; CANDIDATES])
    };
    reserve(&register, elsewhere).await.unwrap();
    let over = Reservation {
        expires_at: NOW.minus(2 * 3600),
        ..reservation(4, [11; CANDIDATES])
    };
    reserve(&register, over).await.unwrap();

    let list = |indexes: &[u32]| DeniedIndexes {
        kid: Kid([1; 4]),
        epoch: NOW.0 / DAY,
        indexes: indexes.to_vec(),
    };
    assert_eq!(register.denied_indexes(NOW).await.unwrap(), [list(&[])]);

    let device = Target::Device(phone);
    register
        .change_standing(change(device, Standing::Suspended))
        .await
        .unwrap();
    assert_eq!(register.denied_indexes(NOW).await.unwrap(), [list(&[5])]);
    let subject = Target::Subject(Handle([9; 16]));
    register
        .change_standing(change(subject, Standing::Revoked))
        .await
        .unwrap();
    assert_eq!(register.denied_indexes(NOW).await.unwrap(), [list(&[5, 7])]);
    let refused = reserve(&register, reservation(5, [13; CANDIDATES]))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ReserveRefused::Denied(_, Standing::Revoked)),
        "{refused:?}"
    );
    assert_eq!(
        register.denied_indexes(NOW.plus(3 * DAY)).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn what_is_suspended_can_be_resumed_and_what_is_revoked_cannot() {
    let (_folder, register) = register();
    let target = Target::Subject(Handle([1; 16]));
    assert_eq!(register.standing(target).await.unwrap(), None);
    for to in [Standing::Suspended, Standing::Active, Standing::Revoked] {
        let held = register.change_standing(change(target, to)).await.unwrap();
        assert_eq!(held.standing, to);
    }
    for to in [Standing::Active, Standing::Suspended] {
        let refused = register
            .change_standing(change(target, to))
            .await
            .unwrap_err();
        assert!(matches!(refused, ChangeRefused::Revoked(_)), "{refused:?}");
    }
    // Asked again, it stays as it was first said.
    let again = Change {
        at: NOW.plus(9),
        ..change(target, Standing::Revoked)
    };
    assert_eq!(
        register.change_standing(again).await.unwrap().changed_at,
        NOW
    );
}

#[tokio::test]
async fn what_is_old_is_purged_and_what_is_not_stays() {
    let (_folder, register) = register();
    let old = Reservation {
        issued_at: NOW.minus(40 * DAY),
        expires_at: NOW.minus(39 * DAY),
        ..reservation(1, [5; CANDIDATES])
    };
    register.reserve(named(vec![old])).await.unwrap();
    reserve(&register, reservation(2, [6; CANDIDATES]))
        .await
        .unwrap();
    let before = NOW.minus(35 * DAY);
    assert_eq!(
        register.purge_some(before).await.unwrap(),
        Purged::Everything
    );
    assert_eq!(register.credential(Cti([1; 8])).await.unwrap(), None);
    assert!(register.credential(Cti([2; 8])).await.unwrap().is_some());
    assert_eq!(register.recall(REQUEST, 1).await.unwrap(), [None]);
    let tables = register.read(|connection| {
        let count = |table| {
            let sql = format!("SELECT count(*) FROM {table}");
            connection.query_row(&sql, [], |row| row.get::<_, u32>(0))
        };
        Ok((count("request")?, count("usage")?))
    });
    assert_eq!(tables.await.unwrap(), (0, 1));
}

#[tokio::test]
async fn an_act_that_fails_undoes_itself_and_nothing_else() {
    let (_folder, register) = register();
    let failing = register.write(|connection| {
        connection.execute("UPDATE probe SET count = 99", [])?;
        Err::<(), _>(RegisterError::Damaged("on purpose"))
    });
    let (failed, reserved) =
        tokio::join!(failing, reserve(&register, reservation(1, [5; CANDIDATES])));
    assert!(
        matches!(failed, Err(RegisterError::Damaged("on purpose"))),
        "{failed:?}"
    );
    assert_eq!(reserved.unwrap(), 5);
    let count = register
        .read(|connection| {
            Ok(connection.query_row("SELECT count FROM probe", [], |row| row.get::<_, u32>(0))?)
        })
        .await
        .unwrap();
    assert_eq!(count, 0);
}
