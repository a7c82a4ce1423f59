"""The cases of tests/vectors/pt1/: accepted codes, and at least one refused code for each rule.

The malformed ones are in `malformed.py`.
"""

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import malformed
import pt1
from craft import ORDER, assemble, high_s
from setting import (
    DAY_S,
    DEVICE,
    FULLEST,
    HOUR_S,
    ISSUER,
    ISSUER_256,
    OTHER_DEVICE,
    OTHER_ISSUER,
    SAME_KID,
    SAME_KID_256,
    SAME_KID_OTHER,
    USUAL,
    T,
    accepted,
    entry_of,
    held_by,
    refused,
    signed_by,
)


def every_case():
    cases = [
        worked_example(),
        *accepted_codes(),
        *time_edges(),
        *rule_1(),
        *malformed.cases(),
        *rule_4(),
        *rules_5_and_6(),
        *rule_7(),
        *rule_8(),
        *rule_9(),
        *rule_10(),
        *rules_11_and_12(),
        *rule_13(),
        *rule_14(),
        *first_broken_rule(),
    ]
    names = [case.name for case in cases]
    assert len(names) == len(set(names)), "two cases of one name"
    return cases


def worked_example():
    parts = assemble(USUAL)
    issuer_public, device_public = ISSUER.public_key(), DEVICE.public_key()
    spki = issuer_public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    steps = [
        ("issuer private key (published here, so of no worth)", private_bytes(ISSUER)),
        ("issuer SubjectPublicKeyInfo, DER", spki),
        ("kid: the first four bytes of its SHA-256", USUAL.kid),
        ("device private key (published here, so of no worth)", private_bytes(DEVICE)),
        ("device public key, compressed point", pt1.point_of(device_public, compressed=True)),
        ("claims", parts.claims),
        ("protected header of the credential", parts.credential_protected),
        ("Sig_structure of the credential", parts.issuer_message),
        ("issuer signature, ESP384", parts.issuer_signature),
        ("credential", parts.credential),
        ("dynamic part", parts.dynamic),
        ("protected header of the presentation", parts.outer_protected),
        ("Sig_structure of the presentation", parts.device_message),
        ("device signature, ESP256", parts.device_signature),
        (f"presentation, {len(parts.presentation)} bytes", parts.presentation),
    ]
    comments = ["The example of section 8: every part in hex, in the order they are made."]
    for title, part in steps:
        comments += ["", f"{title}:", *wrapped(part.hex())]
    comments += ["", f"boarding code: {len(parts.text)} characters, at `text` below."]
    return accepted("worked-example", comments, USUAL)


