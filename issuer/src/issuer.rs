mod issue;
mod published;
mod readiness;
mod start_error;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use obol_credential::UnixTime;
use obol_kms_client::KmsClient;
use obol_trust::BundleRefused;
use thiserror::Error;
use tokio::sync::{Mutex, MutexGuard, Notify};
use tracing::{error, info};

use crate::access::{AccessCa, AccessError};
use crate::admission::Admission;
use crate::availability::{Availability, Watch, keep_up};
use crate::certificate::IssuerCertificate;
use crate::clients::{Client, Clients};
use crate::config::Config;
use crate::expiry::{self, Expiry};
use crate::in_flight::InFlight;
use crate::issuance::{IssueRefused, Policy};
use crate::metrics::Metrics;
use crate::publisher::SharedState;
use crate::register::{Member, Register, RegisterError, RestorePoint};
use crate::shards::{Shard, Shards, lets_sign};

pub use issue::{IssuedCredential, Request};
pub(crate) use published::PublishRefused;
pub use start_error::StartError;

/// Signatures that the daemon works on at a time; the rest waits here, where lines are fair.
const PLACES: u32 = 64;

/// Signs credentials, keeps who is denied, and makes trust bundles.
#[derive(Debug)]
pub struct Issuer {
    kms: KmsClient,
    register: Register,
    admission: Arc<Admission>,
    availability: Arc<Availability>,
    _watch: Watch,
    in_flight: InFlight,
    metrics: Metrics,
    access: ArcSwapOption<AccessCa>,
    list_changed: Notify,
    /// What issuers that publish share; none where this one does not stand for it.
    shared: Option<SharedState>,
    changed: Notify,
    lists: Mutex<()>,
    live: ArcSwap<Live>,
    fixed: Fixed,
    /// Of the register, which only a start can change.
    restored: Option<RestorePoint>,
}

/// Why a member was not revoked, or not yet by the list.
#[derive(Debug, Error)]
pub(crate) enum RevokeRefused {
    #[error("members do not enrol at this issuer")]
    NoAccessCa,
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// The access CAs of a changed configuration. Until they are taken or dropped nobody else writes
/// revocation lists: by the old CAs, the next one's list would be a stranger's.
#[derive(Debug)]
pub struct Reopened<'a> {
    access: Option<Arc<AccessCa>>,
    _one_list_at_a_time: MutexGuard<'a, ()>,
}

/// What a reload replaces, all of it at once.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) shards: Shards,
    pub(crate) policy: Policy,
    pub(crate) clients: Clients,
    /// The clients of the configuration, without those who enrolled.
    configured: Clients,
    daily_quota: u32,
    bundle_life_s: u32,
    expiries: Vec<Expiry>,
}

/// What only a start can change.
#[derive(Debug, PartialEq, Eq)]
struct Fixed {
    listen: std::net::SocketAddr,
    database: PathBuf,
    kms_socket: PathBuf,
    status_list_size: u32,
}

impl Issuer {
    /// Loads certificates, asks the daemon for its keys and opens the register.
    ///
    /// # Errors
    /// [`StartError`], in particular when the daemon does not have a signing certificate's key.
    pub async fn start(config: &Config, now: UnixTime) -> Result<Self, StartError> {
        // The files are judged before the daemon is asked, and the daemon before a database is made.
        let shards = load_shards(config, now)?;
        let failed = |source| StartError::Kms {
            socket: config.kms_socket.clone(),
            source,
        };
        let kms = KmsClient::connect(&config.kms_socket)
            .await
            .map_err(failed)?;
        check_served(&kms, config, &shards).await?;
        let watched = KmsClient::connect(&config.kms_socket)
            .await
            .map_err(failed)?;
        let availability = Arc::<Availability>::default();
        let access = AccessCa::open(config).await?.map(Arc::new);
        let register = Register::open(&config.database)?;
        let restored = register.restore_point().await?;
        make_due_lists(access.as_deref(), &register, now).await?;
        let issuer = Self {
            live: ArcSwap::from_pointee(Live::new(config, shards)),
            kms,
            access: ArcSwapOption::new(access),
            list_changed: Notify::new(),
            shared: config
                .publisher
                .as_ref()
                .map(|settings| SharedState::new(&settings.state)),
            changed: Notify::new(),
            lists: Mutex::new(()),
            register,
            admission: Admission::new(PLACES),
            _watch: keep_up(watched, Arc::clone(&availability)),
            availability,
            in_flight: InFlight::default(),
            metrics: Metrics::new(),
            fixed: Fixed::of(config),
            restored,
        };
        issuer.refresh_members(now).await?;
        // A key that was blocked before this start signs nothing after it.
        if issuer.shared.is_some() {
            issuer.shared_state().await?;
        }
        Ok(issuer)
    }

