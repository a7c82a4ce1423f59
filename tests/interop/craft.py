"""Boarding codes with one thing wrong, signed over what they are.

The CBOR is written by hand here, head by head, because an encoder that obeys the rules cannot
break them. Every head, item, map and byte string has a place (a name such as `claims-exp`), and a
`Twist` says what to do differently at a place. Both signatures are made after the twist, so a
code is refused for the twist and for nothing else.
"""

import hashlib
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric import ec

import pt1

ORDER = {
    pt1.ESP256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    pt1.ESP384: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77A
    * 2**64
    + 0xECEC196ACCC52973,
}

UINT, NINT, BSTR, TSTR, ARRAY, MAP, TAG = range(7)
BREAK = b"\xff"


def key_from(curve, label):
    """The private key every vector can be made again from."""
    alg = pt1.ESP256 if curve.key_size == 256 else pt1.ESP384
    digest = hashlib.sha512(label.encode()).digest()
    return ec.derive_private_key(int.from_bytes(digest, "big") % (ORDER[alg] - 1) + 1, curve)


@dataclass(frozen=True)
class Twist:
    longer: frozenset = frozenset()  # heads written one size longer than needed
    indefinite: frozenset = frozenset()  # arrays, maps and strings of indefinite length
    instead: dict = field(default_factory=dict)  # item -> other bytes
    missing: frozenset = frozenset()  # map entries left out
    doubled: frozenset = frozenset()  # map entries written twice
    swapped: frozenset = frozenset()  # maps with the last two entries exchanged
    added: dict = field(default_factory=dict)  # map -> (key, value), or array -> item
    shortened: frozenset = frozenset()  # arrays without their last item
    after: dict = field(default_factory=dict)  # byte string -> bytes after its content
    signature: dict = field(default_factory=dict)  # "issuer" or "device" -> signature -> signature
    message: dict = field(default_factory=dict)  # the same -> what is signed instead


@dataclass(frozen=True)
class Code:
    issuer_key: object
    device_key: object
    alg: int
    kid: bytes
    x: bytes
    y_is_odd: bool
    exp: int
    iat: int
    cti: bytes
    klass: int
    cap: int
    window_s: int
    status_index: int
    flags: int
    made: int  # the dynamic iat
    nonce: bytes
    counter: int
    version: int = 1
    aud: str = pt1.AUDIENCE
    outer_alg: int = pt1.ESP256
    typ: int = pt1.KEY_BINDING_TOKEN
    twist: Twist = Twist()

    def but(self, **changes):
        return replace(self, **changes)

    def twisted(self, **changes):
        return replace(self, twist=replace(self.twist, **changes))


@dataclass(frozen=True)
class Parts:
    """A code taken apart, and the places it was written at."""

    credential_protected: bytes
    claims: bytes
    issuer_message: bytes
    issuer_signature: bytes
    credential: bytes
    outer_protected: bytes
    dynamic: bytes
    device_message: bytes
    device_signature: bytes
    presentation: bytes
    places: dict

    @property
    def text(self):
        return pt1.PREFIX + pt1.base45_encode(self.presentation)


def assemble(code):
    w = Writer(code.twist)

    protected = w.content(
        "credential-protected",
        w.map(
            "credential-header",
            [("alg", pt1.ALG, w.int, code.alg), ("kid", pt1.KID, w.bstr, code.kid)],
        ),
    )
    claims = w.content("claims-bytes", claims_map(w, code))
    issuer_message = w.message("issuer", pt1.sig_structure(protected, claims))
    issuer_signature = w.signature("issuer", code.issuer_key, issuer_message)
    credential = w.tag(
        "credential-tag",
        pt1.COSE_SIGN1_TAG,
        w.array(
            "credential",
            [
                w.bstr("credential-protected", protected),
                w.map("credential-unprotected", []),
                w.bstr("claims-bytes", claims),
                w.bstr("issuer-signature", issuer_signature),
            ],
        ),
    )

    outer = w.content(
        "outer-protected",
        w.map(
            "outer-header",
            [
                ("alg", pt1.ALG, w.int, code.outer_alg),
                ("kcwt", pt1.KCWT, w.item, credential),
                ("typ", pt1.TYP, w.int, code.typ),
            ],
        ),
    )
    dynamic = w.content(
        "dynamic-bytes",
        w.map(
            "dynamic",
            [
                ("aud", pt1.AUD, w.tstr, code.aud),
                ("iat", pt1.IAT, w.int, code.made),
                ("nonce", pt1.CTI, w.bstr, code.nonce),
                ("counter", pt1.COUNTER, w.int, code.counter),
            ],
        ),
    )
    device_message = w.message("device", pt1.sig_structure(outer, dynamic))
    device_signature = w.signature("device", code.device_key, device_message)
    presentation = w.content(
        "text",
        w.array(
            "presentation",
            [
                w.bstr("outer-protected", outer),
                w.map("outer-unprotected", []),
                w.bstr("dynamic-bytes", dynamic),
                w.bstr("device-signature", device_signature),
            ],
        ),
    )
    return Parts(
        protected,
        claims,
        issuer_message,
        issuer_signature,
        credential,
        outer,
        dynamic,
        device_message,
        device_signature,
        presentation,
        w.places,
    )


