//! Session keys, and what the token does with them.

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeInfo, AttributeType, ObjectHandle};
use cryptoki::session::Session;

use super::{AttributeReport, Behaviour, Honoured, ProbeError, Verdict, of_session};
use crate::digest::Digest;
use crate::error::CallError;
use crate::public_key::{Curve, PublicKey};
use crate::template::{PAIR_ID_LEN, Template, cka_name, value_of};

const LABEL: &str = "obol probe";
const CURVE: Curve = Curve::P256;
/// Attributes without which a pair is none; everything else of a template is a wish.
const NEEDED: [AttributeType; 6] = [
    AttributeType::Class,
    AttributeType::KeyType,
    AttributeType::Token,
    AttributeType::Id,
    AttributeType::Label,
    AttributeType::Sign,
];

/// What became of each wish of the template, first sent whole, then, if that is refused, one by one.
pub(super) fn attributes(
    session: &Session,
    template: &Template,
) -> Result<Vec<AttributeReport>, ProbeError> {
    let id = pair_id(session)?;
    let wishes = of_session(template.private_key(&id, LABEL));
    let claims = template.claims().to_vec();
    match generate(session, template, &id, &wishes) {
        Ok((_, private)) => {
            let named = wishes.iter().filter(|wish| is_wish(wish));
            let read = |wish| Ok(read(session, private, wish)?);
            named.chain(&claims).map(read).collect()
        }
        Err(_) => one_by_one(session, template, &id, &wishes),
    }
}

fn one_by_one(
    session: &Session,
    template: &Template,
    id: &[u8],
    wishes: &[Attribute],
) -> Result<Vec<AttributeReport>, ProbeError> {
    let needed = needed(wishes);
    generate(session, template, id, &needed).map_err(ProbeError::NoKey)?;
    let wishes = wishes.iter().filter(|wish| is_wish(wish));
    wishes
        .map(|wish| alone(session, template, id, &needed, wish))
        .collect()
}

/// A key with `basis` and one wish more.
fn alone(
    session: &Session,
    template: &Template,
    id: &[u8],
    basis: &[Attribute],
    wish: &Attribute,
) -> Result<AttributeReport, ProbeError> {
    let mut asked = basis.to_vec();
    asked.push(wish.clone());
    match generate(session, template, id, &asked) {
        Ok((_, private)) => Ok(read(session, private, wish)?),
        Err(error) => Ok(AttributeReport {
            attribute: cka_name(wish.attribute_type()),
            asked: value_of(wish),
            found: error.to_string(),
            honoured: Honoured::Refused,
        }),
    }
}

fn needed(wishes: &[Attribute]) -> Vec<Attribute> {
    let needed = wishes.iter().filter(|wish| !is_wish(wish));
    needed.cloned().collect()
}

fn is_wish(attribute: &Attribute) -> bool {
    !NEEDED.contains(&attribute.attribute_type())
}

fn read(
    session: &Session,
    key: ObjectHandle,
    wish: &Attribute,
) -> Result<AttributeReport, CallError> {
    let kind = wish.attribute_type();
    let found = session.get_attributes(key, &[kind])?;
    let same = found.as_slice() == std::slice::from_ref(wish);
    Ok(AttributeReport {
        attribute: cka_name(kind),
        asked: value_of(wish),
        found: found
            .first()
            .map_or_else(|| "not there".to_owned(), value_of),
        honoured: if same { Honoured::Yes } else { Honoured::No },
    })
}

fn pair_id(session: &Session) -> Result<Vec<u8>, CallError> {
    Ok(session.generate_random_vec(PAIR_ID_LEN)?)
}

fn generate(
    session: &Session,
    template: &Template,
    id: &[u8],
    private: &[Attribute],
) -> Result<(ObjectHandle, ObjectHandle), CallError> {
    let public = of_session(template.public_key(CURVE, id, LABEL));
    Ok(session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, private)?)
}

