//! The power fails while a repository is published: whatever a static server finds afterwards is one
//! whole set, the old or the new, and what was told to be published is there.

use std::io;
use std::path::Path;

use obol_credential::UnixTime;
use obol_fault_vfs::{FaultFs, Loss};
use obol_issuer::publisher::{Disk, DiskEntry, Outcome, PublishError, Publisher};
use obol_trust::tuf::{Client, P256, Stored};

use crate::officers::*;

#[derive(Clone)]
struct Faulty(FaultFs);

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a disk whose power fails")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Disk for Faulty {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let bytes = self.0.read(text(path))?;
        assert!(bytes.as_ref().is_none_or(|bytes| bytes.len() <= limit));
        Ok(bytes)
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.0.create(text(path))?;
        file.append(bytes)?;
        file.sync()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(text(from), text(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(text(path))
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.0.create_folder(text(path))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.0.sync_folder(text(path))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<DiskEntry>> {
        let names = self.0.list(text(folder)).into_iter();
        let entry = |name: String| match name.strip_suffix('/') {
            Some(folder) => DiskEntry::Folder(folder.to_owned()),
            None => DiskEntry::File(name),
        };
        Ok(names.map(entry).collect())
    }
}

fn publisher(house: &House, fs: &FaultFs) -> Result<Publisher<Software, Faulty>, PublishError> {
    let (elected, keys) = house.elected([4, 5, 7, 8]);
    Publisher::on(&elected, Faulty(fs.clone()), house.offline(), keys)
}

/// A next process publishes so many denied, on whatever it finds.
async fn publish(house: &House, fs: &FaultFs, denied: u32) -> Result<Outcome, PublishError> {
    let (indexes, now): (Vec<_>, _) = ((0..denied).collect(), NOW.plus(denied));
    let mut publisher = publisher(house, fs)?;
    publisher.publish(&inputs(&indexes, now), now).await
}

/// What a terminal without a past reads from a static server: the version of its timestamp, when
/// all that it names is there; `None` where nothing is published.
fn served(house: &House, fs: &FaultFs) -> Result<Option<u32>, String> {
    let read = |path: String| fs.read(&path).unwrap();
    if read("metadata/timestamp.json".to_owned()).is_none() {
        return Ok(None);
    }
    let mut stored = Stored::default();
    let metadata = |name: &str| read(format!("metadata/{name}"));
    let client = house.follow_from(&mut stored, NOW, metadata);
    let client: Client<P256> = client.map_err(|refused| refused.to_string())?;
    for version in 1..=client.root().head.version {
        let name = format!("{version}.root.json");
        let signed = std::fs::read(house.offline().join("root").join(&name)).unwrap();
        if metadata(&name).as_ref() != Some(&signed) {
            return Err(format!("{name} is not there"));
        }
    }
    let top = client.targets("targets").unwrap().targets.clone();
    let own = top.into_iter().map(|(path, file)| {
        let location = format!("{}.{path}", file.hashes.prefix());
        (location, file)
    });
    let delegated = ["denylist", "fares"].map(|role| client.files_of(role));
    let delegated = delegated.into_iter().flatten();
    for (location, file) in own.chain(delegated.map(|found| (found.location, found.file))) {
        let bytes = read(format!("targets/{location}"));
        if !bytes.is_some_and(|bytes| file.fits(&bytes)) {
            return Err(format!("{location} is not there"));
        }
    }
    Ok(Some(client.timestamp().unwrap().head.version))
}

fn losses(seed: u64) -> Vec<Loss> {
    let mut losses = vec![Loss::Everything, Loss::Bytes, Loss::Names, Loss::FirstNames];
    let seeds = (0..4).map(|more| seed * 4 + more);
    losses.extend(seeds.clone().map(|seed| Loss::Whole { seed }));
    losses.extend(seeds.map(|seed| Loss::Some { seed }));
    losses
}

fn version(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::Published(version) => *version,
        Outcome::UpToDate => panic!("it has something to publish"),
    }
}

/// A disk on which nothing, or one publication, is durable; and what a server serves of it.
async fn begun(house: &House, publications: u32) -> (FaultFs, Option<u32>) {
    let fs = FaultFs::default();
    let mut old = None;
    if publications > 0 {
        old = Some(version(&publish(house, &fs, 1).await.unwrap()));
    }
    (fs.cut(Loss::Everything), old)
}

#[tokio::test]
async fn wherever_the_power_fails_one_whole_set_is_served_and_the_next_publisher_goes_on() {
    let house = House::new();
    for publications in [0, 1] {
        let (base, old) = begun(&house, publications).await;
        let whole = base.copy();
        publish(&house, &whole, 2).await.unwrap();
        let operations = whole.operations();
        assert!(operations > 20, "{operations}");
        let (mut olds, mut news) = (0, 0);
        for at in 0..=operations {
            let fs = base.copy();
            fs.fail_power_at(at);
            let told = publish(&house, &fs, 2).await;
            assert_eq!(told.is_ok(), at == operations, "{told:?}");
            for loss in losses(at) {
                let after = fs.cut(loss);
                match (served(&house, &after), &told) {
                    (Ok(found), Ok(outcome)) => assert_eq!(found, Some(version(outcome))),
                    (Ok(found), Err(_)) if found == old => olds += 1,
                    (Ok(Some(_)), Err(_)) => news += 1,
                    (found, _) => panic!("{found:?} at {at} after {loss:?}"),
                }
            }
            let after = fs.cut(Loss::Some { seed: at });
            let next = publish(&house, &after, 3).await.unwrap();
            let found = served(&house, &after.cut(Loss::Everything));
            assert_eq!(found, Ok(Some(version(&next))), "{at}");
        }
        assert!(olds > 0 && news > 0, "{olds} {news}");
    }
}