def claims_map(w, code):
    cose_key = [
        ("kty", 1, w.int, 2),
        ("crv", -1, w.int, 1),
        ("x", -2, w.bstr, code.x),
        ("y", -3, w.item, b"\xf5" if code.y_is_odd else b"\xf4"),
    ]
    terms = ["version", "class", "cap", "window", "status-index", "flags"]
    values = [code.version, code.klass, code.cap, code.window_s, code.status_index, code.flags]
    cnf = [("key", 1, w.item, w.map("cose-key", cose_key))]
    fare_terms = [
        w.int(f"fare-terms-{name}", value) for name, value in zip(terms, values, strict=True)
    ]
    return w.map(
        "claims",
        [
            ("exp", pt1.EXP, w.int, code.exp),
            ("iat", pt1.IAT, w.int, code.iat),
            ("cti", pt1.CTI, w.bstr, code.cti),
            ("cnf", pt1.CNF, w.item, w.map("cnf", cnf)),
            ("fare-terms", pt1.FARE_TERMS, w.item, w.array("fare-terms", fare_terms)),
        ],
    )


class Writer:
    """CBOR with a twist, and a record of every place by kind."""

    def __init__(self, twist):
        self.twist = twist
        self.places = {kind: {} for kind in ("head", "length", "entry", "map", "array", "content")}

    def int(self, place, value):
        major, number = (UINT, value) if value >= 0 else (NINT, -1 - value)
        return self.item(place, self.head(place, major, number))

    def bstr(self, place, data):
        return self.item(place, self.string(place, BSTR, data))

    def tstr(self, place, text):
        return self.item(place, self.string(place, TSTR, text.encode()))

    def string(self, place, major, data):
        self.places["length"][place] = None
        head = self.head(place, major, len(data))
        if place in self.twist.indefinite:
            return bytes([major << 5 | 31]) + head + data + BREAK
        return head + data

    def array(self, place, items):
        self.places["length"][place] = None
        self.places["array"][place] = None
        if place in self.twist.shortened:
            items = items[:-1]
        if place in self.twist.added:
            items = items + [self.twist.added[place]]
        return self.item(place, self.container(place, ARRAY, len(items), b"".join(items)))

    def map(self, place, entries):
        self.places["length"][place] = None
        self.places["map"][place] = len(entries)
        pairs = []
        for name, key, write, value in entries:
            entry = f"{place}-{name}"
            self.places["entry"][entry] = None
            pair = self.int(f"{entry}-key", key), write(entry, value)
            copies = 0 if entry in self.twist.missing else 2 if entry in self.twist.doubled else 1
            pairs += [pair] * copies
        if place in self.twist.added:
            pairs = sorted(pairs + [self.twist.added[place]])
        if place in self.twist.swapped:
            pairs[-2:] = pairs[:-3:-1]
        body = b"".join(key + value for key, value in pairs)
        return self.item(place, self.container(place, MAP, len(pairs), body))

    def container(self, place, major, count, body):
        if place in self.twist.indefinite:
            return bytes([major << 5 | 31]) + body + BREAK
        return self.head(place, major, count) + body

    def tag(self, place, number, item):
        return self.item(place, self.head(place, TAG, number) + item)

    def item(self, place, encoded):
        return self.twist.instead.get(place, encoded)

    def content(self, place, encoded):
        self.places["content"][place] = None
        return encoded + self.twist.after.get(place, b"")

    def head(self, place, major, number):
        self.places["head"][place] = None
        return head(major, number, longer=place in self.twist.longer)

    def message(self, who, message):
        return self.twist.message.get(who, message)

    def signature(self, who, key, message):
        made = low_s(pt1.sign(key, message), pt1.alg_of(key.public_key()))
        return self.twist.signature.get(who, lambda signature: signature)(made)


def head(major, number, longer=False):
    widths = [(24, None), (2**8, 1), (2**16, 2), (2**32, 4), (2**64, 8)]
    size = next(n for n, (limit, _) in enumerate(widths) if number < limit)
    width = widths[size + longer][1]
    if width is None:
        return bytes([major << 5 | number])
    return bytes([major << 5 | 23 + size + longer]) + number.to_bytes(width, "big")


def low_s(signature, alg):
    half = len(signature) // 2
    s = int.from_bytes(signature[half:], "big")
    return signature[:half] + min(s, ORDER[alg] - s).to_bytes(half, "big")


def high_s(signature):
    """The other signature of the same message, given one with low s."""
    half = len(signature) // 2
    alg = pt1.ESP256 if half == 32 else pt1.ESP384
    s = int.from_bytes(signature[half:], "big")
    return signature[:half] + (ORDER[alg] - s).to_bytes(half, "big")
