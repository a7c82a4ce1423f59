//! Who is connected: how many from one place, and who has nothing open.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use hyper::body::{Bytes, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

/// The connections of each peer, at most so many.
#[derive(Debug)]
pub(crate) struct Peers {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of a peer; it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    peers: Arc<Peers>,
    address: IpAddr,
}

impl Peers {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let open = Mutex::default();
        Arc::new(Self { most, open })
    }

    /// `None` when the peer has as many connections as it may.
    pub(crate) fn place(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = neighbourhood(address);
        let mut open = self.open();
        let count = open.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        let peers = Arc::clone(self);
        Some(Place { peers, address })
    }

    /// Counts are whole whoever panicked while holding them.
    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// Whoever has one address of an IPv6 /64 has all of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The requests of one connection that are not answered to their last byte.
#[derive(Clone, Debug)]
pub(crate) struct Requests(watch::Sender<Pending>);

#[derive(Debug, Default)]
struct Pending {
    next: u64,
    /// When each began, by its number: the first is the oldest.
    open: BTreeMap<u64, Instant>,
}

impl Pending {
    fn oldest(&self) -> Option<Instant> {
        self.open.values().next().copied()
    }
}

/// One of them; it is open until this is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    requests: watch::Sender<Pending>,
    number: u64,
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Pending::default()))
    }

    pub(crate) fn begin(&self) -> Open {
        let mut number = 0;
        self.0.send_modify(|pending| {
            number = pending.next;
            pending.next += 1;
            pending.open.insert(number, Instant::now());
        });
        let requests = self.0.clone();
        Open { requests, number }
    }

    /// Ends when nothing was open for so long. A client's pings and settings are nothing.
    pub(crate) async fn idle(&self, long: Duration) {
        let mut pending = self.0.subscribe();
        loop {
            let none = pending.wait_for(|pending| pending.open.is_empty()).await;
            none.map(drop).expect("this connection holds a sender");
            if timeout(long, pending.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Ends when a request is open for so long: its answer is there, and its client does not take it.
    pub(crate) async fn overdue(&self, long: Duration) {
        let mut pending = self.0.subscribe();
        loop {
            let oldest = pending.borrow_and_update().oldest();
            let Some(begun) = oldest else {
                pending
                    .changed()
                    .await
                    .expect("this connection holds a sender");
                continue;
            };
            tokio::select! {
                () = sleep_until((begun + long).into()) => return,
                changed = pending.changed() => changed.expect("this connection holds a sender"),
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.requests.send_modify(|pending| {
            pending.open.remove(&self.number);
        });
    }
}

/// Keeps a request open until its answer's body is gone.
pub(crate) fn open_until_sent(response: Response, open: Open) -> Response {
    response.map(|body| Body::new(Sending { body, _open: open }))
}

struct Sending {
    body: Body,
    _open: Open,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Says yes at most once in a while: a log must not be filled by whoever knocks.
#[derive(Debug)]
pub(crate) struct Seldom {
    every: Duration,
    last: Option<Instant>,
}

impl Seldom {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, last: None }
    }

    pub(crate) fn is_time(&mut self) -> bool {
        let now = Instant::now();
        let due = self.last.is_none_or(|last| now - last >= self.every);
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_so_many_places_and_gets_them_back() {
        let peers = Peers::new(2);
        let [one, two]: [IpAddr; 2] = ["2001:db8::1", "10.0.0.1"].map(|a| a.parse().unwrap());
        let neighbour: IpAddr = "2001:db8::ffff".parse().unwrap();
        let (first, _second) = (peers.place(one).unwrap(), peers.place(neighbour).unwrap());
        assert!(peers.place(one).is_none());
        assert!(peers.place(two).is_some());
        drop(first);
        assert!(peers.place(one).is_some());
        assert_eq!(peers.open().len(), 1, "who has left is forgotten");
    }

    #[tokio::test]
    async fn a_connection_is_idle_only_after_its_last_answer_is_sent() {
        let requests = Requests::new();
        let long = Duration::from_millis(20);
        let open = requests.begin();
        assert!(timeout(5 * long, requests.idle(long)).await.is_err());
        let response = open_until_sent(Response::new(Body::from("late")), open);
        assert!(timeout(5 * long, requests.idle(long)).await.is_err());
        drop(response);
        assert!(timeout(5 * long, requests.idle(long)).await.is_ok());
    }

    #[tokio::test]
    async fn a_request_is_overdue_by_its_own_age_however_many_come_and_go() {
        let requests = Requests::new();
        let long = Duration::from_millis(100);
        assert!(timeout(2 * long, requests.overdue(long)).await.is_err());
        let stuck = requests.begin();
        let busy = async {
            for _ in 0..1000 {
                drop(requests.begin());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = requests.overdue(long) => {}
            () = busy => panic!("never overdue"),
        }
        drop(stuck);
        let _fresh = requests.begin();
        let soon = timeout(Duration::from_millis(1), requests.overdue(60 * long)).await;
        assert!(soon.is_err(), "what was overdue is gone");
    }
}
