use std::{thread, time::Duration};

use miette::{Diagnostic, IntoDiagnostic};
use obol_console::{Outcome, two_lines, unix_now};
use obol_pos_sdk::{
    Acknowledgement, Backoff, HEALTH_HEADER, Health, KeyFault, Provisioning, Refreshes, SealError,
    SegmentSigner, UnixTime, Uplink, UploadError, upload,
};
use obol_transport::{Bytes, HttpsClient, Problem, TransportError, http};
use serde::Serialize;
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

use crate::{
    clock, enrol,
    folder::{Folder, credentials},
    identity::NoRandomness,
    say::{self, Format},
};

/// Between uploads that went well.
const IDLE: Duration = Duration::from_secs(10);

/// Why the platform did not acknowledge.
#[derive(Debug, Error, Diagnostic)]
enum HttpUplinkError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Transport(#[from] TransportError),
    #[error("the platform refused: {0}")]
    #[diagnostic(
        code(refused::platform),
        help("nothing is lost: the rides stay in the journal until the platform takes them")
    )]
    Refused(Problem),
    #[error("the request cannot be made: {0}")]
    #[diagnostic(help("check platform_url in terminal.toml"))]
    Request(String),
    #[error("the platform's answer is no acknowledgement: {0}")]
    #[diagnostic(help("check that platform and terminal are of the same release"))]
    WrongReply(String),
}

#[derive(Debug, Error, Diagnostic)]
#[error("the rides cannot be sealed")]
#[diagnostic(help("nothing is lost: look at the terminal's key, then upload again"))]
struct KeySilent(#[source] KeyFault);

/// The way to the platform over mutual TLS.
struct HttpUplink {
    runtime: Runtime,
    client: HttpsClient,
    url: String,
    /// How the terminal stands; the clock is read for each segment.
    health: Health,
    /// The platform's clock at the last answer.
    date: Option<u64>,
}

impl Uplink for HttpUplink {
    type Error = HttpUplinkError;

    fn send(&mut self, segment: &[u8]) -> Result<Acknowledgement, Self::Error> {
        let body = Bytes::copy_from_slice(segment);
        self.health.clock = unix_now();
        let wrong = |error: &dyn std::fmt::Display| HttpUplinkError::Request(error.to_string());
        let health = serde_json::to_string(&self.health).map_err(|error| wrong(&error))?;
        let post = http::Request::post(&self.url)
            .header(http::header::CONTENT_TYPE, "application/cbor")
            .header(HEALTH_HEADER, health)
            .body(body)
            .map_err(|error| wrong(&error))?;
        let reply = self.runtime.block_on(self.client.send(post))?;
        self.date = reply.date;
        let reply = reply.success().map_err(HttpUplinkError::Refused)?;
        serde_json::from_slice(&reply.body)
            .map_err(|error| HttpUplinkError::WrongReply(error.to_string()))
    }
}

#[derive(Serialize)]
struct Done {
    result: &'static str,
    records: u64,
    watermark: u64,
    /// Rides that came in meanwhile.
    waiting: u64,
    /// The terminal's clock minus the platform's, when the platform told its.
    clock_off_s: Option<i64>,
}

/// Uploads everything behind the watermark, again and again until it is interrupted. After a
/// failure it pauses, longer each time; what it says of it goes to standard error.
pub(crate) fn keep(folder: &Folder, format: Format) -> miette::Result<Outcome> {
    let mut backoff = Backoff::default();
    loop {
        let pause = match run(folder, format) {
            Ok(_) => {
                backoff.reset();
                IDLE
            }
            Err(report) => {
                eprintln!("{}", two_lines(&report));
                let random = getrandom::u32().map_err(NoRandomness)?;
                backoff.after_failure(random)
            }
        };
        thread::sleep(pause);
    }
}

/// Uploads everything behind the watermark.
pub(crate) fn run(folder: &Folder, format: Format) -> miette::Result<Outcome> {
    let provisioning = folder.provisioning()?;
    let signer = signer(folder, &provisioning)?;
    let (anchor, identity) = credentials(&provisioning)?;
    let mut journal = folder.journal(&provisioning)?;
    // The report decides nothing: rides do not wait for what is missing in it.
    let refreshes = folder.refreshes(&provisioning).unwrap_or_else(|unread| {
        eprintln!("{}", two_lines(&unread.into()));
        Refreshes::default()
    });
    let mut uplink = HttpUplink {
        runtime: runtime()?,
        client: HttpsClient::expecting("platform", &anchor, Some(identity)),
        url: format!("{}/v1/segments", provisioning.platform_url),
        health: Health {
            clock: unix_now(),
            waiting: journal.waiting()?,
            trust: folder.trust_health(&provisioning, UnixTime(unix_now())),
            software: concat!("obol-pos ", env!("CARGO_PKG_VERSION")).to_owned(),
            refreshed: refreshes.last().map(|last| last.0),
            silence_s: refreshes.longest_s(),
        },
        date: None,
    };
    let uploaded = upload(&mut journal, &signer, &mut uplink);
    let clock_off_s = clock::heard(&journal, uplink.date);
    let done = uploaded.map_err(report)?;
    let text = format!(
        "UPLOADED records={} watermark={}",
        done.records, done.watermark
    );
    let last_seq = journal.last_seq()?;
    let value = Done {
        result: "uploaded",
        records: done.records,
        watermark: done.watermark,
        waiting: last_seq - done.watermark,
        clock_off_s,
    };
    say::result(format, &text, &value)?;
    Ok(Outcome::Done)
}

/// The terminal's key, from its file.
pub(crate) fn signer(
    folder: &Folder,
    provisioning: &Provisioning,
) -> miette::Result<SegmentSigner> {
    enrol::finish(provisioning)?;
    let pem = folder.key(provisioning)?;
    Ok(SegmentSigner::from_pkcs8_pem(&pem)?)
}

fn report(error: UploadError<HttpUplinkError>) -> miette::Report {
    match error {
        UploadError::Journal(error) => error.into(),
        UploadError::Refused(error) => error.into(),
        UploadError::Seal(SealError::Journal(error)) => error.into(),
        UploadError::Seal(SealError::Key(fault)) => KeySilent(fault).into(),
        UploadError::Uplink { source, .. } => source.into(),
    }
}

pub(crate) fn runtime() -> miette::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .into_diagnostic()
}
