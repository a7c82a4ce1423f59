//! Commands on passengers: kept in the books, then given to each issuer until it has confirmed them.

use std::{sync::Arc, time::Duration};

use obol_issuer_client::{Command, Confirmed, IssuerClientError, Target, Verb};
use obol_store::{Fault, Standing, SubjectCommand};
use thiserror::Error;
use tracing::{error, info, warn};

use crate::app::{App, StoredError};

/// How often the books are asked for commands that an issuer has not confirmed.
const EVERY: Duration = Duration::from_secs(1);
/// How long an issuer has for one command.
const WITHIN: Duration = Duration::from_secs(10);

/// Why a round ended early. What is pending stays pending.
#[derive(Debug, Error)]
pub enum NotGiven {
    /// The issuer does not answer.
    #[error("issuer {issuer} does not answer")]
    Away {
        /// Its name.
        issuer: String,
        /// What was heard.
        source: IssuerClientError,
    },
    /// The books.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A storage operation panicked: a bug.
    #[error("a storage operation panicked: {0}")]
    Panicked(String),
}

/// A command of the books in the issuers' words.
pub fn for_issuers(command: &SubjectCommand) -> Command {
    Command {
        target: Target::Subject(command.subject.0),
        verb: match command.standing {
            Standing::Active => Verb::Resume,
            Standing::Suspended => Verb::Suspend,
            Standing::Revoked => Verb::Revoke,
        },
        reason: command.reason.clone(),
        number: Some(command.number),
    }
}

impl App {
    /// Names of the issuers.
    #[must_use]
    pub fn issuers(&self) -> &[String] {
        self.issuer.names()
    }

    /// Gives an issuer the commands that it has not confirmed, the oldest first, and notes each
    /// confirmation. How many it confirmed, and how many it refused.
    ///
    /// # Errors
    /// [`NotGiven`] at the first command that it does not answer.
    pub async fn give_commands(&self, issuer: &str) -> Result<(usize, usize), NotGiven> {
        let name = issuer.to_owned();
        let pending = self
            .stored(move |store| store.unconfirmed_commands(&name))
            .await;
        let (mut confirmed, mut refused) = (0, 0);
        for command in pending.map_err(not_stored)? {
            match self.give(issuer, &command).await {
                Ok(()) => {}
                // One that is refused must not keep those behind it from being heard.
                Err(IssuerClientError::Refused(problem)) if !problem.status.is_server_error() => {
                    error!(issuer, account = %command.account, %problem, "a command was refused");
                    refused += 1;
                    continue;
                }
                Err(source) => {
                    let issuer = issuer.to_owned();
                    return Err(NotGiven::Away { issuer, source });
                }
            }
            let (name, now) = (issuer.to_owned(), self.now());
            self.stored(move |store| store.confirm_command(&command, &name, now))
                .await
                .map_err(not_stored)?;
            confirmed += 1;
        }
        Ok((confirmed, refused))
    }

    async fn give(&self, issuer: &str, command: &SubjectCommand) -> Result<(), IssuerClientError> {
        let wanted = for_issuers(command);
        let client = self.issuer.within(WITHIN);
        for (_, heard) in client.command_each(&wanted, |name| name == issuer).await {
            let standing = command.standing.name();
            match heard? {
                Confirmed::Holds => {
                    info!(issuer, account = %command.account, standing, "confirmed")
                }
                Confirmed::Overruled => {
                    warn!(issuer, account = %command.account, standing, "a stronger command holds");
                }
            }
        }
        Ok(())
    }
}

fn not_stored(error: StoredError<Fault>) -> NotGiven {
    match error {
        StoredError::Refused(fault) => NotGiven::Fault(fault),
        StoredError::Panicked(panic) => NotGiven::Panicked(panic),
    }
}

/// Gives every issuer its commands for as long as the service runs, each at its own pace: one that
/// is lost keeps no other waiting. A failure is logged when it begins.
pub fn give_commands_in_background(app: &Arc<App>) {
    for issuer in app.issuers().to_vec() {
        tokio::spawn(keep_giving(Arc::clone(app), issuer));
    }
}

async fn keep_giving(app: Arc<App>, issuer: String) {
    let mut failing = None;
    loop {
        match app.give_commands(&issuer).await {
            Ok(_) => failing = None,
            Err(cause) => {
                let said = Some(cause.to_string());
                if failing != said {
                    let cause: &(dyn std::error::Error + 'static) = &cause;
                    error!(cause, "commands wait for an issuer");
                }
                failing = said;
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
