//! An update over a bad link: metadata by the client of `obol-trust`, then the files it vouches for,
//! then one switch to the new set.

use std::collections::BTreeMap;
use std::io;

use miette::Diagnostic;
use obol_credential::{Kid, UnixTime};
use obol_trust::json::Json;
use obol_trust::tuf::{
    Change, CheckSignature, Client, Fetched, Found, Limits, Refused, Stored, quoted,
};
use obol_trust::{
    BUNDLE_MAX, STATUS_LIST_MAX, StatusList, StatusListId, SuspendedKeys, TrustBundle,
};
use obol_verifier_sdk::x509::Root;
use thiserror::Error;

use super::source::{FileRequest, Received, Shelf, TrustSource};
use super::storage::{TrustStorage, replace};
use super::{Periods, Refreshes, Trust, TrustRefused, TrustState};

/// Path of the trust bundle in the repository.
pub const BUNDLE_PATH: &str = "trust-bundle.cbor";
/// Path of the suspended keys.
pub const SUSPENDED_PATH: &str = "denylist/suspended.cbor";
/// The role that denies, and the role that prices.
const ROLES: [&str; 2] = ["denylist", "fares"];
/// Most files of one update.
pub const FILES_MAX: usize = 1024;
/// Most bytes of all files of one update.
pub const FILES_BYTES_MAX: usize = 64 * 1024 * 1024;

const ROLE_FILE_MAX: usize = 8 * 1024 * 1024;
const SET_FILE_MAX: usize = 2 * 1024 * 1024;
/// The complete set that the terminal works with. No role's file is named like this.
const SET: &str = "accepted-set";
/// When news came.
const REFRESHES: &str = "refreshes";
const REFRESHES_MAX: usize = 4096;
const TARGET: &str = "target-";
const PART: &str = "part-";

/// Path of a status list in the repository.
#[must_use]
pub fn status_list_path(id: StatusListId) -> String {
    format!("denylist/{}-{}.cbor", id.kid, id.epoch)
}

