"""Verifies the bundle of a key ceremony: docs/spec/ceremony.md by another hand.

    ceremony_verify.py BUNDLE ROSTER_HASH    problems and exceptions on stdout, exit 0 or 1

It shares no code with obol-kms and was written without sight of it. See README.md for what it
leaves out.
"""

import pathlib
import sys

import ceremony_steps
from ceremony_around import before_and_after, followed, span
from ceremony_forms import ZEROS, Approval, Bad, Plan, Roster, decode, is_bytes, need, sha256
from ceremony_transcript import Transcript

MONTH_S = 30 * 86400


class Verifier:
    def __init__(self, bundle, pinned):
        self.bundle, self.pinned = pathlib.Path(bundle), pinned
        self.problems, self.exceptions, self.approved_by = [], [], []
        self.present = sorted(
            path.relative_to(self.bundle).as_posix()
            for path in self.bundle.rglob("*") if path.is_symlink() or not path.is_dir())
        self.content = {}
        for path in self.present:
            if not (self.bundle / path).is_symlink() and (self.bundle / path).is_file():
                self.content[path] = (self.bundle / path).read_bytes()

    def problem(self, code, place, what):
        self.problems.append({"code": code, "place": place, "what": str(what)})

    def attempt(self, code, place, make, *given):
        """What `make` returns, or a problem and nothing."""
        try:
            return make(*given)
        except Bad as bad:
            return self.problem(code, place, bad)

    def run(self):
        roster = self._rosters()
        plan = self._read("PLAN_REFUSED", "plan.toml", Plan)
        record = self._read("TRANSCRIPT_REFUSED", "transcript", Transcript)
        if roster is None or plan is None or record is None:
            return self
        self.exceptions = record.exceptions
        self._files(record)
        self._names(record, plan)
        self._opened(record, plan, roster)
        self._closed(record, plan)
        if self._rehearsal(record, plan, roster):
            self._approvals(record, plan, roster)
        self._last(record, plan)
        self._steps(record, plan)
        self._around(record, plan)
        return self

    def _read(self, code, path, reader):
        if path not in self.content:
            return self.problem("FILE_MISSING", path, "there is no such file")
        return self.attempt(code, path, reader, self.content[path])

    def _files(self, record):
        listed = {**record.files, **record.outputs(), **(record.closed or {})}
        for path, digest in listed.items():
            if path not in self.content:
                self.problem("FILE_MISSING", path, "there is no such file")
            elif sha256(self.content[path]) != digest:
                self.problem("FILE_CHANGED", path, "its hash is not the one in the transcript")
        for path in self.present:
            if path not in listed and path != "transcript":
                self.problem("FILE_UNKNOWN", path, "the transcript does not name it")

    def _rosters(self):
        roster = self._read("ROSTER_REFUSED", "rosters/0.toml", Roster)
        if roster is None:
            return None
        if roster.hash != self.pinned:
            return self.problem("ROSTER_UNPINNED", "rosters/0.toml",
                                f"its hash is {roster.hash.hex()}")
        changes = [path for path in self.present
                   if path.startswith("rosters/") and path.endswith(".change")]
        for number in range(1, len(changes) + 1):
            path = f"rosters/{number}.change"
            roster = self._read("ROSTER_REFUSED", path, lambda data: changed(roster, data))
            if roster is None:
                return None
        return roster

    def _names(self, record, plan):
        """The first event names the files of section 6, and no others."""
        wanted = {"plan.toml", "rosters/0.toml", "rehearsal.transcript"}
        wanted |= {f"inputs/{name}" for name in plan.inputs}
        wanted |= {"last.transcript"} if plan.since else set()
        wanted |= before_and_after(plan)[0]
        for path in sorted(wanted - set(record.files)):
            self.problem("FILE_MISSING", path, "the first event does not name it")
        for path in record.files:
            if path not in wanted and not path.startswith(("approvals/", "rosters/")):
                self.problem("FILE_UNKNOWN", path, "no file of a ceremony's bundle")
        for name, digest in plan.inputs.items():
            if record.files.get(f"inputs/{name}", digest) != digest:
                self.problem("INPUT_CHANGED", f"inputs/{name}", "the plan names another file")

    def _opened(self, record, plan, roster):
        said = [record.mode, record.plan, record.roster, record.tool, record.module, record.serials]
        planned = [1, plan.hash, roster.hash, plan.tool, plan.module, plan.serials]
        names = ["mode", "plan", "roster", "program", "module", "tokens"]
        for name, one, other in zip(names, said, planned):
            if one != other:
                self.problem("OPENED_OTHER", "transcript", f"opened with another {name}")
        for tool, module in record.resumed:
            if (tool, module) != (plan.tool, plan.module):
                self.problem("OPENED_OTHER", "transcript", "resumed with other software")
        for executor, witness in record.people:
            if refused := roster.people_refused(executor, witness):
                self.problem("PEOPLE_REFUSED", "transcript", refused)

    def _closed(self, record, plan):
        if record.closed is None:
            return self.problem("NOT_CLOSED", "transcript", "it was not brought to its end")
        if refused := not_whole(record, plan):
            self.problem("NOT_CLOSED", "transcript", refused)

    def _rehearsal(self, record, plan, roster):
        place = "rehearsal.transcript"
        one = self._read("REHEARSAL_REFUSED", place, Transcript)
        if one is None:
            return False
        return bool(self.attempt("REHEARSAL_REFUSED", place, rehearsed, one, record, plan, roster))

    def _approvals(self, record, plan, roster):
        exact = (roster.hash, plan.hash, record.id, plan.serials, plan.tool, record.rehearsal)
        officers = set()
        for path in [one for one in self.content if one.startswith("approvals/")]:
            approval = self._read("APPROVAL_REFUSED", path, Approval)
            if approval is None:
                continue
            self.attempt("APPROVAL_REFUSED", path, counts, approval, exact, roster,
                         record.first_time)
            if approval.officer in officers:
                self.problem("APPROVAL_REFUSED", path, "the officer approved already")
            officers.add(approval.officer)
        if len(officers) < roster.quorum[plan.kind]:
            self.problem("APPROVAL_REFUSED", "approvals", "fewer officers than the quorum")
        self.approved_by = sorted(filter(None, map(roster.officer, officers)))

    def _last(self, record, plan):
        if plan.since is None:
            return
        last = self._read("LAST_REFUSED", "last.transcript", Transcript)
        if last is None:
            return
        if last.head != plan.since or last.mode != 1 or last.closed is None:
            self.problem("LAST_REFUSED", "last.transcript", "not the ceremony that the plan names")
            return
        befores = [dict(facts) for facts, _ in last.done]
        for number, (facts, _) in enumerate(record.done, 1):
            facts = dict(facts)
            before = befores[number - 1] if number <= len(befores) else {}
            for name in sorted(facts.keys() | before.keys()):
                differs = facts.get(name) != before.get(name)
                if differs and not name.startswith("new ") and \
                        f"{number} {name}" not in plan.allowed:
                    self.problem("CHANGE_UNPLANNED", f"step {number}", f"{name} differs")

    def _steps(self, record, plan):
        keys = {}
        files = {path.split("/", 1)[1]: data for path, data in self.content.items()
                 if path.startswith(("inputs/", "outputs/"))}
        done = zip(plan.steps, record.done, record.lasted)
        for number, (step, (facts, written), lasted) in enumerate(done, 1):
            if list(written) != ([f"outputs/{step['out']}"] if "out" in step else []):
                self.problem("STEP_REFUSED", f"step {number}",
                             "it wrote other files than the plan says")
            needed = [step[key] for key in ["out", "ca", "request", "certificate", "replaces",
                                            "previous", "metadata", "next"] if key in step]
            if all(name in files for name in needed + step.get("revoke", [])):
                self.attempt("STEP_REFUSED", f"step {number}", ceremony_steps.check, step, facts,
                             keys, files, lasted)

    def _around(self, record, plan):
        meanwhile = set()
        for name in plan.tokens:
            paths = [f"tokens/{name}.before", f"tokens/{name}.after"]
            if all(path in self.content for path in paths):
                both = [self.content[path] for path in paths]
                found = self.attempt("RECORDS_REFUSED", paths[1], followed, *both, record.id,
                                     record.opening)
                meanwhile |= found or set()
        self.exceptions = self.exceptions + [
            (record.number, f"ceremony {one.hex()} began meanwhile") for one in sorted(meanwhile)]
        both = [self.content.get(path) for path in ["audit/before", "audit/after"]]
        if plan.audit is not None and None not in both:
            self.attempt("AUDIT_REFUSED", "audit", span, plan.audit, *both)