    /// The access CAs of a changed configuration, with the revocation lists that are due for them:
    /// what [`Issuer::reload`] takes.
    ///
    /// # Errors
    /// [`StartError`]; then everything stays as it was.
    pub async fn reopen_access(
        &self,
        config: &Config,
        now: UnixTime,
    ) -> Result<Reopened<'_>, StartError> {
        let one_list_at_a_time = self.lists.lock().await;
        let access = match self.access().filter(|access| access.is_of(config)) {
            Some(same) => Some(same),
            None => AccessCa::open(config).await?.map(Arc::new),
        };
        make_due_lists(access.as_deref(), &self.register, now).await?;
        Ok(Reopened {
            access,
            _one_list_at_a_time: one_list_at_a_time,
        })
    }

    /// Takes a changed configuration: keys, classes, clients, quotas, access CAs. Requests under way
    /// end by the old one.
    ///
    /// # Errors
    /// [`StartError`]; then everything stays as it was.
    pub async fn reload(
        &self,
        config: &Config,
        reopened: Reopened<'_>,
        now: UnixTime,
    ) -> Result<(), StartError> {
        self.fixed.check_same(&Fixed::of(config))?;
        let shards = load_shards(config, now)?;
        check_served(&self.kms, config, &shards).await?;
        let shards = shards.suspending(self.live.load().shards.suspended().clone());
        self.live.store(Arc::new(Live::new(config, shards)));
        self.access.store(reopened.access.clone());
        self.refresh_members(now).await?;
        Ok(())
    }

    /// The access CAs, where members enrol here.
    #[must_use]
    pub fn access(&self) -> Option<Arc<AccessCa>> {
        self.access.load_full()
    }

    /// Lets in who enrolled and was not revoked.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub(crate) async fn refresh_members(&self, now: UnixTime) -> Result<(), RegisterError> {
        let members = self.register.members(now).await?;
        self.live.rcu(|live| {
            let mut live = Live::clone(live);
            live.clients = live.configured.clone();
            let daily_quota = live.daily_quota;
            for member in members.iter().filter(|member| member.revoked_at.is_none()) {
                let client = Client { daily_quota };
                if !live.clients.has(&member.identity, member.spki) {
                    live.clients.register(&member.identity, member.spki, client);
                }
            }
            live
        });
        Ok(())
    }

    /// Revokes a member: it is not let in from now on, and the next list names it. `None` when
    /// nobody enrolled with this key.
    ///
    /// # Errors
    /// [`AccessError`] when no list could be made; asked again, it is tried again.
    pub(crate) async fn revoke_member(
        &self,
        spki: [u8; 32],
        now: UnixTime,
    ) -> Result<Option<Member>, RevokeRefused> {
        let _one_list_at_a_time = self.lists.lock().await;
        let access = self.access().ok_or(RevokeRefused::NoAccessCa)?;
        let Some(member) = self.register.revoke_member(spki, now).await? else {
            return Ok(None);
        };
        self.refresh_members(now).await?;
        let members = self.register.members(now).await?;
        access.publish_list(&members, now).await?;
        self.list_changed.notify_one();
        access.check_listed(&member)?;
        Ok(Some(member))
    }

    /// Makes the next revocation list when half of the last one's life is over. What fails is logged,
    /// and tried again at the next call; the last list counts until then.
    pub async fn keep_list(&self, now: UnixTime) {
        let _one_list_at_a_time = self.lists.lock().await;
        let Some(access) = self.access().filter(|access| access.list_is_due(now)) else {
            return;
        };
        let renewed = async {
            let members = self.register.members(now).await?;
            access.publish_list(&members, now).await?;
            Ok::<_, RevokeRefused>(())
        };
        match renewed.await {
            Ok(()) => {
                info!("the revocation list was made anew, as its time had come");
                self.list_changed.notify_one();
            }
            Err(cause) => {
                let cause: &dyn std::error::Error = &cause;
                error!(cause, "the next revocation list was not made");
            }
        }
    }

    /// What runs out by itself, and when.
    pub(crate) fn expiries(&self) -> Vec<Expiry> {
        self.live.load().expiries.clone()
    }

    /// Ends when the revocation list was written anew.
    pub async fn list_changed(&self) {
        self.list_changed.notified().await;
    }

    /// The keys that terminals shall believe, as bytes of `obol-trust`.
    ///
    /// # Errors
    /// [`BundleRefused`] only where [`Issuer::start`] would have refused.
    pub fn trust_bundle(&self, now: UnixTime) -> Result<Vec<u8>, BundleRefused> {
        let live = self.live.load();
        live.shards.bundle(now, live.bundle_life_s)
    }

    /// Whether a key may sign that nobody blocked and a restore did not stop; nothing was written
    /// down for who is told that none does.
    fn check_keys(&self, now: UnixTime) -> Result<(), IssueRefused> {
        let live = self.live.load();
        let mut signing = live.shards.signing().iter();
        if !signing.any(|shard| live.shards.signs(shard, now)) {
            return Err(IssueRefused::NoKey);
        }
        drop(live);
        self.check_restored(now)
    }

    /// Whether a key may sign that a restore did not stop.
    fn check_restored(&self, now: UnixTime) -> Result<(), IssueRefused> {
        let Some(point) = &self.restored else {
            return Ok(());
        };
        let live = self.live.load();
        let signing = live.shards.signing().iter();
        let kids = signing.map(|shard| shard.certificate.kid());
        if kids.clone().any(|kid| lets_sign(Some(point), kid, now)) {
            return Ok(());
        }
        let until = point.ends(kids);
        let left = u32::try_from(until.since(now)).unwrap_or(u32::MAX);
        Err(IssueRefused::RestoredToday {
            until,
            retry_after_s: left,
        })
    }

    /// The keys that status lists are published for, and how many entries each list has.
    pub(crate) fn listed_keys(&self) -> (Vec<obol_credential::Kid>, u32) {
        let live = self.live.load();
        let signing = live.shards.signing().iter().map(|shard| &shard.certificate);
        let kids = signing.chain(live.shards.published());
        let kids = kids.map(IssuerCertificate::kid).collect();
        (kids, live.policy.status_list_size)
    }

    /// The keys that sign here.
    pub(crate) fn signing_kids(&self) -> Vec<obol_credential::Kid> {
        let live = self.live.load();
        let signing = live.shards.signing().iter();
        signing.map(|shard| shard.certificate.kid()).collect()
    }

    /// The key management daemon's socket.
    pub(crate) fn kms_socket(&self) -> &std::path::Path {
        &self.fixed.kms_socket
    }

    /// The register, for those who publish or back it up.
    #[must_use]
    pub fn register(&self) -> &Register {
        &self.register
    }

    /// The configuration in force.
    pub(crate) fn live(&self) -> arc_swap::Guard<Arc<Live>> {
        self.live.load()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn kms(&self) -> &KmsClient {
        &self.kms
    }

    /// Items that wait for a signature.
    pub(crate) fn waiting(&self) -> usize {
        self.admission.waiting()
    }

    /// Deletes what is older than the configuration keeps, a little at a time.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn purge(&self, now: UnixTime) -> Result<(), RegisterError> {
        use crate::register::Purged;
        let before = now.minus(self.live.load().policy.keep_s);
        while self.register.purge_some(before).await? == Purged::Some {}
        Ok(())
    }
}

