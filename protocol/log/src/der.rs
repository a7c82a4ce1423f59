//! DER of an ECDSA signature: SEQUENCE { INTEGER r, INTEGER s } (RFC 3279 section 2.2.3), for
//! P-256 alone: all lengths fit one byte.

use alloc::vec::Vec;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// r || s, 32 bytes each, as DER.
pub(crate) fn encode(raw: &[u8; 64]) -> Vec<u8> {
    let (r, s) = raw.split_at(32);
    let mut body = integer(r);
    body.extend_from_slice(&integer(s));
    let mut der = alloc::vec![SEQUENCE, short(&body)];
    der.extend_from_slice(&body);
    der
}

fn integer(value: &[u8]) -> Vec<u8> {
    let zeros = value.iter().take_while(|byte| **byte == 0).count();
    let value = &value[zeros.min(value.len() - 1)..];
    let mut der = alloc::vec![INTEGER];
    let sign: &[u8] = if value[0] & 0x80 == 0 { &[] } else { &[0] };
    der.push(short(value) + short(sign));
    der.extend_from_slice(sign);
    der.extend_from_slice(value);
    der
}

fn short(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).expect("a signature of P-256 is shorter than 128 bytes")
}

/// Reads DER strictly: shortest integers, no negative ones, nothing left over.
pub(crate) fn decode(der: &[u8]) -> Option<[u8; 64]> {
    let (body, rest) = element(der, SEQUENCE)?;
    let (r, body) = element(body, INTEGER)?;
    let (s, body) = element(body, INTEGER)?;
    if !rest.is_empty() || !body.is_empty() {
        return None;
    }
    let mut raw = [0; 64];
    raw[..32].copy_from_slice(&unsigned(r)?);
    raw[32..].copy_from_slice(&unsigned(s)?);
    Some(raw)
}

fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = der else {
        return None;
    };
    let long = *length >= 0x80;
    (*found == tag && !long)
        .then(|| rest.split_at_checked(usize::from(*length)))
        .flatten()
}

fn unsigned(integer: &[u8]) -> Option<[u8; 32]> {
    let value = match integer {
        [0, next, ..] if next & 0x80 == 0 => return None,
        [0, rest @ ..] if !rest.is_empty() => rest,
        [first, ..] if first & 0x80 == 0 => integer,
        _ => return None,
    };
    let mut padded = [0; 32];
    padded
        .get_mut(32usize.checked_sub(value.len())?..)?
        .copy_from_slice(value);
    Some(padded)
}
