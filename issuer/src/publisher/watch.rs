//! Publishes for as long as this process is the one that does.

use std::time::Duration;

use obol_credential::UnixTime;
use tracing::{error, info};

use super::{Inputs, Outcome, PublishError, Publisher, RoleSigner};

/// How often the inputs are looked at: with signing, a revocation is in the repository well within
/// 5 s of the call that commanded it.
pub const TICK: Duration = Duration::from_secs(1);

/// Looks at the inputs each second and whenever `wake` ends, and publishes what changed or has to
/// be signed again. A failure is logged once and tried again; the repository stays as it was
/// meanwhile.
pub async fn publish_while_elected<S, W, F>(
    publisher: &mut Publisher<S>,
    clock: fn() -> u32,
    mut wake: impl FnMut() -> W,
    mut inputs: impl FnMut(UnixTime) -> F,
) where
    S: RoleSigner,
    W: Future<Output = ()>,
    F: Future<Output = Result<Inputs, PublishError>>,
{
    let mut failing = None;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = wake() => {}
        }
        let now = UnixTime(clock());
        let published = match inputs(now).await {
            Ok(inputs) => publisher.publish(&inputs, now).await,
            Err(error) => Err(error),
        };
        match published {
            Ok(Outcome::Published(version)) => info!(version, "trust repository published"),
            Ok(Outcome::UpToDate) => {}
            Err(cause) => {
                let said = cause.to_string();
                if failing.as_ref() != Some(&said) {
                    let cause: &(dyn std::error::Error + 'static) = &cause;
                    error!(cause, "the trust repository is not published");
                }
                failing = Some(said);
                continue;
            }
        }
        failing = None;
    }
}