def not_whole(record, plan):
    """What keeps the transcript from being one of all the plan's steps."""
    if len(record.done) != len(plan.steps):
        return "steps of the plan were not done"
    ends = before_and_after(plan)[1]
    if {path: one for path, one in record.closed.items() if path not in ends} != record.outputs():
        return "it closes with other outputs"
    return None if ends <= record.closed.keys() else "it closes without what was after it"


def rehearsed(one, record, plan, roster):
    need(one.mode == 0 and one.rehearsal == ZEROS, "not a rehearsal")
    need(one.head == record.rehearsal, "another rehearsal than the ceremony's")
    need(one.plan == plan.hash, "of another plan")
    need(one.tool == plan.tool, "with another program")
    need(all(tool == plan.tool for tool, _ in one.resumed), "resumed with another program")
    for executor, witness in one.people:
        need(roster.people_refused(executor, witness) is None, "its people are not the roster's")
    need(one.closed is not None and len(one.done) == len(plan.steps), "not brought to its end")
    need(one.time <= record.first_time, "later than the ceremony")
    need(not set(one.serials) & set(plan.serials), "on a token of the plan")
    return True


def counts(approval, exact, roster, now):
    need(roster.officer(approval.officer) is not None, "by nobody who is an officer")
    need(approval.covers() == exact, "for something else")
    need(now <= approval.not_after <= now + MONTH_S, "ended, or more than 30 days ahead")


