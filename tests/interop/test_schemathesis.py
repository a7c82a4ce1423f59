"""schemathesis asks the shipped issuer, on a SoftHSM token and over mTLS, whatever its OpenAPI
document permits and forbids: no answer may be a server's error or beyond the document, nothing that
it permits may be refused as malformed, and nothing that it forbids accepted."""

import json
import os
import subprocess
import sys

import pytest

from house import REPOSITORY, obol_kms

HERE = REPOSITORY / "tests/interop"
DOCUMENT = REPOSITORY / "issuer/openapi.json"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployment") / "issuer"
    program = obol_kms().with_name("obol-deployment")
    with subprocess.Popen([program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as running:
        ready = running.stdout.readline().split()
        assert ready[:1] == ["ready"], ready
        cas = [(folder / name).read_text() for name in ["access.pem", "root.pem"]]
        (folder / "cas.pem").write_text("".join(cas))
        yield folder, ready[1]
        running.stdin.close()
    assert running.returncode == 0


def test_no_answer_is_an_error_of_the_server_or_beyond_the_document(issuer):
    folder, url = issuer
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml",
        "run", DOCUMENT, "--url", url, "--no-color",
        "--tls-verify", folder / "cas.pem", "--request-cert", folder / "platform-tls.pem",
        "--request-cert-key", folder / "platform.key",
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
                   "PYTHONPATH": str(HERE), "OBOL_DEPLOYMENT": str(folder), "OBOL_ISSUER": url}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    operations = sum(len(methods) for methods in json.loads(DOCUMENT.read_text())["paths"].values())
    assert f"Tested: {operations}\n" in done.stdout, done.stdout
