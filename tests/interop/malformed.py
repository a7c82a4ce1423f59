"""Texts and bytes that are no presentation: rules 2 and 3.

Where a careless reader would take the code all the same (a base45 group that wraps around to the
right value, a long head, a second `exp`), that is what the vector holds: everything else about it
is in order and both signatures are over the bytes as they are.
"""

import struct

import pt1
from craft import ARRAY, BSTR, MAP, TAG, TSTR, UINT, assemble, head
from setting import FULLEST, ISSUER, ISSUER_256, USUAL, T, entry_of, refused, signed_by

# An odd number of bytes, and room for an entry that stands twice.
SHORT = signed_by(ISSUER_256, USUAL)


def cases():
    return [
        *base45_errors(),
        *too_long(),
        *not_presentations(),
        *at_every_place(),
        *added(),
        *other_keys(),
        *wrong_items(),
        *out_of_range(),
        *wrong_sizes(),
        *tags_and_headers(),
    ]


# --- rule 2 -----------------------------------------------------------------------------------


def base45_errors():
    text, odd = assemble(USUAL).text, assemble(SHORT).text
    assert len(text) % 3 == 1 and len(odd) % 3 == 0, "the prefix has four characters"
    texts = [
        (
            "base45-with-one-character-more-is-malformed",
            "3n + 1 characters: a 0 was added.",
            text + "0",
        ),
        (
            "base45-with-two-characters-less-is-malformed",
            "3n + 1 characters: two were cut off.",
            text[:-2],
        ),
        ("base45-of-one-character-is-malformed", "The rest is 0.", "PT1:0"),
        (
            "a-trailing-space-is-not-trimmed",
            "The space is of the alphabet, so there are 3n + 1 characters.",
            text + " ",
        ),
        (
            "a-leading-space-is-not-trimmed",
            "A space after PT1:, so there are 3n + 1 characters.",
            "PT1: " + text[4:],
        ),
        (
            "a-line-feed-at-the-end-is-malformed",
            "The host removes it, not the verifier.",
            text + "\n",
        ),
        (
            "a-carriage-return-at-the-end-is-malformed",
            "The host removes it, not the verifier.",
            text + "\r",
        ),
        (
            "a-cr-and-lf-at-the-end-are-malformed",
            "The host removes them, not the verifier.",
            text + "\r\n",
        ),
        ("a-tab-at-the-end-is-malformed", "U+0009 follows the code.", text + "\t"),
        ("a-nul-at-the-end-is-malformed", "U+0000 follows the code.", text + "\0"),
        (
            "base45-in-lower-case-is-malformed",
            "Base45 has capital letters only.",
            text[:4] + text[4:].lower(),
        ),
        (
            "a-lower-case-letter-is-malformed",
            "One capital letter was made small.",
            swap_letter(text, str.lower),
        ),
        (
            "a-full-width-letter-is-malformed",
            "One capital letter has its full-width form.",
            swap_letter(text, lambda c: chr(ord(c) + 0xFEE0)),
        ),
        ("an-equals-sign-is-malformed", "= is not of the alphabet.", text[:40] + "=" + text[41:]),
        (
            "a-letter-beyond-ascii-is-malformed",
            "U+00C4 stands in it.",
            text[:40] + "\u00c4" + text[41:],
        ),
        (
            "a-digit-of-another-script-is-malformed",
            "U+0663, a digit three, stands in it.",
            text[:40] + "\u0663" + text[41:],
        ),
        (
            "a-base45-triple-that-wraps-around-is-malformed",
            "One group is 65 536 above what it should be: its low 16 bits are right.",
            wrapped_triple(text),
        ),
        (
            "the-base45-triple-65536-is-malformed",
            "The last group is GGW, the lowest above 65 535.",
            text[:-3] + "GGW",
        ),
        (
            "the-base45-triple-91124-is-malformed",
            "The last group is three colons, the highest there is.",
            text[:-3] + ":::",
        ),
        (
            "a-base45-pair-that-wraps-around-is-malformed",
            "The last pair is 256 above what it should be: its low 8 bits are right.",
            odd[:-2] + raised(odd[-2:], 256),
        ),
        (
            "the-base45-pair-256-is-malformed",
            "The last pair is V5, the lowest above 255.",
            odd[:-2] + "V5",
        ),
        (
            "the-base45-pair-2024-is-malformed",
            "The last pair is two colons, the highest there is.",
            odd[:-2] + "::",
        ),
    ]
    return [refused(2, name, [comment], USUAL, text=text) for name, comment, text in texts]


