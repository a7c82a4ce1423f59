//! The worker process itself.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use obol_kms_client::SpkiId;

use crate::config::TokenConfig;
use crate::error::ErrorClass;
use crate::gate::Health;
use crate::module::Module;
use crate::signer::SignerError;
use crate::token::{OpenError, Token, chain};
use crate::worker::wire::{
    self, Frames, FromWorker, Next, StartFailure, ToWorker, WireFailure, WireHealth,
};

/// A beat this often.
pub(super) const BEAT: Duration = Duration::from_millis(250);
/// Beats between two rounds of [`Token::tend`].
const BEATS_PER_ROUND: u32 = 2;
/// After the daemon has closed the socket, calls under way may take this long.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a worker ended other than by its daemon's wish.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The socket failed, or carried something else than the protocol.
    #[error("the daemon's socket failed")]
    Socket(#[from] io::Error),
    /// The daemon did not say what to open.
    #[error("the daemon sent something else than the order to open the token")]
    NoOrder,
    /// A call did not return in time.
    #[error("calls did not return within {} s after the daemon was gone", FAREWELL.as_secs())]
    Hung,
}

type Writer = Arc<Mutex<UnixStream>>;

/// Opens the token of `token_file` and signs what the daemon at the other end of `socket` sends,
/// until that end is closed. The PIN is read here and nowhere else.
///
/// # Errors
/// [`WorkerError`]. A token that does not open is reported to the daemon and is no error here.
pub fn run(token_file: &Path, socket: UnixStream) -> Result<(), WorkerError> {
    let mut answers = socket.try_clone()?;
    let mut frames = Frames::new(socket);
    let Next::Frame(ToWorker::Open { sessions, demanded }) = frames.next()? else {
        return Err(WorkerError::NoOrder);
    };
    let demanded: Vec<_> = demanded.into_iter().map(|id| SpkiId(id.into())).collect();
    let sessions = sessions as usize;
    let token = match open(token_file, sessions, &demanded) {
        Ok(token) => Arc::new(token),
        Err((kind, reason)) => {
            wire::write(&mut answers, &FromWorker::NotOpened { kind, reason })?;
            return Ok(());
        }
    };
    wire::write(&mut answers, &FromWorker::Ready)?;
    let writer = Arc::new(Mutex::new(answers));
    let (ended, endings) = channel();
    sign_in_threads(&token, frames, &writer, sessions, ended)?;
    beat(&token, &writer, &endings);
    await_threads(&endings, sessions)
}

fn open(
    token_file: &Path,
    sessions: usize,
    demanded: &[SpkiId],
) -> Result<Token, (StartFailure, String)> {
    let failed = |kind| move |error: &dyn std::error::Error| (kind, chain(error));
    let config = TokenConfig::load(token_file).map_err(|e| failed(StartFailure::Config)(&e))?;
    let module = Module::load(&config.module).map_err(|e| failed(StartFailure::Module)(&e))?;
    let token = Token::open(&module, &config, sessions).map_err(|error| {
        let kind = match &error {
            OpenError::WrongPin { .. } => StartFailure::Pin,
            OpenError::Pin(_) => StartFailure::Config,
            _ => StartFailure::Token,
        };
        failed(kind)(&error)
    })?;
    token
        .demand(demanded)
        .map_err(|e| failed(StartFailure::Key)(&e))?;
    Ok(token)
}

/// A thread per session. Each reads its own next request, so none waits for another's hand.
fn sign_in_threads(
    token: &Arc<Token>,
    frames: Frames<UnixStream>,
    writer: &Writer,
    sessions: usize,
    ended: Sender<io::Result<()>>,
) -> io::Result<()> {
    let frames = Arc::new(Mutex::new(frames));
    for number in 0..sessions {
        let (token, frames, writer) = (Arc::clone(token), Arc::clone(&frames), Arc::clone(writer));
        let ended = ended.clone();
        std::thread::Builder::new()
            .name(format!("session-{number}"))
            .spawn(move || {
                let ending = sign_until_closed(&token, &frames, &writer);
                // The token goes before the word does, so that the module can be finalised.
                drop(token);
                // Nobody listens any more when the process is ending anyway.
                ended.send(ending).ok();
            })?;
    }
    Ok(())
}

