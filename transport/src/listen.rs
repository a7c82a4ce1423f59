use std::io;
use std::net::SocketAddr;

use miette::Diagnostic;
use thiserror::Error;
use tokio::net::TcpListener;

/// The address cannot be listened on.
#[derive(Debug, Error, Diagnostic)]
#[error("cannot listen on {address}")]
#[diagnostic(help("choose another address or port, or stop what listens there"))]
pub struct CannotListen {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the operating system said.
    pub source: io::Error,
}

/// Listens on `address` and says where that is: with port 0 the system chooses one.
///
/// # Errors
/// [`CannotListen`].
pub async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), CannotListen> {
    let failed = |source| CannotListen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_an_error_that_names_it() {
        let (_listener, bound) = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        assert_ne!(bound.port(), 0);
        let refused = listen(bound).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("cannot listen on {bound}"));
    }
}
