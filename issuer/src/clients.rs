use std::collections::BTreeMap;

use axum::http::StatusCode;
use obol_transport::{Peer, Problem};

/// The register of clients: a certificate counts when its URI and its key stand here together.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    known: BTreeMap<(String, [u8; 32]), Client>,
}

/// What a client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Credentials of one shard in one day.
    pub daily_quota: u32,
}

/// What registering did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The client was not there before.
    New,
    /// The same URI with the same key was there.
    Known,
}

impl Clients {
    /// Registers a client; one URI may have several keys, as while a certificate is renewed.
    pub fn register(&mut self, uri: &str, spki: [u8; 32], client: Client) -> Registration {
        match self.known.insert((uri.to_owned(), spki), client) {
            None => Registration::New,
            Some(_) => Registration::Known,
        }
    }

    /// Whether the peer is registered, whatever its role.
    #[must_use]
    pub fn knows(&self, peer: &Peer) -> bool {
        self.has(&peer.uri, peer.spki)
    }

    pub(crate) fn has(&self, uri: &str, spki: [u8; 32]) -> bool {
        self.known.contains_key(&(uri.to_owned(), spki))
    }

    /// Lets a registered peer of one of `roles` pass.
    ///
    /// # Errors
    /// A problem of the code `not-registered` or `role-not-allowed`.
    pub fn admit(&self, peer: &Peer, roles: &[&str]) -> Result<Client, Problem> {
        let forbidden =
            |code, title, detail| Problem::new(StatusCode::FORBIDDEN, code, title, detail);
        let Some(client) = self.known.get(&(peer.uri.clone(), peer.spki)) else {
            let detail = format!("{} with this key is not in the register", peer.uri);
            return Err(forbidden(
                "not-registered",
                "The client is not registered",
                detail,
            ));
        };
        if !roles.contains(&peer.role.as_str()) {
            let detail = format!("the role {:?} is not one of {roles:?}", peer.role);
            return Err(forbidden(
                "role-not-allowed",
                "The client's role may not do this",
                detail,
            ));
        }
        Ok(*client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(role: &str, key: u8) -> Peer {
        Peer {
            uri: format!("obol://{role}/main"),
            role: role.to_owned(),
            name: "main".to_owned(),
            spki_der: vec![key],
            spki: [key; 32],
        }
    }

    #[test]
    fn only_a_registered_pair_of_uri_and_key_passes() {
        let mut clients = Clients::default();
        let client = Client { daily_quota: 7 };
        let uri = "obol://platform/main";
        assert_eq!(clients.register(uri, [1; 32], client), Registration::New);
        assert_eq!(clients.register(uri, [1; 32], client), Registration::Known);
        let admitted = clients.admit(&peer("platform", 1), &["platform"]);
        assert_eq!(admitted, Ok(client));
        let other_key = clients
            .admit(&peer("platform", 2), &["platform"])
            .unwrap_err();
        assert_eq!(other_key.code, "not-registered");
        let other_uri = clients
            .admit(&peer("terminal", 1), &["terminal"])
            .unwrap_err();
        assert_eq!(other_uri.code, "not-registered");
        let other_role = clients
            .admit(&peer("platform", 1), &["terminal"])
            .unwrap_err();
        assert_eq!(other_role.code, "role-not-allowed");
    }
}
