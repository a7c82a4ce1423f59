//! A network that breaks: passes bytes on, and cuts the connection after so many of them.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Passes connections on to a port of this machine.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) port: u16,
    limits: Arc<Limits>,
}

struct Limits {
    to_server: AtomicUsize,
    to_client: AtomicUsize,
    passed_to_server: AtomicUsize,
    passed_to_client: AtomicUsize,
}

impl Proxy {
    /// Cuts nothing until it is told to. Its thread ends with the test.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let limits = Arc::new(Limits {
            to_server: AtomicUsize::new(usize::MAX),
            to_client: AtomicUsize::new(usize::MAX),
            passed_to_server: AtomicUsize::new(0),
            passed_to_client: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&limits);
        thread::spawn(move || {
            for client in listener.incoming() {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
                join(client.unwrap(), server.unwrap(), &shared);
            }
        });
        Self { port: own, limits }
    }

    /// From now on each connection is cut after so many bytes in either direction.
    pub(crate) fn cut_after(&self, to_server: usize, to_client: usize) {
        self.limits.to_server.store(to_server, Ordering::SeqCst);
        self.limits.to_client.store(to_client, Ordering::SeqCst);
    }

    /// What the latest connection has passed on: to the server, to the client.
    pub(crate) fn passed(&self) -> (usize, usize) {
        let read = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (
            read(&self.limits.passed_to_server),
            read(&self.limits.passed_to_client),
        )
    }
}

fn join(client: TcpStream, server: TcpStream, limits: &Arc<Limits>) {
    limits.passed_to_server.store(0, Ordering::SeqCst);
    limits.passed_to_client.store(0, Ordering::SeqCst);
    let ends = || (client.try_clone().unwrap(), server.try_clone().unwrap());
    let ((up_from, up_to), (down_to, down_from), limits) = (ends(), ends(), Arc::clone(limits));
    let (up, down) = (
        limits.to_server.load(Ordering::SeqCst),
        limits.to_client.load(Ordering::SeqCst),
    );
    let shared = Arc::clone(&limits);
    thread::spawn(move || pass(up_from, up_to, up, &shared.passed_to_server));
    thread::spawn(move || pass(down_from, down_to, down, &limits.passed_to_client));
}

/// Passes `limit` bytes on and then breaks both directions off.
fn pass(mut from: TcpStream, mut to: TcpStream, limit: usize, passed: &AtomicUsize) {
    let mut chunk = [0; 4096];
    let mut left = limit;
    while left > 0 {
        let room = left.min(chunk.len());
        let Ok(read @ 1..) = from.read(&mut chunk[..room]) else {
            // The sender is done; what comes back may still be on its way.
            to.shutdown(Shutdown::Write).ok();
            return;
        };
        if to.write_all(&chunk[..read]).is_err() {
            break;
        }
        passed.fetch_add(read, Ordering::SeqCst);
        left -= read;
    }
    for end in [from, to] {
        end.shutdown(Shutdown::Both).ok();
    }
}
