//! What crosses the daemon's socket: calls and replies, each a frame of a `u32` length (big-endian)
//! and that many bytes of CBOR. A reply carries the number of its call; replies come in the order in
//! which they are ready.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::names::{KeyClass, KeyState, PayloadType};

/// Longest payload, in bytes: a revocation list of some 200 000 entries.
pub const PAYLOAD_MAX: usize = 8 * 1024 * 1024;
/// Longest frame in either direction, in bytes.
pub const FRAME_MAX: usize = PAYLOAD_MAX + 1024;
/// Most keys in one list, which fits one frame.
pub const KEYS_MAX: usize = 16 * 1024;
/// Most tokens of one daemon.
pub const TOKENS_MAX: usize = 16;

/// Calls of one connection that the daemon works on at a time; it reads no further before one of
/// them is answered.
pub const PIPELINE_MAX: usize = 64;

/// A request and its number.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Call {
    /// Chosen by the client, from 1; unique among its calls under way.
    #[n(0)]
    pub id: u32,
    /// How long the client waits, in milliseconds; the daemon's own limit holds as well.
    #[n(1)]
    pub left_ms: Option<u32>,
    /// What is asked.
    #[n(2)]
    pub request: Request,
}

/// An answer and the number of its call.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Reply {
    /// The call's number; 0 when the frame could not be read, and the connection ends.
    #[n(0)]
    pub id: u32,
    /// The answer.
    #[n(1)]
    pub answer: Answer,
}

/// What a client may ask. Nothing here is a digest or a message of free form.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// Which keys are served.
    #[n(0)]
    Keys,
    /// Sign a payload, which the daemon parses as what it is said to be.
    #[n(1)]
    Sign {
        /// SPKI id of the key.
        #[n(0)]
        key: ByteArray<32>,
        /// What the payload is.
        #[n(1)]
        payload_type: PayloadType,
        /// 1 to [`PAYLOAD_MAX`] bytes.
        #[n(2)]
        payload: ByteVec,
    },
    /// How tokens and audit log are.
    #[n(2)]
    Status,
    /// Prove that a leaf stands in the audit log; of leaves that this client caused alone.
    #[n(3)]
    Prove {
        /// Its index.
        #[n(0)]
        leaf: u64,
    },
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// The keys served.
    #[n(0)]
    Keys(#[n(0)] Vec<WireKey>),
    /// A verified signature.
    #[n(1)]
    Signed {
        /// Raw r||s: 64 or 96 bytes.
        #[n(0)]
        signature: ByteVec,
        /// Index of the audit log's leaf that approved it; it was durable before the key was used.
        #[n(1)]
        leaf: u64,
        /// SPKI id of the key that signed, as in the leaf.
        #[n(2)]
        key: ByteArray<32>,
        /// SHA-256 of the bytes that were signed, as in the leaf.
        #[n(3)]
        hash: ByteArray<32>,
    },
    /// No signature.
    #[n(2)]
    Refused {
        /// Why, for programs.
        #[n(0)]
        code: RefusalKind,
        /// Why, for the log.
        #[n(1)]
        reason: String,
    },
    /// How the daemon is.
    #[n(3)]
    Status {
        /// At most [`TOKENS_MAX`].
        #[n(0)]
        tokens: Vec<WireToken>,
        /// The audit log.
        #[n(1)]
        audit: WireAudit,
    },
    /// A leaf of the audit log and where it stands.
    #[n(4)]
    Proof {
        /// The leaf: docs/spec/audit-log.md section 2.
        #[n(0)]
        entry: ByteVec,
        /// Index, audit path and signed checkpoint as c2sp.org/tlog-proof writes them.
        #[n(1)]
        proof: String,
    },
}

/// A key on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct WireKey {
    /// DER SubjectPublicKeyInfo.
    #[n(0)]
    pub spki_der: ByteVec,
    /// COSE algorithm: -9 or -51.
    #[n(1)]
    pub algorithm: i32,
    /// What it is for.
    #[n(2)]
    pub class: KeyClass,
    /// Its state in the registry.
    #[n(3)]
    pub state: KeyState,
    /// Serial number of the token that has it; an older daemon does not say.
    #[n(4)]
    pub token: Option<String>,
}

