//! Where an update's files come from.

/// Which of the repository's two folders a file lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// Metadata of the roles.
    Metadata,
    /// Files that the roles vouch for.
    Targets,
}

/// A file, or the rest of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRequest<'a> {
    /// Its folder.
    pub shelf: Shelf,
    /// Its name there, as a URL's path has it.
    pub name: &'a str,
    /// The first byte that is wanted.
    pub offset: usize,
    /// The whole file's greatest length; one byte more is enough to give up.
    pub max_len: usize,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The repository says that there is no such file.
    Absent,
    /// Bytes of it.
    Bytes {
        /// Where they begin: the offset that was asked for, or 0 from a server that does not know
        /// ranges.
        offset: usize,
        /// The bytes, at most one more than fit.
        bytes: Vec<u8>,
        /// `None` when the file ended here, else why no more came.
        broken: Option<String>,
    },
}

/// The way to the repository. Nothing that comes from there is believed: a source may be a plain
/// HTTP mirror. It must end by itself, however slowly the other side sends.
pub trait TrustSource {
    /// Why nothing at all came.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Fetches a file, or its rest.
    ///
    /// # Errors
    /// Whatever kept the repository from answering.
    fn fetch(&mut self, request: &FileRequest<'_>) -> Result<Received, Self::Error>;
}
