"""The terminal's C ABI through ctypes: `terminal.py LIBRARY FOLDER`, the folder made by fixture.rs.
The segment is signed by openssl, as a key in a token of the host's would."""

import ctypes as c
import pathlib
import subprocess
import sys


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


def raw(der):
    """r and s of 32 bytes each from a DER ECDSA signature (RFC 3279, 2.2.3)."""
    assert der[0] == 0x30 and der[1] == len(der) - 2
    first = der[3]
    r, s = der[4 : 4 + first], der[6 + first :]
    return b"".join(n.lstrip(b"\0").rjust(32, b"\0") for n in (r, s))


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
        data = bytes(data[:data_len])
        (folder / "input").write_bytes(data)
        key = folder / "terminal.key"
        command = ["openssl", "dgst", "-sha256", "-sign", str(key)]
        der = subprocess.run(command, input=data, capture_output=True, check=True).stdout
        for at, byte in enumerate(raw(der)):
            signature[at] = byte
        return 0

    signer = Signer(c.sizeof(Signer), (c.c_uint8 * 32)(*(folder / "key-id").read_bytes()))
    signer.sign = SIGN(sign)
    good(library.obol_pos_make_journal(path, length, b"12345678", reason, room))
    size = library.obol_pos_size()
    memory = c.create_string_buffer(size + 16)
    at = c.c_void_p((c.addressof(memory) + 15) // 16 * 16)
    # The key file is not there to be read: the key is the host's.
    (folder / "terminal.key").rename(folder / "elsewhere")
    good(library.obol_pos_open(at, c.c_size_t(size), path, length, c.byref(signer), reason, room))
    (folder / "elsewhere").rename(folder / "terminal.key")

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
