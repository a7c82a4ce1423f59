use crate::{
    Encoded, Malformed, UnixTime,
    encoded::{Sink, SinkError},
    strict::Reader,
};

/// Bytes of the longest claims set (docs/spec/pt1.md, byte budget).
pub const CLAIMS_MAX: usize = 1 + (1 + 5) + (1 + 5) + (1 + 1 + 8) + CNF_LEN + FARE_MAX;
const CNF_LEN: usize = 1 + 1 + COSE_KEY_LEN;
const COSE_KEY_LEN: usize = 1 + 1 + 2 + 2 + (1 + 2 + 32) + 2;
const FARE_MAX: usize = 5 + 1 + 1 + 2 + 5 + 3 + 5 + 2;

/// The longest life of a credential, seconds: 48 h.
pub const LIFE_MAX_S: u32 = 48 * 3600;

/// Length of a status list epoch, seconds: a credential's index counts within
/// `floor(issued_at / STATUS_EPOCH_S)`.
pub const STATUS_EPOCH_S: u32 = 86_400;

const FARE_VERSION: u64 = 1;
const CLASS_MAX: u8 = 31;

const EXP: i64 = 4;
const IAT: i64 = 6;
const CTI: i64 = 7;
const CNF: i64 = 8;
const FARE: i64 = -65_537;

/// What the issuer says of a credential: a CWT claims set (RFC 8392) with the holder's key
/// (RFC 8747) and the fare terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `exp` (4): the first second at which the credential is refused.
    pub expires_at: UnixTime,
    /// `iat` (6): when the issuer signed.
    pub issued_at: UnixTime,
    /// `cti` (7): the credential's pseudonym.
    pub cti: Cti,
    /// `cnf` (8): the key that signs this credential's presentations.
    pub device_key: DeviceKey,
    /// Private claim -65537.
    pub fare: FareTerms,
}

/// A credential's random name. Fresh for each credential, so that two of them do not lead to one
/// rider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cti(pub [u8; 8]);

/// What the holder may ride on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FareTerms {
    /// Rider class, 0 ..= 31; terminals and issuer keys have a set of those they may serve.
    pub class: u8,
    /// The highest fare of one ride, minor units of the operator's currency.
    pub cap_minor: u32,
    /// How long one boarding code stays good, seconds, at least 1; terminals clamp it to 60.
    pub window_s: u16,
    /// Index in the status list of the issuer key and epoch.
    pub status_index: u32,
    /// Reserved for the operator; verifiers ignore it.
    pub flags: u8,
}

/// A P-256 public key as a compressed SEC1 point. Whether the point is on the curve is the
/// verifier's to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceKey([u8; 33]);

impl DeviceKey {
    /// Takes a compressed SEC1 point: `02` or `03`, then x. `None` for another first byte.
    #[must_use]
    pub const fn from_sec1(point: [u8; 33]) -> Option<Self> {
        if matches!(point[0], 2 | 3) {
            Some(Self(point))
        } else {
            None
        }
    }

    /// The compressed SEC1 point.
    #[must_use]
    pub fn as_sec1(&self) -> &[u8; 33] {
        &self.0
    }

    fn x(&self) -> &[u8] {
        &self.0[1..]
    }

    fn y_is_odd(&self) -> bool {
        self.0[0] == 3
    }

    /// Writes `{8: {1: COSE_Key}}`'s value: RFC 8747 section 3.2 with RFC 9053 section 7.1.1.
    pub(crate) fn write_cnf<const N: usize>(&self, sink: &mut Sink<N>) -> Result<(), SinkError> {
        sink.map(1)?.u8(1)?.map(4)?;
        sink.u8(1)?.u8(2)?.i8(-1)?.u8(1)?;
        sink.i8(-2)?
            .bytes(self.x())?
            .i8(-3)?
            .bool(self.y_is_odd())?;
        Ok(())
    }

