//! Whose turn it is at the key management daemon: every client in its turn, and nobody waits for a
//! signature that would come too late.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Items of one client that may wait, however fast the daemon is.
pub(crate) const WAITING_OF_CLIENT_MAX: usize = 8192;
/// Weight of the newest item in the running mean of service times: one part in eight.
const MEAN_PARTS: u32 = 8;
const RETRY_AFTER_MAX_S: u64 = 30;

/// A fair queue in front of the daemon: `places` items are under way, the others wait in one line
/// for each client, and the lines are served in turn.
#[derive(Debug)]
pub(crate) struct Admission {
    state: Mutex<State>,
    places: u32,
}

#[derive(Debug)]
struct State {
    free: u32,
    /// The line at the front is served next; none is empty.
    lines: VecDeque<Line>,
    /// Running mean of the time that an item holds its place.
    service: Duration,
}

#[derive(Debug)]
struct Line {
    client: String,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// Would be served too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded {
    /// When the line should be short again, seconds, 1 to 30.
    pub(crate) retry_after_s: u32,
}

/// An item's place in its line; dropping it leaves the line.
#[derive(Debug)]
pub(crate) struct Ticket(oneshot::Receiver<Turn>);

/// The right to ask the daemon for one signature, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    admission: Arc<Admission>,
    begun: Instant,
}

impl Admission {
    pub(crate) fn new(places: u32) -> Arc<Self> {
        let state = State {
            free: places,
            lines: VecDeque::new(),
            service: Duration::ZERO,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            places,
        })
    }

    /// Lines up `items` items of a client.
    ///
    /// # Errors
    /// [`Overloaded`] when the last of them would wait for longer than `patience`; none lines up.
    pub(crate) fn line_up(
        self: &Arc<Self>,
        client: &str,
        items: usize,
        patience: Duration,
    ) -> Result<Vec<Ticket>, Overloaded> {
        let mut state = self.lock();
        let (own, ahead) = state.ahead(client, items);
        let expected = state
            .service
            .saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX))
            / self.places;
        if expected > patience || own + items > WAITING_OF_CLIENT_MAX {
            let seconds = expected.as_secs().clamp(1, RETRY_AFTER_MAX_S);
            let retry_after_s = u32::try_from(seconds).unwrap_or(1);
            return Err(Overloaded { retry_after_s });
        }
        let (senders, tickets) = (0..items)
            .map(|_| oneshot::channel())
            .map(|(sender, receiver)| (sender, Ticket(receiver)))
            .unzip::<_, _, VecDeque<_>, Vec<_>>();
        state.join(client, senders);
        let turns = self.deal(&mut state);
        drop(state);
        hand_out(turns);
        Ok(tickets)
    }

    /// Items that wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.lock()
            .lines
            .iter()
            .map(|line| line.waiting.len())
            .sum()
    }

    /// Gives free places to the lines in turn. Turns are sent once the lock is gone: one that
    /// nobody waits for is dropped, and its drop deals again.
    fn deal(self: &Arc<Self>, state: &mut State) -> Vec<(oneshot::Sender<Turn>, Turn)> {
        let mut turns = Vec::new();
        while state.free > 0
            && let Some(next) = state.next()
        {
            state.free -= 1;
            let turn = Turn {
                admission: Arc::clone(self),
                begun: Instant::now(),
            };
            turns.push((next, turn));
        }
        turns
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hand_out(turns: Vec<(oneshot::Sender<Turn>, Turn)>) {
    for (sender, turn) in turns {
        // A turn that comes back is dropped here and goes to whoever is next.
        drop(sender.send(turn));
    }
}

impl State {
    /// How many items the client has in line, and how many of anybody's are served before the last
    /// of `items` more.
    fn ahead(&self, client: &str, items: usize) -> (usize, usize) {
        let lengths = |own: bool| {
            let lines = self.lines.iter();
            lines
                .filter(move |line| (line.client == client) == own)
                .map(|line| line.waiting.len())
        };
        let own: usize = lengths(true).sum();
        let last = own + items;
        let others: usize = lengths(false).map(|length| length.min(last)).sum();
        (own, (last - 1) + others)
    }

    fn join(&mut self, client: &str, mut senders: VecDeque<oneshot::Sender<Turn>>) {
        match self.lines.iter_mut().find(|line| line.client == client) {
            Some(line) => line.waiting.append(&mut senders),
            None if senders.is_empty() => {}
            None => self.lines.push_back(Line {
                client: client.to_owned(),
                waiting: senders,
            }),
        }
    }

    /// The first of the front line, which then goes to the back.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        loop {
            let mut line = self.lines.pop_front()?;
            let next = line.waiting.pop_front();
            if !line.waiting.is_empty() {
                self.lines.push_back(line);
            }
            if next.as_ref().is_some_and(|sender| !sender.is_closed()) {
                return next;
            }
        }
    }
}