impl Live {
    fn new(config: &Config, shards: Shards) -> Self {
        Self {
            expiries: expiry::of(config, &shards),
            shards,
            policy: config.policy.clone(),
            clients: config.clients.clone(),
            configured: config.clients.clone(),
            daily_quota: config.daily_quota,
            bundle_life_s: config.bundle_life_s,
        }
    }
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            listen: config.listen,
            database: config.database.clone(),
            kms_socket: config.kms_socket.clone(),
            status_list_size: config.policy.status_list_size,
        }
    }

    fn check_same(&self, new: &Self) -> Result<(), StartError> {
        let changed = [
            ("listen", self.listen != new.listen),
            ("database", self.database != new.database),
            ("kms_socket", self.kms_socket != new.kms_socket),
            (
                "status_list_size",
                self.status_list_size != new.status_list_size,
            ),
        ];
        match changed.into_iter().find(|(_, changed)| *changed) {
            Some((key, _)) => Err(StartError::NeedsRestart(key)),
            None => Ok(()),
        }
    }
}

fn load_shards(config: &Config, now: UnixTime) -> Result<Shards, StartError> {
    let signing = config.signing_certificates.iter();
    let signing = signing.map(|path| load_shard(path, config, now));
    let published = config.published_certificates.iter();
    let published = published.map(|path| IssuerCertificate::load(path));
    let shards = Shards::new(
        signing.collect::<Result<_, _>>()?,
        published.collect::<Result<_, _>>()?,
    );
    let bundle = shards.bundle(now, config.bundle_life_s);
    bundle.map_err(StartError::Bundle)?;
    Ok(shards)
}

