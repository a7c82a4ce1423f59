//! Key pairs of a token: found in one pass, named by their public half.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use obol_kms_client::SpkiId;

use crate::error::CallError;
use crate::public_key::{Curve, PublicKey};
use crate::template::{Template, UnfitKey};

/// A key pair as the token shows it, with the reason why it may not be used, if there is one.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub id: SpkiId,
    /// `CKA_LABEL`, for people only: labels are not unique.
    pub label: String,
    /// The public half.
    pub public: PublicKey,
    /// Whether the private half is there, unique and as demanded.
    pub fitness: Result<(), Unfit>,
    private: Option<ObjectHandle>,
}

/// Why a key pair may not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Zero, or more than one, private key carries the public key's `CKA_ID`.
    #[error("{0} private keys carry its CKA_ID, wanted exactly one")]
    PrivateKeys(usize),
    /// An attribute differs.
    #[error(transparent)]
    Attribute(#[from] UnfitKey),
}

/// A key that may sign: exactly one pair, all attributes as demanded. It is a name: the token finds
/// its handle, which changes when the module is initialised again.
#[derive(Debug, Clone)]
pub struct Key {
    id: SpkiId,
    public: PublicKey,
}

impl Key {
    pub(crate) fn named(public: PublicKey) -> Key {
        let id = public.spki_id();
        Key { id, public }
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn id(&self) -> SpkiId {
        self.id
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
}

/// Why a key was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// No public key of the token has this SPKI id.
    #[error("the token has no key {0}")]
    Missing(SpkiId),
    /// The same public key is there several times.
    #[error("the token has {count} public keys {id}, wanted exactly one")]
    Ambiguous {
        /// The SPKI id.
        id: SpkiId,
        /// How many.
        count: usize,
    },
    /// It is there and must not be used.
    #[error("key {id} is refused")]
    Unfit {
        /// The SPKI id.
        id: SpkiId,
        /// The reason.
        source: Unfit,
    },
}

pub(crate) fn find(pairs: &[KeyPair], id: SpkiId) -> Result<(Key, ObjectHandle), FindError> {
    let mut matching = pairs.iter().filter(|pair| pair.id == id);
    let pair = matching.next().ok_or(FindError::Missing(id))?;
    let count = 1 + matching.count();
    if count > 1 {
        return Err(FindError::Ambiguous { id, count });
    }
    match (&pair.fitness, pair.private) {
        (Ok(()), Some(handle)) => {
            let public = pair.public.clone();
            Ok((Key { id, public }, handle))
        }
        (Err(source), _) => Err(FindError::Unfit {
            id,
            source: source.clone(),
        }),
        (Ok(()), None) => Err(FindError::Unfit {
            id,
            source: Unfit::PrivateKeys(0),
        }),
    }
}

/// Reads every EC key pair on a known curve, in one pass over the token.
pub(crate) fn scan(session: &Session, template: &Template) -> Result<Vec<KeyPair>, CallError> {
    let private = objects_with_ids(session, ObjectClass::PRIVATE_KEY)?;
    let mut pairs = Vec::new();
    for (handle, pair_id) in objects_with_ids(session, ObjectClass::PUBLIC_KEY)? {
        let Some((label, public)) = read_public(session, handle)? else {
            continue;
        };
        let halves: Vec<_> = private
            .iter()
            .filter(|(_, id)| *id == pair_id)
            .map(|(handle, _)| *handle)
            .collect();
        let (private, fitness) = match halves.as_slice() {
            [only] => (
                Some(*only),
                template.read_back(session, *only)?.map_err(Unfit::from),
            ),
            several => (None, Err(Unfit::PrivateKeys(several.len()))),
        };
        pairs.push(KeyPair {
            id: public.spki_id(),
            label,
            public,
            fitness,
            private,
        });
    }
    Ok(pairs)
}

fn objects_with_ids(
    session: &Session,
    class: ObjectClass,
) -> Result<Vec<(ObjectHandle, Vec<u8>)>, CallError> {
    let template = [
        Attribute::Class(class),
        Attribute::KeyType(KeyType::EC),
        Attribute::Token(true),
    ];
    let mut objects = Vec::new();
    for handle in session.find_objects(&template)? {
        let id = session.get_attributes(handle, &[AttributeType::Id])?;
        let id = id.into_iter().find_map(|attribute| match attribute {
            Attribute::Id(id) => Some(id),
            _ => None,
        });
        // A key without CKA_ID has no partner that could be known.
        objects.extend(id.map(|id| (handle, id)));
    }
    Ok(objects)
}

/// `None` for curves that this house does not use and for points off their curve.
fn read_public(
    session: &Session,
    handle: ObjectHandle,
) -> Result<Option<(String, PublicKey)>, CallError> {
    let wanted = [
        AttributeType::Label,
        AttributeType::EcParams,
        AttributeType::EcPoint,
    ];
    let (mut label, mut curve, mut point) = (String::new(), None, Vec::new());
    for attribute in session.get_attributes(handle, &wanted)? {
        match attribute {
            Attribute::Label(bytes) => label = String::from_utf8_lossy(&bytes).into_owned(),
            Attribute::EcParams(params) => curve = Curve::from_ec_params(&params),
            Attribute::EcPoint(bytes) => point = bytes,
            _ => {}
        }
    }
    let public = curve.and_then(|curve| PublicKey::from_ec_point(curve, &point));
    if public.is_none() {
        tracing::warn!(
            label,
            "public key on an unknown curve or off its curve is left out"
        );
    }
    Ok(public.map(|public| (label, public)))
}