/// A token on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct WireToken {
    /// Its label.
    #[n(0)]
    pub label: String,
    /// Its serial number.
    #[n(1)]
    pub serial: String,
    /// Whether it signs.
    #[n(2)]
    pub health: TokenHealth,
    /// How often its worker process was started again.
    #[n(3)]
    pub restarts: u64,
}

/// Whether a token signs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum TokenHealth {
    /// It does.
    #[n(0)]
    Ready,
    /// It does not, and is being repaired.
    #[n(1)]
    Degraded(#[n(0)] String),
    /// Only a person can help: its PIN was refused.
    #[n(2)]
    Sealed(#[n(0)] String),
}

/// The audit log on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct WireAudit {
    /// Leaves that are durable.
    #[n(0)]
    pub leaves: u64,
    /// Leaves that the last signed checkpoint covers.
    #[n(1)]
    pub signed: u64,
    /// Leaves that the last witnessed checkpoint covers.
    #[n(2)]
    pub witnessed: u64,
    /// What is wrong with it, if anything.
    #[n(3)]
    pub trouble: Option<String>,
}

/// Why the daemon did not sign. Numbers are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum RefusalKind {
    /// The frame is not a request.
    #[n(0)]
    BadRequest,
    /// The key is not served here.
    #[n(1)]
    UnknownKey,
    /// The payload is not what it is said to be, or a hard rule refused it.
    #[n(2)]
    PayloadRefused,
    /// Too much work is waiting; try again.
    #[n(3)]
    Busy,
    /// The token failed.
    #[n(4)]
    TokenFailure,
    /// Not signed before the deadline; the signature, if it comes, is thrown away.
    #[n(5)]
    Timeout,
    /// The key's state or class in the registry forbids it.
    #[n(6)]
    KeyState,
    /// The policy forbids it, or does not permit it.
    #[n(7)]
    Denied,
    /// The key, or this client's share of it, is used up for now or for good.
    #[n(8)]
    Quota,
    /// Registry or audit log failed, and nothing is signed without them.
    #[n(9)]
    Unavailable,
    /// The audit log has no such leaf, or another client caused it.
    #[n(10)]
    UnknownLeaf,
    /// No checkpoint covers the leaf yet; the next one will, within seconds.
    #[n(11)]
    NotCovered,
}

/// Why a frame was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection failed or ended inside a frame.
    #[error("the connection broke")]
    Io(#[from] std::io::Error),
    /// The frame is longer than [`FRAME_MAX`].
    #[error("a frame of {0} bytes is longer than {FRAME_MAX}")]
    TooLong(usize),
    /// The frame is not exactly one value.
    #[error("the frame is not exactly one CBOR value of the protocol: {0}")]
    Malformed(String),
}

/// Writes one value as a frame.
///
/// # Errors
/// [`FrameError::TooLong`], or the connection's failure.
pub async fn write_frame<T: Encode<()>>(
    stream: &mut (impl AsyncWrite + Unpin),
    value: &T,
) -> Result<(), FrameError> {
    let body = minicbor::to_vec(value).map_err(|error| FrameError::Malformed(error.to_string()))?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= FRAME_MAX)
        .ok_or(FrameError::TooLong(body.len()))?;
    let frame = [&length.to_be_bytes(), body.as_slice()].concat();
    stream.write_all(&frame).await?;
    Ok(stream.flush().await?)
}

/// Reads one frame's bytes; `None` when the peer closed between frames.
///
/// # Errors
/// [`FrameError::TooLong`] before anything is allocated, or the connection's failure.
pub async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<Vec<u8>>, FrameError> {
    match read_first_byte(stream).await? {
        Some(first) => {
            let length = read_length(first, stream).await?;
            Ok(Some(read_body(length, stream).await?))
        }
        None => Ok(None),
    }
}

