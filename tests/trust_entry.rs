//! An entry of a trust store in the spelling of the vectors, which the Python implementation shares.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use obol_credential::{Algorithm, Kid};
use obol_verifier_sdk::{IssuerKey, KeyStatus, Operator, UnixTime, Validity};

type Failed = Box<dyn std::error::Error>;

/// kid, point (SEC1) and classes are hex.
pub(crate) fn issuer_key(fields: &HashMap<&str, &str>) -> Result<IssuerKey, Failed> {
    let get = |key: &str| {
        fields
            .get(key)
            .copied()
            .ok_or(format!("trust without {key}"))
    };
    let hex = |key: &str| Ok::<_, Failed>(HEXLOWER.decode(get(key)?.as_bytes())?);
    let algorithm = Algorithm::from_cose_id(get("alg")?.parse()?).ok_or("alg")?;
    let time = |key: &str| Ok::<_, Failed>(UnixTime(get(key)?.parse()?));
    let validity = Validity {
        not_before: time("not_before")?,
        not_after: time("not_after")?,
    };
    let operator = Operator::new(get("operator")?).ok_or("operator")?;
    let classes = u32::from_str_radix(get("classes")?, 16)?;
    let mut key = IssuerKey::new(algorithm, &hex("point")?, validity, operator, classes)
        .map_err(|refused| refused.to_string())?;
    if get("status")? == "suspended" {
        key.status = KeyStatus::Suspended;
    }
    let kid = hex("kid")?
        .try_into()
        .map(Kid)
        .map_err(|_| "kid is not four bytes")?;
    if key.kid() == kid {
        Ok(key)
    } else {
        Err("kid is not that of the key".into())
    }
}
