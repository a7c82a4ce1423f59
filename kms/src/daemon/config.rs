//! `kms.toml`, parsed strictly.

mod raw;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use obol_kms_client::SpkiId;
use obol_kms_policy::Client;
use obol_log::WitnessKey;

use crate::config::{ConfigError, read_config};

/// What the daemon serves, to whom, and its limits. Relative paths start at the file's own folder.
///
/// ```toml
/// socket = "kms.sock"            # Unix socket in an existing folder
/// socket_mode = 0o600            # 0o600 or 0o660
/// registry = "keys.registry"     # which keys there are, and in which state
/// #policy = "policies/kms"       # folder of Cedar policies; left out: the built-in set
/// max_connections = 32           # 1 to 1024
/// request_deadline_ms = 5000     # for a request to arrive, and again for its signature: 100 to 10000
/// call_limit_ms = 2000           # a PKCS#11 call that takes longer is hung: 50 to 10000
/// #metrics = "127.0.0.1:9464"    # Prometheus text and health: a loopback address, or unix:PATH
///
/// [[tokens]]                     # 1 to 16; their keys are those that the registry knows
/// file = "issuer.token.toml"
/// sessions = 4                   # calls under way at a time: 1 to 16
///
/// [[clients]]                    # 1 to 64; nobody else may connect
/// uid = 1000                     # as the system says of the peer
/// role = "issuer"                # issuer, platform or officer: what policies ask for
/// #name = "obol://issuer/main"   # in policies, quotas and the audit log; left out: uid:N
///
/// [audit]
/// folder = "audit"               # of the audit log: an existing folder, empty for a new log
/// origin = "kms.example/audit"   # the log's name for ever: a URL without scheme
/// #key = "SPKI"                  # of class audit; left out: the only active one
///
/// #[audit.witness]               # who cosigns checkpoints; left out: nobody
/// #url = "https://platform.example:8443/v1/audit-log" # add-checkpoint is added
/// #key = "NAME+KEYID+BASE64"     # its public key
/// #certificate = "kms-tls.pem"   # mTLS identity of this daemon
/// #private_key = "kms.key"
/// #trust = "access.pem"          # access CA that vouches for the witness
/// #interval_s = 10               # between submissions: 1 to 3600
/// ```
#[derive(Debug, Clone)]
pub struct DaemonConfig {
    /// The Unix socket.
    pub socket: PathBuf,
    /// Permission bits of the socket.
    pub socket_mode: u32,
    /// The registry of keys.
    pub registry: PathBuf,
    /// Folder of policies; `None` means the built-in set.
    pub policy: Option<PathBuf>,
    /// Most connections at a time.
    pub max_connections: usize,
    /// For a request to arrive whole, and again for its signature.
    pub request_deadline: Duration,
    /// Longest time that one call into a vendor's module may take.
    pub call_limit: Duration,
    /// Where metrics are served; `None` means nowhere.
    pub metrics: Option<MetricsAddress>,
    /// The tokens.
    pub tokens: Vec<TokenEntry>,
    /// Who may connect, by user.
    pub clients: HashMap<u32, Client>,
    /// The audit log.
    pub audit: AuditConfig,
}

/// One token and its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEntry {
    /// Token file.
    pub file: PathBuf,
    /// Sessions of the token.
    pub sessions: usize,
}

/// Where metrics are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsAddress {
    /// A loopback address.
    Loopback(SocketAddr),
    /// A Unix socket, mode 0600.
    Unix(PathBuf),
}

/// The audit log.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// Its folder.
    pub folder: PathBuf,
    /// Its name.
    pub origin: String,
    /// The key that signs its checkpoints; `None` means the only active one of class audit.
    pub key: Option<SpkiId>,
    /// Who cosigns its checkpoints.
    pub witness: Option<WitnessConfig>,
}

/// A witness and how it is reached.
#[derive(Debug, Clone)]
pub struct WitnessConfig {
    /// `add-checkpoint` lies below it.
    pub url: String,
    /// Its public key.
    pub key: WitnessKey,
    /// This daemon's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub private_key: PathBuf,
    /// Certificate of the access CA.
    pub trust: PathBuf,
    /// Between submissions.
    pub interval: Duration,
}

