//! Valid PT1 credentials and boarding codes from fixed software keys, for tests and benchmarks of
//! parts that have no HSM at hand. Every field is open, so that a test can bend one.

use obol_credential::{
    Algorithm, Claims, Cti, DeviceKey, Dynamic, Encoded, FareTerms, Kid, Nonce, PRESENTATION_MAX,
    TEXT_MAX, assemble_credential, assemble_presentation, credential_signature_input,
    presentation_signature_input, to_text,
};
use obol_verifier_sdk::{IssuerKey, Operator, UnixTime, Validity};
use p256::ecdsa::signature::Signer;

/// When the codes are made.
pub const NOW: UnixTime = UnixTime(1_800_000_000);
/// The issuer key that [`Mint`] uses unless told otherwise.
pub const ISSUER_P384: Issuer = Issuer {
    algorithm: Algorithm::Esp384,
    secret: 11,
};
/// An issuer key on P-256.
pub const ISSUER_P256: Issuer = Issuer {
    algorithm: Algorithm::Esp256,
    secret: 12,
};
/// The phone's key.
pub const DEVICE: Issuer = Issuer {
    algorithm: Algorithm::Esp256,
    secret: 13,
};

/// A software key whose secret scalar is one byte repeated.
#[derive(Clone, Copy)]
pub struct Issuer {
    /// Its curve and hash.
    pub algorithm: Algorithm,
    /// The byte.
    pub secret: u8,
}
/// One boarding code in the making.
pub struct Mint {
    /// Whom the credential names as its signer.
    pub issuer: Issuer,
    /// Who signs it in the issuer's place, if another does.
    pub forger: Option<Issuer>,
    /// Who signs the code; the rider's own phone is [`DEVICE`].
    pub phone: Issuer,
    /// What the issuer says.
    pub claims: Claims,
    /// What the phone says.
    pub dynamic: Dynamic,
}

impl Default for Mint {
    /// A code made at [`NOW`] under a credential of class 1, one hour old.
    fn default() -> Self {
        let fare = FareTerms {
            class: 1,
            cap_minor: 1_000,
            window_s: 30,
            status_index: 9,
            flags: 0,
        };
        Self {
            issuer: ISSUER_P384,
            forger: None,
            phone: DEVICE,
            claims: Claims {
                expires_at: NOW.plus(82_800),
                issued_at: NOW.minus(3_600),
                cti: Cti([7; 8]),
                device_key: DEVICE.device_key(),
                fare,
            },
            dynamic: Dynamic {
                issued_at: NOW,
                nonce: Nonce([5; 4]),
                counter: 1,
            },
        }
    }
}

/// The operator of every minted key.
#[must_use]
pub fn operator() -> Operator {
    Operator::new("metro").expect("a valid name")
}

impl Issuer {
    fn p256(self) -> p256::ecdsa::SigningKey {
        p256::ecdsa::SigningKey::from_slice(&[self.secret; 32]).expect("in range")
    }

    fn p384(self) -> p384::ecdsa::SigningKey {
        p384::ecdsa::SigningKey::from_slice(&[self.secret; 48]).expect("in range")
    }

    /// The uncompressed SEC1 point.
    #[must_use]
    pub fn point(self) -> Vec<u8> {
        match self.algorithm {
            Algorithm::Esp256 => self
                .p256()
                .verifying_key()
                .to_sec1_point(false)
                .as_bytes()
                .to_vec(),
            Algorithm::Esp384 => self
                .p384()
                .verifying_key()
                .to_sec1_point(false)
                .as_bytes()
                .to_vec(),
        }
    }

    /// The key as a device key; for a P-256 key.
    #[must_use]
    pub fn device_key(self) -> DeviceKey {
        let point = self.p256().verifying_key().to_sec1_point(true);
        DeviceKey::from_sec1(point.as_bytes().try_into().expect("33 bytes")).expect("compressed")
    }

    /// r ‖ s over `input`, hashed as the algorithm says.
    #[must_use]
    pub fn sign(self, input: &[u8]) -> Vec<u8> {
        match self.algorithm {
            Algorithm::Esp256 => {
                let signature: p256::ecdsa::Signature = self.p256().sign(input);
                signature.to_bytes().to_vec()
            }
            Algorithm::Esp384 => {
                let signature: p384::ecdsa::Signature = self.p384().sign(input);
                signature.to_bytes().to_vec()
            }
        }
    }
}

impl Mint {
    /// The issuer's entry in a trust store: class 1 of [`operator`], ten days around [`NOW`].
    #[must_use]
    pub fn issuer_key(&self) -> IssuerKey {
        let validity = Validity {
            not_before: NOW.minus(86_400),
            not_after: NOW.plus(86_400 * 9),
        };
        IssuerKey::new(
            self.issuer.algorithm,
            &self.issuer.point(),
            validity,
            operator(),
            1 << 1,
        )
        .expect("a point")
    }

    fn kid(&self) -> Kid {
        self.issuer_key().kid()
    }

    /// The credential.
    #[must_use]
    pub fn credential(&self) -> Vec<u8> {
        let (algorithm, kid) = (self.issuer.algorithm, self.kid());
        let claims = self.claims.encode();
        let input = credential_signature_input(algorithm, kid, &claims).expect("fits");
        let signature = self.forger.unwrap_or(self.issuer).sign(&input);
        assemble_credential(algorithm, kid, &claims, &signature)
            .expect("valid")
            .to_vec()
    }

    /// The presentation: the bytes of the boarding code.
    #[must_use]
    pub fn code(&self) -> Encoded<PRESENTATION_MAX> {
        self.assembled(&self.device_signature())
    }

    /// The same code with (r, n - s) for (r, s).
    #[must_use]
    pub fn malleated(&self) -> Encoded<PRESENTATION_MAX> {
        let (r, s) = self.device_signature().split_scalars();
        let other = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes())
            .expect("both in range");
        self.assembled(&other)
    }

    /// The boarding code as the QR code carries it.
    #[must_use]
    pub fn text(&self) -> String {
        to_text(&self.code(), &mut [0; TEXT_MAX]).to_owned()
    }

    fn device_signature(&self) -> p256::ecdsa::Signature {
        let input = presentation_signature_input(&self.credential(), &self.dynamic);
        self.phone.p256().sign(&input.expect("fits"))
    }

    fn assembled(&self, signature: &p256::ecdsa::Signature) -> Encoded<PRESENTATION_MAX> {
        let signature = signature.to_bytes().into();
        assemble_presentation(&self.credential(), &self.dynamic, &signature).expect("fits")
    }
}
