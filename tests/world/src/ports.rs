use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use tokio::net::TcpSocket;

use crate::WorldError;

/// The ports of a world's services on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Issuer, mTLS.
    pub issuer: u16,
    /// Platform for phones and the bank, TLS.
    pub passengers: u16,
    /// Platform for terminals, mTLS.
    pub terminals: u16,
    /// The bank, HTTP.
    pub bank: u16,
    /// The trust repository's mirror, HTTP.
    pub mirror: u16,
    /// Where members enrol at the issuer, TLS.
    pub enrolment: u16,
}

impl Ports {
    /// The usual ports, each replaced by a free one when it is taken.
    #[must_use]
    pub fn preferred() -> Self {
        Self::free([8443, 8444, 8445, 8446, 8447, 8448])
    }

    /// Ports that are free at this moment, for worlds that run side by side.
    #[must_use]
    pub fn any() -> Self {
        Self::free([0; 6])
    }

    /// All of them are bound before the first is let go, so that no two are the same.
    fn free(preferred: [u16; 6]) -> Self {
        let listeners = preferred.map(bind);
        let [issuer, passengers, terminals, bank, mirror, enrolment] =
            listeners.each_ref().map(port);
        Self {
            issuer,
            passengers,
            terminals,
            bank,
            mirror,
            enrolment,
        }
    }
}

fn bind(preferred: u16) -> TcpListener {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    bind(preferred)
        .or_else(|_| bind(0))
        .expect("the system has a free port")
}

fn port(listener: &TcpListener) -> u16 {
    let address = listener.local_addr();
    address.expect("a bound socket has an address").port()
}

/// Keeps the system from giving a world's ports to another program that asks for any port, before
/// the services listen there and while they are stopped.
///
/// The sockets are bound and do not listen: a service, which sets `SO_REUSEADDR`, binds beside
/// them, and whoever connects meanwhile is refused as by a closed port.
#[derive(Debug)]
pub(crate) struct Reservation {
    _sockets: [TcpSocket; 6],
}

impl Reservation {
    pub(crate) fn of(ports: Ports) -> Result<Self, WorldError> {
        let Ports {
            issuer,
            passengers,
            terminals,
            bank,
            mirror,
            enrolment,
        } = ports;
        let sockets = [
            reserve(issuer)?,
            reserve(passengers)?,
            reserve(terminals)?,
            reserve(bank)?,
            reserve(mirror)?,
            reserve(enrolment)?,
        ];
        Ok(Self { _sockets: sockets })
    }
}

fn reserve(port: u16) -> Result<TcpSocket, WorldError> {
    let failed = |error| WorldError::new(format!("port {port} cannot be reserved: {error}"));
    let socket = TcpSocket::new_v4().map_err(failed)?;
    socket.set_reuseaddr(true).map_err(failed)?;
    socket
        .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .map_err(failed)?;
    Ok(socket)
}