impl DaemonConfig {
    /// Reads `kms.toml`.
    ///
    /// # Errors
    /// [`ConfigError`]: unreadable, unknown keys, or a value out of range, which is named.
    pub fn load(path: &Path) -> Result<DaemonConfig, ConfigError> {
        let text = read_config(path)?;
        let raw: raw::Daemon = toml::from_str(&text).map_err(|source| ConfigError::Syntax {
            path: path.to_path_buf(),
            source: Box::new(source),
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        raw.checked(folder).map_err(|reason| ConfigError::Range {
            path: path.to_path_buf(),
            reason,
        })
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

    const LEAST: &str = "socket = 's'\nregistry = 'r'\nEXTRA\n[[tokens]]\nfile = 't'\n\
                         [[clients]]\nuid = 1000\nrole = 'issuer'\n\
                         [audit]\nfolder = 'a'\norigin = 'o'\n";

    fn documented() -> String {
        include_str!("config.rs")
            .lines()
            .skip_while(|line| !line.starts_with("/// ```toml"))
            .skip(1)
            .take_while(|line| !line.starts_with("/// ```"))
            .map(|line| line.trim_start_matches("///").trim_start_matches(' '))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn the_documented_configuration_holds_the_defaults() {
        let documented = load(&documented()).unwrap();
        let defaults = load(&LEAST.replace("EXTRA", "")).unwrap();
        assert_eq!(documented.socket_mode, defaults.socket_mode);
        assert_eq!(documented.policy, defaults.policy);
        assert_eq!(documented.max_connections, defaults.max_connections);
        assert_eq!(documented.request_deadline, defaults.request_deadline);
        assert_eq!(documented.call_limit, defaults.call_limit);
        assert_eq!(documented.metrics, defaults.metrics);
        assert_eq!(documented.tokens[0].sessions, defaults.tokens[0].sessions);
        assert_eq!(defaults.clients[&1000].name(), "uid:1000");
        assert!(documented.audit.witness.is_none() && documented.audit.key.is_none());
    }

    /// `deploy/kms.toml`: every documented key, with what it says beside the default on purpose.
    #[test]
    fn the_shipped_configuration_names_every_key_and_holds_the_defaults() {
        let text = include_str!("../../../deploy/kms.toml");
        let keys = |text: &str| {
            let lines = text.lines().map(|line| line.trim_start_matches('#'));
            let pairs = lines.filter_map(|line| line.split_once(" = "));
            let name = |key: &str| !key.contains(' ');
            let keys = pairs.map(|(key, _)| key.to_owned());
            let mut keys: Vec<_> = keys.filter(|key| name(key)).collect();
            keys.sort();
            keys
        };
        assert_eq!(keys(text), keys(&documented()));
        let shipped = load(text).unwrap();
        let defaults = load(&LEAST.replace("EXTRA", "")).unwrap();
        assert_eq!(shipped.policy, defaults.policy);
        assert_eq!(shipped.max_connections, defaults.max_connections);
        assert_eq!(shipped.request_deadline, defaults.request_deadline);
        assert_eq!(shipped.call_limit, defaults.call_limit);
        assert_eq!(shipped.tokens[0].sessions, defaults.tokens[0].sessions);
        assert_eq!(shipped.clients[&1000].name(), "uid:1000");
        assert!(shipped.audit.key.is_none());
        assert_eq!((shipped.socket_mode, defaults.socket_mode), (0o660, 0o600));
        let metrics = MetricsAddress::Unix("/run/obol-kms/issuer/metrics.sock".into());
        assert_eq!((shipped.metrics, defaults.metrics), (Some(metrics), None));
    }

    /// Every key that is left out by default is documented in a form that is read.
    #[test]
    fn the_documented_optional_keys_are_read() {
        let witness = obol_log::WitnessSigner::from_seed("platform.example/w1", &[9; 32]).unwrap();
        let text = documented()
            .replace("\n#", "\n")
            .replace("NAME+KEYID+BASE64", &witness.public().to_vkey())
            .replace("\"SPKI\"", &format!("\"{}\"", "a5".repeat(32)));
        let all = load(&text).unwrap();
        let metrics = "127.0.0.1:9464".parse().unwrap();
        assert_eq!(all.metrics, Some(MetricsAddress::Loopback(metrics)));
        assert_eq!(all.clients[&1000].name(), "obol://issuer/main");
        assert_eq!(all.audit.key, Some(SpkiId([0xa5; 32])));
        let witness = all.audit.witness.unwrap();
        assert_eq!(witness.interval, Duration::from_secs(10));
        assert!(all.policy.unwrap().ends_with("policies/kms"));
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        for (line, reason) in [
            (
                "socket_mode = 0o666",
                "socket_mode 0o666 is not 0o600 or 0o660",
            ),
            (
                "request_deadline_ms = 99",
                "request_deadline_ms: 99 is not 100 to 10000",
            ),
            (
                "metrics = '10.0.0.1:9464'",
                "metrics \"10.0.0.1:9464\" is neither a loopback address with a port nor unix:PATH",
            ),
        ] {
            match load(&LEAST.replace("EXTRA", line)) {
                Err(ConfigError::Range { reason: found, .. }) => assert_eq!(found, reason),
                other => panic!("{other:?}"),
            }
        }
        for (more, reason) in [
            (
                "[[tokens]]\nfile = 'u'\nsessions = 0",
                "sessions: 0 is not 1 to 16",
            ),
            (
                "[[clients]]\nuid = 1000\nrole = 'platform'",
                "clients: user 1000 is there twice",
            ),
            (
                "[[clients]]\nuid = 1\nrole = 'daemon'",
                "clients: \"daemon\" is none of issuer, platform, officer",
            ),
        ] {
            match load(&format!("{}{more}\n", LEAST.replace("EXTRA", ""))) {
                Err(ConfigError::Range { reason: found, .. }) => assert_eq!(found, reason),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_readme_shows_the_documented_configuration() {
        let readme = include_str!("../../cli/README.md");
        assert!(
            readme.contains(documented().trim_end()),
            "kms/cli/README.md"
        );
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(matches!(
            load(&LEAST.replace("EXTRA", "pin = '1'")),
            Err(ConfigError::Syntax { .. })
        ));
    }
}
