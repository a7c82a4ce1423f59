//! Whose turn it is at the key management daemon: every client in its turn, and nobody waits for a
//! signature that would come too late.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

/// Items of one client that may wait, however fast the daemon is.
pub(crate) const WAITING_OF_CLIENT_MAX: usize = 8192;
/// Weight of the newest item in the running mean of the pace: one part in eight.
const MEAN_PARTS: u32 = 8;
const RETRY_AFTER_MAX_S: u64 = 30;
/// An estimate is no promise: who was let in gives up after so many times the wait that was
/// thought bearable.
const GIVE_UP_AFTER: u32 = 2;

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
    /// The line at the front is served next.
    lines: VecDeque<Line>,
    /// Items that have ended, wrapping around.
    ended: u32,
    /// Running mean of the time from one item's end to the next one's, as far as it was tried: an
    /// item's time divided by how many ended in it or, of the first of many, were under way with
    /// it. The last ones of a batch began beside many and end alone.
    pace: Duration,
}

#[derive(Debug)]
struct Line {
    client: String,
    /// Items let in that have had no turn, whether they wait for it or are not ready for it.
    promised: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// Would be served too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded {
    /// When the line should be short again, seconds, 1 to 30.
    pub(crate) retry_after_s: u32,
}

/// Places in a client's line; dropping it leaves the line.
#[derive(Debug)]
pub(crate) struct Promise {
    places: Promised,
    until: Instant,
}

/// Counts in its line until it is dropped.
#[derive(Debug)]
struct Promised {
    admission: Arc<Admission>,
    client: String,
    count: usize,
}

/// An item that is ready and waits for its turn.
#[derive(Debug)]
pub(crate) struct Ticket {
    turn: oneshot::Receiver<Turn>,
    until: Instant,
    _place: Promised,
}

/// The right to ask the daemon for one signature, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    admission: Arc<Admission>,
    begun: Instant,
    ended_before: u32,
}

