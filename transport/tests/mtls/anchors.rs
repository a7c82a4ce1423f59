//! One access CA follows another: both are believed for a time, each by its own list.

use std::path::{Path, PathBuf};

use obol_transport::{
    AnchorRefused, ClientAuth, HttpsClient, Identity, IdentityError, TransportError, TrustAnchor,
};
use rcgen::{BasicConstraints, IsCa, KeyUsagePurpose};

use crate::world::{Ca, Server, access_params};

fn lists(folder: &Path, of: &[&PathBuf]) -> PathBuf {
    let texts = of.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let path = folder.with_file_name("all.crl.pem");
    std::fs::write(&path, texts.collect::<String>()).unwrap();
    path
}

async fn alert(server: &Server, trusted: &Ca, identity: Identity) -> Option<String> {
    let client = HttpsClient::new(&trusted.anchor(), Some(identity));
    match client.get(&server.url("/whoami")).await {
        Ok(_) => None,
        Err(TransportError::CertificateRefused { alert, .. }) => Some(alert),
        Err(other) => panic!("{other:?}"),
    }
}

fn reason(refused: IdentityError) -> String {
    match refused {
        IdentityError::BadList { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_cas_are_believed_and_each_ones_own_list_counts_though_they_have_one_name() {
    let (old, new) = (Ca::new(), Ca::new());
    let both = old.together(&[&new]).unwrap();
    let (stolen, key) = new.files("obol://terminal/stolen");
    let (gone, gone_key) = old.files("obol://terminal/gone");
    let (by_old, by_new) = (old.revoke(&[&gone]), new.revoke(&[&stolen]));
    let all = lists(&by_old, &[&by_old, &by_new]);
    let anchor = both.with_crl(&all).unwrap();
    let server = Server::start(&old, ClientAuth::Required(anchor.clone())).await;
    for ca in [&old, &new] {
        let good = ca.issue("obol://terminal/good");
        assert_eq!(alert(&server, &old, good).await, None);
    }
    for (certificate, key) in [(&stolen, &key), (&gone, &gone_key)] {
        let identity = Identity::load(certificate, key).unwrap();
        let refused = alert(&server, &old, identity).await;
        assert_eq!(refused.as_deref(), Some("certificate_revoked"));
    }
    // A server of either is believed too.
    let moved = Server::start(&new, ClientAuth::None).await;
    let client = HttpsClient::new(&anchor, None);
    for server in [&server, &moved] {
        let client = HttpsClient::new(&anchor, Some(old.issue("obol://terminal/good")));
        client.get(&server.url("/open")).await.unwrap();
    }
    client.get(&moved.url("/open")).await.unwrap();
}

#[tokio::test]
async fn a_ca_that_leaves_the_anchor_is_refused_on_open_connections_too() {
    let (old, new) = (Ca::of(access_params("old")), Ca::of(access_params("new")));
    let both = old.together(&[&new]).unwrap();
    let server = Server::start(&old, ClientAuth::Required(both.clone())).await;
    let stays = HttpsClient::new(&both, Some(new.issue("obol://terminal/new")));
    let leaves = HttpsClient::new(&both, Some(old.issue("obol://terminal/old")));
    for client in [&stays, &leaves] {
        client.get(&server.url("/whoami")).await.unwrap();
    }
    server.replace_tls(&new, ClientAuth::Required(new.anchor()));
    let refused = loop {
        match leaves.get(&server.url("/whoami")).await {
            Err(TransportError::CertificateRefused { alert, .. }) => break alert,
            // The open connection was closed under the request.
            Err(TransportError::ConnectionLost { .. }) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(["unknown_ca", "decrypt_error"].contains(&refused.as_str()));
    stays.get(&server.url("/whoami")).await.unwrap();
}

#[tokio::test]
async fn nothing_of_a_ca_whose_list_is_missing_is_believed_where_lists_are_asked_for() {
    let (old, new) = (Ca::new(), Ca::of(access_params("new")));
    let both = old.together(&[&new]).unwrap();
    let only_old = old.revoke(&[]);
    let anchor = both.with_crl(&only_old).unwrap();
    let server = Server::start(&old, ClientAuth::Required(anchor.clone())).await;
    let refused = alert(&server, &old, new.issue("obol://terminal/a")).await;
    assert_eq!(refused.as_deref(), Some("unknown_ca"));
    assert_eq!(
        alert(&server, &old, old.issue("obol://terminal/a")).await,
        None
    );
    let moved = Server::start(&new, ClientAuth::None).await;
    let unlisted = HttpsClient::new(&anchor, None)
        .get(&moved.url("/open"))
        .await;
    let Err(TransportError::ServerUntrusted { .. }) = unlisted else {
        panic!("{unlisted:?}")
    };
}

#[tokio::test]
async fn two_certificates_of_one_ca_are_judged_by_its_one_list_and_two_lists_of_it_are_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    let twice = ca.certified_twice();
    let [first, again] = twice.authorities().collect::<Vec<_>>()[..] else {
        panic!("two certificates")
    };
    assert!(first != again && first.is_same_ca(again));
    // A name alone makes none the same.
    let foreign = other.anchor();
    assert!(!foreign.authorities().any(|ca| ca.is_same_ca(first)));
    let (gone, key) = ca.files("obol://terminal/gone");
    let list = ca.revoke(&[&gone]);
    let anchor = twice.clone().with_crl(&list).unwrap();
    let server = Server::start(&ca, ClientAuth::Required(anchor)).await;
    let good = ca.issue("obol://terminal/good");
    assert_eq!(alert(&server, &ca, good).await, None);
    let identity = Identity::load(&gone, &key).unwrap();
    let refused = alert(&server, &ca, identity).await;
    assert_eq!(refused.as_deref(), Some("certificate_revoked"));
    let doubled = twice.with_crl(&lists(&list, &[&list, &list])).unwrap_err();
    assert_eq!(reason(doubled), "list 2 is the second of its CA");
}

#[test]
fn lists_of_nobody_doubled_ones_and_forged_ones_are_refused() {
    let (old, new, other) = (Ca::new(), Ca::new(), Ca::new());
    let both = || old.together(&[&new]).unwrap();
    let [by_old, by_new, by_other] = [&old, &new, &other].map(|ca| ca.revoke(&[]));
    let refused = |of: &[&PathBuf]| reason(both().with_crl(&lists(&by_old, of)).unwrap_err());
    // Of the same name, but not signed by one of these.
    assert_eq!(refused(&[&by_old, &by_other]), "list 2 is of another CA");
    let doubled = refused(&[&by_old, &by_new, &by_old]);
    assert_eq!(doubled, "list 3 is the second of its CA");
    assert_eq!(refused(&[]), "0 lists instead of 1 to 4");
    assert_eq!(refused(&[&by_old; 5]), "5 lists instead of 1 to 4");
}

#[test]
fn an_anchor_is_one_to_four_different_access_cas() {
    let cas: Vec<Ca> = (0..5).map(|_| Ca::new()).collect();
    let all: Vec<&Ca> = cas.iter().collect();
    let four = all[0].together(&all[1..4]).unwrap();
    assert_eq!(four.authorities().len(), 4);
    let refused = |ca: &Ca, others: &[&Ca]| match ca.together(others).unwrap_err() {
        IdentityError::BadAnchor { source, .. } => source,
        IdentityError::WrongCount { found, .. } => AnchorRefused::Count(found),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(all[0], &all[1..]), AnchorRefused::Count(5));
    assert_eq!(refused(all[0], &[all[1], all[0]]), AnchorRefused::Twice(3));
    assert_eq!(
        TrustAnchor::of(Vec::new()).unwrap_err(),
        AnchorRefused::Count(0)
    );

    let [mut wide, mut deep, mut leaf, mut mute] = [(); 4].map(|()| access_params("other"));
    wide.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    deep.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    leaf.is_ca = IsCa::ExplicitNoCa;
    mute.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let depth = "is not that of a CA without CAs below it (pathLenConstraint 0)";
    let usage = "is not for signing certificates and revocation lists";
    for (params, why) in [(wide, depth), (deep, depth), (leaf, depth), (mute, usage)] {
        let odd = Ca::of(params);
        assert_eq!(refused(all[0], &[&odd]), AnchorRefused::NotAccessCa(2, why));
    }
}

#[tokio::test]
async fn a_client_takes_another_anchor_and_identity_while_it_is_in_use() {
    let (old, new) = (Ca::new(), Ca::new());
    let server = Server::start(&new, ClientAuth::Required(new.anchor())).await;
    let client = HttpsClient::expecting("issuer", &old.anchor(), None);
    let clone = client.clone();
    let untrusted = clone.get(&server.url("/whoami")).await;
    let Err(TransportError::ServerUntrusted { .. }) = untrusted else {
        panic!("{untrusted:?}")
    };
    client.replace(&new.anchor(), Some(new.issue("obol://platform/main")));
    let reply = clone.get(&server.url("/whoami")).await.unwrap();
    assert_eq!(reply.body, "obol://platform/main");
    // The role that it expects stays.
    let expecting = HttpsClient::expecting("platform", &old.anchor(), None);
    expecting.replace(&new.anchor(), Some(new.issue("obol://platform/main")));
    let wrong = expecting.get(&server.url("/whoami")).await;
    let Err(TransportError::ServerUntrusted { .. }) = wrong else {
        panic!("{wrong:?}")
    };
}