def swap_letter(text, change):
    at = next(at for at in range(40, len(text)) if text[at].isalpha())
    return text[:at] + change(text[at]) + text[at + 1 :]


def wrapped_triple(text):
    for at in range(4, len(text) - 2, 3):
        changed = raised(text[at : at + 3], 65_536)
        if changed:
            return text[:at] + changed + text[at + 3 :]
    raise AssertionError("no group is low enough")


def raised(group, by):
    """The group with a value higher by that much, or None where no group is that high."""
    value = by + sum(pt1.BASE45_VALUE[c] * 45**place for place, c in enumerate(group))
    return pt1.base45_group(value, len(group)) if value < 45 ** len(group) else None


def too_long():
    whole_range = [entry_of(ISSUER, not_before=0, not_after=2**32 - 1)]
    over = FULLEST.but(aud="P23456789")
    long_aud = FULLEST.but(aud="P1-and-then-more")
    assert len(assemble(over).presentation) == 320 and len(assemble(over).text) == 484
    return [
        refused(
            2,
            "a-presentation-of-320-bytes-is-malformed",
            [
                "A presentation in all else but its length, 484 characters. Its aud, of 9 bytes, is in",
                "range and not P1, so a reader that goes on says UNKNOWN_SCHEME.",
            ],
            over,
            now=FULLEST.made,
            trust=whole_range,
        ),
        refused(
            2,
            "an-audience-can-be-too-long-for-the-text",
            [
                "Every part is as sections 2 and 3 allow, with an aud of 16 bytes and every number at",
                "its top: 327 bytes, more than rule 2 lets through.",
            ],
            long_aud,
            now=FULLEST.made,
            trust=whole_range,
        ),
        refused(
            2,
            "a-text-of-484-characters-is-malformed",
            ["A valid code and zeros up to 484 characters."],
            USUAL,
            text=assemble(USUAL).text.ljust(484, "0"),
        ),
        refused(
            2,
            "a-text-of-10000-characters-is-malformed",
            ["PT1: and zeros."],
            USUAL,
            text="PT1:".ljust(10_000, "0"),
        ),
    ]


# --- rule 3 -----------------------------------------------------------------------------------


def not_presentations():
    whole = assemble(USUAL).presentation
    contents = [
        ("no-bytes-are-malformed", "Nothing follows PT1:.", b""),
        ("a-zero-byte-is-malformed", "The integer 0.", b"\0"),
        ("an-array-head-alone-is-malformed", "The head of four items and no item.", whole[:1]),
        ("a-code-without-its-last-byte-is-malformed", "303 of 304 bytes.", whole[:-1]),
        ("a-code-cut-in-the-credential-is-malformed", "100 of 304 bytes.", whole[:100]),
        ("a-code-cut-before-its-signature-is-malformed", "238 of 304 bytes.", whole[:238]),
        (
            "a-credential-alone-is-malformed",
            "It needs a presentation by the device key.",
            assemble(USUAL).credential,
        ),
        ("zeros-are-malformed", "319 bytes of zero.", bytes(319)),
        (
            "nested-arrays-are-malformed",
            "319 arrays one inside the other: a reader must not descend.",
            b"\x81" * 319,
        ),
        (
            "nested-indefinite-arrays-are-malformed",
            "319 arrays one inside the other.",
            b"\x9f" * 319,
        ),
        ("nested-tags-are-malformed", "319 tags one inside the other.", b"\xd2" * 319),
        (
            "an-array-of-2-to-the-64-items-is-malformed",
            "A head of 2^64 - 1 items and nothing more.",
            b"\x9b" + b"\xff" * 8,
        ),
        (
            "a-map-of-2-to-the-64-entries-is-malformed",
            "A head of 2^64 - 1 entries and nothing more.",
            b"\xbb" + b"\xff" * 8,
        ),
        (
            "a-byte-string-of-2-to-the-64-bytes-is-malformed",
            "In the place of the protected header.",
            b"\x84\x5b" + b"\xff" * 8,
        ),
        (
            "a-byte-string-of-2-to-the-63-bytes-is-malformed",
            "In the place of the protected header.",
            b"\x84\x5b\x7f" + b"\xff" * 7,
        ),
        (
            "a-byte-string-of-2-to-the-32-bytes-is-malformed",
            "In the place of the protected header.",
            b"\x84\x5a" + b"\xff" * 4,
        ),
        (
            "a-reserved-head-is-malformed",
            "Additional information 28 in the outermost head.",
            b"\x9c" + whole[1:],
        ),
        ("a-break-alone-is-malformed", "0xFF.", b"\xff"),
        (
            "a-map-for-the-presentation-is-malformed",
            "The four items are two entries of a map.",
            b"\xa2" + whole[1:],
        ),
    ]
    return [
        refused(3, name, [comment], USUAL, text=pt1.PREFIX + pt1.base45_encode(content))
        for name, comment, content in contents
    ]