/// A pair, and what the questions need of it.
struct Pair<'a> {
    session: &'a Session,
    template: &'a Template,
    id: Vec<u8>,
    public: ObjectHandle,
    private: ObjectHandle,
}

/// Tries what the standard leaves open, on one pair.
pub(super) fn behaviours(
    session: &Session,
    template: &Template,
) -> Result<Vec<Behaviour>, ProbeError> {
    let id = pair_id(session)?;
    let wishes = of_session(template.private_key(&id, LABEL));
    let made = generate(session, template, &id, &wishes)
        .or_else(|_| generate(session, template, &id, &needed(&wishes)));
    let (public, private) = made.map_err(ProbeError::NoKey)?;
    let pair = Pair {
        session,
        template,
        id,
        public,
        private,
    };
    Ok(vec![
        pair.signs()?,
        pair.point_form()?,
        pair.private_value()?,
        pair.changes(),
        pair.copies(),
        pair.other_mechanism(),
        pair.short_input(),
        pair.long_input(),
        pair.same_id(),
        pair.destroyable()?,
        pair.public_key_info(pair.public, "CKA_PUBLIC_KEY_INFO of the public key")?,
        pair.public_key_info(pair.private, "CKA_PUBLIC_KEY_INFO of the private key")?,
    ])
}

