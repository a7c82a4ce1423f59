"""python-tuf's own client on a repository in a folder: downloads each target that is named.

    tuf_client.py REPOSITORY ROOT.json WORK TARGET...

Prints the versions that it trusts then, as JSON.
"""

import json
import pathlib
import sys

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface


class Folder(FetcherInterface):
    def __init__(self, path):
        self.path = pathlib.Path(path)

    def _fetch(self, url):
        path = self.path / url.removeprefix("https://repository/")
        if not path.exists():
            raise DownloadHTTPError(f"no {path}", 404)
        yield path.read_bytes()


def main(repository, root, work, *targets):
    work = pathlib.Path(work)
    for name in ("metadata", "targets"):
        (work / name).mkdir(parents=True, exist_ok=True)
    updater = Updater(
        metadata_dir=str(work / "metadata"),
        metadata_base_url="https://repository/metadata/",
        target_dir=str(work / "targets"),
        target_base_url="https://repository/targets/",
        fetcher=Folder(repository),
        bootstrap=pathlib.Path(root).read_bytes(),
    )
    updater.refresh()
    for target in targets:
        found = updater.get_targetinfo(target)
        assert found is not None, f"nobody lists {target}"
        updater.download_target(found)
    trusted = updater._trusted_set
    versions = {role: trusted[role].version for role in ("timestamp", "snapshot", "targets")}
    print(json.dumps({"root": trusted.root.version, **versions}))


if __name__ == "__main__":
    main(*sys.argv[1:])