def private_bytes(key):
    return key.private_numbers().private_value.to_bytes(key.curve.key_size // 8, "big")


def wrapped(text, width=96):
    return [text[at : at + width] for at in range(0, len(text), width)]


def accepted_codes():
    smallest = signed_by(ISSUER_256, USUAL).but(
        exp=1, iat=0, klass=0, cap=0, window_s=1, status_index=0, flags=0, made=0, counter=1
    )
    largest = FULLEST
    odd, even = by_sign_of_y()
    kid_shared = [entry_of(SAME_KID_256), entry_of(SAME_KID)]
    return [
        accepted("a-code-of-an-esp384-issuer-is-accepted", ["ESP384, all in range."], USUAL),
        accepted(
            "a-code-of-an-esp256-issuer-is-accepted",
            ["ESP256, as the trust store pins it for the kid; 64 bytes of issuer signature."],
            signed_by(ISSUER_256, USUAL),
        ),
        accepted(
            "the-smallest-values-are-accepted",
            [
                "Time, class, cap, status index and flags 0, counter 1, window and lifetime 1 s.",
                "Every number has the shortest head, the dynamic part included.",
            ],
            smallest,
            now=0,
            trust=[entry_of(ISSUER_256, not_before=0)],
        ),
        accepted(
            "the-largest-values-are-accepted",
            ["The last second there is, class 31, every other number at its top: 313 bytes."],
            largest,
            now=largest.made,
            trust=[entry_of(ISSUER, not_before=0, not_after=2**32 - 1)],
        ),
        accepted("a-device-key-of-odd-y-is-accepted", ["-3 is true."], odd),
        accepted("a-device-key-of-even-y-is-accepted", ["-3 is false."], even),
        *(
            accepted(
                f"{whose}-of-{height}-accepted",
                ["High and low s are both valid."],
                USUAL.twisted(signature=dict.fromkeys(who, change)),
            )
            for whose, who, height, change in [
                ("an-issuer-signature", ["issuer"], "high-s-is", high_s),
                ("an-issuer-signature", ["issuer"], "low-s-is", as_it_is),
                ("a-device-signature", ["device"], "high-s-is", high_s),
                ("a-device-signature", ["device"], "low-s-is", as_it_is),
                ("both-signatures", ["issuer", "device"], "high-s-are", high_s),
            ]
        ),
        accepted(
            "flags-are-ignored",
            ["flags 255; version 1 gives them no meaning."],
            USUAL.but(flags=255),
        ),
        accepted(
            "a-cap-of-nothing-is-accepted",
            ["The cap is compared with the fare after verification, not during it."],
            USUAL.but(cap=0),
        ),
        accepted(
            "two-algorithms-may-share-a-kid",
            [
                "The kid of an ESP256 key and of an ESP384 key are equal by chance (both are real",
                "digests). The entry is found by kid and algorithm together.",
            ],
            signed_by(SAME_KID, USUAL),
            trust=kid_shared,
        ),
        accepted(
            "a-suspended-key-of-the-same-kid-and-another-algorithm-does-no-harm",
            ["The ESP256 key with the same kid is suspended, the ESP384 key is not."],
            signed_by(SAME_KID, USUAL),
            trust=[replace(kid_shared[0], status="suspended"), kid_shared[1]],
        ),
        accepted(
            "the-entry-is-found-among-others",
            ["Three other keys stand before the right one."],
            USUAL,
            trust=[
                entry_of(OTHER_ISSUER),
                entry_of(ISSUER_256),
                entry_of(SAME_KID),
                entry_of(ISSUER),
            ],
        ),
        accepted(
            "class-31-is-the-top-bit-of-the-classes",
            ["The entry may name class 31 alone."],
            USUAL.but(klass=31),
            trust=[entry_of(ISSUER, classes=0x80000000)],
        ),
        accepted(
            "class-0-is-the-lowest-bit-of-the-classes",
            ["The entry may name class 0 alone."],
            USUAL.but(klass=0),
            trust=[entry_of(ISSUER, classes=1)],
        ),
    ]


def by_sign_of_y():
    """The usual code held by a key of odd and by one of even y."""
    codes = {code.y_is_odd: code for code in (USUAL, held_by(OTHER_DEVICE, USUAL))}
    return codes[True], codes[False]


def as_it_is(signature):
    """Crafted signatures have low s."""
    return signature


def time_edges():
    lasting = USUAL.but(iat=T - 2 * DAY_S, exp=T)
    validity = [entry_of(ISSUER, not_before=T - HOUR_S, not_after=T)]
    return [
        accepted(
            "a-lifetime-of-two-days-is-accepted",
            ["exp - iat is 172 800 s."],
            lasting.but(made=T - 5, exp=T, iat=T - 172_800),
            now=T - 1,
        ),
        accepted(
            "a-lifetime-of-one-second-is-accepted",
            ["exp - iat is 1 s."],
            USUAL.but(iat=T, exp=T + 1, made=T),
        ),
        accepted(
            "a-credential-is-good-until-the-second-before-exp",
            ["now is exp - 1, and so is the dynamic iat."],
            USUAL.but(exp=T + 1, made=T),
        ),
        accepted(
            "a-code-made-30-s-from-now-is-accepted",
            ["Rule 10, the edge: now - dynamic iat is -30."],
            USUAL.but(made=T + 30),
        ),
        accepted(
            "a-credential-issued-30-s-from-now-is-accepted",
            [
                "Rule 10, the edge: now - credential iat is -30. The dynamic iat is now, so rule 12",
                "stands at its edge too.",
            ],
            USUAL.but(iat=T + 30, made=T),
        ),
        accepted(
            "a-code-of-the-first-seconds-of-the-clock-is-accepted",
            ["now is 0 and the dynamic iat 30: a difference below zero must not wrap around."],
            USUAL.but(iat=0, exp=DAY_S, made=30),
            now=0,
            trust=[entry_of(ISSUER, not_before=0)],
        ),
        accepted(
            "a-code-in-the-last-second-of-its-window-is-accepted",
            ["Rule 11, the edge: W is 45, the code is 75 s old."],
            USUAL.but(made=T - 75),
        ),
        accepted(
            "a-code-in-the-last-second-of-the-longest-window-is-accepted",
            ["Rule 11, the edge: W is 60, the code is 90 s old."],
            USUAL.but(window_s=60, made=T - 90),
        ),
        accepted(
            "a-code-in-the-last-second-of-the-shortest-window-is-accepted",
            ["Rule 11, the edge: W is 1, the code is 31 s old."],
            USUAL.but(window_s=1, made=T - 31),
        ),
        accepted(
            "a-window-of-65535-s-counts-as-60",
            ["Rule 11, the edge: W is 65 535, the code is 90 s old."],
            USUAL.but(window_s=65_535, made=T - 90),
        ),
        accepted(
            "a-code-made-30-s-before-its-credential-is-accepted",
            ["Rule 12, the edge: dynamic iat - credential iat is -30."],
            USUAL.but(iat=T - 10, made=T - 40),
        ),
        accepted(
            "the-first-second-of-a-keys-validity-counts",
            ["Rule 7, the edge: credential iat and now are both not_before."],
            USUAL.but(iat=T, made=T),
            trust=[entry_of(ISSUER, not_before=T, not_after=T + DAY_S)],
        ),
        accepted(
            "the-last-second-of-a-keys-validity-counts",
            ["Rule 7, the edge: now is not_after. The credential's exp may lie beyond it."],
            USUAL,
            trust=validity,
        ),
        accepted(
            "a-validity-of-one-second-counts",
            ["Rule 7: not_before, not_after, credential iat and now are one second."],
            USUAL.but(iat=T, made=T),
            trust=[entry_of(ISSUER, not_before=T, not_after=T)],
        ),
    ]


def rule_1():
    text = assemble(USUAL).text
    rest = text.removeprefix("PT1:")
    return [
        refused(1, name, [comment], USUAL, text=changed)
        for name, comment, changed in [
            ("another-version-is-an-unknown-scheme", "The prefix is PT2:.", "PT2:" + rest),
            ("a-lower-case-prefix-is-an-unknown-scheme", "The prefix is pt1:.", "pt1:" + rest),
            ("a-code-without-prefix-is-an-unknown-scheme", "Base45 alone.", rest),
            ("a-prefix-without-colon-is-an-unknown-scheme", "The text is PT1 alone.", "PT1"),
            (
                "a-space-before-the-prefix-is-an-unknown-scheme",
                "Nothing may be trimmed.",
                " " + text,
            ),
            ("a-byte-order-mark-is-an-unknown-scheme", "U+FEFF before PT1:.", "\ufeff" + text),
            ("a-health-certificate-is-an-unknown-scheme", "The prefix is HC1:.", "HC1:" + rest),
            (
                "a-full-width-prefix-is-an-unknown-scheme",
                "The characters U+FF30 U+FF34 U+FF11 and a colon.",
                "\uff30\uff34\uff11:" + rest,
            ),
            (
                "a-long-text-of-another-scheme-is-an-unknown-scheme",
                "600 characters: rule 1 comes before rule 2.",
                "X" * 600,
            ),
        ]
    ]


def rule_4():
    return [
        *(
            refused(4, f"an-audience-{name}-is-an-unknown-scheme", [comment], USUAL.but(aud=aud))
            for name, comment, aud in [
                ("of-another-version", "aud is P2.", "P2"),
                ("in-lower-case", "aud is p1.", "p1"),
                ("of-no-characters", "aud is empty.", ""),
                ("that-begins-with-p1", "aud is P1 and a space.", "P1 "),
                ("that-hides-a-nul", "aud is P1 and U+0000.", "P1\0"),
                ("of-16-bytes", "aud has the 16 bytes it may have.", "P1-and-then-more"),
                (
                    "of-8-two-byte-letters",
                    "aud has 8 letters of two bytes: 16 bytes of UTF-8.",
                    "é" * 8,
                ),
                (
                    "of-a-proof-of-possession",
                    "aud is PT1-possession, the audience of section 5.",
                    "PT1-possession",
                ),
            ]
        ),
        refused(
            4,
            "a-presentation-of-319-bytes-is-read",
            [
                "The longest presentation rule 2 lets through, 483 characters, is read: its aud of 8",
                "characters is what is wrong with it.",
            ],
            FULLEST.but(aud="P2345678"),
            now=FULLEST.made,
            trust=[entry_of(ISSUER, not_before=0, not_after=2**32 - 1)],
        ),
    ]


def rules_5_and_6():
    self_issued = signed_by(OTHER_ISSUER, USUAL)
    suspended = [entry_of(ISSUER, status="suspended")]
    return [
        refused(
            5,
            "a-self-issued-credential-is-of-an-unknown-key",
            ["Whoever makes a key can sign a credential with it that verifies with that very key."],
            self_issued,
        ),
        refused(
            5,
            "a-kid-is-compared-whole",
            ["The last byte of the kid differs from the trusted one."],
            USUAL.but(kid=USUAL.kid[:3] + bytes([USUAL.kid[3] ^ 1])),
        ),
        refused(
            5,
            "a-trusted-kid-with-another-algorithm-is-of-an-unknown-key",
            [
                "The credential says ESP256, and an ESP256 key signed it; the trust store pins ESP384",
                "for the kid.",
            ],
            signed_by(ISSUER_256, USUAL).but(kid=USUAL.kid),
        ),
        refused(
            5,
            "an-esp384-credential-of-a-kid-pinned-to-esp256-is-of-an-unknown-key",
            ["The other way round: the trust store pins ESP256 for the kid."],
            USUAL.but(kid=signed_by(ISSUER_256, USUAL).kid),
            trust=[entry_of(ISSUER_256)],
        ),
        refused(
            5,
            "a-shared-kid-does-not-lend-its-algorithm",
            ["A trusted ESP256 key has, by chance, the kid of this untrusted ESP384 key."],
            signed_by(SAME_KID, USUAL),
            trust=[entry_of(SAME_KID_256)],
        ),
        refused(
            6,
            "a-suspended-key-is-refused",
            ["Both signatures verify."],
            USUAL,
            trust=suspended,
        ),
        refused(
            6,
            "a-suspended-esp256-key-is-refused",
            ["Its ESP384 neighbour of the same kid is trusted, and is another key."],
            signed_by(SAME_KID_256, USUAL),
            trust=[entry_of(SAME_KID), entry_of(SAME_KID_256, status="suspended")],
        ),
    ]


def rule_7():
    return [
        refused(7, name, [comment], code, now=now, trust=[entry_of(ISSUER, **validity)])
        for name, comment, code, now, validity in [
            (
                "a-credential-issued-before-its-key-was-good-is-out-of-scope",
                "credential iat is not_before - 1.",
                USUAL,
                T,
                {"not_before": USUAL.iat + 1},
            ),
            (
                "a-credential-issued-after-its-key-was-good-is-out-of-scope",
                "credential iat is not_after + 1; now, 30 s behind the issuer, is not_after.",
                USUAL.but(iat=T + 1, made=T),
                T,
                {"not_after": T},
            ),
            (
                "a-key-is-out-of-scope-one-second-after-its-validity",
                "now is not_after + 1; the credential was issued in time and has not expired.",
                USUAL,
                T,
                {"not_after": T - 1},
            ),
            (
                "a-key-is-out-of-scope-one-second-before-its-validity",
                "now is not_before - 1; the credential iat, by a faster clock, is not_before.",
                USUAL.but(iat=T + 1, made=T),
                T,
                {"not_before": T + 1},
            ),
        ]
    ]


def rule_8():
    every_other_class = 0xFFFFFFFF ^ 1 << USUAL.klass
    return [
        refused(
            8,
            "another-operators-key-is-out-of-scope",
            ["The verifier serves south-line."],
            USUAL,
            operator="south-line",
        ),
        refused(
            8,
            "an-operator-is-compared-whole",
            ["The verifier serves north-line-2."],
            USUAL,
            operator="north-line-2",
        ),
        refused(
            8,
            "an-operator-that-begins-like-the-keys-is-out-of-scope",
            ["The verifier serves north."],
            USUAL,
            operator="north",
        ),
        refused(
            8,
            "a-class-the-key-may-not-name-is-out-of-scope",
            ["The entry's classes are all but the credential's."],
            USUAL,
            trust=[entry_of(ISSUER, classes=every_other_class)],
        ),
        refused(
            8,
            "a-key-of-no-class-is-out-of-scope",
            ["The entry's classes are none."],
            USUAL,
            trust=[entry_of(ISSUER, classes=0)],
        ),
        refused(
            8,
            "class-31-is-not-class-0",
            ["The credential's class is 31, the entry's classes are 0 to 30."],
            USUAL.but(klass=31),
            trust=[entry_of(ISSUER, classes=0x7FFFFFFF)],
        ),
    ]


def rule_9():
    return [
        refused(9, name, [comment], code, now=now)
        for name, comment, code, now in [
            ("a-credential-expires-at-exp", "now is exp.", USUAL.but(exp=T), T),
            (
                "a-credential-stays-expired",
                "now is exp + 2; the code was made before exp and its window has not passed.",
                USUAL.but(exp=T - 2, made=T - 5),
                T,
            ),
            (
                "a-code-made-at-exp-is-expired",
                "The dynamic iat is exp; now is exp - 1.",
                USUAL.but(exp=T + 1, made=T + 1),
                T,
            ),
            (
                "a-code-made-after-exp-is-expired",
                "The dynamic iat is exp + 20, within the skew; now is exp - 1.",
                USUAL.but(exp=T + 1, made=T + 21),
                T,
            ),
            (
                "a-code-made-in-the-last-second-there-is-is-expired",
                "The dynamic iat is 2^32 - 1, in range, and exp can be no later.",
                USUAL.but(made=2**32 - 1),
                T,
            ),
            (
                "a-credential-of-yesterday-is-expired",
                "The credential ran out 24 h ago, the code is fresh.",
                USUAL.but(iat=T - 2 * DAY_S, exp=T - DAY_S, made=T),
                T,
            ),
        ]
    ]


def rule_10():
    return [
        refused(10, name, [comment], code)
        for name, comment, code in [
            (
                "a-code-made-31-s-from-now-is-of-the-future",
                "now - dynamic iat is -31.",
                USUAL.but(made=T + 31),
            ),
            (
                "a-credential-issued-31-s-from-now-is-of-the-future",
                "now - credential iat is -31; the dynamic iat is now + 1.",
                USUAL.but(iat=T + 31, made=T + 1),
            ),
            (
                "a-code-made-8-h-ahead-is-of-the-future",
                "A clock set to local time is not tried as if it were UTC: dynamic iat is now + 28 800.",
                USUAL.but(made=T + 8 * HOUR_S),
            ),
            (
                "a-credential-issued-8-h-ahead-is-of-the-future",
                "credential iat is now + 28 800, and so is the dynamic iat.",
                USUAL.but(iat=T + 8 * HOUR_S, made=T + 8 * HOUR_S),
            ),
        ]
    ]


def rules_11_and_12():
    return [
        *(
            refused(11, name, [comment], code)
            for name, comment, code in [
                (
                    "a-code-one-second-past-its-window-is-stale",
                    "W is 45, the code is 76 s old.",
                    USUAL.but(made=T - 76),
                ),
                (
                    "a-code-one-second-past-the-longest-window-is-stale",
                    "W is 60, the code is 91 s old.",
                    USUAL.but(window_s=60, made=T - 91),
                ),
                (
                    "a-code-one-second-past-the-shortest-window-is-stale",
                    "W is 1, the code is 32 s old.",
                    USUAL.but(window_s=1, made=T - 32),
                ),
                (
                    "a-window-of-61-s-does-not-go-beyond-60",
                    "W is 61, the code is 91 s old.",
                    USUAL.but(window_s=61, made=T - 91),
                ),
                (
                    "a-window-of-65535-s-does-not-go-beyond-60",
                    "W is 65 535, the code is 91 s old.",
                    USUAL.but(window_s=65_535, made=T - 91),
                ),
                (
                    "a-code-made-8-h-ago-is-stale",
                    "A clock set to local time is not tried as if it were UTC: dynamic iat is now - 28 800.",
                    USUAL.but(iat=T - 10 * HOUR_S, made=T - 8 * HOUR_S),
                ),
                ("a-code-of-1970-is-stale", "dynamic iat is 0.", USUAL.but(made=0)),
            ]
        ),
        *(
            refused(12, name, [comment], code)
            for name, comment, code in [
                (
                    "a-code-made-31-s-before-its-credential-is-stale",
                    "dynamic iat - credential iat is -31; the code is 41 s old and W is 45.",
                    USUAL.but(iat=T - 10, made=T - 41),
                ),
                (
                    "a-code-older-than-a-credential-ahead-of-the-clock-is-stale",
                    "credential iat is now + 30, dynamic iat is now - 1.",
                    USUAL.but(iat=T + 30, made=T - 1),
                ),
            ]
        ),
    ]


def rule_13():
    n = ORDER[pt1.ESP256]
    half = 32
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    parts = assemble(USUAL)
    later = USUAL.but(iat=USUAL.iat + HOUR_S, exp=USUAL.exp + HOUR_S, cti=bytes(range(8, 16)))
    bare_header = bytes.fromhex("a2012810190126")
    codes = [
        *(
            (name, comment, signed_with("device", USUAL, change))
            for name, comment, change in broken_signatures("device", n, half)
        ),
        (
            "a-credential-held-by-another-device-is-of-a-wrong-device",
            "The code is signed with a device key the credential does not name.",
            USUAL.but(device_key=OTHER_DEVICE),
        ),
        (
            "a-dynamic-part-joined-to-a-later-credential-is-of-a-wrong-device",
            "The dynamic part and signature of one code with a later credential of the same phone.",
            signed_with("device", later, lambda _: parts.device_signature),
        ),
        (
            "a-fresh-dynamic-part-under-an-old-signature-is-of-a-wrong-device",
            "The dynamic iat was moved on by 60 s after signing.",
            signed_with("device", USUAL.but(made=T + 1), lambda _: parts.device_signature),
        ),
        (
            "a-signature-that-leaves-the-credential-out-is-of-a-wrong-device",
            "Signed over a protected header of algorithm and type alone.",
            USUAL.twisted(message={"device": pt1.sig_structure(bare_header, parts.dynamic)}),
        ),
        (
            "a-signature-over-the-dynamic-part-alone-is-of-a-wrong-device",
            "Signed over the payload, not over the Sig_structure.",
            USUAL.twisted(message={"device": parts.dynamic}),
        ),
        (
            "a-signature-of-another-context-is-of-a-wrong-device",
            'The Sig_structure begins with "Signature" instead of "Signature1".',
            USUAL.twisted(
                message={
                    "device": parts.device_message.replace(b"\x6aSignature1", b"\x69Signature")
                }
            ),
        ),
        (
            "a-device-key-with-the-other-y-is-of-a-wrong-device",
            "The sign of y is inverted, in a credential the issuer signed so.",
            USUAL.but(y_is_odd=not USUAL.y_is_odd),
        ),
        (
            "a-device-key-off-the-curve-is-of-a-wrong-device",
            "No point of P-256 has this x, in a credential the issuer signed so.",
            USUAL.but(x=x_off_the_curve(p)),
        ),
        (
            "a-device-key-of-x-p-is-of-a-wrong-device",
            "x is the prime of P-256: a coordinate is below it.",
            USUAL.but(x=p.to_bytes(32, "big")),
        ),
        (
            "a-device-key-of-x-all-ones-is-of-a-wrong-device",
            "x is 2^256 - 1.",
            USUAL.but(x=b"\xff" * 32),
        ),
        (
            "a-cnf-swapped-without-a-new-device-signature-is-of-a-wrong-device",
            "The device key in the credential was exchanged after issuance; nothing was signed again.",
            signed_with("device", swapped_cnf(), lambda _: parts.device_signature),
        ),
    ]
    return [refused(13, name, [comment], code) for name, comment, code in codes]


def rule_14():
    n = ORDER[pt1.ESP384]
    half = 48
    parts = assemble(USUAL)
    by_256 = signed_by(ISSUER_256, USUAL)
    codes = [
        *(
            (name, comment, signed_with("issuer", USUAL, change))
            for name, comment, change in broken_signatures("issuer", n, half)
        ),
        (
            "a-cnf-swapped-after-issuance-is-of-a-wrong-issuer",
            "A thief put an own device key into a credential and signed the code with it.",
            swapped_cnf(),
        ),
        (
            "a-self-issued-credential-of-a-trusted-kid-is-of-a-wrong-issuer",
            "Signed with an own key under the kid of a trusted one.",
            USUAL.but(issuer_key=OTHER_ISSUER),
        ),
        (
            "a-key-of-the-same-kid-is-of-a-wrong-issuer",
            "The kid of this untrusted key is, by chance, that of a trusted one (both are real digests).",
            signed_by(SAME_KID_OTHER[0], USUAL),
        ),
        (
            "a-cap-raised-after-issuance-is-of-a-wrong-issuer",
            "The phone raised the cap and signed the code properly.",
            USUAL.but(cap=60_000).twisted(message={"issuer": parts.issuer_message}),
        ),
        (
            "an-exp-moved-after-issuance-is-of-a-wrong-issuer",
            "The phone added an hour to exp and signed the code properly.",
            USUAL.but(exp=USUAL.exp + HOUR_S).twisted(message={"issuer": parts.issuer_message}),
        ),
        (
            "a-signature-over-the-claims-alone-is-of-a-wrong-issuer",
            "Signed over the payload, not over the Sig_structure.",
            USUAL.twisted(message={"issuer": parts.claims}),
        ),
    ]
    cases = [
        refused(
            14,
            name,
            [comment],
            code,
            trust=[entry_of(SAME_KID_OTHER[1])] if "same-kid" in name else None,
        )
        for name, comment, code in codes
    ]
    return cases + [
        refused(
            14,
            "an-esp256-issuer-signature-zeroed-is-of-a-wrong-issuer",
            ["All 64 bytes are zero."],
            signed_with("issuer", by_256, lambda signature: bytes(64)),
        ),
        refused(
            14,
            "an-esp256-credential-cut-after-issuance-is-of-a-wrong-issuer",
            ["The class was changed by the phone."],
            by_256.but(klass=2).twisted(message={"issuer": assemble(by_256).issuer_message}),
        ),
    ]


def broken_signatures(who, n, half):
    """Name, comment and change for each way a signature of r and s can be wrong."""
    ending = f"is-of-a-wrong-{who}"
    top = n.to_bytes(half, "big")

    def flip(signature):
        return signature[:-1] + bytes([signature[-1] ^ 1])

    return [
        (f"a-{who}-signature-zeroed-{ending}", "r and s are 0.", lambda s: bytes(2 * half)),
        (f"a-{who}-signature-of-r-0-{ending}", "r is 0.", lambda s: bytes(half) + s[half:]),
        (f"a-{who}-signature-of-s-0-{ending}", "s is 0.", lambda s: s[:half] + bytes(half)),
        (
            f"a-{who}-signature-of-r-n-{ending}",
            "r is the order of the curve.",
            lambda s: top + s[half:],
        ),
        (
            f"a-{who}-signature-of-s-n-{ending}",
            "s is the order of the curve.",
            lambda s: s[:half] + top,
        ),
        (
            f"a-{who}-signature-of-s-above-n-{ending}",
            "s is the highest number of its size.",
            lambda s: s[:half] + b"\xff" * half,
        ),
        (
            f"a-{who}-signature-all-ones-{ending}",
            "Every bit of r and s is set.",
            lambda s: b"\xff" * 2 * half,
        ),
        (
            f"a-{who}-signature-with-one-bit-changed-{ending}",
            "The last bit of s is inverted.",
            flip,
        ),
        (
            f"a-{who}-signature-of-s-and-r-{ending}",
            "r and s are exchanged.",
            lambda s: s[half:] + s[:half],
        ),
    ]


def signed_with(who, code, change):
    return code.twisted(signature={who: change})


def swapped_cnf():
    issued = assemble(USUAL)
    return held_by(OTHER_DEVICE, USUAL).twisted(message={"issuer": issued.issuer_message})


def x_off_the_curve(p):
    """The first x after the device key's that no point has."""
    x = int.from_bytes(USUAL.x, "big")
    while True:
        x += 1
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(
                ec.SECP256R1(), b"\x02" + x.to_bytes(32, "big")
            )
        except ValueError:
            return x.to_bytes(32, "big")


def first_broken_rule():
    """Codes that break two rules: the first one gives the code."""
    text = assemble(USUAL).text
    zeroed = {"device": lambda s: bytes(64), "issuer": lambda s: bytes(96)}
    no_device = USUAL.twisted(signature={"device": zeroed["device"]})
    suspended = [entry_of(ISSUER, status="suspended")]
    ended = [entry_of(ISSUER, status="suspended", not_after=T - 1)]
    narrow = [entry_of(ISSUER, classes=0)]

    pairs = [
        (1, 2, {"text": "PT2:" + text[4:] + "?"}),
        (
            2,
            4,
            {"code": USUAL.but(aud="P2"), "text": assemble(USUAL.but(aud="P2")).text[:-1] + "?"},
        ),
        (3, 4, {"code": USUAL.but(aud="P2", version=2)}),
        (3, 5, {"code": signed_by(OTHER_ISSUER, USUAL).but(klass=32)}),
        (4, 5, {"code": signed_by(OTHER_ISSUER, USUAL).but(aud="P2")}),
        (4, 6, {"code": USUAL.but(aud="P2"), "trust": suspended}),
        (5, 9, {"code": signed_by(OTHER_ISSUER, USUAL).but(exp=T)}),
        (5, 13, {"code": signed_by(OTHER_ISSUER, no_device)}),
        (6, 7, {"trust": ended}),
        (6, 8, {"trust": suspended, "operator": "south-line"}),
        (7, 9, {"code": USUAL.but(exp=T), "trust": [entry_of(ISSUER, not_after=T - 1)]}),
        (8, 9, {"code": USUAL.but(exp=T), "trust": narrow}),
        (8, 10, {"code": USUAL.but(made=T + 31), "trust": narrow}),
        (9, 10, {"code": USUAL.but(exp=T, made=T + 31)}),
        (9, 11, {"code": USUAL.but(exp=T, made=T - 91)}),
        (9, 13, {"code": no_device.but(exp=T)}),
        (10, 11, {"code": USUAL.but(iat=T + 31, made=T - 91)}),
        (10, 13, {"code": no_device.but(made=T + 31)}),
        (11, 13, {"code": no_device.but(made=T - 91)}),
        (12, 13, {"code": no_device.but(iat=T, made=T - 31)}),
        (13, 14, {"code": USUAL.twisted(signature=zeroed)}),
    ]
    return [
        refused(
            first,
            f"rule-{first}-comes-before-rule-{second}",
            [f"The code breaks rule {second} as well."],
            **{"code": USUAL, **world},
        )
        for first, second, world in pairs
    ]
