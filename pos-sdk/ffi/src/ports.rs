//! What the host brings: a key, and the way to the repository.
#![allow(unsafe_code)]

use core::ffi::{c_char, c_void};

use obol_pos_sdk::{
    FileRequest, KeyFault, Received, SegmentKey, SegmentSigner, Shelf, SpkiId, TrustSource,
};
use thiserror::Error;

/// The terminal's key in a secure element or a token of the host's, in the place of the key file.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ObolPosSigner {
    /// In: sizeof(obol_pos_signer).
    pub struct_size: u32,
    /// SHA-256 of the key's DER SubjectPublicKeyInfo: the key of the terminal's TLS certificate.
    pub key_id: [u8; 32],
    /// Given to `sign` as it is.
    pub host: *mut c_void,
    /// Signs `input` with ECDSA on P-256 over SHA-256 and writes r and s, 32 bytes each, into the
    /// 64 bytes at `signature`. Returns 0, or anything else when the key cannot sign now.
    pub sign: Option<
        unsafe extern "C" fn(
            host: *mut c_void,
            input: *const u8,
            input_len: usize,
            signature: *mut u8,
        ) -> i32,
    >,
}

/// The way to the trust repository. What comes from there need not be trusted.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ObolPosSource {
    /// In: sizeof(obol_pos_source).
    pub struct_size: u32,
    /// Given to `fetch` as it is.
    pub host: *mut c_void,
    /// Fetches a file of the folder `metadata` (`shelf` 0) or `targets` (`shelf` 1), from byte
    /// `offset` on, and hands what comes to obol_pos_file_write() until that returns 0, which says
    /// that no more is wanted. `name` is closed by a NUL. Returns 0 when the file is whole, 1 when
    /// there is no such file, 2 when it broke off, anything else when nothing came.
    pub fetch: Option<
        unsafe extern "C" fn(
            host: *mut c_void,
            shelf: u32,
            name: *const c_char,
            offset: usize,
            file: *mut ObolPosFile,
        ) -> i32,
    >,
}

/// A file that is being fetched.
#[derive(Debug)]
pub struct ObolPosFile {
    bytes: Vec<u8>,
    most: usize,
}

impl ObolPosFile {
    /// Takes what still fits; whether more is wanted.
    pub(crate) fn write(&mut self, data: &[u8]) -> bool {
        let room = self.most - self.bytes.len();
        self.bytes.extend_from_slice(&data[..data.len().min(room)]);
        self.bytes.len() < self.most
    }
}

/// The port returned this number.
#[derive(Debug, Error)]
#[error("the host's port returned {0}")]
pub struct PortFailed(i32);

/// Who signs segments.
#[derive(Debug)]
pub(crate) enum Signer {
    File(SegmentSigner),
    Host(ObolPosSigner),
}

impl SegmentKey for Signer {
    fn id(&self) -> SpkiId {
        match self {
            Self::File(signer) => signer.id(),
            Self::Host(signer) => SpkiId(signer.key_id),
        }
    }

    fn sign(&self, input: &[u8]) -> Result<[u8; 64], KeyFault> {
        let signer = match self {
            Self::File(signer) => return signer.sign(input),
            Self::Host(signer) => signer,
        };
        let mut signature = [0; 64];
        let said = match signer.sign {
            // SAFETY: the host vouches for its function; the buffers live through the call.
            Some(sign) => unsafe {
                sign(
                    signer.host,
                    input.as_ptr(),
                    input.len(),
                    signature.as_mut_ptr(),
                )
            },
            None => -1,
        };
        match said {
            0 => Ok(signature),
            other => Err(KeyFault(Box::new(PortFailed(other)))),
        }
    }
}

impl TrustSource for ObolPosSource {
    type Error = PortFailed;

    fn fetch(&mut self, request: &FileRequest<'_>) -> Result<Received, PortFailed> {
        let name = std::ffi::CString::new(request.name).map_err(|_| PortFailed(-1))?;
        let shelf = match request.shelf {
            Shelf::Metadata => 0,
            Shelf::Targets => 1,
        };
        // One byte more than the whole file may have is enough to give up.
        let mut file = ObolPosFile {
            bytes: Vec::new(),
            most: request.max_len.saturating_sub(request.offset) + 1,
        };
        let fetch = self.fetch.ok_or(PortFailed(-1))?;
        // SAFETY: the host vouches for its function; name and file live through the call.
        let said = unsafe {
            fetch(
                self.host,
                shelf,
                name.as_ptr(),
                request.offset,
                &raw mut file,
            )
        };
        let broken = match said {
            0 => None,
            1 => return Ok(Received::Absent),
            2 => Some("the host says so".to_owned()),
            other => return Err(PortFailed(other)),
        };
        Ok(Received::Bytes {
            offset: request.offset,
            bytes: file.bytes,
            broken,
        })
    }
}