def at_every_place():
    """One vector for each place of the encoding and each way to break deterministic CBOR there."""
    places = assemble(USUAL).places
    out = []
    for place in places["head"]:
        out.append(
            made(
                f"a-longer-head-at-{place}-is-malformed",
                "One head is a size longer than needed.",
                USUAL.twisted(longer={place}),
            )
        )
    for place in places["length"]:
        out.append(
            made(
                f"an-indefinite-length-at-{place}-is-malformed",
                "A break ends the item.",
                USUAL.twisted(indefinite={place}),
            )
        )
    for place, entries in places["map"].items():
        if entries > 1:
            out.append(
                made(
                    f"unsorted-keys-at-{place}-are-malformed",
                    "The last two entries have changed places.",
                    USUAL.twisted(swapped={place}),
                )
            )
        out.append(
            made(
                f"an-unknown-key-at-{place}-is-malformed",
                "Key 99 stands in its sorted place.",
                USUAL.twisted(added={place: (b"\x18\x63", b"\x00")}),
            )
        )
    for place in places["entry"]:
        out.append(
            made(
                f"a-missing-{place}-is-malformed",
                "The entry is left out and the map has one less.",
                USUAL.twisted(missing={place}),
            )
        )
        if place == "outer-header-kcwt":
            continue  # two credentials are more than 319 bytes
        out.append(
            made(
                f"a-doubled-{place}-is-malformed",
                "The entry stands twice, with one value.",
                SHORT.twisted(doubled={place}),
            )
        )
    for place in places["array"]:
        out.append(
            made(
                f"an-item-more-at-{place}-is-malformed",
                "The array has one item more, a 0.",
                USUAL.twisted(added={place: b"\x00"}),
            )
        )
        out.append(
            made(
                f"an-item-less-at-{place}-is-malformed",
                "The array lacks its last item.",
                USUAL.twisted(shortened={place}),
            )
        )
    for place in places["content"]:
        where = "presentation" if place == "text" else place
        out.append(
            made(
                f"a-trailing-byte-in-{where}-is-malformed",
                "A zero byte follows the outermost item.",
                USUAL.twisted(after={place: b"\x00"}),
            )
        )
    return out


def added():
    """Keys that stand twice with another value, and keys that are equal in a careless reader."""
    later = head(UINT, USUAL.exp + 3_600)
    entries = [
        (
            "a-second-exp-is-malformed",
            "exp stands twice, the second an hour later.",
            "claims",
            (b"\x04", later),
        ),
        (
            "a-second-iat-is-malformed",
            "The dynamic iat stands twice, the second 60 s later.",
            "dynamic",
            (b"\x06", head(UINT, T + 55)),
        ),
        (
            "a-second-kid-is-malformed",
            "kid stands twice, the second of zeros.",
            "credential-header",
            (b"\x04", b"\x44" + bytes(4)),
        ),
        (
            "a-second-kcwt-is-malformed",
            "kcwt stands twice, once as 0.",
            "outer-header",
            (b"\x0d", b"\x00"),
        ),
        ("a-text-key-is-malformed", 'Key "exp" beside 4.', "claims", (b"\x63exp", later)),
        ("a-float-key-is-malformed", "Key 4.0 beside 4.", "claims", (b"\xf9\x44\x00", later)),
        (
            "a-crit-header-is-malformed",
            "crit (2) in the protected header of the credential.",
            "credential-header",
            (b"\x02", b"\x81\x04"),
        ),
        (
            "a-crit-header-of-the-presentation-is-malformed",
            "crit (2) in the outer header.",
            "outer-header",
            (b"\x02", b"\x81\x10"),
        ),
        ("an-nbf-is-malformed", "nbf (5): PT1 has none.", "claims", (b"\x05", head(UINT, T))),
        ("an-issuer-claim-is-malformed", 'iss (1): "X".', "claims", (b"\x01", b"\x61X")),
        (
            "a-private-device-key-is-malformed",
            "d (-4) in the cose-key.",
            "cose-key",
            (b"\x23", b"\x58\x20" + bytes(32)),
        ),
        ("an-exp-in-the-dynamic-part-is-malformed", "exp (4).", "dynamic", (b"\x04", later)),
    ]
    return [
        made(name, comment, SHORT.twisted(added={place: entry}))
        for name, comment, place, entry in entries
    ]


