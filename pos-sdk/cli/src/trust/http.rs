use miette::Diagnostic;
use obol_pos_sdk::{FileRequest, Received, Shelf, TrustSource};
use obol_transport::{FileClient, FilePart, TransportError, http::StatusCode};
use thiserror::Error;
use tokio::runtime::Runtime;

use crate::upload::runtime;

/// A repository behind two base URLs.
pub(crate) struct HttpSource {
    runtime: Runtime,
    files: FileClient,
    metadata: String,
    targets: String,
}

/// Why a file did not come.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum HttpError {
    /// No answer.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Transport(#[from] TransportError),
    /// An answer that is none of a file.
    #[error("{url} answers {status}")]
    #[diagnostic(help("check the address; a mirror may be out of order"))]
    Status {
        /// What was asked for.
        url: String,
        /// What came.
        status: StatusCode,
    },
}

impl HttpSource {
    pub(crate) fn new(files: FileClient, metadata: &str, targets: &str) -> miette::Result<Self> {
        let base = |url: &str| url.trim_end_matches('/').to_owned();
        Ok(Self {
            runtime: runtime()?,
            files,
            metadata: base(metadata),
            targets: base(targets),
        })
    }
}

impl TrustSource for HttpSource {
    type Error = HttpError;

    fn fetch(&mut self, request: &FileRequest<'_>) -> Result<Received, HttpError> {
        let base = match request.shelf {
            Shelf::Metadata => &self.metadata,
            Shelf::Targets => &self.targets,
        };
        let url = format!("{base}/{}", request.name);
        let asked = self.files.get(&url, request.offset, request.max_len);
        match self.runtime.block_on(asked)? {
            FilePart::Absent => Ok(Received::Absent),
            FilePart::Refused(status) => Err(HttpError::Status { url, status }),
            FilePart::Bytes {
                offset,
                bytes,
                broken,
            } => Ok(Received::Bytes {
                offset,
                bytes,
                broken,
            }),
        }
    }
}