/// Why an update ended. What the terminal has stays in use.
#[derive(Debug, Error, Diagnostic)]
pub enum UpdateError<E: std::error::Error + 'static> {
    /// The medium failed.
    #[error("the trust folder cannot be used")]
    #[diagnostic(help("check the folder, its rights and the disk's room"))]
    Storage(#[from] io::Error),
    /// There is no root to begin with.
    #[error("there is no trusted root yet")]
    #[diagnostic(help("run `obol-pos trust init` with the root file of this deployment"))]
    NotInitialised,
    /// The repository did not answer.
    #[error("{name} cannot be fetched")]
    #[diagnostic(help("try again: what has come so far is kept"))]
    Source {
        /// The file.
        name: String,
        /// Why.
        source: E,
    },
    /// The file stopped coming.
    #[error("{name} broke off after {received} bytes: {reason}")]
    #[diagnostic(help("try again: what has come so far is kept"))]
    Broken {
        /// The file.
        name: String,
        /// How much of it is there.
        received: usize,
        /// Why it ended.
        reason: String,
    },
    /// The repository is not believed.
    #[error("the repository is refused")]
    #[diagnostic(help(
        "check this terminal's clock; if it is right, tell the publisher: somebody may be \
         replaying or changing files"
    ))]
    Refused(#[from] Refused),
    /// A file is not what the metadata says.
    #[error("{path} is not the file that its role vouches for")]
    #[diagnostic(help("try again; a mirror may have kept an old file"))]
    Mismatch {
        /// Its path.
        path: String,
    },
    /// The roles list more than a terminal takes.
    #[error("{what}, more than a terminal takes")]
    #[diagnostic(help("tell the publisher"))]
    TooMuch {
        /// How much.
        what: String,
    },
    /// A file that was fetched, or is stored, cannot be used.
    #[error("{path} cannot be used: {reason}")]
    #[diagnostic(help("tell the publisher: the file is signed and yet wrong"))]
    Content {
        /// Its path.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The bundle is not believed.
    #[error("the bundle of the repository is not taken")]
    Bundle(
        #[source]
        #[diagnostic_source]
        TrustRefused,
    ),
}

/// A complete set of metadata and files that the terminal can work with.
#[derive(Clone, Debug)]
pub struct AcceptedSet {
    /// What scans ask.
    pub state: TrustState,
    /// Fare packs by path, as bytes.
    pub fares: BTreeMap<String, Vec<u8>>,
    /// Version of the timestamp that named it.
    pub version: u32,
}

/// Keeps a terminal's trust in one folder.
///
/// Metadata is stored as soon as it is accepted, so that nothing older is taken after a power cut.
/// What the terminal works with is another file, switched in one step when all of an update is
/// there: a bus that leaves in the middle of one goes on with the last complete set.
#[derive(Debug)]
pub struct TrustUpdater<S, C> {
    storage: S,
    limits: Limits,
    check: C,
}

impl<S: TrustStorage, C: CheckSignature + Clone> TrustUpdater<S, C> {
    /// Works in `storage`.
    pub fn new(storage: S, limits: Limits, check: C) -> Self {
        Self {
            storage,
            limits,
            check,
        }
    }

    /// Trusts a root from the provisioning; one that is there stays if it is as new.
    ///
    /// # Errors
    /// [`UpdateError::Refused`] when it is no root signed by its own keys.
    pub fn initialise<E: std::error::Error>(&mut self, root: &[u8]) -> Result<(), UpdateError<E>> {
        let given = self.client(root.to_vec(), BTreeMap::new(), UnixTime(0))?;
        if let Some(stored) = self.read_role("root")?
            && let Ok(there) = self.client(stored, BTreeMap::new(), UnixTime(0))
            && there.root().head.version >= given.root().head.version
        {
            return Ok(());
        }
        Ok(replace(&mut self.storage, "root.json", root)?)
    }

    /// Follows root, timestamp, snapshot and targets.
    ///
    /// # Errors
    /// [`UpdateError`]; what was accepted before stays accepted.
    pub fn refresh<F: TrustSource>(
        &mut self,
        source: &mut F,
        now: UnixTime,
    ) -> Result<Client<C>, UpdateError<F::Error>> {
        let root = self.read_role("root")?.ok_or(UpdateError::NotInitialised)?;
        let mut client = self.client(root, self.stored_roles()?, now)?;
        self.drive(&mut client, source)?;
        Ok(client)
    }

    /// Looks for one file by its path in a client that is up to date; `None` when nobody lists it.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn find<F: TrustSource>(
        &mut self,
        client: &mut Client<C>,
        source: &mut F,
        path: &str,
    ) -> Result<Option<Found>, UpdateError<F::Error>> {
        let changes = client.find(path)?;
        self.apply(changes)?;
        self.drive(client, source)?;
        Ok(client.found())
    }

    /// Fetches a file that was found, from where an earlier attempt broke off.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn download<F: TrustSource>(
        &mut self,
        source: &mut F,
        found: &Found,
    ) -> Result<Vec<u8>, UpdateError<F::Error>> {
        let hash = found.file.hashes.prefix();
        let too_much = || UpdateError::TooMuch {
            what: format!("{} of {} bytes", found.path, found.file.length),
        };
        let length = usize::try_from(found.file.length).map_err(|_| too_much())?;
        if length > FILES_BYTES_MAX {
            return Err(too_much());
        }
        let name = format!("{PART}{hash}");
        let part = self.storage.read(&name, FILES_BYTES_MAX)?;
        let mut bytes = part
            .filter(|part| part.len() < length)
            .unwrap_or_else(Vec::new);
        let begun = bytes.len();
        let request = FileRequest {
            shelf: Shelf::Targets,
            name: &found.location,
            offset: begun,
            max_len: length,
        };
        let ended = fetch(source, &request, &mut bytes)?;
        if bytes.len() > length {
            self.storage.remove(&name)?;
            let path = found.path.clone();
            return Err(UpdateError::Mismatch { path });
        }
        if let Some(reason) = ended {
            // What is lost of it with the power comes again.
            if bytes.len() > begun && bytes.len() < length {
                self.storage.write_synced(&name, &bytes)?;
            }
            return Err(UpdateError::Broken {
                name: found.location.clone(),
                received: bytes.len(),
                reason,
            });
        }
        self.storage.remove(&name)?;
        if !found.file.fits(&bytes) {
            let path = found.path.clone();
            return Err(UpdateError::Mismatch { path });
        }
        Ok(bytes)
    }

    /// A whole update: all roles and all their files; then the terminal's set is switched.
    ///
    /// # Errors
    /// [`UpdateError`]: the set in use stays. Trying again goes on where this ended.
    pub fn update<F: TrustSource>(
        &mut self,
        source: &mut F,
        now: UnixTime,
        root: &Root,
    ) -> Result<AcceptedSet, UpdateError<F::Error>> {
        let mut client = self.refresh(source, now)?;
        for role in ROLES {
            let changes = client.load(role)?;
            self.apply(changes)?;
            self.drive(&mut client, source)?;
        }
        let wanted = self.wanted_files(&mut client, source)?;
        for found in &wanted {
            if self.stored_target(found)?.is_none() {
                let bytes = self.download(source, found)?;
                let name = format!("{TARGET}{}", found.file.hashes.prefix());
                replace(&mut self.storage, &name, &bytes)?;
            }
        }
        let set = self.read_set(&client, &wanted, root)?;
        let roles = self.current_roles()?.to_text();
        let in_use = self.storage.read(SET, SET_FILE_MAX);
        if in_use.is_ok_and(|in_use| in_use.as_deref() == Some(&*roles)) {
            // Whoever switched to it may have ended before its name was on the medium, and the files
            // of the one before go now.
            self.storage.sync_names()?;
        } else {
            replace(&mut self.storage, SET, &roles)?;
            // Behind the set: whoever ends in between tells of a longer silence, never of news that
            // was not taken.
            let mut refreshes = self.refreshes()?;
            refreshes.note(now.max(set.state.periods().signed_at));
            replace(&mut self.storage, REFRESHES, refreshes.to_text().as_bytes())?;
        }
        self.forget_all_but(&wanted)?;
        Ok(set)
    }

    /// When news came, as earlier updates have recorded it. A record that was damaged begins anew:
    /// nothing that is believed depends on it.
    ///
    /// # Errors
    /// The storage's.
    pub fn refreshes(&self) -> io::Result<Refreshes> {
        let bytes = match self.storage.read(REFRESHES, REFRESHES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => None,
            bytes => bytes?,
        };
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let read = text.and_then(|text| Refreshes::parse(&text));
        let begun_anew = Refreshes::default();
        Ok(read.unwrap_or(begun_anew))
    }

    /// The set that the last complete update left, without any network and whatever the time: how
    /// fresh it is, the state says itself.
    ///
    /// # Errors
    /// [`UpdateError`] when the stored set is damaged; `None` before the first update.
    pub fn accepted<E: std::error::Error>(
        &mut self,
        root: &Root,
    ) -> Result<Option<AcceptedSet>, UpdateError<E>> {
        let Some(bytes) = self.storage.read(SET, SET_FILE_MAX)? else {
            return Ok(None);
        };
        let damaged = |reason: String| UpdateError::Content {
            path: SET.to_owned(),
            reason,
        };
        let json = Json::parse(&bytes, SET_FILE_MAX).map_err(|error| damaged(error.to_string()))?;
        let Json::Object(members) = json else {
            return Err(damaged("no object".to_owned()));
        };
        let mut roles: BTreeMap<String, Vec<u8>> = members
            .into_iter()
            .filter_map(|(role, text)| match text {
                Json::Text(text) => Some((role, text.into_bytes())),
                _ => None,
            })
            .collect();
        let role = |role: &str| roles.get(role).cloned();
        let (Some(first), Some(timestamp)) = (role("root"), role("timestamp")) else {
            return Err(damaged("no root or no timestamp".to_owned()));
        };
        roles.remove("root");
        // At time 0 nothing has expired: the workflow is run for the signatures and the versions.
        let mut client = self.client(first, roles, UnixTime(0))?;
        client.supply(Fetched::Absent)?;
        client.supply(Fetched::Bytes(&timestamp))?;
        for role in ROLES {
            if client.wanted().is_none() {
                client.load(role)?;
            }
        }
        if let Some(fetch) = client.wanted() {
            return Err(damaged(format!("no {}", fetch.name)));
        }
        let wanted = files_of(&client);
        let bundle = client.find(BUNDLE_PATH).map(|_| client.found())?;
        let wanted: Vec<Found> = bundle.into_iter().chain(wanted).collect();
        Ok(Some(self.read_set(&client, &wanted, root)?))
    }

    fn client(
        &self,
        root: Vec<u8>,
        roles: BTreeMap<String, Vec<u8>>,
        now: UnixTime,
    ) -> Result<Client<C>, Refused> {
        let stored = Stored { root, roles };
        Client::start(stored, now, self.limits, self.check.clone())
    }

    fn read_role(&self, role: &str) -> io::Result<Option<Vec<u8>>> {
        let name = format!("{}.json", quoted(role));
        self.storage.read(&name, ROLE_FILE_MAX)
    }

    fn stored_roles(&self) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let mut roles = BTreeMap::new();
        for name in self.storage.names()? {
            let role = name.strip_suffix(".json").and_then(unquoted);
            if let Some(role) = role.filter(|role| role != "root")
                && let Some(bytes) = self.storage.read(&name, ROLE_FILE_MAX)?
            {
                roles.insert(role, bytes);
            }
        }
        Ok(roles)
    }

    fn current_roles(&self) -> io::Result<Json> {
        let top = ["root", "timestamp", "snapshot", "targets"];
        let mut members = BTreeMap::new();
        for role in top.into_iter().chain(ROLES) {
            if let Some(bytes) = self.read_role(role)?
                && let Ok(text) = String::from_utf8(bytes)
            {
                members.insert(role.to_owned(), Json::Text(text));
            }
        }
        Ok(Json::Object(members))
    }

    fn drive<F: TrustSource>(
        &mut self,
        client: &mut Client<C>,
        source: &mut F,
    ) -> Result<(), UpdateError<F::Error>> {
        while let Some(wanted) = client.wanted() {
            let request = FileRequest {
                shelf: Shelf::Metadata,
                name: &wanted.name,
                offset: 0,
                max_len: wanted.max_len,
            };
            let mut bytes = Vec::new();
            let absent = fetch_or_absent(source, &request, &mut bytes)?;
            let changes = client.supply(match absent {
                Ending::Absent => Fetched::Absent,
                Ending::Whole => Fetched::Bytes(&bytes),
                // More than the limit is refused for its length, whether it ended or not.
                Ending::Broken(_) if bytes.len() > wanted.max_len => Fetched::Bytes(&bytes),
                Ending::Broken(reason) => {
                    return Err(UpdateError::Broken {
                        name: wanted.name,
                        received: bytes.len(),
                        reason,
                    });
                }
            })?;
            self.apply(changes)?;
        }
        Ok(())
    }

    fn apply(&mut self, changes: Vec<Change>) -> io::Result<()> {
        for change in changes {
            match change {
                Change::Store { role, bytes } => {
                    let name = format!("{}.json", quoted(&role));
                    replace(&mut self.storage, &name, &bytes)?;
                }
                Change::Forget { role } => {
                    self.storage.remove(&format!("{}.json", quoted(&role)))?;
                    self.storage.sync_names()?;
                }
            }
        }
        Ok(())
    }

    fn wanted_files<F: TrustSource>(
        &mut self,
        client: &mut Client<C>,
        source: &mut F,
    ) -> Result<Vec<Found>, UpdateError<F::Error>> {
        let bundle = self.find(client, source, BUNDLE_PATH)?;
        let absent = || UpdateError::Content {
            path: BUNDLE_PATH.to_owned(),
            reason: "no role lists it".to_owned(),
        };
        let mut wanted = vec![bundle.ok_or_else(absent)?];
        wanted.extend(files_of(client));
        let bytes = wanted
            .iter()
            .fold(0_u64, |sum, found| sum.saturating_add(found.file.length));
        if wanted.len() > FILES_MAX || bytes > FILES_BYTES_MAX as u64 {
            let what = format!("{} files of {bytes} bytes", wanted.len());
            return Err(UpdateError::TooMuch { what });
        }
        Ok(wanted)
    }

    fn stored_target(&self, found: &Found) -> io::Result<Option<Vec<u8>>> {
        let name = format!("{TARGET}{}", found.file.hashes.prefix());
        let bytes = self.storage.read(&name, FILES_BYTES_MAX)?;
        Ok(bytes.filter(|bytes| found.file.fits(bytes)))
    }

    /// Reads all files of a set; one that is damaged is none.
    fn read_set<E: std::error::Error>(
        &self,
        client: &Client<C>,
        wanted: &[Found],
        root: &Root,
    ) -> Result<AcceptedSet, UpdateError<E>> {
        let mut files = Files::default();
        for found in wanted {
            let path = found.path.clone();
            let bytes = self
                .stored_target(found)?
                .ok_or(UpdateError::Mismatch { path })?;
            let content = |reason: String| UpdateError::Content {
                path: found.path.clone(),
                reason,
            };
            files.take(&found.path, bytes).map_err(content)?;
        }
        let bundle = Trust::from_bundle(&files.bundle, root).map_err(UpdateError::Bundle)?;
        let missing = || UpdateError::Content {
            path: "timestamp.json".to_owned(),
            reason: "it says no x-obol-issued".to_owned(),
        };
        let timestamp = client.timestamp().ok_or_else(missing)?;
        let periods = periods(client, timestamp.issued.ok_or_else(missing)?);
        Ok(AcceptedSet {
            state: TrustState::new(&bundle, files.lists, &files.suspended, periods),
            fares: files.fares,
            version: timestamp.head.version,
        })
    }

    fn forget_all_but(&mut self, wanted: &[Found]) -> io::Result<()> {
        let kept: Vec<String> = wanted
            .iter()
            .map(|found| format!("{TARGET}{}", found.file.hashes.prefix()))
            .collect();
        for name in self.storage.names()? {
            let old = name.starts_with(TARGET) || name.starts_with(PART);
            if old && !kept.contains(&name) {
                self.storage.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// Until when a set is good. Targets are made in advance, by officers, for long: there is no grace
/// behind their end, nor behind the root's.
fn periods<C: CheckSignature>(client: &Client<C>, signed_at: UnixTime) -> Periods {
    let of = |role| client.targets(role).map(|targets| targets.head.expires);
    let online = [
        client.timestamp().map(|timestamp| timestamp.head.expires),
        client.snapshot().map(|snapshot| snapshot.head.expires),
        of("denylist"),
    ];
    let offline = [Some(client.root().head.expires), of("targets")];
    let first = |ends: &[Option<UnixTime>]| ends.iter().flatten().min().copied();
    Periods {
        signed_at,
        fresh_until: first(&online).unwrap_or(signed_at),
        good_until: first(&offline).unwrap_or(signed_at),
    }
}

fn files_of<C: CheckSignature>(client: &Client<C>) -> Vec<Found> {
    let files = ROLES.iter().flat_map(|role| client.files_of(role));
    files.collect()
}

/// The files of a set, each read as what its path says.
#[derive(Default)]
struct Files {
    bundle: Vec<u8>,
    suspended: SuspendedKeys,
    lists: BTreeMap<StatusListId, StatusList>,
    fares: BTreeMap<String, Vec<u8>>,
}

impl Files {
    fn take(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), String> {
        let malformed = |malformed: obol_credential::Malformed| malformed.to_string();
        if path == BUNDLE_PATH {
            TrustBundle::decode(&bytes).map_err(malformed)?;
            self.bundle = bytes;
        } else if path == SUSPENDED_PATH {
            self.suspended = SuspendedKeys::decode(&bytes).map_err(malformed)?;
        } else if let Some(id) = status_list_id(path) {
            let list = StatusList::decode(&bytes).map_err(malformed)?;
            self.lists.insert(id, list);
        } else if path.starts_with("fares/") {
            self.fares.insert(path.to_owned(), bytes);
        }
        // Others are of a later release's: their bytes were checked, and nothing here reads them.
        Ok(())
    }
}

/// The list that a path stands for; exactly the form of [`status_list_path`].
fn status_list_id(path: &str) -> Option<StatusListId> {
    let name = path.strip_prefix("denylist/")?.strip_suffix(".cbor")?;
    let (kid, epoch) = name.split_once('-')?;
    let id = StatusListId {
        kid: Kid(u32::from_str_radix(kid, 16).ok()?.to_be_bytes()),
        epoch: epoch.parse().ok()?,
    };
    (status_list_path(id) == path).then_some(id)
}

fn unquoted(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?.to_owned();
            bytes.push(u8::from_str_radix(&digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

enum Ending {
    Absent,
    Whole,
    Broken(String),
}

/// Adds what comes to `bytes`, which hold the file up to the offset that is asked for.
fn fetch_or_absent<F: TrustSource>(
    source: &mut F,
    request: &FileRequest<'_>,
    bytes: &mut Vec<u8>,
) -> Result<Ending, UpdateError<F::Error>> {
    let failed = |error| UpdateError::Source {
        name: request.name.to_owned(),
        source: error,
    };
    match source.fetch(request).map_err(failed)? {
        Received::Absent => Ok(Ending::Absent),
        Received::Bytes {
            offset,
            bytes: came,
            broken,
        } => {
            // A server that knows no ranges begins anew; one that begins elsewhere is not asked
            // what it means.
            if offset != bytes.len() {
                bytes.clear();
            }
            if offset == bytes.len() {
                bytes.extend(came);
            }
            Ok(broken.map_or(Ending::Whole, Ending::Broken))
        }
    }
}

fn fetch<F: TrustSource>(
    source: &mut F,
    request: &FileRequest<'_>,
    bytes: &mut Vec<u8>,
) -> Result<Option<String>, UpdateError<F::Error>> {
    match fetch_or_absent(source, request, bytes)? {
        Ending::Whole => Ok(None),
        Ending::Broken(reason) => Ok(Some(reason)),
        Ending::Absent => {
            let file = request.name.to_owned();
            Err(Refused::Absent { file }.into())
        }
    }
}

const _: () = assert!(BUNDLE_MAX <= FILES_BYTES_MAX && STATUS_LIST_MAX <= FILES_BYTES_MAX);
