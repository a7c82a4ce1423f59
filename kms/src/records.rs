//! Small public records that a token keeps for good: data objects that nobody can change or destroy.

use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::Session;

use crate::error::CallError;
use crate::gate::Outage;
use crate::token::Token;

/// `CKA_APPLICATION` of the records.
const APPLICATION: &[u8] = b"obol";
/// Longest value, in bytes.
const VALUE_MAX: usize = 1_024;

/// Why a record was not made, or not read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The token has one of that name.
    #[error("the token has a record {0:?} already")]
    Exists(String),
    /// The token has several of that name: something else wrote them.
    #[error("the token has {count} records {name:?}, wanted at most one")]
    Ambiguous {
        /// The name.
        name: String,
        /// How many.
        count: usize,
    },
    /// Longer than a record.
    #[error("a record of {0} bytes, more than {VALUE_MAX}")]
    TooLong(usize),
    /// The token is away.
    #[error(transparent)]
    Outage(#[from] Outage),
    /// A PKCS#11 call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Token {
    /// Writes `value` under `name` (`CKA_LABEL`), once and for good: `CKA_MODIFIABLE` and
    /// `CKA_DESTROYABLE` are false, and everybody may read it.
    ///
    /// # Errors
    /// [`RecordError::Exists`] if there is one of that name.
    pub fn record(&self, name: &str, value: &[u8]) -> Result<(), RecordError> {
        if value.len() > VALUE_MAX {
            return Err(RecordError::TooLong(value.len()));
        }
        self.write(|session, _| {
            if read(session, name)?.is_some() {
                return Err(RecordError::Exists(name.to_owned()));
            }
            let mut template = selector(name);
            template.extend([
                Attribute::Token(true),
                Attribute::Private(false),
                Attribute::Modifiable(false),
                Attribute::Destroyable(false),
                Attribute::Value(value.to_vec()),
            ]);
            session.create_object(&template).map_err(CallError::from)?;
            Ok(())
        })
    }

    /// The value recorded under `name`.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn recorded(&self, name: &str) -> Result<Option<Vec<u8>>, RecordError> {
        self.write(|session, _| read(session, name))
    }
}

impl Token {
    /// Every record whose name begins with `prefix`, as (rest of the name, value), in no order.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn recorded_all(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, RecordError> {
        self.write(|session, _| {
            let all = [
                Attribute::Class(ObjectClass::DATA),
                Attribute::Application(APPLICATION.to_vec()),
            ];
            let mut records = Vec::new();
            for object in session.find_objects(&all).map_err(CallError::from)? {
                let wanted = [AttributeType::Label, AttributeType::Value];
                let found = session
                    .get_attributes(object, &wanted)
                    .map_err(CallError::from)?;
                let (mut name, mut bytes) = (None, None);
                for attribute in found {
                    match attribute {
                        Attribute::Label(label) => name = String::from_utf8(label).ok(),
                        Attribute::Value(value) => bytes = Some(value),
                        _ => {}
                    }
                }
                let rest = name.as_deref().and_then(|name| name.strip_prefix(prefix));
                if let (Some(rest), Some(bytes)) = (rest, bytes) {
                    records.push((rest.to_owned(), bytes));
                }
            }
            Ok(records)
        })
    }
}

fn read(session: &Session, name: &str) -> Result<Option<Vec<u8>>, RecordError> {
    let found = session
        .find_objects(&selector(name))
        .map_err(CallError::from)?;
    let object = match found.as_slice() {
        [] => return Ok(None),
        [only] => *only,
        several => {
            let (name, count) = (name.to_owned(), several.len());
            return Err(RecordError::Ambiguous { name, count });
        }
    };
    let value = session
        .get_attributes(object, &[AttributeType::Value])
        .map_err(CallError::from)?;
    Ok(value.into_iter().find_map(|attribute| match attribute {
        Attribute::Value(value) => Some(value),
        _ => None,
    }))
}

fn selector(name: &str) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::DATA),
        Attribute::Application(APPLICATION.to_vec()),
        Attribute::Label(name.as_bytes().to_vec()),
    ]
}