fn load_shard(path: &Path, config: &Config, now: UnixTime) -> Result<Shard, StartError> {
    let certificate = IssuerCertificate::load(path)?;
    let path = path.to_owned();
    if !certificate.covers(now) {
        return Err(StartError::NotInForce {
            path,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            now,
        });
    }
    let mut classes = config.policy.templates.keys();
    if let Some(&class) = classes.find(|class| !certificate.serves(**class)) {
        return Err(StartError::ClassOutOfScope { class, path });
    }
    Shard::new(certificate).ok_or(StartError::Unusable { path })
}

async fn make_due_lists(
    access: Option<&AccessCa>,
    register: &Register,
    now: UnixTime,
) -> Result<(), StartError> {
    if let Some(access) = access
        && access.list_is_due(now)
    {
        let members = register.members(now).await?;
        access.publish_list(&members, now).await?;
    }
    Ok(())
}

async fn check_served(kms: &KmsClient, config: &Config, shards: &Shards) -> Result<(), StartError> {
    let keys = kms.keys().await.map_err(|source| StartError::Kms {
        socket: config.kms_socket.clone(),
        source,
    })?;
    for (shard, path) in shards.signing().iter().zip(&config.signing_certificates) {
        let (spki, algorithm) = (shard.certificate.spki(), shard.certificate.algorithm());
        if !keys
            .iter()
            .any(|key| key.spki == spki && key.algorithm == algorithm)
        {
            let path = path.clone();
            return Err(StartError::KeyMismatch { path, spki });
        }
    }
    Ok(())
}

/// Logs the whole chain here, where it is handled; the client learns only that it failed.
fn unavailable(act: &str, cause: &(dyn std::error::Error + 'static)) -> IssueRefused {
    error!(cause, "{act} failed");
    IssueRefused::Unavailable
}
