use core::fmt;

use sha2::{Digest, Sha256};

use crate::IssuerKey;

/// Places that one credential may take: it is looked for in these only.
const WAYS: usize = 4;

/// One credential whose issuer signature was found good; 32 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Place([u8; 32]);

impl Place {
    /// What the room of a cache is filled with at first.
    pub const EMPTY: Self = Self([0; 32]);
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::EMPTY {
            "empty"
        } else {
            "taken"
        })
    }
}

/// Credentials whose issuer signature was found good, so that a rider's next code costs the device
/// signature alone. It spares nothing else: the trust store is asked first and every claim is
/// judged anew, so a key that is suspended, has left the trust store or was replaced by another
/// of the same kid refuses at once, cached or not.
///
/// The room (`[Place; N]`, `Vec<Place>`, `&mut [Place]`) is its bound; a newcomer takes the place
/// of another. Only credentials that an issuer signed get in, so nobody can flood it with noise.
#[derive(Clone, Debug)]
pub struct CredentialCache<P> {
    room: P,
    next: usize,
}

/// What stands in the cache for a credential: a hash over the issuer's key and the signed bytes.
#[derive(Clone, Copy)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(key: &IssuerKey, credential: &[u8]) -> Self {
        let hash = Sha256::new_with_prefix(key.spki_hash()).chain_update(credential);
        Self(hash.finalize().into())
    }
}

impl<P: AsRef<[Place]> + AsMut<[Place]>> CredentialCache<P> {
    /// An empty cache in `room`, whatever stood there. A room below four places caches nothing.
    #[must_use]
    pub fn new(mut room: P) -> Self {
        room.as_mut().fill(Place::EMPTY);
        Self { room, next: 0 }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.room.as_mut().fill(Place::EMPTY);
    }

    pub(crate) fn holds(&self, credential: Fingerprint) -> bool {
        let set = set_of(credential, self.room.as_ref().len());
        let set = set.and_then(|set| self.room.as_ref().get(set));
        set.is_some_and(|set| set.contains(&Place(credential.0)))
    }

    pub(crate) fn put(&mut self, credential: Fingerprint) {
        let room = self.room.as_mut();
        let set = set_of(credential, room.len()).and_then(|set| room.get_mut(set));
        if let Some(set) = set {
            self.next = (self.next + 1) % WAYS;
            set[self.next] = Place(credential.0);
        }
    }
}

/// The four places of a credential in a room of `places`.
fn set_of(credential: Fingerprint, places: usize) -> Option<core::ops::Range<usize>> {
    let sets = places / WAYS;
    let [a, b, c, d, ..] = credential.0;
    let number = (u32::from_le_bytes([a, b, c, d]) as usize).checked_rem(sets)?;
    Some(number * WAYS..(number + 1) * WAYS)
}
