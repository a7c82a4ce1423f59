//! Follows a repository with the `tough` crate, as somebody else's client would:
//! `obol-tough REPOSITORY ROOT.json STATE TARGET...`. Prints the versions of the four roles and the
//! length of each target, and lays it into `STATE/files/TARGET`; exit 0 when all was believed, 1 and
//! tough's reason when it was not.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tough::{
    FilesystemTransport, IntoVec, RepositoryLoader, TargetName, Transport, TransportError,
    TransportStream,
};
use url::Url;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match follow().await {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

async fn follow() -> Result<String, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("{what} is missing"));
    let repository = PathBuf::from(next("REPOSITORY")?).canonicalize()?;
    let root = tokio::fs::read(next("ROOT.json")?).await?;
    let state = PathBuf::from(next("STATE")?);
    tokio::fs::create_dir_all(&state).await?;
    let (metadata, targets) = (folder(&repository, "metadata")?, folder(&repository, "targets")?);
    let transport = AsSpecified {
        targets: targets.clone(),
    };
    let loader = RepositoryLoader::new(&root, metadata, targets);
    let followed = loader.transport(transport).datastore(&state).load().await?;
    let mut told = format!(
        "root {} timestamp {} snapshot {} targets {}",
        followed.root().signed.version,
        followed.timestamp().signed.version,
        followed.snapshot().signed.version,
        followed.targets().signed.version
    );
    for path in arguments {
        let name = TargetName::new(&path)?;
        let stream = followed.read_target(&name).await?;
        let bytes = stream.ok_or(format!("nobody lists {path}"))?.into_vec().await?;
        let copy = state.join("files").join(&path);
        tokio::fs::create_dir_all(copy.parent().ok_or("no path of a file")?).await?;
        tokio::fs::write(copy, &bytes).await?;
        told += &format!("\n{path} {}", bytes.len());
    }
    Ok(told)
}

fn folder(repository: &Path, name: &str) -> Result<Url, &'static str> {
    Url::from_directory_path(repository.join(name)).map_err(|()| "no absolute path")
}

/// Section 6.2.1 of the specification puts the hash before a consistent target's file name:
/// `denylist/HASH.name`. tough puts it before the whole path: `HASH.denylist/name`.
#[derive(Clone, Debug)]
struct AsSpecified {
    targets: Url,
}

#[async_trait::async_trait]
impl Transport for AsSpecified {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let url = self.moved(&url).unwrap_or(url);
        FilesystemTransport.fetch(url).await
    }
}

impl AsSpecified {
    fn moved(&self, url: &Url) -> Option<Url> {
        let path = url.as_str().strip_prefix(self.targets.as_str())?;
        let (hash, path) = path.split_once('.')?;
        let (folder, name) = path.rsplit_once('/')?;
        self.targets.join(&format!("{folder}/{hash}.{name}")).ok()
    }
}
