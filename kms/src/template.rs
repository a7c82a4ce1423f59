//! The attributes of a key pair, all of them said aloud.
//!
//! Modules differ in what an omitted attribute means (SoftHSM 2.6.1 makes an unset `CKA_UNWRAP`
//! true and `CKA_SENSITIVE` false), so every usage flag is in the template, and the private key is
//! read back before it is used.
//!
//! `CKA_ID` is random, drawn from the token before the key exists. The key is named by the hash of
//! its SubjectPublicKeyInfo, which is only known afterwards; writing that into `CKA_ID` would need a
//! key that is modifiable for a moment, or a copy (which loses `CKA_LOCAL` on some modules). So the
//! id only pairs the two halves, the pair is born in its final shape, and the name is computed from
//! the public key whenever the token is read.

use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use crate::error::CallError;
use crate::public_key::Curve;

/// Bytes of the random `CKA_ID` that pairs a public with a private key.
pub(crate) const PAIR_ID_LEN: u32 = 20;

pub(crate) fn public_key(curve: Curve, pair_id: &[u8], label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(KeyType::EC),
        Attribute::EcParams(curve.ec_params().to_vec()),
        Attribute::Id(pair_id.to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Modifiable(false),
        Attribute::Copyable(false),
        Attribute::Verify(true),
        Attribute::VerifyRecover(false),
        Attribute::Encrypt(false),
        Attribute::Wrap(false),
        Attribute::Derive(false),
    ]
}

pub(crate) fn private_key(pair_id: &[u8], label: &str) -> Vec<Attribute> {
    let mut template = asked_of_private_key();
    template.push(Attribute::Id(pair_id.to_vec()));
    template.push(Attribute::Label(label.as_bytes().to_vec()));
    template
}

/// What the caller may set; the same values are demanded back.
fn asked_of_private_key() -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::KeyType(KeyType::EC),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Copyable(false),
        Attribute::Sign(true),
        Attribute::SignRecover(false),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::AlwaysAuthenticate(false),
        Attribute::AllowedMechanisms(vec![MechanismType::ECDSA]),
    ]
}

/// What only the token can say: where the key was born and whether it was ever open.
fn claimed_of_private_key() -> [Attribute; 4] {
    [
        Attribute::AlwaysSensitive(true),
        Attribute::NeverExtractable(true),
        Attribute::Local(true),
        Attribute::KeyGenMechanism(MechanismType::ECC_KEY_PAIR_GEN),
    ]
}

/// A private key whose attributes are not the ones this service demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{attribute} is {found}, wanted {wanted}")]
pub struct UnfitKey {
    /// The attribute, for example `CKA_EXTRACTABLE`.
    pub attribute: String,
    /// What the token says.
    pub found: String,
    /// What is demanded.
    pub wanted: String,
}

/// Reads every demanded attribute back. The outer error is a failed call, the inner one an unfit key.
pub(crate) fn read_back(
    session: &Session,
    key: ObjectHandle,
) -> Result<Result<(), UnfitKey>, CallError> {
    for wanted in asked_of_private_key()
        .into_iter()
        .chain(claimed_of_private_key())
    {
        let kind = wanted.attribute_type();
        let found = session.get_attributes(key, &[kind])?;
        if found.as_slice() != std::slice::from_ref(&wanted) {
            return Ok(Err(UnfitKey {
                attribute: cka_name(kind),
                found: found
                    .first()
                    .map_or_else(|| "not there".to_owned(), value_of),
                wanted: value_of(&wanted),
            }));
        }
    }
    Ok(Ok(()))
}

/// `AttributeType::NeverExtractable` becomes `CKA_NEVER_EXTRACTABLE`.
fn cka_name(kind: AttributeType) -> String {
    let mut name = String::from("CKA");
    for letter in format!("{kind:?}").chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// `Sensitive(true)` becomes `true`.
fn value_of(attribute: &Attribute) -> String {
    let text = format!("{attribute:?}");
    match text.split_once('(') {
        Some((_, value)) => value.strip_suffix(')').unwrap_or(value).to_owned(),
        None => text,
    }
}
