"""The vectors, read by an implementation that shares nothing with the Rust one.

`cwt` is a COSE library by other people. It must find in PT1 what PT1 says it is: two standard
COSE_Sign1 structures, the inner one around a CWT.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

import cbor2
import cwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import make_vectors
import mint
import pt1
import vectors
from cases import every_case

HERE = Path(__file__).resolve().parent
CASES = [vectors.read(path) for path in sorted(vectors.FOLDER.glob("*.vec"))]
ACCEPTED = [case for case in CASES if case.expect == "OK"]


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@named(CASES)
def test_a_vector_has_the_result_it_expects(case):
    make_vectors.check(case)


def test_every_rule_has_a_vector():
    assert {case.rule for case in CASES} == {None, *pt1.CODE_OF_RULE}


@named(every_case())
def test_a_generated_vector_is_the_committed_one(case):
    assert (vectors.FOLDER / f"{case.name}.vec").read_bytes() == case.render().encode()


@named(ACCEPTED)
def test_a_cose_library_verifies_the_credential_and_the_presentation(case):
    verified = pt1.verify(case.text, case.now, case.operator, case.trust)
    credential = verified.presentation.credential
    encoded = pt1.base45_decode(case.text.removeprefix(pt1.PREFIX))

    claims = decode_credential(credential, verified.entry)
    assert claims == credential.signed.payload

    device_key = cwt.COSEKey.new(device_cose_map(credential))
    # The presentation is not tagged, and the library wants it tagged.
    tagged = bytes([0xC0 | pt1.COSE_SIGN1_TAG]) + encoded
    dynamic = cwt.COSE.new(verify_kid=False).decode(tagged, keys=[device_key])
    assert dynamic == verified.presentation.signed.payload


@named([case for case in CASES if case.rule == 14])
def test_a_cose_library_refuses_a_credential_of_a_wrong_issuer(case):
    presentation = pt1.read_presentation(pt1.base45_decode(case.text.removeprefix(pt1.PREFIX)))
    credential = presentation.credential
    entry = next(entry for entry in case.trust if entry.kid == credential.kid)
    with pytest.raises(cwt.VerifyError):
        decode_credential(credential, entry)


@named(ACCEPTED)
def test_the_claims_read_as_a_cwt(case):
    verified = pt1.verify(case.text, case.now, case.operator, case.trust)
    credential = verified.presentation.credential
    raw = cbor2.loads(credential.signed.payload)
    # The library has no compressed points, so it is shown the same key with both coordinates.
    raw[pt1.CNF] = {1: device_cose_map(credential)}
    claims = cwt.Claims.new(raw)
    assert (claims.exp, claims.iat) == (credential.exp, credential.iat)
    assert claims.to_dict()[pt1.CTI] == credential.cti
    assert claims.to_dict()[pt1.FARE_TERMS][1:3] == [credential.klass, credential.cap]
    assert claims.to_dict()[pt1.CNF][1][-2] == credential.x


def decode_credential(credential, entry):
    # The library looks a key up by the kid of the header.
    issuer_key = cwt.COSEKey.new({2: entry.kid, **cose_map(entry.alg, entry.point)})
    return cwt.COSE.new(verify_kid=True).decode(credential.encoded, keys=[issuer_key])


def device_cose_map(credential):
    compressed = bytes([3 if credential.y_is_odd else 2]) + credential.x
    return cose_map(pt1.ESP256, compressed)


def cose_map(alg, point):
    """A COSE_Key with both coordinates, whatever the form of the point."""
    curve = pt1.ALGORITHMS[alg][0]
    whole = pt1.point_of(ec.EllipticCurvePublicKey.from_encoded_point(curve, point))
    half = len(whole) // 2
    crv = {pt1.ESP256: 1, pt1.ESP384: 2}[alg]
    return {1: 2, 3: alg, -1: crv, -2: whole[1 : 1 + half], -3: whole[1 + half :]}


def test_a_minted_code_is_accepted_by_the_line_verifier():
    codes = [mint.fresh_code() for _ in range(50)]
    lines = "".join(json.dumps(code) + "\n" for code in codes)
    answers = subprocess.run(
        [sys.executable, HERE / "verify.py"],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert answers == ['{"result": "OK"}'] * len(codes)


def test_a_code_with_one_character_changed_is_refused():
    source = random.Random(9285)
    case = next(case for case in CASES if case.name == "worked-example")
    for at in range(len(case.text)):
        other = source.choice([c for c in pt1.BASE45 if c != case.text[at]])
        changed = case.text[:at] + other + case.text[at + 1 :]
        with pytest.raises(pt1.Refused):
            pt1.verify(changed, case.now, case.operator, case.trust)


def test_any_bytes_are_refused_and_nothing_else_happens():
    source = random.Random(8949)
    case = next(case for case in CASES if case.name == "worked-example")
    whole = pt1.base45_decode(case.text.removeprefix(pt1.PREFIX))
    for _ in range(3_000):
        content = bytearray(whole)
        for _ in range(source.randint(1, 4)):
            content[source.randrange(len(content))] = source.randrange(256)
        content = bytes(content[: source.choice([len(content), source.randrange(len(content))])])
        if content == whole:
            continue
        with pytest.raises(pt1.Refused):
            text = pt1.PREFIX + pt1.base45_encode(content)
            pt1.verify(text, case.now, case.operator, case.trust)
