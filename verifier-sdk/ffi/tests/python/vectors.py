"""Runs every file of tests/vectors/pt1 through the C ABI: vectors.py LIBRARY FOLDER."""

import ctypes as c
import pathlib
import sys

NAMES_END_IN = ".vec"
ALIGNMENT = 16


class Limits(c.Structure):
    _fields_ = [
        (name, c.c_uint32)
        for name in (
            "struct_size", "keys", "table_chunks", "cached_credentials", "status_lists",
            "stale_grace_s",
        )
    ]


class Key(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("algorithm", c.c_int32),
        ("point", c.c_char_p),
        ("point_len", c.c_size_t),
        ("not_before", c.c_uint32),
        ("not_after", c.c_uint32),
        ("operator_name", c.c_char_p),
        ("operator_len", c.c_size_t),
        ("classes", c.c_uint32),
        ("suspended", c.c_uint32),
    ]


class Result(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("trust_is_stale", c.c_uint32),
        ("rule", c.c_char * 64),
        ("kid", c.c_uint8 * 4),
        ("cti", c.c_uint8 * 8),
        ("nonce", c.c_uint8 * 4),
        ("code_issued_at", c.c_uint32),
        ("counter", c.c_uint32),
        ("credential_issued_at", c.c_uint32),
        ("credential_expires_at", c.c_uint32),
        ("rider_class", c.c_uint32),
        ("cap_minor", c.c_uint32),
        ("window_s", c.c_uint32),
        ("status_index", c.c_uint32),
        ("flags", c.c_uint32),
        ("presentation_len", c.c_uint32),
        ("presentation", c.c_uint8 * 319),
    ]


def sized(structure, **fields):
    return structure(struct_size=c.sizeof(structure), **fields)


class Verifier:
    def __init__(self, library, operator):
        limits = sized(Limits, keys=4, table_chunks=4, cached_credentials=16)
        size = library.obol_verifier_size(c.byref(limits))
        self.library = library
        self.memory = c.create_string_buffer(size + ALIGNMENT)
        address = c.addressof(self.memory)
        self.at = c.c_void_p(address + -address % ALIGNMENT)
        name = operator.encode()
        code = library.obol_verifier_init(
            self.at, c.c_size_t(size), c.byref(limits), name, c.c_size_t(len(name))
        )
        assert code == 0, code

    def trust(self, line):
        fields = dict(field.split("=", 1) for field in line.split(" "))
        point, operator = bytes.fromhex(fields["point"]), fields["operator"].encode()
        key = sized(
            Key,
            algorithm=int(fields["alg"]),
            point=point,
            point_len=len(point),
            not_before=int(fields["not_before"]),
            not_after=int(fields["not_after"]),
            operator_name=operator,
            operator_len=len(operator),
            classes=int(fields["classes"], 16),
            suspended=fields["status"] == "suspended",
        )
        code = self.library.obol_verifier_add_key(self.at, c.byref(key))
        assert code == 0, code

    def scan(self, text, now):
        result = sized(Result)
        code = self.library.obol_verifier_scan(
            self.at, text, c.c_size_t(len(text)), c.c_uint32(now), c.byref(result)
        )
        return self.library.obol_code_name(code).decode(), result


def says(path):
    """What a vector says, and its entries of trust."""
    said, trust = {}, []
    for line in path.read_bytes().decode().split("\n"):
        key, found, value = line.partition(": ")
        if not found or line.startswith("#"):
            continue
        if key == "trust":
            trust.append(value)
        else:
            said[key] = value
    return said, trust


def check(library, path):
    said, trust = says(path)
    verifier = Verifier(library, said["operator"])
    for line in trust:
        verifier.trust(line)
    text = said["text"].encode() if "text" in said else bytes.fromhex(said["text_hex"])
    name, result = verifier.scan(text, int(said["now"]))
    assert name == said["expect"], f"{path.name}: {name}, not {said['expect']}"
    if name == "OK":
        found = (bytes(result.cti).hex(), result.counter, result.rider_class, result.cap_minor)
        expected = (said["cti"], int(said["counter"]), int(said["class"]), int(said["cap"]))
        assert found == expected, f"{path.name}: {found}, not {expected}"


def main():
    library = c.CDLL(sys.argv[1])
    library.obol_verifier_size.restype = c.c_size_t
    library.obol_code_name.restype = c.c_char_p
    vectors = sorted(pathlib.Path(sys.argv[2]).glob("*" + NAMES_END_IN))
    for path in vectors:
        check(library, path)
    print(len(vectors), "vectors hold")


main()
