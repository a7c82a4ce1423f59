"""pkilint, which knows nothing of this house, finds no error and no warning in what `obol-kms` signs
but for those that `pkilint_allowed.toml` argues for."""

import json
import pathlib
import subprocess
import sys
import tomllib

import pytest

from house import House

BIN = pathlib.Path(sys.executable).parent
ALLOWED = pathlib.Path(__file__).with_name("pkilint_allowed.toml")
CERTIFICATES = {
    "root.pem": "root.pem",
    "access.pem": "root.pem",
    "issuer-p384.pem": "root.pem",
    "issuer-p256.pem": "root.pem",
    "server.pem": "access.pem",
    "client.pem": "access.pem",
    "terminal.pem": "access.pem",
}
LISTS = ["root-1.crl", "access-1.crl", "access-2.crl"]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    return House(tmp_path_factory.mktemp("house"))


def allowed():
    return tomllib.loads(ALLOWED.read_text())["allowed"]


def findings(house, tool, arguments):
    """(code, message) of the findings of severity warning and worse."""
    command = [BIN / tool, "lint", "--severity", "WARNING", "--format", "JSON", *arguments]
    done = subprocess.run(command, cwd=house.folder, capture_output=True, text=True, timeout=120)
    # The exit code counts findings, so a tool that broke is told by its output.
    assert done.stdout, done.stderr
    results = json.loads(done.stdout)["results"]
    found = [finding for result in results for finding in result["finding_descriptions"]]
    return [(finding["code"], finding["message"] or "") for finding in found]


def covers(entry, finding):
    code, message = finding
    return entry["code"] == code and entry["message"] in message


def not_allowed(file, found):
    argued = [entry for entry in allowed() if file in entry["files"]]
    return [finding for finding in found if not any(covers(entry, finding) for entry in argued)]


@pytest.mark.parametrize("file", CERTIFICATES)
def test_pkilint_finds_nothing_in_a_certificate(house, file):
    assert not_allowed(file, findings(house, "lint_pkix_cert", [file])) == []


@pytest.mark.parametrize("file", CERTIFICATES)
def test_pkilint_finds_nothing_between_a_certificate_and_its_issuer(house, file):
    pair = [CERTIFICATES[file], file]
    found = findings(house, "lint_pkix_signer_signee_cert_chain", pair)
    assert not_allowed(file, found) == []


@pytest.mark.parametrize("file", LISTS)
def test_pkilint_finds_nothing_in_a_revocation_list(house, file):
    kind = ["--type", "CRL", "--profile", "PKIX"]
    assert not_allowed(file, findings(house, "lint_crl", [*kind, file])) == []


def test_what_is_allowed_is_argued_and_still_found(house):
    """An argument for what is no longer found would hide the next finding of that code."""
    for entry in allowed():
        assert len(entry["why"]) > 40, entry
        for file in entry["files"]:
            found = findings(house, "lint_pkix_cert", [file])
            assert any(covers(entry, finding) for finding in found), (entry["code"], file)


def test_pkilint_is_awake(house):
    """A certificate that is wrong is found wrong: the tests above would see it."""
    pem = (house.folder / "issuer-p384.pem").read_text()
    der = subprocess.run(
        ["openssl", "x509", "-outform", "DER"], input=pem.encode(), capture_output=True, check=True
    ).stdout
    # keyUsage digitalSignature (bit 0) becomes keyCertSign (bit 5) of a certificate that is no CA.
    usage = bytes.fromhex("0603551d0f0101ff0404030207")
    assert der.count(usage) == 1
    place = der.index(usage) + len(usage)
    wrong = der[: place - 1] + b"\x02\x04" + der[place + 1 :]
    (house.folder / "wrong.der").write_bytes(wrong)
    assert findings(house, "lint_pkix_cert", ["wrong.der"]) != []