def other_keys():
    """Keys that equal the right ones in a language where 1, 1.0 and true are one."""
    codes = [
        ("a-float-key-for-exp", "claims-exp", "claims", (b"\xf9\x44\x00", head(UINT, USUAL.exp))),
        ("a-bignum-key-for-exp", "claims-exp", "claims", (b"\xc2\x41\x04", head(UINT, USUAL.exp))),
        ("a-text-key-for-exp", "claims-exp", "claims", (b"\x614", head(UINT, USUAL.exp))),
        ("true-as-the-key-of-kty", "cose-key-kty", "cose-key", (b"\xf5", b"\x02")),
        ("a-float-key-for-alg", "outer-header-alg", "outer-header", (b"\xf9\x3c\x00", b"\x28")),
        (
            "true-as-the-key-of-alg",
            "credential-header-alg",
            "credential-header",
            (b"\xf5", b"\x38\x32"),
        ),
    ]
    return [
        made(
            f"{name}-is-malformed",
            f"The key of {entry} is {key[0].hex()}.",
            USUAL.twisted(missing={entry}, added={place: key}),
        )
        for name, entry, place, key in codes
    ]


def wrong_items():
    """Another type, or another value of a constant, in the place of an item."""
    parts = assemble(USUAL)
    x = USUAL.x
    exp, iat = USUAL.exp.to_bytes(4, "big"), USUAL.made.to_bytes(4, "big")
    float_exp = bytes.fromhex("fb") + double(USUAL.exp)
    items = [
        ("exp-as-a-float", "claims-exp", float_exp),
        ("exp-as-text", "claims-exp", b"\x6a" + str(USUAL.exp).encode()),
        ("exp-as-a-bignum", "claims-exp", b"\xc2\x44" + exp),
        ("exp-as-a-tagged-time", "claims-exp", b"\xc1\x1a" + exp),
        ("exp-as-null", "claims-exp", b"\xf6"),
        ("exp-as-undefined", "claims-exp", b"\xf7"),
        ("credential-iat-as-a-float", "claims-iat", bytes.fromhex("fb") + double(USUAL.iat)),
        ("cti-as-text", "claims-cti", b"\x68ABCDEFGH"),
        ("cti-as-an-integer", "claims-cti", b"\x1b" + USUAL.cti),
        ("cnf-as-an-array", "claims-cnf", b"\x81\x01"),
        ("cnf-as-a-key-thumbprint", "claims-cnf", b"\xa1\x05\x58\x20" + bytes(32)),
        ("cose-key-as-a-byte-string", "cnf-key", b"\x58\x20" + x),
        ("fare-terms-as-a-map", "claims-fare-terms", b"\xa0"),
        (
            "fare-terms-in-a-byte-string",
            "claims-fare-terms",
            b"\x48\x86\x01\x01\x05\x18\x2d\x01\x00",
        ),
        ("class-as-a-float", "fare-terms-class", b"\xf9\x3c\x00"),
        ("class-as-true", "fare-terms-class", b"\xf5"),
        ("cap-as-a-float", "fare-terms-cap", b"\xf9\x5f\xd0"),
        ("cap-as-a-bignum", "fare-terms-cap", b"\xc2\x42\x01\xf4"),
        ("cap-as-a-byte-string", "fare-terms-cap", b"\x42\x01\xf4"),
        ("window-as-null", "fare-terms-window", b"\xf6"),
        ("flags-as-false", "fare-terms-flags", b"\xf4"),
        ("version-as-true", "fare-terms-version", b"\xf5"),
        ("version-as-a-float", "fare-terms-version", b"\xf9\x3c\x00"),
        ("kty-of-3", "cose-key-kty", b"\x03"),
        ("kty-as-a-float", "cose-key-kty", b"\xf9\x40\x00"),
        ("kty-okp", "cose-key-kty", b"\x01"),
        ("kty-as-text", "cose-key-kty", b"\x63EC2"),
        ("crv-p384", "cose-key-crv", b"\x02"),
        ("crv-as-true", "cose-key-crv", b"\xf5"),
        ("x-as-text", "cose-key-x", b"\x78\x20" + b"X" * 32),
        ("y-of-32-bytes", "cose-key-y", b"\x58\x20" + y_of_device()),
        ("y-as-an-integer", "cose-key-y", b"\x01"),
        ("y-as-null", "cose-key-y", b"\xf6"),
        (
            "y-as-a-simple-value-in-two-bytes",
            "cose-key-y",
            b"\xf8\x15" if USUAL.y_is_odd else b"\xf8\x14",
        ),
        ("kid-as-text", "credential-header-kid", b"\x64ABCD"),
        ("kid-as-an-integer", "credential-header-kid", b"\x1a" + USUAL.kid),
        ("issuer-algorithm-as-text", "credential-header-alg", b"\x66ESP384"),
        ("issuer-algorithm-as-a-float", "credential-header-alg", b"\xf9\xd2\x60"),
        ("aud-as-a-byte-string", "dynamic-aud", b"\x42P1"),
        ("aud-as-an-array", "dynamic-aud", b"\x81\x62P1"),
        ("aud-of-broken-utf-8", "dynamic-aud", b"\x62P\xff"),
        ("aud-of-overlong-utf-8", "dynamic-aud", b"\x63P\xc0\xb1"),
        ("aud-of-a-surrogate", "dynamic-aud", b"\x63\xed\xa0\x80"),
        ("dynamic-iat-as-a-float", "dynamic-iat", b"\xfb" + double(USUAL.made)),
        ("dynamic-iat-as-a-tagged-time", "dynamic-iat", b"\xc1\x1a" + iat),
        ("nonce-as-text", "dynamic-nonce", b"\x64ABCD"),
        ("nonce-as-an-integer", "dynamic-nonce", b"\x1a" + USUAL.nonce),
        ("counter-as-a-float", "dynamic-counter", b"\xf9\x63\xfa"),
        ("counter-as-a-byte-string", "dynamic-counter", b"\x42\x03\xfd"),
        ("typ-as-a-float", "outer-header-typ", b"\xf9\x5c\x98"),
        ("outer-algorithm-as-a-float", "outer-header-alg", b"\xf9\xc8\x80"),
        ("typ-as-text", "outer-header-typ", b"\x66kb+cwt"),
        ("outer-algorithm-as-text", "outer-header-alg", b"\x66ESP256"),
        (
            "kcwt-in-a-byte-string",
            "outer-header-kcwt",
            head(BSTR, len(parts.credential)) + parts.credential,
        ),
        ("kcwt-as-null", "outer-header-kcwt", b"\xf6"),
        ("credential-protected-as-a-map", "credential-protected", parts.credential_protected),
        ("credential-protected-of-no-bytes", "credential-protected", b"\x40"),
        (
            "credential-protected-as-text",
            "credential-protected",
            head(TSTR, len(parts.credential_protected)) + b"P" * len(parts.credential_protected),
        ),
        ("credential-unprotected-as-null", "credential-unprotected", b"\xf6"),
        ("credential-unprotected-as-an-array", "credential-unprotected", b"\x80"),
        ("claims-as-a-map", "claims-bytes", parts.claims),
        ("claims-detached", "claims-bytes", b"\xf6"),
        ("claims-of-no-bytes", "claims-bytes", b"\x40"),
        ("claims-as-an-array", "claims", b"\x80"),
        ("issuer-signature-as-text", "issuer-signature", b"\x78\x60" + b"S" * 96),
        ("issuer-signature-as-null", "issuer-signature", b"\xf6"),
        ("outer-protected-as-null", "outer-protected", b"\xf6"),
        ("outer-protected-as-a-map", "outer-protected", parts.outer_protected),
        ("outer-unprotected-as-null", "outer-unprotected", b"\xf6"),
        ("outer-unprotected-as-an-array", "outer-unprotected", b"\x80"),
        ("dynamic-as-a-map", "dynamic-bytes", parts.dynamic),
        ("dynamic-detached", "dynamic-bytes", b"\xf6"),
        ("dynamic-as-an-array", "dynamic", b"\x80"),
        ("device-signature-as-text", "device-signature", b"\x78\x40" + b"S" * 64),
        ("device-signature-as-null", "device-signature", b"\xf6"),
    ]
    return [
        made(
            f"{name}-is-malformed",
            f"Another item stands at {place}: {shown(encoded)}.",
            # 32 bytes of y fit beside a short issuer signature only.
            (SHORT if name == "y-of-32-bytes" else USUAL).twisted(instead={place: encoded}),
        )
        for name, place, encoded in items
    ]