def changed(roster, data):
    """The roster that a change makes of the one before: section 1."""
    value = decode(data, "the change")
    need(type(value) is list and len(value) == 5 and value[0] == "obol roster change"
         and all(is_bytes(one) for one in value[1:4]) and len(value[3]) == 32
         and type(value[4]) is list and all(is_bytes(one) for one in value[4]),
         "not of a change's form")
    plan, following = Plan(value[1]), Roster(value[2])
    need(plan.act == "roster-change", "a plan of another act")
    need(plan.inputs.get(plan.steps[0]["next"]) == sha256(value[2]), "the plan names another roster")
    approvals = [Approval(one) for one in value[4]]
    ids = {one.id for one in approvals}
    need(len(ids) == 1, "approvals for different ceremonies, or none")
    exact = (roster.hash, plan.hash, ids.pop(), plan.serials, plan.tool, value[3])
    for one in approvals:
        need(roster.officer(one.officer) is not None, "approved by nobody who is an officer")
        need(one.covers() == exact, "an approval for something else")
    officers = {one.officer for one in approvals}
    need(len(officers) == len(approvals), "an officer approved twice")
    need(len(officers) >= roster.quorum["roster"], "fewer officers than the quorum")
    return following


def main(bundle, pinned):
    verifier = Verifier(bundle, bytes.fromhex(pinned)).run()
    for number, words in verifier.exceptions:
        print(f"exception: event {number}: {words}")
    for one in verifier.problems:
        print(f"{one['code']} {one['place']}: {one['what']}")
    print("does not hold" if verifier.problems else
          f"holds, approved by {', '.join(verifier.approved_by)}")
    return 1 if verifier.problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