    pub(crate) fn read_cnf(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.map(1)?;
        reader.key(1)?;
        reader.map(4)?;
        reader.key(1)?;
        expect_int(reader, 2, "kty is not EC2")?;
        reader.key(-1)?;
        expect_int(reader, 1, "crv is not P-256")?;
        reader.key(-2)?;
        let x = reader.bytes_exact::<32>()?;
        reader.key(-3)?;
        let sign = 2 + u8::from(reader.boolean()?);
        let mut point = [sign; 33];
        point[1..].copy_from_slice(x);
        Ok(Self(point))
    }
}

impl Claims {
    /// The deterministic encoding.
    ///
    /// # Panics
    /// Never: the buffer is the size of the longest claims set.
    #[must_use]
    pub fn encode(&self) -> Encoded<CLAIMS_MAX> {
        Encoded::build(|sink| self.write(sink)).expect("CLAIMS_MAX holds the longest claims set")
    }

    fn write(&self, sink: &mut Sink<CLAIMS_MAX>) -> Result<(), SinkError> {
        sink.map(5)?.i64(EXP)?.u32(self.expires_at.0)?;
        sink.i64(IAT)?.u32(self.issued_at.0)?;
        sink.i64(CTI)?.bytes(&self.cti.0)?;
        sink.i64(CNF)?;
        self.device_key.write_cnf(sink)?;
        let fare = &self.fare;
        sink.i64(FARE)?
            .array(6)?
            .u64(FARE_VERSION)?
            .u8(fare.class)?
            .u32(fare.cap_minor)?;
        sink.u16(fare.window_s)?
            .u32(fare.status_index)?
            .u8(fare.flags)?;
        Ok(())
    }

    /// Reads a claims set.
    ///
    /// # Errors
    /// [`Malformed`] for bytes that are not the deterministic encoding of a claims set within the
    /// ranges of docs/spec/pt1.md section 3: a life of 1 s to 48 h, a class of 0 to 31, a window
    /// of at least 1 s.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.map(5)?;
        reader.key(EXP)?;
        let at = reader.position();
        let expires_at = UnixTime(reader.uint_as()?);
        reader.key(IAT)?;
        let issued_at = UnixTime(reader.uint_as()?);
        let life = expires_at.since(issued_at);
        if !(1..=i64::from(LIFE_MAX_S)).contains(&life) {
            return Err(Malformed {
                at,
                rule: "life is not 1 s to 48 h",
            });
        }
        reader.key(CTI)?;
        let cti = Cti(*reader.bytes_exact()?);
        reader.key(CNF)?;
        let device_key = DeviceKey::read_cnf(&mut reader)?;
        reader.key(FARE)?;
        let fare = FareTerms::read(&mut reader)?;
        reader.finish()?;
        Ok(Self {
            expires_at,
            issued_at,
            cti,
            device_key,
            fare,
        })
    }
}

impl FareTerms {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array(6)?;
        expect_int(reader, 1, "unknown version of the fare terms")?;
        let at = reader.position();
        let class = reader.uint_as()?;
        if class > CLASS_MAX {
            return Err(Malformed {
                at,
                rule: "class is not 0 to 31",
            });
        }
        let cap_minor = reader.uint_as()?;
        let at = reader.position();
        let window_s = reader.uint_as()?;
        if window_s == 0 {
            return Err(Malformed {
                at,
                rule: "window is zero",
            });
        }
        let status_index = reader.uint_as()?;
        let flags = reader.uint_as()?;
        Ok(Self {
            class,
            cap_minor,
            window_s,
            status_index,
            flags,
        })
    }
}

pub(crate) fn expect_int(
    reader: &mut Reader<'_>,
    expected: i64,
    rule: &'static str,
) -> Result<(), Malformed> {
    let at = reader.position();
    if reader.int()? == expected {
        Ok(())
    } else {
        Err(Malformed { at, rule })
    }
}
