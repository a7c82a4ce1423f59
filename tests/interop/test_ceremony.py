"""`obol-kms ceremony verify` and ceremony_verify.py say the same about bundles, good and bent.

The bundles are those of docs/ceremony-guide.md. Files are changed under a transcript that stays, and
transcripts are written anew and signed by the people's own keys, so that nothing but the rule in
question tells a bent bundle from a good one.
"""

import json
import shutil
import subprocess
import sys

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ceremony_forms import ZEROS, sha256
from ceremony_verify import Verifier
from ceremony_world import ACTS, RESUMED, World
from guide import Terminal, follow, sites
from house import REPOSITORY, obol_kms

BUNDLES = ["root", "request", "issuer"]
SAMPLES = 7


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = sites(tmp_path_factory.mktemp("guide"))
    terminal = Terminal(folder)
    follow(terminal)
    terminal.close()
    shown = subprocess.run([obol_kms(), "ceremony", "plan", "root.plan.toml", "--roster", "roster.toml"],
                           cwd=folder, capture_output=True, text=True, check=True)
    line = next(line for line in shown.stdout.splitlines() if line.startswith("roster "))
    return folder, line.split()[1]


@pytest.fixture(scope="module")
def acts(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("acts"))
    return world.folder, world.roster


@pytest.fixture
def copy(made, tmp_path):
    return lambda name: copied(made, tmp_path, name)


def copied(made, tmp_path, name):
    shutil.rmtree(tmp_path / "bundle", ignore_errors=True)
    return shutil.copytree(made[0] / f"{name}.bundle", tmp_path / "bundle")


def verdicts(bundle, roster):
    done = subprocess.run([obol_kms(), "ceremony", "verify", bundle, "--roster", roster, "--json"],
                          capture_output=True, text=True)
    binary = json.loads(done.stdout)
    assert binary["holds"] == (done.returncode == 0)
    return binary, Verifier(bundle, bytes.fromhex(roster)).run()


def agreed(bundle, roster, what):
    """The codes that both say; files that are missing, changed or unknown are the same ones."""
    binary, other = verdicts(bundle, roster)
    both = binary["problems"], other.problems
    codes = [{one["code"] for one in problems} for problems in both]
    if any(code in ["FILE_MISSING", "FILE_CHANGED"] for code in codes[0]):
        # What else a changed file then is depends on who reads it.
        codes = [one - {"STEP_REFUSED"} for one in codes]
    assert codes[0] == codes[1], f"{what}: {both}"
    files = [{(one["code"], one["place"]) for one in problems if one["code"].startswith("FILE_")}
             for problems in both]
    assert files[0] == files[1], f"{what}: {both}"
    assert binary["holds"] == (not other.problems)
    assert len(binary["exceptions"]) == len(other.exceptions), what
    return codes[0]


