"""The bundles that `obol-demo` leaves: `obol-kms ceremony verify` and ceremony_verify.py agree on them."""

import re
import subprocess
import sys

import pytest

from house import REPOSITORY, obol_kms
from test_ceremony import agreed, files_of

CEREMONIES = ["root-generation", "access-key-request", "access-ca", "access-install",
              "issuer-key-request", "issuer-certificate", "issuer-install",
              "issuer-2-key-request", "issuer-2-certificate", "issuer-2-install",
              "tuf-alice-key", "tuf-bob-key", "tuf-carol-key", "tuf-targets-key",
              "tuf-root-alice", "tuf-root-bob", "tuf-targets"]
# One of each act: a flipped byte is looked for in these.
FLIPPED = ["root-generation", "access-key-request", "access-ca", "access-install",
           "issuer-certificate", "tuf-root-alice", "tuf-targets"]


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """The folder of a demo, and the roster's hash as the demo has said it."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run([obol_kms().with_name("obol-demo"), "--once", "--dir", folder],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, re.search(r"^ +roster ([0-9a-f]{64})$", done.stderr, re.M)[1]


def bundle(folder, name):
    return folder / "ceremonies" / name / "bundle"


@pytest.mark.parametrize("name", CEREMONIES)
def test_bundles_of_the_demo_hold_for_both(left, name):
    folder, roster = left
    assert sorted(path.name for path in (folder / "ceremonies").iterdir()) == sorted(CEREMONIES)
    assert agreed(bundle(folder, name), roster, name) == set()
    done = subprocess.run([sys.executable, REPOSITORY / "tests/interop/ceremony_verify.py",
                           bundle(folder, name), roster], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split(",")[0]) == (0, "holds")
    assert agreed(bundle(folder, name), "00" * 32, "another first roster") == {"ROSTER_UNPINNED"}


@pytest.mark.parametrize("name", FLIPPED)
def test_a_flipped_byte_in_a_bundle_of_the_demo_is_refused_by_both(left, name):
    folder, roster = left
    for path in files_of(bundle(folder, name)):
        good = path.read_bytes()
        for at in [0, len(good) // 2, len(good) - 1]:
            path.write_bytes(good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1:])
            assert agreed(bundle(folder, name), roster, f"{path.name} byte {at}")
        path.write_bytes(good)
    assert agreed(bundle(folder, name), roster, "as it was") == set()


@pytest.mark.parametrize("path", ["approvals/bob.approval", "rehearsal.transcript"])
def test_a_paper_of_another_ceremony_of_the_demo_is_refused_by_both(left, path):
    folder, roster = left
    one, two = (bundle(folder, name) for name in ["access-key-request", "issuer-key-request"])
    good = (one / path).read_bytes()
    (one / path).write_bytes((two / path).read_bytes())
    assert "FILE_CHANGED" in agreed(one, roster, f"{path} of another ceremony")
    (one / path).write_bytes(good)
