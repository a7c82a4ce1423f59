//! The file as it is written, and its checks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use obol_kms_client::SpkiId;
use obol_kms_client::wire::TOKENS_MAX;
use obol_kms_policy::{Client, Role};
use obol_log::WitnessKey;
use serde::Deserialize;

use crate::daemon::config::{AuditConfig, DaemonConfig, MetricsAddress, TokenEntry, WitnessConfig};
use crate::pool::SESSIONS_MAX;

/// Most clients of one daemon.
const CLIENTS_MAX: usize = 64;
/// Roles that a client may have; the daemon's own is the daemon's.
const ROLES: [Role; 3] = [Role::Issuer, Role::Platform, Role::Officer];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Daemon {
    socket: PathBuf,
    #[serde(default = "default_socket_mode")]
    socket_mode: u32,
    registry: PathBuf,
    policy: Option<PathBuf>,
    #[serde(default = "default_max_connections")]
    max_connections: usize,
    #[serde(default = "default_deadline_ms")]
    request_deadline_ms: u64,
    #[serde(default = "default_call_limit_ms")]
    call_limit_ms: u64,
    metrics: Option<String>,
    tokens: Vec<Token>,
    clients: Vec<RawClient>,
    audit: Audit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    file: PathBuf,
    #[serde(default = "default_sessions")]
    sessions: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    uid: u32,
    role: String,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Audit {
    folder: PathBuf,
    origin: String,
    key: Option<String>,
    witness: Option<Witness>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Witness {
    url: String,
    key: String,
    certificate: PathBuf,
    private_key: PathBuf,
    trust: PathBuf,
    #[serde(default = "default_interval_s")]
    interval_s: u64,
}

fn default_socket_mode() -> u32 {
    0o600
}

fn default_sessions() -> usize {
    4
}

fn default_max_connections() -> usize {
    32
}

fn default_deadline_ms() -> u64 {
    5_000
}

fn default_call_limit_ms() -> u64 {
    2_000
}

fn default_interval_s() -> u64 {
    10
}

impl Daemon {
    pub(super) fn checked(self, folder: &Path) -> Result<DaemonConfig, String> {
        if self.socket_mode != 0o600 && self.socket_mode != 0o660 {
            let mode = self.socket_mode;
            return Err(format!("socket_mode 0o{mode:o} is not 0o600 or 0o660"));
        }
        let (tokens, clients) = (self.tokens.len() as u64, self.clients.len() as u64);
        let connections = self.max_connections as u64;
        within("tokens", tokens, 1, TOKENS_MAX as u64)?;
        within("clients", clients, 1, CLIENTS_MAX as u64)?;
        within("max_connections", connections, 1, 1_024)?;
        within("request_deadline_ms", self.request_deadline_ms, 100, 10_000)?;
        within("call_limit_ms", self.call_limit_ms, 50, 10_000)?;
        let metrics = self
            .metrics
            .map(|text| metrics(&text, folder))
            .transpose()?;
        let tokens = self.tokens.into_iter().map(|token| token.checked(folder));
        Ok(DaemonConfig {
            socket: folder.join(self.socket),
            socket_mode: self.socket_mode,
            registry: folder.join(self.registry),
            policy: self.policy.map(|policy| folder.join(policy)),
            max_connections: self.max_connections,
            request_deadline: Duration::from_millis(self.request_deadline_ms),
            call_limit: Duration::from_millis(self.call_limit_ms),
            metrics,
            tokens: tokens.collect::<Result<_, _>>()?,
            clients: by_uid(&self.clients)?,
            audit: self.audit.checked(folder)?,
        })
    }
}

impl Token {
    fn checked(self, folder: &Path) -> Result<TokenEntry, String> {
        within("sessions", self.sessions as u64, 1, SESSIONS_MAX as u64)?;
        Ok(TokenEntry {
            file: folder.join(self.file),
            sessions: self.sessions,
        })
    }
}

impl Audit {
    fn checked(self, folder: &Path) -> Result<AuditConfig, String> {
        let key = self.key.map(|text| {
            let parsed: Result<SpkiId, _> = text.parse();
            parsed.map_err(|error| format!("audit.key {text:?}: {error}"))
        });
        let witness = self.witness.map(|witness| witness.checked(folder));
        Ok(AuditConfig {
            folder: folder.join(self.folder),
            origin: self.origin,
            key: key.transpose()?,
            witness: witness.transpose()?,
        })
    }
}

impl Witness {
    fn checked(self, folder: &Path) -> Result<WitnessConfig, String> {
        within("interval_s", self.interval_s, 1, 3_600)?;
        if !self.url.starts_with("https://") || self.url.ends_with('/') {
            let url = self.url;
            return Err(format!(
                "audit.witness.url {url:?} is not https:// without a last /"
            ));
        }
        let key = WitnessKey::from_vkey(&self.key)
            .map_err(|error| format!("audit.witness.key {:?}: {error}", self.key))?;
        Ok(WitnessConfig {
            url: self.url,
            key,
            certificate: folder.join(self.certificate),
            private_key: folder.join(self.private_key),
            trust: folder.join(self.trust),
            interval: Duration::from_secs(self.interval_s),
        })
    }
}

fn by_uid(clients: &[RawClient]) -> Result<HashMap<u32, Client>, String> {
    let mut by_uid = HashMap::new();
    for RawClient { uid, role, name } in clients {
        let known = ROLES.iter().find(|known| known.name() == role);
        let role = known.ok_or_else(|| {
            let known = ROLES.map(Role::name).join(", ");
            format!("clients: {role:?} is none of {known}")
        })?;
        let name = name.clone().unwrap_or_else(|| format!("uid:{uid}"));
        let client = Client::new(*role, &name).map_err(|error| format!("clients: {error}"))?;
        if by_uid.insert(*uid, client).is_some() {
            return Err(format!("clients: user {uid} is there twice"));
        }
    }
    Ok(by_uid)
}

/// Metrics name no secrets, and still are nobody's but this machine's.
fn metrics(text: &str, folder: &Path) -> Result<MetricsAddress, String> {
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        return Ok(MetricsAddress::Unix(folder.join(path)));
    }
    match text.parse::<std::net::SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(MetricsAddress::Loopback(address)),
        _ => Err(format!(
            "metrics {text:?} is neither a loopback address with a port nor unix:PATH"
        )),
    }
}

fn within(name: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{name}: {value} is not {least} to {most}"))
    }
}
