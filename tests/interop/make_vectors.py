"""The generator of tests/vectors/pt1/.

    make_vectors.py          writes the vectors that do not exist yet
    make_vectors.py --count  prints the number of vectors per rule

The committed files are the authority. A vector is added, never edited: a file that exists is left
as it is, and the exit code is 1 where it differs from what would be written. The keys are derived
from labels and the signatures are deterministic (RFC 6979), so nothing differs unless this
program, its cases or the specification changed.
"""

import sys
from collections import Counter

import pt1
from cases import every_case
from vectors import FOLDER


def main(arguments):
    cases = every_case()
    for case in cases:
        check(case)
    if arguments == ["--count"]:
        count(cases)
        return 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    return write(cases)


def check(case):
    """A case that is refused for another reason than it claims shows nothing."""
    try:
        verified = pt1.verify(case.text, case.now, case.operator, case.trust)
        found = None, verified.summary()
    except pt1.Refused as refused:
        found = refused.rule, None
    if found != (case.rule, case.summary):
        raise AssertionError(f"{case.name}: {found}, not {case.rule, case.summary}")


def write(cases):
    differing = 0
    for case in cases:
        path = FOLDER / f"{case.name}.vec"
        rendered = case.render().encode()
        if not path.exists():
            path.write_bytes(rendered)
            print(f"added {path.name}")
        elif path.read_bytes() != rendered:
            print(f"{path.name}: the committed vector differs and stays as it is", file=sys.stderr)
            differing += 1
    return 1 if differing else 0


def count(cases):
    per_rule = Counter(case.rule or 0 for case in cases)
    for rule, number in sorted(per_rule.items()):
        name = pt1.CODE_OF_RULE[rule] if rule else "OK"
        print(f"{'rule ' + str(rule) if rule else 'accepted':8}  {name:15} {number:4}")
    print(f"{'sum':8}  {'':15} {len(cases):4}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
