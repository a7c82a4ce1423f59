"""Forms of a ceremony's files, from docs/spec/ceremony.md and key-registry.md: strict readers.

Each raises `Bad` with what is wrong; whoever calls knows the code and the place.
"""

import base64
import hashlib
import re
import tomllib

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

PLAN_LIMIT = 64 * 1024
EVENT_LIMIT = 64 * 1024
TRANSCRIPT_LIMIT = 4 * 1024 * 1024
ZEROS = bytes(32)
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}\Z")
TEXT = re.compile(r"[ -~]{1,200}\Z")
HEX = re.compile(r"[0-9a-f]{64}\Z")
PERSON = re.compile(r"[a-z0-9-]{1,32}\Z")
CHANGES = ["activate", "unsuspend", "cancel-destruction", "destroy"]
KINDS = ["root", "certificate", "revocation", "trust", "destruction", "roster"]
QUORUM = {
    "root-generation": "root", "key-request": "certificate", "access-ca": "certificate",
    "issuer-certificate": "certificate", "issuer-rotation": "certificate",
    "certificate-install": "certificate", "revocation-list": "revocation", "tuf-root": "trust",
    "tuf-targets": "trust", "emergency-block": "trust", "key-destruction": "destruction",
    "roster-change": "roster",
}
ACTS = {
    "root-generation": ["generate-key", "certify-root"],
    "key-request": ["generate-key", "request"],
    "access-ca": ["certify-access-ca"],
    "issuer-certificate": ["certify-issuer"],
    "issuer-rotation": ["certify-issuer"],
    "certificate-install": ["install"],
    "revocation-list": ["issue-crl"],
    "tuf-root": ["sign-tuf"],
    "tuf-targets": ["sign-tuf"],
    "emergency-block": ["sign-tuf"],
    "key-destruction": ["destroy-key"],
    "roster-change": ["replace-roster"],
}
CERTIFY = "token ca request common_name days policy out"
STEPS = {  # keys that must stand there, keys that may
    "generate-key": ("token label curve", ""),
    "certify-root": ("token key common_name days policy out", ""),
    "certify-access-ca": (CERTIFY, ""),
    "certify-issuer": (CERTIFY + " operator classes", "replaces"),
    "request": ("token key common_name out", ""),
    "install": ("token key request certificate ca out", ""),
    "issue-crl": ("token ca policy out", "previous revoke reason"),
    "sign-tuf": ("token key role metadata out", "above"),
    "destroy-key": ("token key spki reason", ""),
    "replace-roster": ("next out", ""),
}
READS = ["ca", "request", "certificate", "replaces", "previous", "metadata", "next"]


class Bad(Exception):
    pass


def need(holds, what):
    if not holds:
        raise Bad(what)


def sha256(data):
    return hashlib.sha256(data).digest()


def canonical(value):
    return cbor2.dumps(value, canonical=True)


def decode(data, what):
    """CBOR, deterministic and nothing behind it."""
    try:
        value = cbor2.loads(data)
        again = canonical(value)
    except Exception as error:  # cbor2 raises many kinds on hostile bytes
        raise Bad(f"{what} is not CBOR: {error}") from None
    need(again == data, f"{what} is not deterministic CBOR")
    return value


def is_bytes(value, size=None):
    return type(value) is bytes and (size is None or len(value) == size)


def is_uint(value, below=2**64):
    return type(value) is int and 0 <= value < below


def signed_by(key, message, signature):
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
        public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def toml(data, keys, what, optional=()):
    need(len(data) <= PLAN_LIMIT, f"{what} has more than 64 KiB")
    try:
        value = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Bad(f"{what} is not TOML: {error}") from None
    return table(value, keys, what, optional)


def table(value, keys, what, optional=()):
    need(type(value) is dict, f"{what} is no table")
    for key in keys:
        need(key in value, f"{what} lacks {key}")
    for key in value:
        need(key in keys or key in optional, f"{what} has an unknown key {key}")
    return value


def tables(value, most, what):
    need(type(value) is list and len(value) <= most, f"{what} are not 0 to {most} tables")
    return value


def text(value, form, what):
    need(type(value) is str and form.match(value), f"{what} is not of its form")
    need(form is not NAME or ".." not in value, f"{what} has ..")
    return value


