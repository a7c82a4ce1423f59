"""The terminal's C ABI through ctypes: `terminal.py LIBRARY FOLDER`, the folder made by fixture.rs.
The segment is signed by a key in a PKCS#11 token, through the host's port: its key file is none."""

import ctypes as c
import hashlib
import os
import pathlib
import subprocess
import sys

MODULE = next(
    path
    for path in map(
        pathlib.Path,
        [
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib64/softhsm/libsofthsm2.so",
            "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
            "/usr/local/lib/softhsm/libsofthsm2.so",
        ],
    )
    if path.exists()
).as_posix()


class Decision(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("opening", c.c_uint32),
        ("seq", c.c_uint64),
        ("accepted_at", c.c_uint32),
        ("fare_minor", c.c_uint32),
        ("fare_rule", c.c_uint32),
        ("flags", c.c_uint32),
        ("currency", c.c_char * 4),
        ("rule", c.c_char * 96),
    ]


SIGN = c.CFUNCTYPE(
    c.c_int32, c.c_void_p, c.POINTER(c.c_uint8), c.c_size_t, c.POINTER(c.c_uint8)
)


class Signer(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("key_id", c.c_uint8 * 32),
        ("host", c.c_void_p),
        ("sign", SIGN),
    ]


class Token:
    """A key on P-256 that SoftHSM holds; pkcs11-tool speaks to it."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "tokens").mkdir()
        conf = folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {folder}/tokens\n")
        self.environment = dict(os.environ, SOFTHSM2_CONF=str(conf))
        pins = ["--so-pin", "12345678", "--pin", "1234"]
        self.run("softhsm2-util", "--init-token", "--free", "--label", "bus", *pins)
        self.tool("--keypairgen", "--key-type", "EC:prime256v1", "--id", "01")
        spki = folder / "spki.der"
        self.tool("--read-object", "--type", "pubkey", "--id", "01", "-o", str(spki))
        self.key_id = hashlib.sha256(spki.read_bytes()).digest()

    def run(self, *command):
        subprocess.run(command, env=self.environment, capture_output=True, check=True)

    def tool(self, *arguments):
        login = ["--module", MODULE, "--token-label", "bus", "--login", "--pin", "1234"]
        self.run("pkcs11-tool", *login, *arguments)

    def sign(self, data):
        """r and s, as the tool writes them for CKM_ECDSA."""
        digest, signature = self.folder / "digest", self.folder / "signature"
        digest.write_bytes(hashlib.sha256(data).digest())
        files = ["--input-file", str(digest), "--output-file", str(signature)]
        self.tool("--sign", "--mechanism", "ECDSA", "--id", "01", *files)
        return signature.read_bytes()


def main():
    library, folder = c.CDLL(sys.argv[1]), pathlib.Path(sys.argv[2])
    library.obol_pos_size.restype = c.c_size_t
    library.obol_pos_code_name.restype = c.c_char_p
    path, reason = str(folder).encode(), c.create_string_buffer(200)
    length, room = c.c_size_t(len(path)), c.c_size_t(len(reason))
    now = int((folder / "now").read_text())

    def good(code):
        assert code == 0, (library.obol_pos_code_name(code), reason.value)

    def sign(_host, data, data_len, signature):
        for at, byte in enumerate(token.sign(bytes(data[:data_len]))):
            signature[at] = byte
        return 0

    token = Token(folder)
    (folder / "terminal.key").unlink()
    signer = Signer(c.sizeof(Signer), (c.c_uint8 * 32)(*token.key_id))
    signer.sign = SIGN(sign)
    good(library.obol_pos_make_journal(path, length, b"12345678", reason, room))
    size = library.obol_pos_size()
    memory = c.create_string_buffer(size + 16)
    at = c.c_void_p((c.addressof(memory) + 15) // 16 * 16)
    good(library.obol_pos_open(at, c.c_size_t(size), path, length, c.byref(signer), reason, room))

    def scan(name):
        text, decision = (folder / name).read_bytes(), Decision(c.sizeof(Decision))
        code = library.obol_pos_scan(
            at, text, c.c_size_t(len(text)), c.c_uint32(now), c.byref(decision)
        )
        return library.obol_pos_code_name(code).decode(), decision

    name, decision = scan("code")
    assert (name, decision.opening, decision.seq) == ("OK", 1, 1), name
    assert (decision.currency, decision.fare_minor) == (b"CNY", 200)
    good(library.obol_pos_opened(at, c.c_uint32(now)))
    assert scan("code")[0] == "DUPLICATE"
    assert scan("stale")[0] == "CODE_STALE"
    segment, found, first = c.create_string_buffer(1 << 20), c.c_size_t(), c.c_uint64()
    good(
        library.obol_pos_next_segment(
            at, segment, c.c_size_t(1 << 20), c.byref(found), c.byref(first), reason, room
        )
    )
    (folder / "segment").write_bytes(segment.raw[: found.value])
    good(library.obol_pos_close(at))
    print("a terminal in Python")


main()
