//! The attributes of a key pair, all of them said aloud.
//!
//! Modules differ in what an omitted attribute means (SoftHSM 2.6.1 makes an unset `CKA_UNWRAP`
//! true and `CKA_SENSITIVE` false) and in what they accept at all, so templates are data, one file a
//! vendor in `policies/tokens`, and the private key is read back before it is used.
//!
//! `CKA_ID` is random, drawn from the token before the key exists. The key is named by the hash of
//! its SubjectPublicKeyInfo, which is only known afterwards; writing that into `CKA_ID` would need a
//! key that is modifiable for a moment, or a copy (which loses `CKA_LOCAL` on some modules). So the
//! id only pairs the two halves, the pair is born in its final shape, and the name is computed from
//! the public key whenever the token is read.

mod file;

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use crate::error::CallError;
use crate::public_key::Curve;

/// Bytes of the random `CKA_ID` that pairs a public with a private key.
pub(crate) const PAIR_ID_LEN: u32 = 20;

/// What is asked of a pair, and demanded of its private half ever after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    manufacturer: Option<String>,
    public: Vec<Attribute>,
    private: Vec<Attribute>,
    claims: Vec<Attribute>,
}

impl Template {
    /// The template for tokens of this manufacturer (`CK_TOKEN_INFO.manufacturerID`).
    pub(crate) fn of_manufacturer(manufacturer: &str) -> &'static Template {
        let built_in = file::built_in();
        let named = |template: &&Template| template.manufacturer.as_deref() == Some(manufacturer);
        built_in
            .iter()
            .find(named)
            .or_else(|| {
                built_in
                    .iter()
                    .find(|template| template.manufacturer.is_none())
            })
            .expect("a test reads every built-in template, and the generic one is for all")
    }

    pub(crate) fn public_key(&self, curve: Curve, pair_id: &[u8], label: &str) -> Vec<Attribute> {
        let mut template = kind(ObjectClass::PUBLIC_KEY);
        template.push(Attribute::EcParams(curve.ec_params().to_vec()));
        template.extend(names(pair_id, label));
        template.extend(self.public.iter().cloned());
        template
    }

    pub(crate) fn private_key(&self, pair_id: &[u8], label: &str) -> Vec<Attribute> {
        let mut template = kind(ObjectClass::PRIVATE_KEY);
        template.extend(names(pair_id, label));
        template.extend(self.private.iter().cloned());
        template
    }

    /// What only the token can say of a key.
    pub(crate) fn claims(&self) -> &[Attribute] {
        &self.claims
    }

    /// Reads every demanded attribute back. The outer error is a failed call, the inner one an
    /// unfit key.
    pub(crate) fn read_back(
        &self,
        session: &Session,
        key: ObjectHandle,
    ) -> Result<Result<(), UnfitKey>, CallError> {
        let class = kind(ObjectClass::PRIVATE_KEY);
        let demanded = || class.iter().chain(&self.private).chain(&self.claims);
        let kinds = demanded().map(Attribute::attribute_type);
        // All at once: a token with thousands of keys is read at every start. But for the list of
        // mechanisms, whose length p11-kit's client cannot tell together with other attributes.
        let (lists, plain): (Vec<_>, Vec<_>) =
            kinds.partition(|kind| *kind == AttributeType::AllowedMechanisms);
        let mut found = session.get_attributes(key, &plain)?;
        if !lists.is_empty() {
            found.extend(session.get_attributes(key, &lists)?);
        }
        for wanted in demanded() {
            let kind = wanted.attribute_type();
            let found = found.iter().find(|found| found.attribute_type() == kind);
            if found != Some(wanted) {
                return Ok(Err(UnfitKey {
                    attribute: cka_name(kind),
                    found: found.map_or_else(|| "not there".to_owned(), value_of),
                    wanted: value_of(wanted),
                }));
            }
        }
        Ok(Ok(()))
    }
}

fn kind(class: ObjectClass) -> Vec<Attribute> {
    vec![Attribute::Class(class), Attribute::KeyType(KeyType::EC)]
}

fn names(pair_id: &[u8], label: &str) -> [Attribute; 2] {
    [
        Attribute::Id(pair_id.to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
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

/// `AttributeType::NeverExtractable` becomes `CKA_NEVER_EXTRACTABLE`.
pub(crate) fn cka_name(kind: AttributeType) -> String {
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
pub(crate) fn value_of(attribute: &Attribute) -> String {
    match attribute {
        Attribute::KeyGenMechanism(mechanism) => return mechanism.to_string(),
        Attribute::AllowedMechanisms(list) => {
            let names: Vec<_> = list.iter().map(ToString::to_string).collect();
            return names.join(" ");
        }
        _ => {}
    }
    let text = format!("{attribute:?}");
    match text.split_once('(') {
        Some((_, value)) => value.strip_suffix(')').unwrap_or(value).to_owned(),
        None => text,
    }
}