impl Pair<'_> {
    fn point(&self) -> Result<Vec<u8>, CallError> {
        let found = self
            .session
            .get_attributes(self.public, &[AttributeType::EcPoint])?;
        let point = found.into_iter().find_map(|attribute| match attribute {
            Attribute::EcPoint(bytes) => Some(bytes),
            _ => None,
        });
        // An empty point is on no curve, and every question says so.
        Ok(point.unwrap_or_else(Vec::new))
    }

    fn signs(&self) -> Result<Behaviour, CallError> {
        let question = "CKM_ECDSA over a digest, verified outside the token";
        let digest = Digest::of(CURVE, b"obol probe");
        let public = PublicKey::from_ec_point(CURVE, &self.point()?);
        let signed = self
            .session
            .sign(&Mechanism::Ecdsa, self.private, digest.as_bytes());
        Ok(match (signed.map_err(CallError::from), public) {
            (Err(error), _) => behaviour(question, error, Verdict::Bad),
            (Ok(_), None) => behaviour(question, "no public key to verify with", Verdict::Bad),
            (Ok(raw), Some(public)) => match public.verify(&digest, &raw) {
                Some(_) => behaviour(question, "r || s, verifies", Verdict::Good),
                None => behaviour(question, "does not verify", Verdict::Bad),
            },
        })
    }

    fn point_form(&self) -> Result<Behaviour, CallError> {
        let question = "CKA_EC_POINT";
        let point = self.point()?;
        let known = PublicKey::from_ec_point(CURVE, &point).is_some();
        Ok(match (known, point.as_slice()) {
            (true, [0x04, 0x41, 0x04, ..]) => behaviour(
                question,
                "DER octet string, as the standard says",
                Verdict::Good,
            ),
            (true, _) => behaviour(question, "the bare point", Verdict::Tolerated),
            (false, other) => {
                let answer = format!("{} bytes that are no point of the curve", other.len());
                behaviour(question, answer, Verdict::Bad)
            }
        })
    }

    fn private_value(&self) -> Result<Behaviour, CallError> {
        let question = "reading CKA_VALUE of the private key";
        let info = self
            .session
            .get_attribute_info(self.private, &[AttributeType::Value]);
        Ok(match info.map_err(CallError::from)?.as_slice() {
            [AttributeInfo::Available(length)] => {
                behaviour(question, format!("gives {length} bytes"), Verdict::Bad)
            }
            _ => behaviour(question, "refused", Verdict::Good),
        })
    }

    /// The label is the least that a change could be.
    fn changes(&self) -> Behaviour {
        let question = "changing a key with CKA_MODIFIABLE false";
        let change = [Attribute::Label(b"changed".to_vec())];
        let changed = self.session.update_attributes(self.private, &change);
        refusal_of(question, changed, Verdict::Tolerated)
    }

    fn copies(&self) -> Behaviour {
        let question = "copying a key with CKA_COPYABLE false";
        let template = [Attribute::Token(false)];
        let copied = self.session.copy_object(self.private, &template);
        refusal_of(question, copied.map(|_| ()), Verdict::Tolerated)
    }

    fn other_mechanism(&self) -> Behaviour {
        let question = "CKM_ECDSA_SHA256 with a key of CKA_ALLOWED_MECHANISMS CKM_ECDSA";
        let signed = self
            .session
            .sign(&Mechanism::EcdsaSha256, self.private, b"obol probe");
        refusal_of(question, signed.map(|_| ()), Verdict::Tolerated)
    }

    fn short_input(&self) -> Behaviour {
        let signed = self.session.sign(&Mechanism::Ecdsa, self.private, &[1]);
        let question = "CKM_ECDSA over 1 byte with a key on P-256";
        refusal_of(question, signed.map(|_| ()), Verdict::Tolerated)
    }

    fn long_input(&self) -> Behaviour {
        let signed = self.session.sign(&Mechanism::Ecdsa, self.private, &[1; 64]);
        let question = "CKM_ECDSA over 64 bytes with a key on P-256";
        refusal_of(question, signed.map(|_| ()), Verdict::Tolerated)
    }

    fn same_id(&self) -> Behaviour {
        let question = "a second pair of the same CKA_ID";
        let wishes = of_session(self.template.private_key(&self.id, LABEL));
        match generate(self.session, self.template, &self.id, &wishes) {
            Ok(_) => behaviour(question, "accepted", Verdict::Tolerated),
            Err(error) => behaviour(question, error, Verdict::Good),
        }
    }

    /// Asked of a key that ends with its session anyway: with a token object, a token that honours
    /// it would keep the key for ever.
    fn destroyable(&self) -> Result<Behaviour, ProbeError> {
        let question = "a key with CKA_DESTROYABLE false";
        let wishes = of_session(self.template.private_key(&self.id, LABEL));
        let wish = Attribute::Destroyable(false);
        let report = alone(self.session, self.template, &self.id, &wishes, &wish)?;
        Ok(match report.honoured {
            Honoured::Yes => behaviour(question, "made", Verdict::Good),
            Honoured::No => behaviour(question, "made, and is not so", Verdict::Tolerated),
            Honoured::Refused => behaviour(question, report.found, Verdict::Tolerated),
        })
    }

    fn public_key_info(
        &self,
        key: ObjectHandle,
        question: &'static str,
    ) -> Result<Behaviour, CallError> {
        let info = [AttributeType::PublicKeyInfo];
        let found = match self.session.get_attributes(key, &info) {
            Ok(found) => found,
            Err(Error::Pkcs11(RvError::AttributeTypeInvalid, _)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let expected = PublicKey::from_ec_point(CURVE, &self.point()?).map(|key| key.spki_der());
        Ok(match found.as_slice() {
            [Attribute::PublicKeyInfo(der)] if Some(der) == expected.as_ref() => {
                behaviour(question, "that of its point", Verdict::Good)
            }
            [Attribute::PublicKeyInfo(der)] if !der.is_empty() => {
                behaviour(question, "another than its point's", Verdict::Tolerated)
            }
            _ => behaviour(question, "not there", Verdict::Tolerated),
        })
    }
}

fn behaviour(question: &'static str, answer: impl ToString, verdict: Verdict) -> Behaviour {
    Behaviour {
        question,
        answer: answer.to_string(),
        verdict,
    }
}

/// What should be refused.
fn refusal_of(question: &'static str, done: Result<(), Error>, otherwise: Verdict) -> Behaviour {
    match done.map_err(CallError::from) {
        Ok(()) => behaviour(question, "done", otherwise),
        Err(error) => behaviour(question, error, Verdict::Good),
    }
}