class Roster:
    """Section 4 of key-registry.md, with the two sections about ceremonies."""

    def __init__(self, data):
        value = toml(data, ["officers", "quorum", "witnesses", "ceremony"], "the roster")
        self.officers = self._people(value["officers"], 2, "officers")
        self.witnesses = self._people(value["witnesses"], 1, "witnesses")
        everybody = self.officers + self.witnesses
        for column in [0, 1]:
            distinct = {person[column] for person in everybody}
            need(len(distinct) == len(everybody), "a name or a key stands twice in the roster")
        changes = self._numbers(value["quorum"], CHANGES)
        kinds = self._numbers(value["ceremony"], KINDS)
        self.quorum = dict(zip(KINDS, kinds))
        self.hash = sha256(canonical(
            ["obol roster", self.officers, changes, self.witnesses, kinds]))

    @staticmethod
    def _people(value, least, what):
        need(len(tables(value, 16, what)) >= least, f"fewer than {least} {what}")
        return [Roster._person(table(person, ["name", "public_key"], what)) for person in value]

    @staticmethod
    def _person(person):
        name = text(person["name"], PERSON, "a name")
        written = text(person["public_key"], re.compile(r"[A-Za-z0-9_-]{44}\Z"), "a public key")
        key = base64.urlsafe_b64decode(written)
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
        except ValueError:
            raise Bad(f"the key of {name} is no point of P-256") from None
        return [name, key]

    def _numbers(self, value, names):
        table(value, names, "quorums")
        for name in names:
            need(is_uint(value[name]) and 2 <= value[name] <= len(self.officers),
                 f"quorum {name} is not 2 to the number of officers")
        return [value[name] for name in names]

    def officer(self, key):
        return next((name for name, other in self.officers if other == key), None)

    def people_refused(self, executor, witness):
        if self.officer(executor) is None:
            return "the executor is no officer of the roster"
        if witness not in [key for _, key in self.witnesses]:
            return "the witness is no witness of the roster"
        return None


class Plan:
    """Section 2."""

    def __init__(self, data):
        value = toml(data, ["schema", "act", "title", "steps", "environment"], "the plan",
                     ["waivers", "inputs", "changes"])
        need(type(value["schema"]) is int and value["schema"] == 1, "schema is not 1")
        need(value["act"] in QUORUM, "the act is not known")
        text(value["title"], TEXT, "the title")
        self.act, self.kind = value["act"], QUORUM[value["act"]]
        self._environment(value["environment"])
        self.inputs = self._inputs(value.get("inputs", []))
        self.waivers = value.get("waivers")
        self.since, self.allowed = self._changes(value.get("changes"))
        self.steps = tables(value["steps"], 64, "steps")
        self._check_steps()
        self.hash = sha256(canonical(value))

    def _environment(self, value):
        table(value, ["module_sha256", "tool_sha256"], "environment", ["tokens", "audit"])
        self.audit = LogKey(value["audit"]) if "audit" in value else None
        self.module = bytes.fromhex(text(value["module_sha256"], HEX, "module_sha256"))
        self.tool = bytes.fromhex(text(value["tool_sha256"], HEX, "tool_sha256"))
        found = tables(value.get("tokens", []), 4, "tokens")
        for token in found:
            table(token, ["name", "label", "serial"], "a token")
            text(token["name"], NAME, "a token's name")
            text(token["label"], TEXT, "a token's label")
            text(token["serial"], TEXT, "a token's serial")
        self.tokens = [token["name"] for token in found]
        self.serials = [token["serial"] for token in found]
        need(len(set(self.tokens)) == len(found), "two tokens have one name")
        need(len(set(self.serials)) == len(found), "two tokens have one serial")

    @staticmethod
    def _inputs(value):
        for one in tables(value, 64, "inputs"):
            table(one, ["name", "sha256"], "an input")
            text(one["name"], NAME, "an input's name")
            text(one["sha256"], HEX, "an input's sha256")
        found = {one["name"]: bytes.fromhex(one["sha256"]) for one in value}
        need(len(found) == len(value), "two inputs have one name")
        return found

    @staticmethod
    def _changes(value):
        if value is None:
            return None, set()
        table(value, ["since", "allowed"], "changes")
        return bytes.fromhex(text(value["since"], HEX, "since")), set(value["allowed"])

    def _check_steps(self):
        need(self.steps, "a plan without steps")
        files, keys, used = set(self.inputs), set(), {self.waivers} - {None}
        for step in self.steps:
            need(type(step) is dict and step.get("do") in STEPS, "a step of no known kind")
            must, may = STEPS[step["do"]]
            table(step, ["do", *must.split()], step["do"], may.split())
            need(step["do"] in ACTS[self.act], f"{step['do']} is no step of {self.act}")
            reads = [step[key] for key in READS if key in step] + list(step.get("revoke", []))
            need(all(name in files for name in reads), "a step reads a file that is not there yet")
            used.update(reads)
            if "token" in step:
                need(step["token"] in self.tokens, "a step names an unknown token")
                used.add(("token", step["token"]))
            if step["do"] in ["certify-root", "request"]:
                need((step["token"], step["key"]) in keys, "the key was not generated before")
            if step["do"] == "generate-key":
                need(step["curve"] in ["P-256", "P-384"], "the curve is not known")
                keys.add((step["token"], text(step["label"], TEXT, "a label")))
            if "out" in step:
                need(text(step["out"], NAME, "out") not in files, "two files have one name")
                files.add(step["out"])
        need(set(self.inputs) <= used, "an input that no step uses")
        need({("token", name) for name in self.tokens} <= used, "a token that no step uses")
        replaces = ["replaces" in step for step in self.steps]
        need(not any(replaces) or self.act == "issuer-rotation", "replaces in another act")
        need(self.act != "issuer-rotation" or all(replaces), "a rotation replaces nothing")


