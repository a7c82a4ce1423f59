"""What schemathesis cannot make up: a proof of possession by a fresh device key, the name of a
credential that there is, a fare pack. They go into requests that are meant to be good, and into no
other."""

import base64
import functools
import os
import secrets
import time

import cbor2
import requests
import schemathesis
from cryptography.hazmat.primitives.asymmetric import ec
from schemathesis.generation import GenerationMode

import pt1
from house import REPOSITORY

HEADER = b"\xa1\x01\x28"
PACK = (REPOSITORY / "fuzz/corpus/fare_pack/flat-2").read_bytes()


def possession(subject):
    """docs/spec/pt1.md section 5, base64url without padding."""
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    x, odd = numbers.x.to_bytes(32, "big"), bool(numbers.y & 1)
    # In the order of the deterministic encoding.
    payload = cbor2.dumps({3: "PT1-possession", 6: int(time.time()),
                           8: {1: {1: 2, -1: 1, -2: x, -3: odd}}, -65539: subject})
    signature = pt1.sign(key, pt1.sig_structure(HEADER, payload))
    proof = cbor2.dumps([HEADER, {}, payload, signature])
    return base64.urlsafe_b64encode(proof).rstrip(b"=").decode()


@functools.cache
def live():
    """Subject and name of a credential."""
    subject = secrets.token_bytes(16)
    asked = {"subject": subject.hex(), "class": 1, "possession": possession(subject)}
    folder = os.environ["OBOL_DEPLOYMENT"]
    made = requests.post(os.environ["OBOL_ISSUER"] + "/v1/credentials", json=asked, timeout=30,
                         cert=(f"{folder}/platform-tls.pem", f"{folder}/platform.key"),
                         verify=f"{folder}/cas.pem")
    assert made.status_code == 201, made.text
    return subject, made.json()["cti"]


@schemathesis.serializer("application/cbor")
def cbor(context, value):
    """A fare pack is bytes to the document, and whatever is meant to be wrong is CBOR."""
    return value if isinstance(value, bytes) else cbor2.dumps(value)


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    path, body = case.operation.path, case.body
    if path == "/v1/fare-packs/{operator}" and case.method == "PUT":
        case.body = PACK
        return
    if "{cti}" in path:
        subject, case.path_parameters["cti"] = live()
        if isinstance(body, dict) and "possession" in body:
            body["possession"] = possession(subject)
        return
    for item in body.get("items", [body]) if isinstance(body, dict) else []:
        if "possession" in item:
            item["possession"] = possession(bytes.fromhex(item["subject"]))
