//! Key pairs made inside the token.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use obol_kms_client::SpkiId;

use crate::error::CallError;
use crate::gate::Outage;
use crate::keys::{FindError, Key};
use crate::pool::PoolError;
use crate::public_key::{Curve, PublicKey};
use crate::template::{PAIR_ID_LEN, Template, UnfitKey, cka_name, value_of};
use crate::token::Token;

/// What a private key's token says of where it was born and whether it was ever open.
const BIRTH: [AttributeType; 6] = [
    AttributeType::Local,
    AttributeType::Sensitive,
    AttributeType::AlwaysSensitive,
    AttributeType::Extractable,
    AttributeType::NeverExtractable,
    AttributeType::KeyGenMechanism,
];

/// Why no key pair was made. Whatever the token had begun is destroyed again.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The label is empty or too long to read.
    #[error("key label {0:?} is not 1 to 64 printable ASCII characters")]
    Label(String),
    /// A key of that label exists; nothing is overwritten and no name given twice.
    #[error("the token already has a key labelled {0:?}")]
    LabelTaken(String),
    /// The token made a key with other attributes than it was asked for; it was destroyed.
    #[error("the token made a key that is refused")]
    Unfit(#[from] UnfitKey),
    /// The token's public point is not on the curve; the pair was destroyed.
    #[error("C_GenerateKeyPair: CKA_EC_POINT is not a point of {0}")]
    Point(Curve),
    /// The new key cannot be found again.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The token is away.
    #[error(transparent)]
    Outage(#[from] Outage),
    /// A PKCS#11 call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Token {
    /// Generates a non-extractable key pair labelled `label` and reads its attributes back.
    ///
    /// # Errors
    /// [`GenerateError`]; a refused pair does not stay in the token.
    pub fn generate(&self, curve: Curve, label: &str) -> Result<Key, GenerateError> {
        let printable = label
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if label.is_empty() || label.len() > 64 || !printable {
            return Err(GenerateError::Label(label.to_owned()));
        }
        let template = Template::of_manufacturer(&self.summary().manufacturer);
        let public: PublicKey = self.write(|session, rescan| {
            let public = generate_in(session, template, curve, label)?;
            rescan(session)?;
            Ok::<_, GenerateError>(public)
        })?;
        Ok(self.key(public.spki_id())?)
    }

    /// What the token says of a private key's birth, attribute by attribute, read back now. The
    /// nearest to an attestation that PKCS#11 has: the token's word, signed by nobody. An attribute
    /// that the module does not give is `not given`.
    ///
    /// # Errors
    /// [`GenerateError`]: the key is not there, or a call failed.
    pub fn birth_attributes(&self, id: SpkiId) -> Result<Vec<(String, String)>, GenerateError> {
        let handle = self.handle(id).ok_or(FindError::Missing(id))?;
        let found = self.write(|session, _| {
            let found = session.get_attributes(handle, &BIRTH);
            found.map_err(|error| GenerateError::Call(error.into()))
        })?;
        let said = BIRTH.iter().map(|kind| {
            let found = found.iter().find(|one| one.attribute_type() == *kind);
            let value = found.map_or_else(|| "not given".to_owned(), value_of);
            (cka_name(*kind), value)
        });
        Ok(said.collect())
    }

    /// Destroys a pair that was generated a moment ago and whose certificate could not be made, so
    /// that its label is free again. A key that has a certificate is retired, never discarded.
    ///
    /// # Errors
    /// The first PKCS#11 call that failed, or the token is away.
    pub fn discard(&self, key: Key) -> Result<(), PoolError> {
        let Some(handle) = self.handle(key.id()) else {
            return Ok(());
        };
        self.write(|session, rescan| {
            let pair_id = session
                .get_attributes(handle, &[AttributeType::Id])
                .map_err(CallError::from)?;
            for object in session.find_objects(&pair_id).map_err(CallError::from)? {
                session.destroy_object(object).map_err(CallError::from)?;
            }
            Ok(rescan(session)?)
        })
    }
}

fn generate_in(
    session: &Session,
    template: &Template,
    curve: Curve,
    label: &str,
) -> Result<PublicKey, GenerateError> {
    if label_exists(session, label)? {
        return Err(GenerateError::LabelTaken(label.to_owned()));
    }
    let pair_id = session
        .generate_random_vec(PAIR_ID_LEN)
        .map_err(CallError::from)?;
    let (public, private) = session
        .generate_key_pair(
            &Mechanism::EccKeyPairGen,
            &template.public_key(curve, &pair_id, label),
            &template.private_key(&pair_id, label),
        )
        .map_err(CallError::from)?;
    examine(session, template, curve, public, private).inspect_err(|_| {
        destroy(session, [public, private]);
    })
}

fn examine(
    session: &Session,
    template: &Template,
    curve: Curve,
    public: ObjectHandle,
    private: ObjectHandle,
) -> Result<PublicKey, GenerateError> {
    template.read_back(session, private)??;
    let point = session
        .get_attributes(public, &[AttributeType::EcPoint])
        .map_err(CallError::from)?;
    point
        .iter()
        .find_map(|attribute| match attribute {
            Attribute::EcPoint(point) => PublicKey::from_ec_point(curve, point),
            _ => None,
        })
        .ok_or(GenerateError::Point(curve))
}

fn label_exists(session: &Session, label: &str) -> Result<bool, CallError> {
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        let template = [
            Attribute::Class(class),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        if !session.find_objects(&template)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn destroy(session: &Session, objects: [ObjectHandle; 2]) {
    for object in objects {
        if let Err(error) = session.destroy_object(object) {
            tracing::error!(error = %CallError::from(error), "a refused key stays in the token");
        }
    }
}
