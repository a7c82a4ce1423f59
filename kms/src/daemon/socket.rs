//! The daemon's socket file.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Why the socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon answers there.
    #[error("another daemon listens at {}", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket has that name.
    #[error("{} exists and is no socket", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot listen at {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// The socket file; it goes when the daemon goes, unless another file has taken its name.
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|m| m.ino() == self.inode);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the socket file stays behind");
        }
    }
}

/// Binds under a temporary name with the final mode and then renames, so that the socket is never
/// reachable with wider permissions.
pub(super) fn bind(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |source| SocketError::Io {
        path: path.to_path_buf(),
        source,
    };
    remove_stale(path)?;
    let temporary = path.with_added_extension(format!("{}", std::process::id()));
    let listener = UnixListener::bind(&temporary).map_err(failed)?;
    let prepared = std::fs::set_permissions(&temporary, PermissionsExt::from_mode(mode))
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| std::fs::symlink_metadata(path));
    match prepared {
        Ok(metadata) => {
            let inode = metadata.ino();
            Ok((
                listener,
                SocketFile {
                    path: path.to_path_buf(),
                    inode,
                },
            ))
        }
        Err(source) => {
            if let Err(error) = std::fs::remove_file(&temporary) {
                tracing::warn!(%error, path = %temporary.display(), "temporary socket stays behind");
            }
            Err(failed(source))
        }
    }
}

/// A socket file on which nobody listens was left by a daemon that was killed.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io {
        path: path.to_path_buf(),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(SocketError::NotASocket(path.to_path_buf()))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(SocketError::InUse(path.to_path_buf())),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)
            }
            Err(error) => Err(failed(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_left_by_a_killed_daemon_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kms.sock");
        // std's listener leaves its file behind, as a killed process does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (_listener, file) = bind(&path, 0o600).unwrap();
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert!(matches!(bind(&path, 0o600), Err(SocketError::InUse(_))));
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kms.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(
            bind(&path, 0o600),
            Err(SocketError::NotASocket(_))
        ));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
