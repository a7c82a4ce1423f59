//! The trust repository of a terminal's own deployment.

use obol_console::unix_now;
use obol_pos_sdk::{AcceptedSet, Provisioning, Repository, UnixTime};
use obol_transport::{FileClient, Pace};

use super::http::{HttpError, HttpSource};
use crate::folder::{Folder, credentials};

/// Updates the folder's trust from the repository; the set that was in use stays if that fails.
pub(crate) fn update(
    folder: &Folder,
    provisioning: &Provisioning,
    repository: &Repository,
) -> miette::Result<AcceptedSet> {
    let mut updater = folder.updater()?;
    if let Some(first) = folder.first_trust_root(provisioning)? {
        updater.initialise::<HttpError>(&first)?;
    }
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
