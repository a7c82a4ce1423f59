"""PT1 in Python, written from docs/spec/pt1.md alone.

It shares no code and no library with the Rust verifier: base45 is written out here, CBOR is
cbor2, signatures are the OpenSSL inside `cryptography`. Where the two disagree, one of them has
misread the specification.

    verify(text, now, operator, trust) -> Verified, or raises Refused(code, rule, why)
    mint_credential(...), present(...) -> a boarding code
"""

import hashlib
from dataclasses import dataclass

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PREFIX = "PT1:"
AUDIENCE = "P1"
TEXT_MAX = 483
PRESENTATION_MAX = 319
SKEW_S = 30
LONGEST_WINDOW_S = 60
LIFETIME_MAX_S = 172_800
TIME_MAX = COUNTER_MAX = CAP_MAX = STATUS_INDEX_MAX = 2**32 - 1

ESP256 = -9
ESP384 = -51
# algorithm -> (curve, hash, bytes of r and of s)
ALGORITHMS = {
    ESP256: (ec.SECP256R1(), hashes.SHA256(), 32),
    ESP384: (ec.SECP384R1(), hashes.SHA384(), 48),
}

ALG, KID, KCWT, TYP = 1, 4, 13, 16
AUD, EXP, IAT, CTI, CNF, FARE_TERMS, COUNTER = 3, 4, 6, 7, 8, -65537, -65538
KEY_BINDING_TOKEN = 294
COSE_SIGN1_TAG = 18

# Section 4: the code each rule refuses with.
CODE_OF_RULE = {
    1: "UNKNOWN_SCHEME",
    2: "MALFORMED",
    3: "MALFORMED",
    4: "UNKNOWN_SCHEME",
    5: "UNKNOWN_KEY",
    6: "KEY_SUSPENDED",
    7: "OUT_OF_SCOPE",
    8: "OUT_OF_SCOPE",
    9: "CRED_EXPIRED",
    10: "CODE_FUTURE",
    11: "CODE_STALE",
    12: "CODE_STALE",
    13: "DEVICE_SIG",
    14: "ISSUER_SIG",
}


class Refused(Exception):
    """A code that is not to be honoured: the first broken rule, its refusal code, and why."""

    def __init__(self, rule, why):
        super().__init__(f"rule {rule}: {why}")
        self.rule = rule
        self.code = CODE_OF_RULE[rule]
        self.why = why


@dataclass(frozen=True)
class TrustEntry:
    kid: bytes
    alg: int
    point: bytes  # SEC1
    not_before: int  # first good second
    not_after: int  # last good second
    operator: str
    classes: int  # bit n stands for class n
    status: str  # "trusted" or "suspended"

    @classmethod
    def from_fields(cls, fields):
        """From the names and text values of a vector's trust line or of a JSON object."""
        entry = cls(
            kid=bytes.fromhex(fields["kid"]),
            alg=int(fields["alg"]),
            point=bytes.fromhex(fields["point"]),
            not_before=int(fields["not_before"]),
            not_after=int(fields["not_after"]),
            operator=fields["operator"],
            classes=int(fields["classes"], 16),
            status=fields["status"],
        )
        if entry.status not in ("trusted", "suspended") or entry.alg not in ALGORITHMS:
            raise ValueError(f"not a trust entry: {fields}")
        return entry

    def to_fields(self):
        return {
            "kid": self.kid.hex(),
            "alg": self.alg,
            "point": self.point.hex(),
            "not_before": self.not_before,
            "not_after": self.not_after,
            "operator": self.operator,
            "classes": f"{self.classes:08x}",
            "status": self.status,
        }


@dataclass(frozen=True)
class Signed:
    """What a signature covers and the signature, as received."""

    protected: bytes
    payload: bytes
    signature: bytes

    def sig_structure(self):
        return sig_structure(self.protected, self.payload)


@dataclass(frozen=True)
class Credential:
    signed: Signed
    encoded: bytes  # with its tag
    alg: int
    kid: bytes
    exp: int
    iat: int
    cti: bytes
    x: bytes
    y_is_odd: bool
    klass: int
    cap: int
    window_s: int
    status_index: int
    flags: int


@dataclass(frozen=True)
class Presentation:
    signed: Signed
    credential: Credential
    aud: str
    iat: int
    nonce: bytes
    counter: int


@dataclass(frozen=True)
class Verified:
    presentation: Presentation
    entry: TrustEntry

    def summary(self):
        credential = self.presentation.credential
        return {
            "cti": credential.cti.hex(),
            "counter": self.presentation.counter,
            "class": credential.klass,
            "cap": credential.cap,
        }


# --- verification -----------------------------------------------------------------------------