def files_of(bundle):
    return sorted(path for path in bundle.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", BUNDLES)
def test_bundles_of_the_guide_hold_for_both(made, name):
    bundle = made[0] / f"{name}.bundle"
    assert agreed(bundle, made[1], name) == set()
    done = subprocess.run([sys.executable, REPOSITORY / "tests/interop/ceremony_verify.py",
                           bundle, made[1]], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split(",")[0]) == (0, "holds")
    assert agreed(bundle, "00" * 32, "another first roster") == {"ROSTER_UNPINNED"}


@pytest.mark.parametrize("name", BUNDLES)
def test_flipped_bytes_and_cut_files_are_refused_by_both(made, copy, name):
    bundle = copy(name)
    for path in files_of(bundle):
        good = path.read_bytes()
        step = max(1, (len(good) - 1) // (SAMPLES - 1))
        for at in [*range(0, len(good), step), len(good) - 1]:
            path.write_bytes(good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1:])
            assert agreed(bundle, made[1], f"{path.name} byte {at}")
            path.write_bytes(good[:at])
            assert agreed(bundle, made[1], f"{path.name} cut at {at}")
        path.write_bytes(good + b"\n")
        assert agreed(bundle, made[1], f"{path.name} made longer")
        path.write_bytes(good)
    assert agreed(bundle, made[1], "as it was") == set()


@pytest.mark.parametrize("name", BUNDLES)
def test_missing_extra_and_swapped_files_are_refused_by_both(made, copy, name):
    bundle = copy(name)
    for path in files_of(bundle):
        good = path.read_bytes()
        path.unlink()
        assert agreed(bundle, made[1], f"without {path.name}")
        path.write_bytes(good)
        extra = path.with_name("extra")
        extra.write_bytes(good)
        assert "FILE_UNKNOWN" in agreed(bundle, made[1], f"with {extra}")
        extra.unlink()
    one, two = sorted((bundle / "approvals").iterdir())
    swapped = two.read_bytes(), one.read_bytes()
    one.write_bytes(swapped[0])
    two.write_bytes(swapped[1])
    assert agreed(bundle, made[1], "approvals swapped") == {"FILE_CHANGED"}


class Forger:
    """A bundle whose transcript can be written anew, by the keys of its executor and witness."""

    def __init__(self, made, bundle):
        self.bundle = bundle
        keys = {path.stem: path for path in made[0].glob("*.key")}
        self.keys = {public(key): key for key in map(private, keys.values())}
        self.renew_records = True
        self.bodies, data = [], (bundle / "transcript").read_bytes()
        while data:
            end = 4 + int.from_bytes(data[:4])
            self.bodies.append(cbor2.loads(cbor2.loads(data[4:end])[0]))
            data = data[end:]

    @property
    def opened(self):
        return self.bodies[0][5]

    @property
    def contents(self):
        return [body[5] for body in self.bodies]

    def relist(self, contents=None):
        """Hashes of all named files as they are now."""
        lists = [content[-1] for content in contents or self.contents if content[0] in [0, 2, 5]]
        for files in lists:
            for one in files:
                if (self.bundle / one[0]).exists():
                    one[1] = sha256((self.bundle / one[0]).read_bytes())

    def records(self, ceremony, opening):
        """What the tokens would remember had the ceremony begun with this event."""
        for before in (self.bundle / "tokens").glob("*.before"):
            records = {**dict(cbor2.loads(before.read_bytes())), ceremony: opening}
            after = cbor2.dumps([list(one) for one in sorted(records.items())])
            before.with_suffix(".after").write_bytes(after)
        self.relist(self.contents[1:])

    def write(self):
        head, data, people = ZEROS, b"", ()
        for number, body in enumerate(self.bodies):
            body[2], body[3] = number, head
            people = body[5][8:10] if body[5][0] == 0 else people
            people = body[5][3:5] if body[5][0] == 4 else people
            signed = cbor2.dumps(body, canonical=True)
            event = cbor2.dumps([signed, *[sign(self.keys[key], signed) for key in people]])
            head, data = sha256(event), data + len(event).to_bytes(4) + event
            if number == 0 and self.renew_records:
                self.records(body[1], head)
        (self.bundle / "transcript").write_bytes(data)


def private(path):
    return serialization.load_pem_private_key(path.read_bytes(), None)


def public(key):
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)


def sign(key, message):
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def a_comment_in_the_plan(forger):
    edit(forger.bundle / "plan.toml", "schema = 1", "schema = 1 # the first")


def another_title(forger):
    edit(forger.bundle / "plan.toml", "of operator linea", "of operator other")


def an_exception(forger):
    forger.bodies.insert(1, [*forger.bodies[0][:5], [3, "a fire alarm"]])


def no_end(forger):
    forger.bodies.pop()


def nothing_done(forger):
    del forger.bodies[1:-1]


def a_step_begun_twice(forger):
    forger.bodies.insert(1, list(forger.bodies[1]))


