"""obol-pos follows repositories that python-tuf made, and none that were tampered with."""

import gzip
import json
import pathlib
import subprocess

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from tuf_repository import Repository, Server, later

ROOT = pathlib.Path(__file__).parents[2]
POS = ROOT / "target/debug/obol-pos"


class Client:
    def __init__(self, folder, repository):
        self.repository = repository
        self.server = Server(repository)
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self.metadata.mkdir()
        self.targets.mkdir()
        first = folder / "root.json"
        first.write_bytes(repository.files["metadata/1.root.json"])
        assert self.run("init", str(first)).returncode == 0

    def run(self, *command, **named):
        options = ["--metadata-dir", str(self.metadata)]
        options += ["--metadata-url", f"{self.server.url}/metadata"]
        for name, value in named.items():
            options += [f"--{name.replace('_', '-')}", value]
        self.repository.asked.clear()
        return subprocess.run(
            [str(POS), "trust", *options, *command], capture_output=True, text=True, timeout=120
        )

    def refresh(self):
        return self.run("refresh")

    def download(self, path):
        return self.run(
            "download",
            target_name=path,
            target_dir=str(self.targets),
            target_base_url=f"{self.server.url}/targets",
        )

    def version(self, role):
        return Metadata.from_file(str(self.metadata / f"{role}.json")).signed.version

    def asked(self):
        return [path.removeprefix("metadata/") for path in self.repository.asked]

    def content(self, path):
        return (self.targets / path.replace("/", "%2F")).read_bytes()


@pytest.fixture
def client(tmp_path):
    client = Client(tmp_path, Repository())
    yield client
    client.server.close()


def refused(result, words):
    assert result.returncode == 1, result
    assert words in result.stderr, result.stderr


def good(result):
    assert result.returncode == 0, result.stderr


def test_a_first_refresh_asks_for_each_role_once(client):
    good(client.refresh())
    assert client.asked() == ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    good(client.refresh())
    assert client.asked() == ["2.root.json", "timestamp.json"]


def test_what_is_stored_is_what_python_tuf_signed(client):
    good(client.refresh())
    for role, name in (("timestamp", "timestamp"), ("snapshot", "1.snapshot")):
        stored = (client.metadata / f"{role}.json").read_bytes()
        assert stored == client.repository.files[f"metadata/{name}.json"]


@pytest.mark.parametrize("generate", ["generate_ecdsa", "generate_ed25519", "generate_rsa"])
def test_keys_of_each_scheme_of_the_specification_are_believed(tmp_path, generate):
    client = Client(tmp_path, Repository(getattr(CryptoSigner, generate)))
    good(client.refresh())
    client.server.close()


def test_keys_of_all_roles_are_rotated_one_root_after_another(client):
    good(client.refresh())
    for role in ("timestamp", "snapshot", "targets", "root"):
        old = client.repository.rotate(role)
        signers = client.repository.signers["root"] + (old if role == "root" else [])
        client.repository.next_root(signers)
    client.repository.next()
    good(client.refresh())
    assert client.version("root") == 5
    assert client.version("targets") == 2


def test_a_root_that_the_old_keys_did_not_sign_is_refused(client):
    client.repository.rotate("root")
    client.repository.next_root()
    refused(client.refresh(), "2.root.json is not signed: 0 of the role's keys have signed")
    assert client.version("root") == 1


def test_unknown_members_are_verified_and_kept(client):
    repository = client.repository
    repository.root.unrecognized_fields["x-unknown"] = {"a": [1, "\u00e9", None, True]}
    key = next(iter(repository.root.keys.values()))
    key.unrecognized_fields["x-later"] = "of another tool"
    repository.next_root()
    good(client.refresh())
    assert client.version("root") == 2