def verify(text, now, operator, trust):
    """Section 4, rule by rule."""
    require(1, text.startswith(PREFIX), "another scheme")

    require(2, len(text) <= TEXT_MAX, "too long a text")
    encoded = base45_decode(text[len(PREFIX) :])
    require(2, len(encoded) <= PRESENTATION_MAX, "too long a presentation")

    presentation = read_presentation(encoded)
    credential = presentation.credential

    require(4, presentation.aud == AUDIENCE, f"meant for {presentation.aud!r}")

    entry = next((e for e in trust if (e.kid, e.alg) == (credential.kid, credential.alg)), None)
    require(5, entry is not None, "no such key")
    require(6, entry.status != "suspended", "suspended key")
    for time in (credential.iat, now):
        require(7, entry.not_before <= time <= entry.not_after, "outside the key's validity")
    require(8, entry.operator == operator, "another operator's key")
    require(8, entry.classes >> credential.klass & 1 == 1, "a class the key may not name")

    require(9, now < credential.exp, "the credential has expired")
    require(9, presentation.iat < credential.exp, "made after the credential's end")
    require(10, now - presentation.iat >= -SKEW_S, "a code of the future")
    require(10, now - credential.iat >= -SKEW_S, "a credential of the future")
    age_max = min(credential.window_s, LONGEST_WINDOW_S) + SKEW_S
    require(11, now - presentation.iat <= age_max, "an old code")
    require(12, presentation.iat - credential.iat >= -SKEW_S, "older than its credential")

    require(13, device_signature_verifies(presentation), "device signature")
    require(14, signature_verifies(credential.alg, entry.point, credential.signed), "issuer's")
    return Verified(presentation, entry)


def device_signature_verifies(presentation):
    credential = presentation.credential
    point = bytes([3 if credential.y_is_odd else 2]) + credential.x
    return signature_verifies(ESP256, point, presentation.signed)


def signature_verifies(alg, point, signed):
    curve, hash_, half = ALGORITHMS[alg]
    r = int.from_bytes(signed.signature[:half], "big")
    s = int.from_bytes(signed.signature[half:], "big")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
        key.verify(encode_dss_signature(r, s), signed.sig_structure(), ec.ECDSA(hash_))
    except (ValueError, InvalidSignature):
        return False
    return True


def require(rule, holds, why):
    if not holds:
        raise Refused(rule, why)


# --- sections 2 and 3: the schema -------------------------------------------------------------


def read_presentation(encoded):
    parts = read_sign1(deterministic(encoded), [64])
    header = exact_map(deterministic(parts.protected), ALG, KCWT, TYP)
    require(3, is_int(header[ALG]) and header[ALG] == ESP256, "outer algorithm")
    require(3, is_int(header[TYP]) and header[TYP] == KEY_BINDING_TOKEN, "outer type")
    dynamic = exact_map(deterministic(parts.payload), AUD, IAT, CTI, COUNTER)
    aud = dynamic[AUD]
    require(3, type(aud) is str and len(aud.encode()) <= 16, "aud")
    return Presentation(
        signed=parts,
        credential=read_credential(header[KCWT]),
        aud=aud,
        iat=uint(dynamic[IAT], 0, TIME_MAX),
        nonce=bstr(dynamic[CTI], 4),
        counter=uint(dynamic[COUNTER], 0, COUNTER_MAX),
    )


def read_credential(item):
    require(3, type(item) is cbor2.CBORTag and item.tag == COSE_SIGN1_TAG, "kcwt is not tag 18")
    parts = read_sign1(item.value, [64, 96])
    header = exact_map(deterministic(parts.protected), ALG, KID)
    alg = header[ALG]
    require(3, is_int(alg) and alg in ALGORITHMS, "issuer algorithm")
    require(3, len(parts.signature) == 2 * ALGORITHMS[alg][2], "size of the issuer's signature")

    claims = exact_map(deterministic(parts.payload), EXP, IAT, CTI, CNF, FARE_TERMS)
    exp, iat = uint(claims[EXP], 0, TIME_MAX), uint(claims[IAT], 0, TIME_MAX)
    require(3, 1 <= exp - iat <= LIFETIME_MAX_S, "lifetime")

    key = exact_map(exact_map(claims[CNF], 1)[1], 1, -1, -2, -3)
    require(3, is_int(key[1]) and key[1] == 2, "kty")
    require(3, is_int(key[-1]) and key[-1] == 1, "crv")
    require(3, type(key[-3]) is bool, "y")

    terms = exact_array(claims[FARE_TERMS], 6)
    uint(terms[0], 1, 1)
    return Credential(
        signed=parts,
        encoded=cbor2.dumps(item, canonical=True),
        alg=alg,
        kid=bstr(header[KID], 4),
        exp=exp,
        iat=iat,
        cti=bstr(claims[CTI], 8),
        x=bstr(key[-2], 32),
        y_is_odd=key[-3],
        klass=uint(terms[1], 0, 31),
        cap=uint(terms[2], 0, CAP_MAX),
        window_s=uint(terms[3], 1, 65_535),
        status_index=uint(terms[4], 0, STATUS_INDEX_MAX),
        flags=uint(terms[5], 0, 255),
    )