/// Waits for a frame to begin; `None` when the peer closed instead. Safe to cancel: a connection may
/// idle here without limit, while what follows deserves a deadline.
///
/// # Errors
/// The connection's failure.
pub async fn read_first_byte(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<u8>, FrameError> {
    let mut first = [0];
    let count = stream.read(&mut first).await?;
    Ok((count == 1).then_some(first[0]))
}

/// Reads the length of the frame that began with `first`.
///
/// # Errors
/// [`FrameError::TooLong`], or the connection's failure.
pub async fn read_length(
    first: u8,
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<usize, FrameError> {
    let mut length = [first, 0, 0, 0];
    stream.read_exact(&mut length[1..]).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_MAX {
        return Err(FrameError::TooLong(length));
    }
    Ok(length)
}

/// Reads the rest of a frame whose length is known.
///
/// # Errors
/// The connection's failure.
pub async fn read_body(
    length: usize,
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Vec<u8>, FrameError> {
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Decodes a frame that must be exactly one value.
///
/// # Errors
/// [`FrameError::Malformed`].
pub fn decode_frame<'b, T: Decode<'b, ()>>(frame: &'b [u8]) -> Result<T, FrameError> {
    let mut decoder = minicbor::Decoder::new(frame);
    let value = decoder
        .decode()
        .map_err(|error| FrameError::Malformed(error.to_string()))?;
    if decoder.position() != frame.len() {
        return Err(FrameError::Malformed("trailing bytes".to_owned()));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Call {
        Call {
            id: 7,
            left_ms: Some(250),
            request: Request::Sign {
                key: [7; 32].into(),
                payload_type: PayloadType::CredentialClaims,
                payload: vec![1, 2, 3].into(),
            },
        }
    }

    #[tokio::test]
    async fn a_frame_reads_back_and_a_closed_connection_is_no_frame() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &sample()).await.unwrap();
        let mut reader = bytes.as_slice();
        let frame = read_frame(&mut reader).await.unwrap().unwrap();
        assert_eq!(decode_frame::<Call>(&frame).unwrap(), sample());
        assert!(read_frame(&mut reader).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_frame_cut_anywhere_is_a_broken_connection() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &sample()).await.unwrap();
        for cut in 1..bytes.len() {
            let error = read_frame(&mut &bytes[..cut]).await.unwrap_err();
            assert!(matches!(error, FrameError::Io(_)), "{cut}");
        }
    }

    #[tokio::test]
    async fn a_frame_longer_than_the_limit_is_refused_before_it_is_read() {
        let error = read_frame(&mut [0xff; 4].as_slice()).await.unwrap_err();
        assert!(matches!(error, FrameError::TooLong(4_294_967_295)));
    }

    #[test]
    fn the_longest_payload_fits_one_frame() {
        let mut call = sample();
        let Request::Sign { payload, .. } = &mut call.request else {
            unreachable!("the sample signs")
        };
        *payload = vec![0; PAYLOAD_MAX].into();
        assert!(minicbor::to_vec(&call).unwrap().len() <= FRAME_MAX);
    }

    #[test]
    fn bytes_after_the_value_are_refused() {
        let mut bytes = minicbor::to_vec(sample()).unwrap();
        bytes.push(0);
        let error = decode_frame::<Call>(&bytes).unwrap_err();
        assert!(matches!(error, FrameError::Malformed(reason) if reason == "trailing bytes"));
    }

    #[test]
    fn the_list_of_all_keys_fits_one_frame() {
        let key = WireKey {
            spki_der: vec![0; 120].into(),
            algorithm: -51,
            class: KeyClass::Issuer,
            state: KeyState::PendingDestruction,
            token: Some("0".repeat(16)),
        };
        let answer = Answer::Keys(vec![key; KEYS_MAX]);
        assert!(minicbor::to_vec(answer).unwrap().len() <= FRAME_MAX);
    }

    proptest::proptest! {
        #[test]
        fn noise_is_an_error_and_never_a_panic(frame: Vec<u8>) {
            if let Ok(request) = decode_frame::<Call>(&frame) {
                let again = minicbor::to_vec(&request).unwrap();
                proptest::prop_assert_eq!(decode_frame::<Call>(&again).unwrap(), request);
            }
        }
    }
}