#[tokio::test]
async fn what_a_killed_publisher_left_unsynced_is_made_durable_before_the_next_builds_on_it() {
    let house = House::new();
    let (base, _) = begun(&house, 0).await;
    let whole = base.copy();
    publish(&house, &whole, 2).await.unwrap();
    for at in 0..whole.operations() {
        let fs = base.copy();
        fs.fail_power_at(at);
        publish(&house, &fs, 2).await.unwrap_err();
        // It was the process that died, not the machine.
        fs.revive();
        let next = version(&publish(&house, &fs, 3).await.unwrap());
        for loss in losses(at) {
            let found = served(&house, &fs.cut(loss));
            assert_eq!(found, Ok(Some(next)), "{at} {loss:?}");
        }
    }
}

/// What goes wrong, if anything, when the power fails during or after a publication of which one
/// sync did nothing.
async fn unnoticed(house: &House, base: &FaultFs, old: Option<u32>, sync: usize) -> Option<String> {
    let fs = base.copy();
    fs.ignore_sync(sync);
    let new = version(&publish(house, &fs, 2).await.unwrap());
    for (place, moment) in fs.moments().into_iter().enumerate() {
        for loss in losses(place as u64) {
            match served(house, &moment.cut(loss)) {
                Ok(found) if found == old || found == Some(new) => {}
                found => return Some(format!("{found:?}")),
            }
        }
    }
    let after = losses(0)
        .into_iter()
        .map(|loss| served(house, &fs.cut(loss)));
    after
        .filter(|found| *found != Ok(Some(new)))
        .map(|found| format!("{found:?}"))
        .next()
}

#[tokio::test]
async fn without_any_one_of_its_syncs_a_publication_is_lost_or_torn_by_some_cut() {
    let house = House::new();
    for publications in [0, 1] {
        let (base, old) = begun(&house, publications).await;
        let whole = base.copy();
        publish(&house, &whole, 2).await.unwrap();
        let syncs = whole.syncs();
        // Files, their folders, and the folder around those that are new.
        assert!(
            syncs.iter().any(|name| name.ends_with(".part")),
            "{syncs:?}"
        );
        assert!(syncs.contains(&"targets/denylist/".to_owned()), "{syncs:?}");
        assert_eq!(syncs.contains(&"/".to_owned()), old.is_none(), "{syncs:?}");
        for (number, sync) in syncs.iter().enumerate() {
            let noticed = unnoticed(&house, &base, old, number).await;
            assert!(noticed.is_some(), "nobody misses the sync of {sync}");
        }
    }
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_set_and_publishing_goes_on_when_there_is_room() {
    let house = House::new();
    let (fs, old) = begun(&house, 1).await;
    let mut publisher = publisher(&house, &fs).unwrap();
    let (denied, now) = (inputs(&[1, 2, 3], NOW), NOW.plus(5));
    fs.set_capacity(Some(fs.size() + 100));
    let refused = publisher.publish(&denied, now).await.unwrap_err();
    assert!(matches!(refused, PublishError::File(_)), "{refused}");
    assert_eq!(served(&house, &fs), Ok(old));
    fs.set_capacity(None);
    let outcome = publisher.publish(&denied, now).await.unwrap();
    assert_eq!(served(&house, &fs), Ok(Some(version(&outcome))));
}

#[tokio::test]
async fn a_name_that_could_not_be_synced_is_synced_before_it_is_told_to_be_published() {
    let house = House::new();
    let (base, _) = begun(&house, 1).await;
    let whole = base.copy();
    publish(&house, &whole, 2).await.unwrap();
    let last = whole.syncs().len() - 1;
    assert_eq!(whole.syncs()[last], "metadata/");
    let mut publisher = publisher(&house, &base).unwrap();
    let denied = inputs(&[1, 2], NOW);
    base.fail_power_at(base.operations() + whole.operations() - 1);
    let refused = publisher.publish(&denied, NOW.plus(2)).await.unwrap_err();
    let expected = "metadata is written, but its folder could not be synced";
    assert_eq!(refused.to_string(), expected);
    // The disk answers again: what it serves is known not to be durable yet.
    base.revive();
    let again = publisher.publish(&denied, NOW.plus(3)).await.unwrap();
    assert_eq!(again, Outcome::UpToDate);
    let found = served(&house, &base.cut(Loss::Everything))
        .unwrap()
        .unwrap();
    assert_eq!(Ok(Some(found)), served(&house, &base));
    assert_eq!(found, UnixTime(NOW.0 + 2).minus(1_577_836_800).0);
}