def shown(encoded):
    return encoded.hex() if len(encoded) <= 16 else f"{encoded[:8].hex()}..."


def double(number):
    return struct.pack(">d", number)


def y_of_device():
    return pt1.point_of(USUAL.device_key.public_key())[33:]


def out_of_range():
    ranges = [
        ("a-lifetime-of-0-s", "exp is iat.", {"exp": USUAL.iat}),
        ("an-exp-before-iat", "exp is iat - 1.", {"exp": USUAL.iat - 1}),
        ("a-lifetime-of-172801-s", "One second more than two days.", {"exp": USUAL.iat + 172_801}),
        ("a-lifetime-of-a-year", "exp - iat is 31 536 000 s.", {"exp": USUAL.iat + 31_536_000}),
        ("an-exp-of-0", "exp - iat is below zero and must not wrap around.", {"exp": 0}),
        (
            "an-exp-of-2-to-the-32",
            "The lifetime would be in range.",
            {"exp": 2**32, "iat": 2**32 - 1},
        ),
        ("a-negative-exp", "exp is -1.", {"exp": -1}),
        (
            "a-negative-credential-iat",
            "iat is -1; the lifetime would be in range.",
            {"iat": -1, "exp": 100},
        ),
        (
            "a-credential-iat-of-2-to-the-32",
            "With an exp as high.",
            {"iat": 2**32, "exp": 2**32 + 100},
        ),
        ("a-dynamic-iat-of-2-to-the-32", "One more than four bytes hold.", {"made": 2**32}),
        (
            "a-dynamic-iat-that-wraps-around",
            "2^32 above the right value.",
            {"made": USUAL.made + 2**32},
        ),
        ("a-negative-dynamic-iat", "-1.", {"made": -1}),
        ("a-counter-of-2-to-the-32", "One more than four bytes hold.", {"counter": 2**32}),
        ("a-negative-counter", "-1.", {"counter": -1}),
        ("a-fare-terms-version-of-0", "The version is 1.", {"version": 0}),
        ("a-fare-terms-version-of-2", "The version is 1.", {"version": 2}),
        ("a-class-of-32", "A shift by 32 must not be tried.", {"klass": 32}),
        ("a-class-of-255", "The top of one byte.", {"klass": 255}),
        ("a-class-that-wraps-around", "257, whose low byte is the right class.", {"klass": 257}),
        ("a-negative-class", "-1.", {"klass": -1}),
        ("a-cap-of-2-to-the-32", "One more than four bytes hold.", {"cap": 2**32}),
        ("a-negative-cap", "-1.", {"cap": -1}),
        ("a-window-of-0", "W is at least 1.", {"window_s": 0}),
        ("a-window-of-65536", "W is at most 65 535.", {"window_s": 65_536}),
        ("a-negative-window", "-1.", {"window_s": -1}),
        (
            "a-status-index-of-2-to-the-32",
            "One more than four bytes hold.",
            {"status_index": 2**32},
        ),
        ("a-negative-status-index", "-1.", {"status_index": -1}),
        ("flags-of-256", "One more than a byte holds.", {"flags": 256}),
        ("negative-flags", "-1.", {"flags": -1}),
        ("an-issuer-algorithm-es256", "-7, the name RFC 9864 replaces.", {"alg": -7}),
        ("an-issuer-algorithm-es384", "-35, the name RFC 9864 replaces.", {"alg": -35}),
        ("an-issuer-algorithm-none", "0.", {"alg": 0}),
        ("an-issuer-algorithm-hmac", "5, HMAC 256/256: a MAC is no signature.", {"alg": 5}),
        ("an-outer-algorithm-es256", "-7, the name RFC 9864 replaces.", {"outer_alg": -7}),
        ("an-outer-algorithm-esp384", "-51; the device key is P-256.", {"outer_alg": -51}),
        ("an-outer-algorithm-hmac", "5, HMAC 256/256: a MAC is no signature.", {"outer_alg": 5}),
        ("a-typ-of-293", "The type is 294.", {"typ": 293}),
        ("a-typ-of-295", "The type is 294.", {"typ": 295}),
        ("an-aud-of-17-bytes", "One byte more than an aud may have.", {"aud": "P1-and-still-more"}),
        (
            "an-aud-of-9-two-byte-letters",
            "9 characters, 18 bytes: the size is in bytes.",
            {"aud": "é" * 9},
        ),
    ]
    return [
        made(
            f"{name}-{'are' if 'flags' in name else 'is'}-malformed",
            comment,
            SHORT.but(**changes) if "alg" not in changes else USUAL.but(**changes),
        )
        for name, comment, changes in ranges
    ]


