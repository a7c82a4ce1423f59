//! The trust repository of a terminal's own deployment.

use std::fs;
use std::path::PathBuf;

use obol_console::{FileError, read_limited, unix_now};
use obol_pos_sdk::tuf::{Limits, P256};
use obol_pos_sdk::{
    AcceptedSet, Provisioning, Repository, TrustFolder, TrustUpdater, UnixTime, UpdateError,
};
use obol_transport::{FileClient, Pace};

use super::ROOT_FILE_MAX;
use super::http::{HttpError, HttpSource};
use crate::folder::{Folder, credentials};

type Updater = TrustUpdater<TrustFolder, P256>;

/// Updates the folder's trust from the repository; the set that was in use stays if that fails.
pub(crate) fn update(
    folder: &Folder,
    provisioning: &Provisioning,
    repository: &Repository,
) -> miette::Result<AcceptedSet> {
    let mut updater = updater(folder)?;
    let first = read_limited(&repository.root, ROOT_FILE_MAX)?;
    updater.initialise::<HttpError>(&first)?;
    let pace = Pace::default();
    let files = if repository.url.starts_with("https://") {
        let (anchor, identity) = credentials(provisioning)?;
        FileClient::new(&anchor, Some(identity), pace)
    } else {
        FileClient::plain(pace)
    };
    let metadata = format!("{}/metadata", repository.url);
    let targets = format!("{}/targets", repository.url);
    let mut source = HttpSource::new(files, &metadata, &targets)?;
    let root = folder.root(provisioning)?;
    Ok(updater.update(&mut source, UnixTime(unix_now()), &root)?)
}

/// What the last update left; no network.
pub(crate) fn accepted(
    folder: &Folder,
    provisioning: &Provisioning,
) -> miette::Result<Option<AcceptedSet>> {
    let root = folder.root(provisioning)?;
    let set: Result<_, UpdateError<HttpError>> = updater(folder)?.accepted(&root);
    Ok(set?)
}

/// The file that changes when an update is complete.
pub(crate) fn set_path(folder: &Folder) -> PathBuf {
    folder.repository_path().join("accepted-set")
}

fn updater(folder: &Folder) -> miette::Result<Updater> {
    let path = folder.repository_path();
    fs::create_dir_all(&path).map_err(|source| FileError::Write {
        path: path.clone(),
        source,
    })?;
    let storage = TrustFolder::new(&path);
    Ok(Updater::new(storage, Limits::TERMINAL, P256))
}
