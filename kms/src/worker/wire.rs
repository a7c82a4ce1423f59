//! What crosses the socketpair: the only protocol of the house that carries digests.
//!
//! Each frame is a `u32` length (big-endian) and that many bytes of CBOR. Both ends are the same
//! binary, so there is no version to agree on; the reading is strict nevertheless.

use std::io::{self, ErrorKind, Read, Write};

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use crate::digest::Digest;
use crate::error::ErrorClass;

/// Longest frame, in bytes: the order to open names each key that the token must have.
const FRAME_MAX: usize = 1024 * 1024;

/// From the daemon.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum ToWorker {
    /// First of all: open the token.
    #[n(0)]
    Open {
        #[n(0)]
        sessions: u32,
        #[n(1)]
        demanded: Vec<ByteArray<32>>,
    },
    #[n(1)]
    Sign {
        #[n(0)]
        id: u64,
        #[n(1)]
        key: ByteArray<32>,
        #[n(2)]
        digest: WireDigest,
        /// Time that is left, in microseconds.
        #[n(3)]
        left_us: u64,
    },
}

/// A digest by its type, so that no other length can be said.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum WireDigest {
    #[n(0)]
    Sha256(#[n(0)] ByteArray<32>),
    #[n(1)]
    Sha384(#[n(0)] ByteArray<48>),
}

/// From the worker.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum FromWorker {
    /// The token is open.
    #[n(0)]
    Ready,
    /// It is not, and the worker ends.
    #[n(1)]
    NotOpened {
        #[n(0)]
        kind: StartFailure,
        #[n(1)]
        reason: String,
    },
    #[n(2)]
    Signed {
        #[n(0)]
        id: u64,
        #[n(1)]
        raw: ByteVec,
    },
    #[n(3)]
    Failed {
        #[n(0)]
        id: u64,
        #[n(1)]
        failure: WireFailure,
        #[n(2)]
        reason: String,
    },
    /// Several times a second: the worker lives, and how its token is.
    #[n(4)]
    Beat {
        #[n(0)]
        health: WireHealth,
        #[n(1)]
        generation: u64,
        #[n(2)]
        errors: [u64; ErrorClass::ALL.len()],
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(super) enum WireFailure {
    #[n(0)]
    Timeout,
    #[n(1)]
    Away,
    #[n(2)]
    Sealed,
    #[n(3)]
    NoKey,
    #[n(4)]
    Transient,
    #[n(5)]
    Session,
    #[n(6)]
    Module,
    #[n(7)]
    Pin,
    #[n(8)]
    Request,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) enum WireHealth {
    #[n(0)]
    Ready,
    #[n(1)]
    Degraded {
        #[n(0)]
        reason: String,
        #[n(1)]
        repairing_ms: Option<u64>,
    },
    #[n(2)]
    Sealed {
        #[n(0)]
        reason: String,
    },
}

/// Why a worker could not open its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum StartFailure {
    /// The token file or the PIN file.
    #[n(0)]
    Config,
    /// The module did not load.
    #[n(1)]
    Module,
    /// The token is not there or does not answer.
    #[n(2)]
    Token,
    /// The token refused the PIN: nothing tries again.
    #[n(3)]
    Pin,
    /// A demanded key is not there, or must not be used.
    #[n(4)]
    Key,
}

impl WireDigest {
    pub(super) fn of(digest: &Digest) -> WireDigest {
        match digest {
            Digest::Sha256(digest) => WireDigest::Sha256((*digest.as_bytes()).into()),
            Digest::Sha384(digest) => WireDigest::Sha384((*digest.as_bytes()).into()),
        }
    }

    pub(super) fn into_digest(self) -> Digest {
        match self {
            WireDigest::Sha256(bytes) => Digest::from_daemon_256(bytes.into()),
            WireDigest::Sha384(bytes) => Digest::from_daemon_384(bytes.into()),
        }
    }
}

pub(super) fn write<T: Encode<()>>(stream: &mut impl Write, value: &T) -> io::Result<()> {
    let mut frame = vec![0; 4];
    minicbor::encode(value, &mut frame).map_err(io::Error::other)?;
    let length = frame.len() - 4;
    let head = u32::try_from(length)
        .ok()
        .filter(|_| length <= FRAME_MAX)
        .ok_or_else(|| invalid(format!("a frame of {length} bytes is too long")))?;
    frame[..4].copy_from_slice(&head.to_be_bytes());
    stream.write_all(&frame)
}

/// Reads frames from a stream that may have a read timeout.
pub(super) struct Frames<S> {
    stream: S,
    buffer: Vec<u8>,
}

pub(super) enum Next<T> {
    Frame(T),
    /// The read timeout passed; whatever has arrived is kept.
    Nothing,
    Closed,
}

impl<S: Read> Frames<S> {
    pub(super) fn new(stream: S) -> Frames<S> {
        Frames {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(super) fn next<T: for<'b> Decode<'b, ()>>(&mut self) -> io::Result<Next<T>> {
        loop {
            if let Some(value) = self.take()? {
                return Ok(Next::Frame(value));
            }
            let mut chunk = [0; 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) if self.buffer.is_empty() => return Ok(Next::Closed),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(Next::Nothing),
                    ErrorKind::ConnectionReset => return Ok(Next::Closed),
                    _ => return Err(error),
                },
            }
        }
    }

    fn take<T: for<'b> Decode<'b, ()>>(&mut self) -> io::Result<Option<T>> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > FRAME_MAX {
            return Err(invalid(format!("a frame of {length} bytes is too long")));
        }
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        let mut decoder = minicbor::Decoder::new(frame);
        let value = decoder
            .decode()
            .map_err(|error| invalid(error.to_string()))?;
        if decoder.position() != length {
            return Err(invalid("trailing bytes".to_owned()));
        }
        self.buffer.drain(..4 + length);
        Ok(Some(value))
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public_key::Curve;

    fn sign(id: u64, curve: Curve) -> ToWorker {
        ToWorker::Sign {
            id,
            key: [7; 32].into(),
            digest: WireDigest::of(&Digest::of(curve, b"message")),
            left_us: 5,
        }
    }

    fn read(bytes: &[u8]) -> io::Result<Next<ToWorker>> {
        Frames::new(bytes).next()
    }

    #[test]
    fn frames_read_back_in_order() {
        let mut bytes = Vec::new();
        for (id, curve) in [(1, Curve::P256), (2, Curve::P384)] {
            write(&mut bytes, &sign(id, curve)).unwrap();
        }
        let mut frames = Frames::new(bytes.as_slice());
        for (id, curve) in [(1, Curve::P256), (2, Curve::P384)] {
            let Next::Frame(frame) = frames.next::<ToWorker>().unwrap() else {
                panic!("a frame")
            };
            assert_eq!(frame, sign(id, curve));
        }
        assert!(matches!(frames.next::<ToWorker>(), Ok(Next::Closed)));
    }

    #[test]
    fn a_digest_of_another_length_cannot_be_said() {
        for length in [0, 1, 31, 33, 47, 48, 64] {
            let mut frame = vec![0; 4];
            let digest = vec![7; length];
            minicbor::Encoder::new(&mut frame)
                .array(2)
                .and_then(|e| e.u8(1))
                .and_then(|e| e.array(4))
                .and_then(|e| e.u64(1))
                .and_then(|e| e.bytes(&[7; 32]))
                .and_then(|e| e.array(2))
                .and_then(|e| e.u8(0))
                .and_then(|e| e.array(1))
                .and_then(|e| e.bytes(&digest))
                .and_then(|e| e.u64(5))
                .unwrap();
            let head = (frame.len() as u32 - 4).to_be_bytes();
            frame[..4].copy_from_slice(&head);
            let error = read(&frame).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{length}");
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_an_error() {
        let mut bytes = Vec::new();
        write(&mut bytes, &sign(1, Curve::P384)).unwrap();
        for cut in 1..bytes.len() {
            let error = read(&bytes[..cut]).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{cut}");
        }
    }

    #[test]
    fn a_frame_over_the_limit_and_bytes_after_the_value_are_refused() {
        assert!(read(&[0xff; 4]).is_err());
        let mut bytes = Vec::new();
        write(&mut bytes, &sign(1, Curve::P256)).unwrap();
        bytes[3] += 1;
        bytes.push(0);
        assert_eq!(read(&bytes).err().unwrap().to_string(), "trailing bytes");
    }

    proptest::proptest! {
        #[test]
        fn noise_is_an_error_and_never_a_panic(noise: Vec<u8>) {
            let mut frames = Frames::new(noise.as_slice());
            while let Ok(Next::Frame(_)) = frames.next::<ToWorker>() {}
            let mut frames = Frames::new(noise.as_slice());
            while let Ok(Next::Frame(_)) = frames.next::<FromWorker>() {}
        }
    }
}
