//! Proof of possession of the enrolled key on a request (RFC 9449), the body bound in by `bdh`.

use data_encoding::BASE64URL_NOPAD;
use obol_credential::UnixTime;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::key::Key;

/// The request that a proof speaks of.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method in capitals.
    pub method: &'a str,
    /// The URL without query and fragment.
    pub url: &'a str,
    /// The body; empty when there is none.
    pub body: &'a [u8],
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    jwk: Jwk<'a>,
}

#[derive(Serialize)]
struct Jwk<'a> {
    crv: &'a str,
    kty: &'a str,
    x: String,
    y: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    jti: String,
    htm: &'a str,
    htu: &'a str,
    iat: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    bdh: Option<String>,
}

/// The value of the `DPoP` header (RFC 9449 section 4.2): `jti` are 16 random bytes.
///
/// # Panics
/// Never: strings and numbers are JSON.
#[must_use]
pub fn proof(key: &Key, request: &Request<'_>, now: UnixTime, jti: &[u8; 16]) -> String {
    let (x, y) = key.coordinates();
    let (x, y) = (BASE64URL_NOPAD.encode(&x), BASE64URL_NOPAD.encode(&y));
    let jwk = Jwk {
        crv: "P-256",
        kty: "EC",
        x,
        y,
    };
    let body_hash = || BASE64URL_NOPAD.encode(&Sha256::digest(request.body));
    let claims = Claims {
        jti: BASE64URL_NOPAD.encode(jti),
        htm: request.method,
        htu: request.url,
        iat: now.0,
        bdh: (!request.body.is_empty()).then(body_hash),
    };
    let signed = format!(
        "{}.{}",
        part(&Header {
            typ: "dpop+jwt",
            alg: "ES256",
            jwk
        }),
        part(&claims)
    );
    let signature = BASE64URL_NOPAD.encode(&key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn part(content: &impl Serialize) -> String {
    let json = serde_json::to_vec(content).expect("strings and numbers are JSON");
    BASE64URL_NOPAD.encode(&json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::signature::Verifier;
    use p256::ecdsa::{Signature, VerifyingKey};
    use serde_json::{Value, json};

    fn parts(proof: &str) -> Vec<Vec<u8>> {
        proof
            .split('.')
            .map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap())
            .collect()
    }

    fn made(body: &[u8]) -> (Key, String) {
        let key = Key::from_bytes(&[5; 32]).unwrap();
        let request = Request {
            method: "POST",
            url: "https://localhost/v1/recharges",
            body,
        };
        let text = proof(&key, &request, UnixTime(1_800_000_000), &[9; 16]);
        (key, text)
    }

    #[test]
    fn a_proof_verifies_under_the_key_it_names() {
        let (key, text) = made(b"{}");
        let parts = parts(&text);
        let header: Value = serde_json::from_slice(&parts[0]).unwrap();
        assert_eq!(
            (&header["typ"], &header["alg"]),
            (&json!("dpop+jwt"), &json!("ES256"))
        );
        let coordinate = |name: &str| {
            BASE64URL_NOPAD
                .decode(header["jwk"][name].as_str().unwrap().as_bytes())
                .unwrap()
        };
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let (x, y) = key.coordinates();
        assert_eq!(point[1..], [x, y].concat());
        let (signed, _) = text.rsplit_once('.').unwrap();
        let signature = Signature::from_slice(&parts[2]).unwrap();
        let verifier = VerifyingKey::from_sec1_bytes(&point).unwrap();
        verifier.verify(signed.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn a_proof_binds_method_url_time_and_body() {
        let claims: Value = serde_json::from_slice(&parts(&made(b"{}").1)[1]).unwrap();
        let expected = json!({
            "jti": "CQkJCQkJCQkJCQkJCQkJCQ",
            "htm": "POST",
            "htu": "https://localhost/v1/recharges",
            "iat": 1_800_000_000,
            "bdh": BASE64URL_NOPAD.encode(&Sha256::digest(b"{}")),
        });
        assert_eq!(claims, expected);
        let without_body: Value = serde_json::from_slice(&parts(&made(b"").1)[1]).unwrap();
        assert_eq!(without_body.get("bdh"), None);
    }
}