fn sign_until_closed(
    token: &Token,
    frames: &Mutex<Frames<UnixStream>>,
    writer: &Mutex<UnixStream>,
) -> io::Result<()> {
    loop {
        let next = frames
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()?;
        let (id, key, digest, left_us) = match next {
            Next::Frame(ToWorker::Sign {
                id,
                key,
                digest,
                left_us,
            }) => (id, SpkiId(key.into()), digest.into_digest(), left_us),
            Next::Frame(ToWorker::Open { .. }) => {
                return Err(io::Error::other("a second order to open the token"));
            }
            Next::Nothing => continue,
            Next::Closed => return Ok(()),
        };
        let deadline = Instant::now() + Duration::from_micros(left_us);
        let answer = match token.sign_digest(key, &digest, deadline) {
            Ok(raw) => FromWorker::Signed {
                id,
                raw: raw.into(),
            },
            Err(error) => failed(id, error.into()),
        };
        say(writer, &answer)?;
    }
}

fn failed(id: u64, error: SignerError) -> FromWorker {
    let failure = match &error {
        SignerError::Timeout(_) => WireFailure::Timeout,
        SignerError::Away(_) => WireFailure::Away,
        SignerError::Sealed(_) => WireFailure::Sealed,
        SignerError::NoKey(_) => WireFailure::NoKey,
        SignerError::Failed { class, .. } => match class {
            ErrorClass::Transient => WireFailure::Transient,
            ErrorClass::Session => WireFailure::Session,
            ErrorClass::Module => WireFailure::Module,
            ErrorClass::Pin => WireFailure::Pin,
            ErrorClass::Request => WireFailure::Request,
        },
    };
    let reason = match error {
        SignerError::Timeout(reason)
        | SignerError::Away(reason)
        | SignerError::Sealed(reason)
        | SignerError::NoKey(reason)
        | SignerError::Failed { reason, .. } => reason,
    };
    FromWorker::Failed {
        id,
        failure,
        reason,
    }
}

/// Beats until the first signing thread ends. Repairs run beside the beat, because one that hangs
/// has to be seen from outside.
fn beat(token: &Arc<Token>, writer: &Writer, endings: &Receiver<io::Result<()>>) {
    let mut rounds: Option<std::thread::JoinHandle<()>> = None;
    for number in 0u32.. {
        if number.is_multiple_of(BEATS_PER_ROUND)
            && rounds.as_ref().is_none_or(|round| round.is_finished())
        {
            let token = Arc::clone(token);
            rounds = Some(std::thread::spawn(move || token.tend()));
        }
        let beat = FromWorker::Beat {
            health: wire_health(token.health()),
            generation: token.generation(),
            errors: token.errors().map(|(_, count)| count),
        };
        if say(writer, &beat).is_err() {
            return;
        }
        match endings.recv_timeout(BEAT) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn wire_health(health: Health) -> WireHealth {
    match health {
        Health::Ready => WireHealth::Ready,
        Health::Degraded { reason, repairing } => WireHealth::Degraded {
            reason,
            repairing_ms: repairing
                .map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        },
        Health::Sealed { reason } => WireHealth::Sealed { reason },
    }
}

/// One ending has been seen; the others follow, unless a call hangs.
fn await_threads(endings: &Receiver<io::Result<()>>, sessions: usize) -> Result<(), WorkerError> {
    let deadline = Instant::now() + FAREWELL;
    for _ in 1..sessions {
        match endings.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(ending) => ending?,
            Err(RecvTimeoutError::Timeout) => return Err(WorkerError::Hung),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}

fn say(writer: &Mutex<UnixStream>, frame: &FromWorker) -> io::Result<()> {
    let mut stream = writer.lock().unwrap_or_else(PoisonError::into_inner);
    wire::write(&mut *stream, frame)
}