def test_a_threshold_counts_keys(client):
    repository = client.repository
    repository.root.roles["timestamp"].threshold = 2
    repository.next_root()
    repository.next()
    refused(client.refresh(), "1 of the role's keys have signed, and it takes 2")
    repository.add_key("timestamp")
    repository.next_root()
    repository.next()
    good(client.refresh())


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_each_role_turned_back_is_refused(client, role):
    repository = client.repository
    repository.next()
    good(client.refresh())
    if role == "targets":
        repository.roles["targets"].version = 1
        repository.snapshot.version = 3
        repository.timestamp.version = 3
        repository.publish()
    elif role == "snapshot":
        repository.timestamp.version = 3
        repository.snapshot.version = 1
        repository.publish_snapshot()
    else:
        repository.timestamp.version = 1
        repository.publish_timestamp()
    refused(client.refresh(), f"{role}.json has version 1, and 2 was there before")


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_each_role_out_of_date_is_refused(client, role):
    repository = client.repository
    good(client.refresh())
    if role == "root":
        repository.root.expires = later(-1)
        repository.next_root()
    else:
        of = {"timestamp": repository.timestamp, "snapshot": repository.snapshot}
        of.get(role, repository.roles["targets"]).expires = later(-1)
        repository.next()
    refused(client.refresh(), "expired at")


def test_a_timestamp_of_a_stranger_is_refused(client):
    client.repository.timestamp.version = 2
    client.repository.publish_timestamp([CryptoSigner.generate_ecdsa()])
    refused(client.refresh(), "timestamp.json is not signed")


def test_a_doubled_member_is_refused(client):
    files = client.repository.files
    text = files["metadata/timestamp.json"].decode()
    files["metadata/timestamp.json"] = text.replace(
        '"version"', '"version": 9, "version"', 1
    ).encode()
    refused(client.refresh(), "is there twice")


def test_endless_metadata_is_left(client):
    client.repository.files["metadata/timestamp.json"] = b" " * 50_000_000
    refused(client.refresh(), "timestamp.json has more than 16384 bytes")


def test_a_compressed_answer_is_not_unpacked(client):
    files = client.repository.files
    # 100 MB of spaces in 100 KB, around a timestamp that is good.
    good_one = files["metadata/timestamp.json"]
    bomb = gzip.compress(good_one + b" " * 100_000_000)
    client.server.packed.add("metadata/timestamp.json")
    for packed, expected in [
        (gzip.compress(good_one), "timestamp.json is malformed: no strict JSON"),
        (bomb, "timestamp.json has more than 16384 bytes"),
    ]:
        files["metadata/timestamp.json"] = packed
        refused(client.refresh(), expected)


def test_delegated_files_are_found_and_downloaded_once(client):
    repository = client.repository
    repository.delegate("targets", "denylist", ["denylist/*"], terminating=True)
    repository.delegate("targets", "outer", ["deep/*"])
    repository.delegate("outer", "inner", ["deep/*"])
    repository.add("denylist", "denylist/a", b"a list")
    repository.add("inner", "deep/x", b"deep down")
    repository.add("outer", "denylist/b", b"not its own")
    repository.next()
    good(client.download("denylist/a"))
    assert client.content("denylist/a") == b"a list"
    good(client.download("deep/x"))
    assert client.content("deep/x") == b"deep down"
    good(client.download("deep/x"))
    assert client.asked() == ["2.root.json", "timestamp.json"]
    refused(client.download("denylist/b"), "no role lists")
    refused(client.download("nowhere"), "no role lists")


def test_a_target_that_was_changed_is_refused(client):
    repository = client.repository
    repository.add("targets", "file", b"as it was signed")
    repository.next()
    name = next(name for name in repository.files if name.endswith(".file"))
    repository.files[name] = b"as it was changed"[:16]
    refused(client.download("file"), "is not the file that its role vouches for")
    assert list(client.targets.iterdir()) == []


def test_a_download_over_a_link_that_breaks_goes_on_where_it_was(client):
    repository = client.repository
    content = bytes(range(256)) * 400
    repository.add("targets", "large", content)
    repository.next()
    good(client.refresh())
    client.server.cut = 30_000
    for _ in range(3):
        refused(client.download("large"), "broke off after")
    good(client.download("large"))
    assert client.content("large") == content


def test_a_server_that_drips_is_left(client):
    client.server.drip.add("metadata/timestamp.json")
    refused(client.refresh(), "too slow")


def test_a_root_that_is_none_is_not_trusted(client, tmp_path):
    bent = json.loads(client.repository.files["metadata/1.root.json"])
    bent["signatures"][0]["sig"] = bent["signatures"][0]["sig"][:-2] + "00"
    path = tmp_path / "bent.json"
    path.write_text(json.dumps(bent))
    refused(client.run("init", str(path)), "root.json is not signed")
