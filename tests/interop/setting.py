"""The keys, the clock, the trust store and the usual code of the vectors."""

from cryptography.hazmat.primitives.asymmetric import ec

import pt1
from craft import Code, assemble, key_from
from vectors import Case

HOUR_S = 3_600
DAY_S = 24 * HOUR_S
T = 1_800_000_000  # 2027-01-15T08:00:00Z
OPERATOR = "north-line"

P256, P384 = ec.SECP256R1(), ec.SECP384R1()
ISSUER = key_from(P384, "PT1 vectors: issuer")
ISSUER_256 = key_from(P256, "PT1 vectors: ESP256 issuer")
OTHER_ISSUER = key_from(P384, "PT1 vectors: other issuer")
DEVICE = key_from(P256, "PT1 vectors: device")
OTHER_DEVICE = key_from(P256, "PT1 vectors: second device")

# Found by trying labels: 32 bits of kid collide after some 2^16 keys.
SAME_KID = key_from(P384, "PT1 vectors: P384 kid 6474")
SAME_KID_256 = key_from(P256, "PT1 vectors: P256 kid 70940")
SAME_KID_OTHER = (
    key_from(P384, "PT1 vectors: P384 kid 45912"),
    key_from(P384, "PT1 vectors: P384 kid 142835"),
)


def signed_by(issuer_key, code):
    public = issuer_key.public_key()
    return code.but(issuer_key=issuer_key, alg=pt1.alg_of(public), kid=pt1.kid_of(public))


def held_by(device_key, code):
    point = pt1.point_of(device_key.public_key(), compressed=True)
    return code.but(device_key=device_key, x=point[1:], y_is_odd=point[0] == 3)


USUAL = Code(
    issuer_key=ISSUER,
    device_key=DEVICE,
    alg=pt1.ESP384,
    kid=pt1.kid_of(ISSUER.public_key()),
    x=pt1.point_of(DEVICE.public_key(), compressed=True)[1:],
    y_is_odd=pt1.point_of(DEVICE.public_key(), compressed=True)[0] == 3,
    exp=T + 23 * HOUR_S,
    iat=T - HOUR_S,
    cti=bytes.fromhex("c0ffee0123456789"),
    klass=1,
    cap=500,
    window_s=45,
    status_index=4_711,
    flags=0,
    made=T - 5,
    nonce=bytes.fromhex("5eed0001"),
    counter=1_021,
)

# Every number at its top: the longest presentation there is, 313 bytes.
FULLEST = USUAL.but(
    exp=2**32 - 1,
    iat=2**32 - 2,
    klass=31,
    cap=2**32 - 1,
    window_s=65_535,
    status_index=2**32 - 1,
    flags=255,
    made=2**32 - 2,
    counter=2**32 - 1,
)


def entry_of(
    issuer_key,
    not_before=T - 30 * DAY_S,
    not_after=T + 335 * DAY_S,
    operator=OPERATOR,
    classes=0xFFFFFFFF,
    status="trusted",
):
    public = issuer_key.public_key()
    return pt1.TrustEntry(
        kid=pt1.kid_of(public),
        alg=pt1.alg_of(public),
        point=pt1.point_of(public),
        not_before=not_before,
        not_after=not_after,
        operator=operator,
        classes=classes,
        status=status,
    )


TRUST = [entry_of(ISSUER), entry_of(ISSUER_256)]


def accepted(name, comments, code, now=T, trust=None):
    summary = {
        "cti": code.cti.hex(),
        "counter": code.counter,
        "class": code.klass,
        "cap": code.cap,
    }
    return Case(name, comments, None, now, OPERATOR, trust or TRUST, assemble(code).text, summary)


def refused(rule, name, comments, code, now=T, operator=OPERATOR, trust=None, text=None):
    """Refused by that rule before any other."""
    text = text or assemble(code).text
    return Case(name, comments, rule, now, operator, trust or TRUST, text)