def wrong_sizes():
    def cut(signature):
        return signature[:-1]

    def grown(signature):
        return signature + b"\0"

    def both(signature):
        return bytes(16) + signature[:32] + bytes(16) + signature[32:]

    codes = [
        ("a-kid-of-3-bytes", "The first three of the four.", USUAL.but(kid=USUAL.kid[:3])),
        ("a-kid-of-5-bytes", "A zero byte follows the four.", USUAL.but(kid=USUAL.kid + b"\0")),
        ("a-kid-of-no-bytes", "Empty.", USUAL.but(kid=b"")),
        ("a-cti-of-7-bytes", "One less than 8.", USUAL.but(cti=USUAL.cti[:7])),
        ("a-cti-of-9-bytes", "One more than 8.", USUAL.but(cti=USUAL.cti + b"\0")),
        ("an-x-of-31-bytes", "One less than 32.", USUAL.but(x=USUAL.x[:31])),
        ("an-x-of-33-bytes", "A zero byte before the 32.", USUAL.but(x=b"\0" + USUAL.x)),
        (
            "a-compressed-point-as-x",
            "33 bytes, the SEC1 form.",
            USUAL.but(x=bytes([2 + USUAL.y_is_odd]) + USUAL.x),
        ),
        ("a-nonce-of-3-bytes", "One less than 4.", USUAL.but(nonce=USUAL.nonce[:3])),
        ("a-nonce-of-5-bytes", "One more than 4.", USUAL.but(nonce=USUAL.nonce + b"\0")),
        (
            "a-device-signature-of-63-bytes",
            "Its last byte is cut off.",
            signed(USUAL, "device", cut),
        ),
        (
            "a-device-signature-of-65-bytes",
            "A zero byte follows it.",
            signed(USUAL, "device", grown),
        ),
        ("a-device-signature-of-no-bytes", "Empty.", signed(USUAL, "device", lambda s: b"")),
        (
            "a-device-signature-in-der",
            "A SEQUENCE of two INTEGERs, as X.509 has it.",
            signed(USUAL, "device", der),
        ),
        (
            "an-issuer-signature-of-95-bytes",
            "Its last byte is cut off.",
            signed(USUAL, "issuer", cut),
        ),
        (
            "an-issuer-signature-of-97-bytes",
            "A zero byte follows it.",
            signed(USUAL, "issuer", grown),
        ),
        ("an-issuer-signature-of-no-bytes", "Empty.", signed(USUAL, "issuer", lambda s: b"")),
        (
            "an-esp384-signature-of-64-bytes",
            "The size belongs to ESP256.",
            signed(USUAL, "issuer", lambda s: s[:64]),
        ),
        (
            "an-esp256-signature-of-96-bytes",
            "r and s padded to the size of ESP384.",
            signed(SHORT, "issuer", both),
        ),
        (
            "an-esp256-signature-of-63-bytes",
            "Its last byte is cut off.",
            signed(SHORT, "issuer", cut),
        ),
    ]
    return [made(f"{name}-is-malformed", comment, code) for name, comment, code in codes]