def read_sign1(item, signature_sizes):
    protected, unprotected, payload, signature = exact_array(item, 4)
    exact_map(unprotected)
    return Signed(bstr(protected), bstr(payload), bstr(signature, *signature_sizes))


def deterministic(encoded):
    """Decode, and refuse whatever cbor2 would have written otherwise.

    Encoding again catches long heads, indefinite lengths, unsorted and doubled keys and trailing
    bytes at once. cbor2's canonical order is shortest key first, which is bytewise order for every
    key PT1 knows; the others are refused by the schema.
    """
    try:
        item = cbor2.loads(encoded)
        again = cbor2.dumps(item, canonical=True)
    except Exception as error:  # cbor2's tag decoders let any exception through
        raise Refused(3, f"not CBOR: {error}") from error
    require(3, again == encoded, "not deterministic CBOR")
    return item


def exact_map(item, *keys):
    require(3, type(item) is dict, "not a map")
    # True == 1 and 1.0 == 1 in Python, so the types of the keys count too.
    require(3, all(is_int(key) for key in item) and set(item) == set(keys), "keys of a map")
    return item


def exact_array(item, length):
    require(3, type(item) is list and len(item) == length, "not an array of that length")
    return item


def uint(item, low, high):
    require(3, is_int(item) and low <= item <= high, "not an integer in range")
    return item


def bstr(item, *sizes):
    require(3, type(item) is bytes, "not a byte string")
    require(3, not sizes or len(item) in sizes, "size of a byte string")
    return item


def is_int(item):
    return type(item) is int


# --- minting ----------------------------------------------------------------------------------


def kid_of(public_key):
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()[:4]


def point_of(public_key, compressed=False):
    form = PublicFormat.CompressedPoint if compressed else PublicFormat.UncompressedPoint
    return public_key.public_bytes(Encoding.X962, form)


def alg_of(public_key):
    return ESP256 if isinstance(public_key.curve, ec.SECP256R1) else ESP384


def mint_credential(
    issuer_key, device_public_key, *, exp, iat, cti, klass, cap, window_s, status_index, flags=0
):
    """A credential for the device key, with its tag."""
    public = issuer_key.public_key()
    alg = alg_of(public)
    device = point_of(device_public_key, compressed=True)
    claims = {
        EXP: exp,
        IAT: iat,
        CTI: cti,
        CNF: {1: {1: 2, -1: 1, -2: device[1:], -3: device[0] == 3}},
        FARE_TERMS: [1, klass, cap, window_s, status_index, flags],
    }
    parts = sign1(issuer_key, {ALG: alg, KID: kid_of(public)}, claims)
    return cbor2.dumps(cbor2.CBORTag(COSE_SIGN1_TAG, parts), canonical=True)


def present(device_key, credential, *, iat, nonce, counter, aud=AUDIENCE):
    """A boarding code: the credential, signed once more by the phone."""
    header = {ALG: ESP256, KCWT: cbor2.loads(credential), TYP: KEY_BINDING_TOKEN}
    dynamic = {AUD: aud, IAT: iat, CTI: nonce, COUNTER: counter}
    parts = sign1(device_key, header, dynamic)
    return PREFIX + base45_encode(cbor2.dumps(parts, canonical=True))


def sign1(key, header, payload):
    protected = cbor2.dumps(header, canonical=True)
    payload = cbor2.dumps(payload, canonical=True)
    return [protected, {}, payload, sign(key, sig_structure(protected, payload))]


def sign(key, message):
    """r || s; deterministic (RFC 6979), so that a vector can be made again."""
    _, hash_, half = ALGORITHMS[alg_of(key.public_key())]
    der = key.sign(message, ec.ECDSA(hash_, deterministic_signing=True))
    return b"".join(part.to_bytes(half, "big") for part in decode_dss_signature(der))


def sig_structure(protected, payload):
    return cbor2.dumps(["Signature1", protected, b"", payload], canonical=True)


# --- base45 (RFC 9285) ------------------------------------------------------------------------

BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
BASE45_VALUE = {character: value for value, character in enumerate(BASE45)}


def base45_encode(data):
    out = []
    for at in range(0, len(data), 2):
        chunk = data[at : at + 2]
        out.append(base45_group(int.from_bytes(chunk, "big"), 3 if len(chunk) == 2 else 2))
    return "".join(out)


def base45_group(value, length):
    characters = []
    for _ in range(length):
        value, digit = divmod(value, 45)
        characters.append(BASE45[digit])
    return "".join(characters)


def base45_decode(text):
    require(2, len(text) % 3 != 1, "base45 of 3n + 1 characters")
    require(2, all(c in BASE45_VALUE for c in text), "a character outside base45")
    out = bytearray()
    for at in range(0, len(text), 3):
        group = text[at : at + 3]
        value = sum(BASE45_VALUE[c] * 45**place for place, c in enumerate(group))
        size = len(group) - 1
        require(2, value < 256**size, "a base45 group above its bytes")
        out += value.to_bytes(size, "big")
    return bytes(out)
