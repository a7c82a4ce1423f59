"""Prints freshly minted valid codes as JSON, for another verifier to accept.

    mint.py [N]    N codes, 100 unless given

    {"codes": [{"text", "now", "operator", "trust": [...], "cti", "counter", "class", "cap"}, ...]}

Every code has new keys and random claims; about half of all values are an end of their range, and
clock and validity often stand at the last good second.
"""

import json
import secrets
import sys

from cryptography.hazmat.primitives.asymmetric import ec

import pt1

RANDOM = secrets.SystemRandom()
LAST_SECOND = pt1.TIME_MAX


def main(arguments):
    if len(arguments) > 1 or not all(argument.isdecimal() for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    number = int(arguments[0]) if arguments else 100
    json.dump({"codes": [fresh_code() for _ in range(number)]}, sys.stdout, indent=1)
    print()
    return 0


def fresh_code():
    issuer_key = ec.generate_private_key(RANDOM.choice([ec.SECP256R1(), ec.SECP384R1()]))
    device_key = ec.generate_private_key(ec.SECP256R1())

    lifetime = within(1, pt1.LIFETIME_MAX_S)
    iat = within(0, LAST_SECOND - lifetime)
    exp = iat + lifetime
    window_s = within(1, 65_535)
    now = within(max(0, iat - pt1.SKEW_S), exp - 1)
    age_max = min(window_s, pt1.LONGEST_WINDOW_S) + pt1.SKEW_S
    made = within(max(0, now - age_max, iat - pt1.SKEW_S), min(now + pt1.SKEW_S, exp - 1))

    klass, cap, counter = within(0, 31), within(0, pt1.CAP_MAX), within(1, pt1.COUNTER_MAX)
    cti = secrets.token_bytes(8)
    credential = pt1.mint_credential(
        issuer_key,
        device_key.public_key(),
        exp=exp,
        iat=iat,
        cti=cti,
        klass=klass,
        cap=cap,
        window_s=window_s,
        status_index=within(0, pt1.STATUS_INDEX_MAX),
        flags=within(0, 255),
    )
    text = pt1.present(
        device_key, credential, iat=made, nonce=secrets.token_bytes(4), counter=counter
    )

    operator = RANDOM.choice(["north-line", "south-line"])
    public = issuer_key.public_key()
    entry = pt1.TrustEntry(
        kid=pt1.kid_of(public),
        alg=pt1.alg_of(public),
        point=pt1.point_of(public),
        not_before=within(0, min(iat, now)),
        not_after=within(max(iat, now), LAST_SECOND),
        operator=operator,
        classes=RANDOM.getrandbits(32) | 1 << klass,
        status="trusted",
    )
    verified = pt1.verify(text, now, operator, [entry])
    return {
        "text": text,
        "now": now,
        "operator": operator,
        "trust": [entry.to_fields()],
        **verified.summary(),
    }


def within(low, high):
    """An end of the range as often as not, else a value of any magnitude."""
    if RANDOM.random() < 0.5:
        return RANDOM.choice([low, high])
    span = RANDOM.randint(0, high - low)
    return low + (span >> RANDOM.randrange(span.bit_length() + 1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