def an_event_after_the_end(forger):
    forger.bodies.append([*forger.bodies[-1][:5], [3, "late"]])


def a_clock_set_back(forger):
    forger.bodies[-1][4] = forger.bodies[0][4] - 1


def an_event_of_another_ceremony(forger):
    forger.bodies[-1][1] = bytes(16)


def another_id(forger):
    for body in forger.bodies:
        body[1] = bytes(16)


def a_ceremony_after_the_approvals_ended(forger):
    for body in forger.bodies:
        body[4] += 40 * 86400


def a_ceremony_before_its_rehearsal(forger):
    for body in forger.bodies:
        body[4] -= 3600


def people_swapped(forger):
    forger.opened[8:10] = forger.opened[9], forger.opened[8]


def one_person_in_both_roles(forger):
    forger.opened[9] = forger.opened[8]


def a_rehearsal_as_the_ceremony(forger):
    forger.opened[1] = 0


def another_module(forger):
    forger.opened[5] = bytes(32)


def another_token(forger):
    forger.opened[6] = ["0123456789abcdef"]


def another_output(forger):
    path = next((forger.bundle / "outputs").iterdir())
    path.write_bytes(path.read_bytes()[:-40] + b"\n")


def files_out_of_order(forger):
    forger.opened[10].reverse()


def an_approval_less(forger):
    (forger.bundle / forger.opened[10].pop(0)[0]).unlink()


def an_approval_twice(forger):
    first, second = [forger.bundle / one[0] for one in forger.opened[10][:2]]
    second.write_bytes(first.read_bytes())


def a_file_that_no_ceremony_has(forger):
    (forger.bundle / "zebra").write_text("z")
    forger.opened[10].append(["zebra", ZEROS])


def an_end_without_outputs(forger):
    named = forger.contents[-1][1]
    named[:] = [one for one in named if not one[0].startswith("outputs/")]


def an_end_without_records(forger):
    named = forger.contents[-1][1]
    named[:] = [one for one in named if not one[0].startswith("tokens/")]


def a_token_that_knows_another_first_event(forger):
    forger.renew_records = False
    a_comment_in_the_plan(forger)


def an_opening_without_records(forger):
    forger.opened[10] = [one for one in forger.opened[10] if not one[0].startswith("tokens/")]


GOOD = [a_comment_in_the_plan, an_exception]
BENT = {
    another_title: {"OPENED_OTHER", "REHEARSAL_REFUSED", "APPROVAL_REFUSED", "STEP_REFUSED"},
    no_end: {"NOT_CLOSED", "FILE_UNKNOWN"},
    nothing_done: {"NOT_CLOSED", "FILE_UNKNOWN", "STEP_REFUSED"},
    a_step_begun_twice: {"TRANSCRIPT_REFUSED"},
    an_event_after_the_end: {"TRANSCRIPT_REFUSED"},
    a_clock_set_back: {"TRANSCRIPT_REFUSED"},
    an_event_of_another_ceremony: {"TRANSCRIPT_REFUSED"},
    another_id: {"APPROVAL_REFUSED"},
    a_ceremony_after_the_approvals_ended: {"APPROVAL_REFUSED", "STEP_REFUSED"},
    a_ceremony_before_its_rehearsal: {"REHEARSAL_REFUSED", "APPROVAL_REFUSED", "STEP_REFUSED"},
    people_swapped: {"PEOPLE_REFUSED"},
    one_person_in_both_roles: {"PEOPLE_REFUSED"},
    a_rehearsal_as_the_ceremony: {"OPENED_OTHER"},
    another_module: {"OPENED_OTHER"},
    another_token: {"OPENED_OTHER"},
    another_output: {"STEP_REFUSED"},
    files_out_of_order: {"TRANSCRIPT_REFUSED"},
    an_approval_less: {"APPROVAL_REFUSED"},
    an_approval_twice: {"APPROVAL_REFUSED"},
    a_file_that_no_ceremony_has: {"FILE_UNKNOWN"},
    an_end_without_outputs: {"NOT_CLOSED"},
    an_end_without_records: {"NOT_CLOSED", "FILE_UNKNOWN"},
    an_opening_without_records: {"FILE_MISSING", "FILE_UNKNOWN"},
    a_token_that_knows_another_first_event: {"RECORDS_REFUSED"},
}


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("bend", [*GOOD, *BENT], ids=lambda bend: bend.__name__)
def test_transcripts_signed_anew_are_judged_alike(made, copy, name, bend):
    forger = Forger(made, copy(name))
    bend(forger)
    forger.relist()
    forger.write()
    codes = agreed(forger.bundle, made[1], bend.__name__)
    assert codes <= BENT.get(bend, set())
    assert bool(codes) == (bend in BENT)


