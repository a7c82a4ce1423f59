//! Starts the worker, reads its answers, ends it when it hangs, starts it again.

use std::io;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::gate::{Health, pause};
use crate::worker::child::BEAT;
use crate::worker::link::Link;
use crate::worker::wire::{self, Frames, FromWorker, Next, StartFailure, ToWorker};
use crate::worker::{WorkerCommand, WorkerDuty, WorkerStartError, spawn};

/// A token that is not open after this time never will be. Reading thousands of keys over a network
/// takes seconds.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How often the worker is looked after while it says nothing.
const TICK: Duration = Duration::from_millis(50);
/// A worker that was asked to end may take this long.
const FAREWELL: Duration = Duration::from_secs(2);

/// A worker process whose token is open.
pub(super) struct Running {
    child: Child,
    frames: Frames<UnixStream>,
    stream: UnixStream,
}

/// How a worker's life ended.
struct Ending {
    reason: String,
    /// It was good for something, so the next one starts without a pause.
    useful: bool,
}

pub(super) fn start(
    command: &WorkerCommand,
    duty: &WorkerDuty,
) -> Result<Running, WorkerStartError> {
    let (mut child, stream) = spawn(command).map_err(|source| WorkerStartError::Spawn {
        program: command.program.clone(),
        source,
    })?;
    let opened = order_to_open(&stream, duty);
    match opened {
        Ok(frames) => Ok(Running {
            child,
            frames,
            stream,
        }),
        Err(error) => {
            end(&mut child, Duration::ZERO);
            Err(error)
        }
    }
}

fn order_to_open(
    stream: &UnixStream,
    duty: &WorkerDuty,
) -> Result<Frames<UnixStream>, WorkerStartError> {
    let broken = |error: io::Error| WorkerStartError::Broken(error.to_string());
    stream.set_read_timeout(Some(START_LIMIT)).map_err(broken)?;
    stream
        .set_write_timeout(Some(duty.call_limit))
        .map_err(broken)?;
    let order = ToWorker::Open {
        sessions: u32::try_from(duty.sessions).unwrap_or(u32::MAX),
        demanded: duty.demanded.iter().map(|id| id.0.into()).collect(),
    };
    wire::write(&mut &*stream, &order).map_err(broken)?;
    let mut frames = Frames::new(stream.try_clone().map_err(broken)?);
    match frames.next().map_err(broken)? {
        Next::Frame(FromWorker::Ready) => {}
        Next::Frame(FromWorker::NotOpened { kind, reason }) => {
            return Err(WorkerStartError::NotOpened { kind, reason });
        }
        Next::Frame(_) => return Err(WorkerStartError::Broken("it spoke out of turn".to_owned())),
        Next::Nothing => {
            let limit = START_LIMIT.as_secs();
            let reason = format!("its token was not open after {limit} s");
            return Err(WorkerStartError::Broken(reason));
        }
        Next::Closed => return Err(WorkerStartError::Broken("it ended".to_owned())),
    }
    stream.set_read_timeout(Some(TICK)).map_err(broken)?;
    Ok(frames)
}

/// Until the daemon stops, or a person is needed.
pub(super) fn supervise(link: &Link, command: &WorkerCommand, duty: &WorkerDuty, first: Running) {
    let mut failures = 0;
    let mut next = Ok(first);
    loop {
        let reason = match next {
            Ok(running) => {
                let Some(ending) = live(link, duty, running) else {
                    return;
                };
                failures = if ending.useful { 0 } else { failures + 1 };
                ending.reason
            }
            Err(WorkerStartError::NotOpened {
                kind: StartFailure::Pin,
                reason,
            }) => {
                tracing::error!(token = duty.label, reason, "the token is sealed");
                return link.seal(reason);
            }
            Err(error) => {
                failures += 1;
                error.to_string()
            }
        };
        if let Health::Sealed { reason } = link.status().health {
            // The worker had offered a PIN that was refused; a new one would offer it again.
            return link.seal(reason);
        }
        let pause = pause(failures);
        tracing::warn!(
            token = duty.label,
            reason,
            failures,
            "the worker is started again"
        );
        link.down(reason, pause);
        if !link.sleep(pause) {
            return;
        }
        next = start(command, duty);
    }
}

/// Reads until the worker ends or has to be ended; `None` when the daemon stops.
fn live(link: &Link, duty: &WorkerDuty, running: Running) -> Option<Ending> {
    let Running {
        mut child,
        mut frames,
        stream,
    } = running;
    if !link.up(stream) {
        end(&mut child, Duration::ZERO);
        return None;
    }
    let (mut heard, mut useful) = (Instant::now(), false);
    let reason = loop {
        match frames.next() {
            Ok(Next::Frame(frame)) => {
                heard = Instant::now();
                useful |= link.take(frame);
            }
            Ok(Next::Nothing) => {}
            Ok(Next::Closed) => break "the worker process ended".to_owned(),
            Err(error) => break format!("the worker process broke its protocol: {error}"),
        }
        if let Some(reason) = is_hung(link, duty, heard) {
            tracing::error!(token = duty.label, reason, "the worker is ended");
            break reason;
        }
    };
    let farewell = if link.is_stopped() {
        FAREWELL
    } else {
        Duration::ZERO
    };
    end(&mut child, farewell);
    if link.is_stopped() {
        link.down(reason, Duration::ZERO);
        return None;
    }
    Some(Ending { reason, useful })
}

fn is_hung(link: &Link, duty: &WorkerDuty, heard: Instant) -> Option<String> {
    let limit = duty.call_limit;
    if link.oldest().is_some_and(|age| age > limit) {
        return Some(format!(
            "a call did not return within {} ms",
            limit.as_millis()
        ));
    }
    if heard.elapsed() > limit + 4 * BEAT {
        return Some("the worker process is silent".to_owned());
    }
    match link.status().health {
        Health::Degraded {
            repairing: Some(since),
            ..
        } if since > START_LIMIT => Some("the module does not start again".to_owned()),
        _ => None,
    }
}

/// Waits for the process, or ends it.
fn end(child: &mut Child, farewell: Duration) {
    let deadline = Instant::now() + farewell;
    while Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if let Err(error) = child.kill() {
        tracing::debug!(%error, "the worker process was gone already");
    }
    if let Err(error) = child.wait() {
        tracing::warn!(%error, "the worker process was not reaped");
    }
}