class LogKey:
    """The public key of an audit log: audit-log.md section 1."""

    def __init__(self, line):
        need(type(line) is str and line.count("+") >= 2, "audit is no NAME+KEYID+BASE64")
        self.name, self.id, written = line.split("+", 2)
        try:
            data = base64.b64decode(written, validate=True)
            self.key = serialization.load_der_public_key(data[1:])
        except ValueError:
            raise Bad("audit is no public key") from None
        need(re.fullmatch(r"[^\s+]{1,255}", self.name), "audit has no name")
        need(data[:1] == b"\x02" and isinstance(self.key, ec.EllipticCurvePublicKey)
             and self.key.curve.name == "secp256r1", "audit is no P-256 key")
        need(self.id == sha256(data[1:])[:4].hex(), "audit has another key id")

    def head(self, note):
        """Size and root of a checkpoint that this key signed (C2SP signed-note, tlog-checkpoint)."""
        try:
            body, lines = note.decode().split("\n\n", 1)
        except ValueError:
            raise Bad("not a signed note") from None
        need(lines.endswith("\n"), "not a signed note")
        good = [self._signed(line, body + "\n") for line in lines[:-1].split("\n")]
        need(any(good), "not signed by the log's key")
        origin, size, root, *_ = [*body.split("\n"), "", ""]
        need(origin == self.name, "a checkpoint of another log")
        need(re.fullmatch(r"0|[1-9][0-9]*", size), "a size that is no number")
        return int(size), decoded(root, 32)

    def _signed(self, line, text):
        """Whether it is this key's line; a line of the key that does not verify is refused."""
        found = re.fullmatch("\u2014 (\\S+) (\\S+)", line)
        need(found, "a line that is no signature")
        signature = decoded(found[2])
        if found[1] != self.name or signature[:4].hex() != self.id:
            return False
        try:
            self.key.verify(signature[4:], text.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise Bad("the log's signature does not verify") from None
        return True


def decoded(text, size=None):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Bad("not base64") from None
    need(size is None or len(data) == size, "of another length")
    return data


class Approval:
    """Section 4."""

    def __init__(self, data):
        value = decode(data, "the approval")
        need(type(value) is list and len(value) == 3, "an approval has three parts")
        statement, self.officer, signature = value
        need(is_bytes(statement) and is_bytes(self.officer, 33) and is_bytes(signature, 64),
             "the parts of the approval are not of their form")
        said = decode(statement, "the statement")
        need(type(said) is list and len(said) == 8, "a statement has eight parts")
        need(said[0] == "obol ceremony approval", "a statement of another kind")
        (_, self.roster, self.plan, self.id, self.serials, self.tool, self.rehearsal,
         self.not_after) = said
        need(all(is_bytes(one, 32) for one in [self.roster, self.plan, self.tool, self.rehearsal])
             and is_bytes(self.id, 16) and is_uint(self.not_after, 2**32)
             and type(self.serials) is list and all(type(one) is str for one in self.serials),
             "the parts of the statement are not of their form")
        need(signed_by(self.officer, statement, signature), "the signature does not verify")

    def covers(self):
        return self.roster, self.plan, self.id, self.serials, self.tool, self.rehearsal