impl Admission {
    pub(crate) fn new(places: u32) -> Arc<Self> {
        let state = State {
            free: places,
            lines: VecDeque::new(),
            ended: 0,
            pace: Duration::ZERO,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            places,
        })
    }

    /// Lets `items` items of a client in.
    ///
    /// # Errors
    /// [`Overloaded`] when the last of them would wait for longer than `patience`; none is let in.
    pub(crate) fn line_up(
        self: &Arc<Self>,
        client: &str,
        items: usize,
        patience: Duration,
    ) -> Result<Promise, Overloaded> {
        let mut state = self.lock();
        let (own, ahead) = state.ahead(client, items);
        let expected = state
            .pace
            .saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX));
        // Whatever the last items took: where nothing is under way, nothing is known to be slow.
        let idle = state.free == self.places && state.lines.iter().all(|line| line.promised == 0);
        if (expected > patience && !idle) || own + items > WAITING_OF_CLIENT_MAX {
            let seconds = expected.as_secs().clamp(1, RETRY_AFTER_MAX_S);
            let retry_after_s = u32::try_from(seconds).unwrap_or(1);
            return Err(Overloaded { retry_after_s });
        }
        state.line(client).promised += items;
        Ok(Promise {
            places: Promised {
                admission: Arc::clone(self),
                client: client.to_owned(),
                count: items,
            },
            until: Instant::now() + GIVE_UP_AFTER * patience,
        })
    }

    /// Items that wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().lines.iter().map(|line| line.promised).sum()
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
                ended_before: state.ended,
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
                .map(|line| line.promised)
        };
        let own: usize = lengths(true).sum();
        let last = own + items;
        let others: usize = lengths(false).map(|length| length.min(last)).sum();
        let ahead = (last - 1) + others;
        (own, ahead.saturating_sub(self.free as usize))
    }

    fn line(&mut self, client: &str) -> &mut Line {
        let found = self.lines.iter().position(|line| line.client == client);
        let place = found.unwrap_or_else(|| {
            self.lines.push_back(Line {
                client: client.to_owned(),
                promised: 0,
                waiting: VecDeque::new(),
            });
            self.lines.len() - 1
        });
        &mut self.lines[place]
    }

    /// The first of the front line that is ready; the line then goes to the back.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        for _ in 0..self.lines.len() {
            let mut line = self.lines.pop_front()?;
            let mut next = None;
            while let Some(first) = line.waiting.pop_front() {
                if !first.is_closed() {
                    next = Some(first);
                    break;
                }
            }
            if line.promised > 0 {
                self.lines.push_back(line);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

impl Promise {
    /// One of the items is ready for its turn.
    ///
    /// # Panics
    /// When more are ready than were let in.
    pub(crate) fn ticket(&mut self) -> Ticket {
        let places = &mut self.places;
        places.count = places.count.checked_sub(1).expect("an item was let in");
        let (sender, turn) = oneshot::channel();
        let mut state = places.admission.lock();
        state.line(&places.client).waiting.push_back(sender);
        let turns = places.admission.deal(&mut state);
        drop(state);
        hand_out(turns);
        Ticket {
            turn,
            until: self.until,
            _place: Promised {
                admission: Arc::clone(&places.admission),
                client: places.client.clone(),
                count: 1,
            },
        }
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        let mut state = self.admission.lock();
        let line = state.line(&self.client);
        line.promised = line.promised.saturating_sub(self.count);
        if line.promised == 0 && line.waiting.iter().all(oneshot::Sender::is_closed) {
            state.lines.retain(|line| line.client != self.client);
        }
    }
}

impl Ticket {
    /// Waits for the turn.
    ///
    /// # Errors
    /// [`Overloaded`] when it did not come in time.
    pub(crate) async fn turn(self) -> Result<Turn, Overloaded> {
        match timeout_at(self.until.into(), self.turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Overloaded { retry_after_s: 1 }),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.ended = state.ended.wrapping_add(1);
        let ended = state.ended.wrapping_sub(self.ended_before);
        let under_way = self.admission.places - state.free;
        let spent = self.begun.elapsed() / ended.max(under_way).max(1);
        state.pace = (state.pace * (MEAN_PARTS - 1) + spent) / MEAN_PARTS;
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

    fn with_pace(places: u32, pace: Duration) -> Arc<Admission> {
        let admission = Admission::new(places);
        admission.lock().pace = pace;
        admission
    }

    async fn one(admission: &Arc<Admission>) -> Turn {
        let mut promise = admission.line_up("a", 1, PATIENCE).unwrap();
        promise.ticket().turn().await.unwrap()
    }

    async fn all_under_way(places: u32) -> (Arc<Admission>, Vec<Turn>) {
        let admission = Admission::new(places);
        let items = places as usize;
        let mut promise = admission.line_up("a", items, PATIENCE).unwrap();
        let mut turns = Vec::new();
        for _ in 0..places {
            turns.push(promise.ticket().turn().await.unwrap());
        }
        (admission, turns)
    }

    #[tokio::test]
    async fn a_client_with_one_item_does_not_wait_for_a_batch_that_came_before() {
        let admission = Admission::new(1);
        let held = one(&admission).await;
        let mut big = admission.line_up("big", 100, PATIENCE).unwrap();
        let mut small = admission.line_up("small", 1, PATIENCE).unwrap();
        let mut tickets: Vec<_> = (0..100).map(|_| ("big", big.ticket())).collect();
        tickets.push(("small", small.ticket()));
        let (order, mut served) = tokio::sync::mpsc::unbounded_channel();
        for (name, ticket) in tickets {
            let order = order.clone();
            tokio::spawn(async move {
                let turn = ticket.turn().await.unwrap();
                order.send(name).unwrap();
                drop(turn);
            });
        }
        drop((order, held));
        let mut names = Vec::new();
        while let Some(name) = served.recv().await {
            names.push(name);
        }
        assert_eq!(names.len(), 101);
        let place = names.iter().position(|name| *name == "small").unwrap();
        assert!(place <= 1, "{place}");
    }

    #[tokio::test]
    async fn who_would_wait_too_long_is_told_at_once_and_when_to_come_again() {
        let admission = with_pace(1, Duration::from_secs(1));
        let _under_way = one(&admission).await;
        let _waiting = admission.line_up("a", 2, PATIENCE).unwrap();
        admission.lock().pace = Duration::from_secs(1);
        let shed = admission.line_up("a", 2, PATIENCE).unwrap_err();
        assert_eq!(shed, Overloaded { retry_after_s: 3 });
        assert_eq!(admission.waiting(), 2, "none of the two was let in");
        // Of another client one item waits for one of the first's alone.
        admission.line_up("b", 1, PATIENCE).unwrap();
    }

    #[tokio::test]
    async fn a_line_is_bounded_however_fast_the_daemon_is() {
        let admission = Admission::new(1);
        let _some = admission
            .line_up("a", WAITING_OF_CLIENT_MAX, PATIENCE)
            .unwrap();
        let shed = admission.line_up("a", 1, PATIENCE).unwrap_err();
        assert_eq!(shed.retry_after_s, 1);
        admission.line_up("b", 1, PATIENCE).unwrap();
    }

    #[tokio::test]
    async fn after_a_daemon_that_hung_a_batch_is_let_in_as_soon_as_nothing_is_under_way() {
        let admission = with_pace(64, Duration::from_secs(15));
        let under_way = one(&admission).await;
        admission.line_up("a", 1000, PATIENCE).unwrap_err();
        drop(under_way);
        admission.line_up("a", 1000, PATIENCE).unwrap();
    }

    #[tokio::test]
    async fn the_pace_is_that_of_all_who_are_under_way() {
        let (admission, mut turns) = all_under_way(64).await;
        let hour = Duration::from_secs(3600);
        let mut first = turns.remove(0);
        first.begun -= hour;
        drop(first);
        let pace = admission.lock().pace;
        let expected = hour / 64 / MEAN_PARTS;
        assert!(pace >= expected && pace < expected + Duration::from_secs(5));
    }

    #[tokio::test]
    async fn the_last_ones_of_a_batch_are_not_taken_for_a_slow_daemon() {
        let (admission, turns) = all_under_way(64).await;
        let hour = Duration::from_secs(3600);
        for mut turn in turns {
            turn.begun -= hour;
            drop(turn);
        }
        let pace = admission.lock().pace;
        assert!(pace < hour / 32, "{pace:?}");
    }

    #[tokio::test]
    async fn a_place_that_nobody_waits_for_any_more_goes_to_the_next() {
        let admission = Admission::new(1);
        let held = one(&admission).await;
        let mut gone = admission.line_up("a", 5, PATIENCE).unwrap();
        let tickets: Vec<_> = (0..5).map(|_| gone.ticket()).collect();
        let mut last = admission.line_up("b", 1, PATIENCE).unwrap();
        let last = last.ticket();
        drop((gone, tickets, held));
        drop(last.turn().await.unwrap());
        assert_eq!(admission.lock().free, 1);
        assert_eq!(admission.waiting(), 0);
        assert!(admission.lock().lines.is_empty());
    }

    #[tokio::test]
    async fn turns_that_were_handed_to_nobody_come_back() {
        let admission = Admission::new(2);
        let mut promise = admission.line_up("a", 2, PATIENCE).unwrap();
        drop((promise.ticket(), promise.ticket()));
        assert_eq!(admission.lock().free, 2);
    }

    #[tokio::test]
    async fn places_of_items_that_are_not_ready_are_used_by_those_that_are() {
        let admission = Admission::new(1);
        let _not_ready = admission.line_up("a", 100, PATIENCE).unwrap();
        let mut other = admission.line_up("b", 1, PATIENCE).unwrap();
        other.ticket().turn().await.unwrap();
    }

    #[tokio::test]
    async fn who_was_let_in_and_waits_for_twice_what_was_bearable_gives_up() {
        let admission = Admission::new(1);
        let _held = one(&admission).await;
        let short = Duration::from_millis(10);
        let mut promise = admission.line_up("a", 1, short).unwrap();
        let shed = promise.ticket().turn().await.unwrap_err();
        assert_eq!(shed, Overloaded { retry_after_s: 1 });
        assert_eq!(admission.waiting(), 0);
    }
}
