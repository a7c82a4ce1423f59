"""Ceremonies of many acts by the shipped `obol-kms`, people at a pipe: the committed plans.

    offline: root, targets      online: issuer      rehearsals: a token for each
"""

import json
import os
import subprocess

from cryptography import x509

import ceremony_steps
from guide import sites
from house import MODULES, REPOSITORY, obol_kms

PIN = "correct-horse"
INITIALS = "alice\nwendy\nalice\nwendy\n"
PEOPLE = "--roster roster.toml --executor alice.key --witness wendy.key"
QUORUMS = """
[quorum]
activate = 2
unsuspend = 2
cancel-destruction = 2
destroy = 2
[ceremony]
root = 2
certificate = 2
revocation = 2
trust = 2
destruction = 2
roster = 2
"""
# Name, site, token, files.
ACTS = [
    ("root-generation", "offline", "root", []),
    ("issuer-key-request", "online", "issuer", []),
    ("issuer-certificate", "offline", "root", ["root.pem", "issuer-1.csr"]),
    ("issuer-install", "online", "issuer", ["issuer-1.csr", "issuer-1.pem", "root.pem"]),
    ("first-revocation-list", "offline", "root", ["root.pem"]),
    ("revocation-list", "offline", "root", ["root.pem", "root-1.crl", "issuer-1.pem"]),
    ("key-destruction", "online", "issuer", []),
    ("tuf-key-request", "offline", "targets", []),
    ("tuf-targets", "offline", "targets", [f"targets-{one}.json" for one in [1, 2, 3]]),
    ("emergency-block", "offline", "targets", ["targets-1001.json"]),
    ("roster-change", "offline", None, ["roster-2.toml"]),
]
RESUMED = ["issuer-key-request", "first-revocation-list", "roster-change"]


class World:
    def __init__(self, folder):
        self.folder = sites(folder)
        self.module = next(path for path in MODULES if os.path.exists(path))
        self._roster("roster.toml", ["alice", "bob", "carol"])
        self._roster("roster-2.toml", ["alice", "bob", "dave"])
        for site, label in [("offline", "root"), ("online", "issuer"), ("offline", "targets")]:
            self._token(site, label)
        for version in [1, 2, 3, 1001]:
            metadata = {"_type": "targets", "spec_version": "1.0.34", "version": version,
                        "expires": "2030-01-01T00:00:00Z", "targets": {}}
            (folder / f"targets-{version}.json").write_text(json.dumps(metadata))
        for act in ACTS:
            self._hold(*act)
        shown = self.done("offline", "ceremony plan root-generation.plan --roster roster.toml")
        lines = [line.split() for line in shown.splitlines()]
        self.roster = next(line[1] for line in lines if line[0] == "roster")

    def call(self, site, arguments, typed=""):
        environment = {**os.environ, "SOFTHSM2_CONF": str(self.folder / site / "softhsm2.conf")}
        return subprocess.run([obol_kms(), *arguments.split()], cwd=self.folder, env=environment,
                              input=typed, capture_output=True, text=True, timeout=120)

    def done(self, site, arguments, typed=""):
        done = self.call(site, arguments, typed)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def _roster(self, name, officers):
        def entry(person):
            path = self.folder / f"{person}.entry"
            if not path.exists():
                path.write_text(self.done("offline",
                                          f"officer keygen --name {person} --key {person}.key"))
            return path.read_text()
        text = "".join(map(entry, officers)) + QUORUMS
        (self.folder / name).write_text(text + entry("wendy").replace("officers", "witnesses"))

    def _token(self, site, label):
        self.done(site, f"ceremony token --module {self.module} --label {label} "
                  f"--roster roster.toml --out {label}.token.toml",
                  f"so-{PIN}\nso-{PIN}\n{PIN}\n{PIN}\n")

    def _hold(self, name, site, token, inputs):
        plan = (REPOSITORY / "policies" / "ceremonies" / f"{name}.toml").read_text()
        if name == "key-destruction":
            plan = plan.replace("0" * 64, self._spki())
        (self.folder / f"{name}.template").write_text(plan)
        files = "".join(f" --input {one}={one}" for one in inputs)
        given = f" --token {token}={token}.token.toml" if token else ""
        self.done(site, f"ceremony fill {name}.template{given}{files} --out {name}.plan")
        throwaway, pin = "", f"{PIN}\n" if token else ""
        if token:
            label = f"r-{name}"[:32]
            self._token("rehearsals", label)
            throwaway = f" --token {token}={label}.token.toml"
        initials = INITIALS * plan.count("[[steps]]")
        self.done("rehearsals", f"ceremony rehearse {name}.plan {PEOPLE}{throwaway} "
                  f"--out {name}.rehearsal", pin + initials)
        self.done(site, f"ceremony request {name}.plan --roster roster.toml "
                  f"--rehearsal {name}.rehearsal --out {name}.request")
        approvals = ""
        for officer in ["alice", "bob"]:
            approvals += f" --approval {name}.{officer}"
            self.done(site, f"ceremony approve --request {name}.request --plan {name}.plan "
                      f"--key {officer}.key --out {name}.{officer}", "yes\n")
        run = (f"ceremony run {name}.plan {PEOPLE} --rehearsal {name}.rehearsal{approvals}{given} "
               f"--out {name}.bundle")
        if name in RESUMED:
            # The last question before the end of the first step is not answered.
            assert self.call(site, run, f"{pin}yes\nalice\nwendy\n").returncode != 0
            self.done(site, f"ceremony resume {name}.bundle --executor alice.key "
                      f"--witness wendy.key{given}", pin + initials)
        else:
            self.done(site, run, f"{pin}yes\n{initials}")
        for output in (self.folder / f"{name}.bundle" / "outputs").iterdir():
            (self.folder / output.name).write_bytes(output.read_bytes())

    def _spki(self):
        request = x509.load_pem_x509_csr((self.folder / "issuer-1.csr").read_bytes())
        return ceremony_steps.spki(request)
