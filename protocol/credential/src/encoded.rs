use core::{fmt, ops::Deref};
use minicbor::encode::{Encoder, Error, write::Cursor};

/// Bytes made by an encoder of this crate, at most `N`, kept in place (no allocation).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Encoded<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

pub(crate) type Sink<const N: usize> = Encoder<Cursor<[u8; N]>>;
pub(crate) type SinkError = Error<minicbor::encode::write::EndOfArray>;

impl<const N: usize> Encoded<N> {
    /// Copies `bytes`; `None` when there are more than `N`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Option<Self> {
        let mut copy = [0; N];
        copy.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self {
            bytes: copy,
            len: bytes.len(),
        })
    }

    /// Runs `write` on an empty buffer; an error means that `N` was too small.
    pub(crate) fn build(
        write: impl FnOnce(&mut Sink<N>) -> Result<(), SinkError>,
    ) -> Result<Self, SinkError> {
        let mut sink = Encoder::new(Cursor::new([0; N]));
        write(&mut sink)?;
        let cursor = sink.into_writer();
        let len = cursor.position();
        Ok(Self {
            bytes: cursor.into_inner(),
            len,
        })
    }
}

impl<const N: usize> Deref for Encoded<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<const N: usize> AsRef<[u8]> for Encoded<N> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<const N: usize> fmt::Debug for Encoded<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
