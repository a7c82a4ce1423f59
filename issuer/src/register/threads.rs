//! One thread owns the writing connection and commits whatever has gathered as one transaction, so
//! that an fsync is shared by all who wait for it; two more threads read.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, Savepoint};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::RegisterError;

const QUEUE_MAX: usize = 256;
const COMMIT_MAX: usize = 64;
const READERS: usize = 2;

/// Runs inside the shared transaction; what it returns runs once the commit's fate is known.
type Act = Box<dyn FnOnce(Savepoint<'_>) -> Outcome + Send>;
type Outcome = Box<dyn FnOnce(Result<(), RegisterError>) + Send>;

#[derive(Debug)]
pub(super) struct Writer {
    acts: Option<mpsc::Sender<Act>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Self {
        let (acts, incoming) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::spawn(move || keep(connection, incoming));
        Self {
            acts: Some(acts),
            thread: Some(thread),
        }
    }

    pub(super) async fn write<T, E>(
        &self,
        act: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<RegisterError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let act: Act = Box::new(move |savepoint| {
            let done = perform(savepoint, act);
            Box::new(move |committed| {
                let result = match committed {
                    Ok(()) => done,
                    Err(cause) => Err(cause.into()),
                };
                // Whoever asked may be gone; what was done stays done.
                answer.send(result).ok();
            })
        });
        self.send(act).await?;
        answered.await.map_err(|_| RegisterError::Stopped)?
    }

    pub(super) async fn write_later(
        &self,
        act: impl FnOnce(&Connection) -> Result<(), RegisterError> + Send + 'static,
    ) -> Result<(), RegisterError> {
        self.send(Box::new(move |savepoint| {
            let done = perform(savepoint, act);
            Box::new(move |committed| {
                if let Err(cause) = committed.and(done) {
                    error!(
                        cause = &cause as &dyn std::error::Error,
                        "a late write failed"
                    );
                }
            })
        }))
        .await
    }

    async fn send(&self, act: Act) -> Result<(), RegisterError> {
        let acts = self.acts.as_ref().ok_or(RegisterError::Stopped)?;
        acts.send(act).await.map_err(|_| RegisterError::Stopped)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.acts = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the register's thread panicked");
        }
    }
}

fn perform<T, E: From<RegisterError>>(
    savepoint: Savepoint<'_>,
    act: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let value = act(&savepoint)?;
    savepoint.commit().map_err(RegisterError::from)?;
    Ok(value)
}

fn keep(mut connection: Connection, mut incoming: mpsc::Receiver<Act>) {
    while let Some(first) = incoming.blocking_recv() {
        let mut acts = vec![first];
        while acts.len() < COMMIT_MAX
            && let Ok(act) = incoming.try_recv()
        {
            acts.push(act);
        }
        commit(&mut connection, acts);
    }
}

fn commit(connection: &mut Connection, acts: Vec<Act>) {
    let mut outcomes = Vec::with_capacity(acts.len());
    let committed = within_transaction(connection, acts, &mut outcomes);
    for outcome in outcomes {
        outcome(committed.clone());
    }
}

/// Acts that are not reached are dropped, and who waits for them learns that nothing was done.
fn within_transaction(
    connection: &mut Connection,
    acts: Vec<Act>,
    outcomes: &mut Vec<Outcome>,
) -> Result<(), RegisterError> {
    let mut transaction = connection.transaction()?;
    for act in acts {
        outcomes.push(act(transaction.savepoint()?));
    }
    Ok(transaction.commit()?)
}

type Look = Box<dyn FnOnce(&Connection) + Send>;

#[derive(Debug)]
pub(super) struct Readers {
    looks: mpsc::Sender<Look>,
}

impl Readers {
    pub(super) fn start(
        open: impl Fn() -> Result<Connection, RegisterError>,
    ) -> Result<Self, RegisterError> {
        let (looks, incoming) = mpsc::channel::<Look>(QUEUE_MAX);
        let incoming = Arc::new(Mutex::new(incoming));
        for _ in 0..READERS {
            let (connection, incoming) = (open()?, Arc::clone(&incoming));
            std::thread::spawn(move || {
                while let Some(look) = next(&incoming) {
                    look(&connection);
                }
            });
        }
        Ok(Self { looks })
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, RegisterError> + Send + 'static,
    ) -> Result<T, RegisterError> {
        let (answer, answered) = oneshot::channel();
        let look: Look = Box::new(move |connection| {
            // Whoever asked may be gone.
            answer.send(look(connection)).ok();
        });
        let sent = self.looks.send(look).await;
        sent.map_err(|_| RegisterError::Stopped)?;
        answered.await.map_err(|_| RegisterError::Stopped)?
    }
}

fn next(incoming: &Mutex<mpsc::Receiver<Look>>) -> Option<Look> {
    let mut incoming = incoming.lock().unwrap_or_else(PoisonError::into_inner);
    incoming.blocking_recv()
}
