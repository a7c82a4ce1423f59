"""A hierarchy made by the shipped `obol-kms` on SoftHSM tokens: for tests that judge its certificates.

    tokens root, access, issuer ──> root.pem, access.pem, issuer-p384.pem, issuer-p256.pem
                                ──> server.pem, client.pem, terminal.pem
                                ──> root-1.crl, access-1.crl (empty), access-2.crl (one entry)
"""

import json
import os
import pathlib
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MODULES = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
]
UNDER_ROOT = "--root-token root.token.toml --root root.pem"
ISSUER = f"issuer create {UNDER_ROOT} --token issuer.token.toml --operator linea --classes 1,2"
CERTIFY = "certify --ca access.pem --token access.token.toml"
CRL = "crl create --ca access.pem --token access.token.toml --authority access-ca"


class House:
    def __init__(self, folder):
        self.folder = folder
        self.module = next(path for path in MODULES if os.path.exists(path))
        (folder / "tokens").mkdir()
        (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n")
        for name in ["root", "access", "issuer"]:
            self._make_token(name)
        self.run("root create --token root.token.toml --out root.pem")
        self.run(f"access-ca create {UNDER_ROOT} --token access.token.toml --out access.pem")
        self.run(f"{ISSUER} --curve p384 --key-label a --out issuer-p384.pem")
        self.run(f"{ISSUER} --curve p256 --key-label b --out issuer-p256.pem")
        self._certify("server", "URI:obol://issuer/main,DNS:localhost,IP:127.0.0.1,IP:::1")
        self._certify("client", "URI:obol://platform/p1")
        self._certify("terminal", "URI:obol://terminal/t-7")
        self.run(
            "crl create --authority root --ca root.pem --token root.token.toml --first --out root-1.crl"
        )
        self.run(f"{CRL} --first --out access-1.crl")
        self.run(
            f"{CRL} --previous access-1.crl --revoke client.pem --reason key-compromise --out access-2.crl"
        )

    def run(self, arguments):
        """Output of one command of the shipped binary."""
        return self._call([str(obol_kms()), *arguments.split()])

    def _call(self, command):
        environment = {**os.environ, "SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def _make_token(self, name):
        self._call(
            ["softhsm2-util", "--init-token", "--free", "--label", name]
            + ["--pin", "1234", "--so-pin", "5678"]
        )
        tokens = json.loads(self.run(f"token show --json --module {self.module}"))["tokens"]
        serial = next(token["serial"] for token in tokens if token["label"] == name)
        pin = self.folder / f"{name}.pin"
        pin.write_text("1234")
        pin.chmod(0o600)
        (self.folder / f"{name}.token.toml").write_text(
            f"module = '{self.module}'\nlabel = '{name}'\nserial = '{serial}'\npin_file = '{name}.pin'\n"
        )

    def _certify(self, profile, names):
        self._call(
            ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-subj", "/CN=ignored", "-keyout", f"{profile}.key"]
            + ["-addext", f"subjectAltName={names}", "-out", f"{profile}.csr"]
        )
        self.run(f"{CERTIFY} --profile {profile} --csr {profile}.csr --out {profile}.pem")


def obol_kms():
    """The binary that `cargo build` made."""
    target = os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")
    path = pathlib.Path(target) / "debug" / "obol-kms"
    assert path.exists(), f"there is no {path}: run `cargo build --workspace --bins`"
    return path