def signed(code, who, change):
    return code.twisted(signature={who: change})


def der(signature):
    half = len(signature) // 2
    r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    return pt1.encode_dss_signature(r, s)


def tags_and_headers():
    parts = assemble(USUAL)
    untagged = parts.credential[1:]
    kid_entry = (b"\x04", b"\x44" + USUAL.kid)

    def tagged(*tags):
        return b"".join(head(TAG, tag) for tag in tags)

    kcwt = [
        ("a-credential-without-tag", "The array of the COSE_Sign1 stands bare.", untagged),
        ("a-credential-tagged-twice", "Tag 18 in tag 18.", tagged(18, 18) + untagged),
        (
            "a-credential-in-a-cwt-tag",
            "Tag 61 around tag 18, as RFC 8392 allows.",
            tagged(61, 18) + untagged,
        ),
        ("a-credential-tagged-61-alone", "Tag 61 without tag 18.", tagged(61) + untagged),
        ("a-credential-tagged-18-around-61", "Tag 61 inside tag 18.", tagged(18, 61) + untagged),
        ("a-credential-tagged-17", "Tag 17 is COSE_Mac0.", tagged(17) + untagged),
        ("a-credential-tagged-98", "Tag 98 is COSE_Sign.", tagged(98) + untagged),
        (
            "a-credential-in-a-self-described-tag",
            "Tag 55799 around tag 18.",
            tagged(55_799, 18) + untagged,
        ),
    ]
    whole = [
        (
            "a-presentation-tagged-18",
            "The presentation is not tagged.",
            tagged(18) + parts.presentation,
        ),
        (
            "a-presentation-tagged-61",
            "The presentation is not tagged.",
            tagged(61) + parts.presentation,
        ),
        (
            "a-presentation-in-a-cwt-tag",
            "Tag 61 around tag 18.",
            tagged(61, 18) + parts.presentation,
        ),
        (
            "a-presentation-in-a-self-described-tag",
            "Tag 55799, which some decoders pass over.",
            tagged(55_799) + parts.presentation,
        ),
        ("a-presentation-in-an-array", "An array of one.", head(ARRAY, 1) + parts.presentation),
        (
            "a-presentation-in-a-byte-string",
            "Wrapped once more.",
            head(BSTR, len(parts.presentation)) + parts.presentation,
        ),
        (
            "a-presentation-in-a-map",
            "A map of 1 and the presentation.",
            head(MAP, 1) + b"\x01" + parts.presentation,
        ),
    ]
    kid_outside = USUAL.twisted(
        missing={"credential-header-kid"}, added={"credential-unprotected": kid_entry}
    )
    kid_twice = USUAL.twisted(added={"credential-unprotected": kid_entry})
    headers = [
        ("a-kid-in-the-unprotected-header", "It is missing in the protected one.", kid_outside),
        ("a-kid-in-both-headers", "The protected header has it too.", kid_twice),
        (
            "an-algorithm-in-the-unprotected-header",
            "The protected header has it too.",
            USUAL.twisted(added={"credential-unprotected": (b"\x01", b"\x38\x32")}),
        ),
        (
            "an-algorithm-in-the-unprotected-outer-header",
            "The protected header has it too.",
            USUAL.twisted(added={"outer-unprotected": (b"\x01", b"\x28")}),
        ),
        (
            "a-kid-in-the-outer-header",
            "kid (4), of the issuer.",
            USUAL.twisted(added={"outer-header": kid_entry}),
        ),
        (
            "a-typ-in-the-credentials-header",
            "typ (16).",
            USUAL.twisted(added={"credential-header": (b"\x10", b"\x18\x3d")}),
        ),
    ]
    return [
        *(
            made(f"{name}-is-malformed", comment, USUAL.twisted(instead={"credential-tag": item}))
            for name, comment, item in kcwt
        ),
        *(
            refused(
                3,
                f"{name}-is-malformed",
                [comment],
                USUAL,
                text=pt1.PREFIX + pt1.base45_encode(content),
            )
            for name, comment, content in whole
        ),
        *(made(f"{name}-is-malformed", comment, code) for name, comment, code in headers),
    ]


def made(name, comment, code):
    return refused(3, name, [comment], code)