def lies(facts):
    """Each way to tell one thing otherwise, with a name."""
    for place, (name, value) in enumerate(facts):
        others = [value + "0", value[:-1], ("1" if value[:1] != "1" else "2") + value[1:]]
        for other in others:
            yield f"{name} {other}", [*facts[:place], [name, other], *facts[place + 1:]]
        yield f"without {name}", facts[:place] + facts[place + 1:]
        yield f"{name} under another name", [*facts[:place], ["also " + name, value],
                                             *facts[place + 1:]]
    yield "one more", [*facts, ["new moon", "yes"]]
    yield "another order", facts[::-1]


def judge_lies(made, copied):
    """A cheating executor and a cheating witness sign what no step has shown."""
    told = 0
    for number, content in enumerate(Forger(made, copied).contents):
        if content[0] != 2:
            continue
        for name, facts in lies(content[2]):
            forger = Forger(made, copied)
            forger.contents[number][2] = facts
            good = (forger.bundle / "transcript").read_bytes()
            forger.write()
            binary, other = verdicts(copied, made[1])
            # A key that was told otherwise is missed where the key is used.
            for problems in [binary["problems"], other.problems]:
                found = [(one["code"], one["place"]) for one in problems]
                steps = [f"step {content[1] + 1}", f"step {content[1] + 2}"]
                assert found, name
                fits = [one[0] == "STEP_REFUSED" and one[1] in steps for one in found]
                assert all(fits), (name, found)
            (forger.bundle / "transcript").write_bytes(good)
            told += 1
    return told


@pytest.mark.parametrize("name", BUNDLES)
def test_a_fact_that_executor_and_witness_tell_otherwise_is_refused_at_its_step(made, copy, name):
    bundle = copy(name)
    assert judge_lies(made, bundle) > 20


ALL = [name for name, *_ in ACTS]


@pytest.mark.parametrize("name", ALL)
def test_bundles_of_every_act_hold_for_both_also_when_they_were_resumed(acts, name):
    bundle = acts[0] / f"{name}.bundle"
    assert agreed(bundle, acts[1], name) == set()
    exceptions = verdicts(bundle, acts[1])[1].exceptions
    assert bool(exceptions) == (name in RESUMED)


@pytest.mark.parametrize("name", ALL)
def test_changed_and_missing_files_of_every_act_are_refused_by_both(acts, tmp_path, name):
    bundle = copied(acts, tmp_path, name)
    for path in files_of(bundle):
        good = path.read_bytes()
        for at in [len(good) // 3, len(good) - 2]:
            path.write_bytes(good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1:])
            assert agreed(bundle, acts[1], f"{path.name} byte {at}")
        path.unlink()
        assert agreed(bundle, acts[1], f"without {path.name}")
        path.write_bytes(good)


@pytest.mark.parametrize("name", ALL)
def test_a_fact_of_any_act_that_is_told_otherwise_is_refused_at_its_step(acts, tmp_path, name):
    assert judge_lies(acts, copied(acts, tmp_path, name)) > 5