impl Ticket {
    /// Waits for the turn.
    pub(crate) async fn turn(self) -> Turn {
        let turn = self.0.await;
        turn.expect("a line is served until it is empty, and the ticket keeps its place")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.service = (state.service * (MEAN_PARTS - 1) + self.begun.elapsed()) / MEAN_PARTS;
        state.free += 1;
        let turns = self.admission.deal(&mut state);
        drop(state);
        hand_out(turns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn with_service(places: u32, service: Duration) -> Arc<Admission> {
        let admission = Admission::new(places);
        admission.lock().service = service;
        admission
    }

    #[tokio::test]
    async fn a_client_with_one_item_does_not_wait_for_a_batch_that_came_before() {
        let admission = Admission::new(1);
        let big = admission.line_up("big", 100, PATIENCE).unwrap();
        let small = admission.line_up("small", 1, PATIENCE).unwrap();
        let (order, mut served) = tokio::sync::mpsc::unbounded_channel();
        for (name, tickets) in [("big", big), ("small", small)] {
            for ticket in tickets {
                let order = order.clone();
                tokio::spawn(async move {
                    let turn = ticket.turn().await;
                    order.send(name).unwrap();
                    drop(turn);
                });
            }
        }
        drop(order);
        let mut names = Vec::new();
        while let Some(name) = served.recv().await {
            names.push(name);
        }
        assert_eq!(names.len(), 101);
        let place = names.iter().position(|name| *name == "small").unwrap();
        // One of the batch had its turn already, and one more goes first.
        assert!(place <= 2, "{place}");
    }

    #[tokio::test]
    async fn who_would_wait_too_long_is_told_at_once_and_when_to_come_again() {
        let admission = with_service(1, Duration::from_secs(1));
        let _under_way = admission.line_up("a", 1, PATIENCE).unwrap();
        let _waiting = admission.line_up("a", 2, PATIENCE).unwrap();
        let shed = admission.line_up("a", 2, PATIENCE).unwrap_err();
        assert_eq!(shed, Overloaded { retry_after_s: 3 });
        assert_eq!(admission.waiting(), 2, "none of the two lined up");
        // Another client is not ahead of nobody: one item of its own, one of the other's.
        admission.line_up("b", 1, PATIENCE).unwrap();
    }

    #[tokio::test]
    async fn a_line_is_bounded_however_fast_the_daemon_is() {
        let admission = Admission::new(1);
        let _some = admission
            .line_up("a", WAITING_OF_CLIENT_MAX, PATIENCE)
            .unwrap();
        let _more = admission.line_up("a", 1, PATIENCE).unwrap();
        let shed = admission.line_up("a", 1, PATIENCE).unwrap_err();
        assert_eq!(shed.retry_after_s, 1);
    }

    #[tokio::test]
    async fn a_place_that_nobody_waits_for_any_more_goes_to_the_next() {
        let admission = Admission::new(1);
        let mut first = admission.line_up("a", 1, PATIENCE).unwrap();
        let held = first.remove(0).turn().await;
        let gone = admission.line_up("a", 5, PATIENCE).unwrap();
        let mut last = admission.line_up("b", 1, PATIENCE).unwrap();
        drop(gone);
        drop(held);
        drop(last.remove(0).turn().await);
        assert_eq!(admission.lock().free, 1);
        assert_eq!(admission.waiting(), 0);
    }

    #[tokio::test]
    async fn turns_that_were_handed_to_nobody_come_back() {
        let admission = Admission::new(2);
        drop(admission.line_up("a", 2, PATIENCE).unwrap());
        assert_eq!(admission.lock().free, 2);
    }
}
