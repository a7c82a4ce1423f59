"""A TUF repository by python-tuf, in memory, behind HTTP; each file can be bent before it is sent."""

import datetime
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

TOP = ("root", "timestamp", "snapshot", "targets")


def later(days=30):
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    return now + datetime.timedelta(days=days)


class Repository:
    """Signs with fresh keys; `publish` makes a new version of everything below the root."""

    def __init__(self, new_signer=CryptoSigner.generate_ecdsa):
        self.new_signer = new_signer
        self.files = {}
        self.asked = []
        self.signers = {}
        self.root = Root(expires=later(), consistent_snapshot=True)
        self.timestamp = Timestamp(expires=later())
        self.snapshot = Snapshot(expires=later())
        self.roles = {"targets": Targets(expires=later())}
        for role in TOP:
            self.add_key(role)
        self.publish_root()
        self.publish()

    def add_key(self, role):
        signer = self.new_signer()
        self.root.add_key(signer.public_key, role)
        self.signers.setdefault(role, []).append(signer)
        return signer

    def rotate(self, role):
        """One new key in the place of all old ones."""
        old = self.signers[role]
        for keyid in list(self.root.roles[role].keyids):
            self.root.revoke_key(keyid, role)
        self.signers[role] = []
        self.add_key(role)
        return old

    def sign(self, role, signed, signers=None):
        metadata = Metadata(signed)
        for signer in self.signers[role] if signers is None else signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def publish_root(self, signers=None):
        name = f"metadata/{self.root.version}.root.json"
        self.files[name] = self.sign("root", self.root, signers)

    def next_root(self, signers=None):
        self.root.version += 1
        self.publish_root(signers)

    def delegate(self, delegator, name, paths, terminating=False):
        signer = self.new_signer()
        self.signers[name] = [signer]
        role = DelegatedRole(name, [], 1, terminating, paths=paths)
        parent = self.roles[delegator]
        if parent.delegations is None:
            parent.delegations = Delegations({}, roles={})
        parent.delegations.roles[name] = role
        parent.add_key(signer.public_key, name)
        self.roles[name] = Targets(expires=later())

    def add(self, role, path, content):
        target = TargetFile.from_data(path, content, ["sha256"])
        self.roles[role].targets[path] = target
        folder, _, name = path.rpartition("/")
        place = f"{folder}/" if folder else ""
        self.files[f"targets/{place}{target.hashes['sha256']}.{name}"] = content

    def publish(self):
        for name, targets in self.roles.items():
            content = self.sign(name, targets)
            self.files[f"metadata/{targets.version}.{name}.json"] = content
            meta = MetaFile.from_data(targets.version, content, ["sha256"])
            self.snapshot.meta[f"{name}.json"] = meta
        self.publish_snapshot()

    def publish_snapshot(self):
        content = self.sign("snapshot", self.snapshot)
        version = self.snapshot.version
        self.files[f"metadata/{version}.snapshot.json"] = content
        self.timestamp.snapshot_meta = MetaFile.from_data(version, content, ["sha256"])
        self.publish_timestamp()

    def publish_timestamp(self, signers=None):
        self.files["metadata/timestamp.json"] = self.sign("timestamp", self.timestamp, signers)

    def next(self):
        for targets in self.roles.values():
            targets.version += 1
        self.snapshot.version += 1
        self.timestamp.version += 1
        self.publish()


class Server:
    """Serves a repository; `cut` ends each answer after so many bytes, `drip` sends one a second, what is
    `packed` is said to be gzip."""

    def __init__(self, repository):
        self.repository = repository
        self.cut = None
        self.drip = set()
        self.packed = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, request):
        path = request.path.lstrip("/")
        self.repository.asked.append(path)
        content = self.repository.files.get(path)
        if content is None:
            request.send_response(404)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        start = 0
        if asked := request.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            request.send_response(206)
            last = len(content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        else:
            request.send_response(200)
        rest = content[start:]
        request.send_header("Content-Length", str(len(rest)))
        if path in self.packed:
            request.send_header("Content-Encoding", "gzip")
        request.end_headers()
        if path in self.drip:
            try:
                for byte in rest:
                    request.wfile.write(bytes([byte]))
                    time.sleep(1)
            except OSError:
                pass
            return
        if self.cut is not None and len(rest) > self.cut:
            request.wfile.write(rest[: self.cut])
            request.close_connection = True
            return
        request.wfile.write(rest)

    def close(self):
        self.http.shutdown()
        self.http.server_close()
