//! `kms.toml`, parsed strictly.

use std::path::{Path, PathBuf};
use std::time::Duration;

use obol_kms_client::wire::KEYS_MAX;
use serde::Deserialize;

use crate::config::{ConfigError, read_config};
use crate::pool::SESSIONS_MAX;

/// What the daemon serves, to whom, and its limits. Relative paths start at the file's own folder.
///
/// ```toml
/// socket = "kms.sock"            # Unix socket in an existing folder
/// socket_mode = 0o600            # 0o600 or 0o660
/// token = "issuer.token.toml"    # the token that holds the keys
/// issuers = ["issuer.pem"]       # certificates (1 to 16) whose keys may sign, within their scope
/// allowed_uids = [1000]          # users that may connect; left out: the daemon's own user
/// sessions = 4                   # sessions of the token, calls under way at a time: 1 to 16
/// max_connections = 32           # 1 to 1024
/// request_deadline_ms = 5000     # for a request to arrive, and again for its signature: 100 to 10000
/// call_limit_ms = 2000           # a PKCS#11 call that takes longer is hung: 50 to 10000
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonConfig {
    /// The Unix socket.
    pub socket: PathBuf,
    /// Permission bits of the socket.
    pub socket_mode: u32,
    /// Token file.
    pub token: PathBuf,
    /// Issuers' certificates.
    pub issuers: Vec<PathBuf>,
    /// Users that may connect; `None` means the daemon's own.
    pub allowed_uids: Option<Vec<u32>>,
    /// Sessions of the token.
    pub sessions: usize,
    /// Most connections at a time.
    pub max_connections: usize,
    /// For a request to arrive whole, and again for its signature.
    pub request_deadline: Duration,
    /// Longest time that one call into the vendor's module may take.
    pub call_limit: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDaemonConfig {
    socket: PathBuf,
    #[serde(default = "default_socket_mode")]
    socket_mode: u32,
    token: PathBuf,
    issuers: Vec<PathBuf>,
    allowed_uids: Option<Vec<u32>>,
    #[serde(default = "default_sessions")]
    sessions: usize,
    #[serde(default = "default_max_connections")]
    max_connections: usize,
    #[serde(default = "default_deadline_ms")]
    request_deadline_ms: u64,
    #[serde(default = "default_call_limit_ms")]
    call_limit_ms: u64,
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

impl DaemonConfig {
    /// Reads `kms.toml`.
    ///
    /// # Errors
    /// [`ConfigError`]: unreadable, unknown keys, or a value out of range, which is named.
    pub fn load(path: &Path) -> Result<DaemonConfig, ConfigError> {
        let text = read_config(path)?;
        let raw: RawDaemonConfig = toml::from_str(&text).map_err(|source| ConfigError::Syntax {
            path: path.to_path_buf(),
            source: Box::new(source),
        })?;
        raw.check().map_err(|reason| ConfigError::Range {
            path: path.to_path_buf(),
            reason,
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        Ok(DaemonConfig {
            socket: folder.join(raw.socket),
            socket_mode: raw.socket_mode,
            token: folder.join(raw.token),
            issuers: raw
                .issuers
                .iter()
                .map(|issuer| folder.join(issuer))
                .collect(),
            allowed_uids: raw.allowed_uids,
            sessions: raw.sessions,
            max_connections: raw.max_connections,
            request_deadline: Duration::from_millis(raw.request_deadline_ms),
            call_limit: Duration::from_millis(raw.call_limit_ms),
        })
    }
}

impl RawDaemonConfig {
    fn check(&self) -> Result<(), String> {
        if self.socket_mode != 0o600 && self.socket_mode != 0o660 {
            return Err(format!(
                "socket_mode 0o{:o} is not 0o600 or 0o660",
                self.socket_mode
            ));
        }
        let ranges = [
            ("issuers", self.issuers.len() as u64, 1, KEYS_MAX as u64),
            ("sessions", self.sessions as u64, 1, SESSIONS_MAX as u64),
            ("max_connections", self.max_connections as u64, 1, 1_024),
            ("request_deadline_ms", self.request_deadline_ms, 100, 10_000),
            ("call_limit_ms", self.call_limit_ms, 50, 10_000),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(format!("{name}: {value} is not {least} to {most}"));
            }
        }
        match &self.allowed_uids {
            Some(uids) if uids.is_empty() => Err("allowed_uids lets nobody in".to_owned()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<DaemonConfig, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kms.toml");
        std::fs::write(&path, text).unwrap();
        DaemonConfig::load(&path)
    }

    const LEAST: &str = "socket = 's'\ntoken = 't'\nissuers = ['i']\n";

    #[test]
    fn the_documented_configuration_holds_the_defaults() {
        let documented = include_str!("config.rs")
            .lines()
            .skip_while(|line| !line.starts_with("/// ```toml"))
            .skip(1)
            .take_while(|line| !line.starts_with("/// ```"))
            .map(|line| line.trim_start_matches("/// "))
            .collect::<Vec<_>>()
            .join("\n");
        let documented = load(&documented).unwrap();
        let defaults = load(LEAST).unwrap();
        assert_eq!(documented.socket_mode, defaults.socket_mode);
        assert_eq!(documented.sessions, defaults.sessions);
        assert_eq!(documented.max_connections, defaults.max_connections);
        assert_eq!(documented.request_deadline, defaults.request_deadline);
        assert_eq!(documented.call_limit, defaults.call_limit);
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        for (line, reason) in [
            (
                "socket_mode = 0o666",
                "socket_mode 0o666 is not 0o600 or 0o660",
            ),
            ("sessions = 0", "sessions: 0 is not 1 to 16"),
            ("allowed_uids = []", "allowed_uids lets nobody in"),
            (
                "request_deadline_ms = 99",
                "request_deadline_ms: 99 is not 100 to 10000",
            ),
        ] {
            match load(&format!("{LEAST}{line}\n")) {
                Err(ConfigError::Range { reason: found, .. }) => assert_eq!(found, reason),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(matches!(
            load(&format!("{LEAST}pin = '1'\n")),
            Err(ConfigError::Syntax { .. })
        ));
    }
}
